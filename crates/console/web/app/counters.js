// What a counter counted in each hour, day or month.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { get } from "./api.js";
import { lang, number, t } from "./i18n.js";
import { Failed, usePolled } from "./ui.js";

const spans = ["hour", "day", "month"];
// Rows of the table; the file has all.
const ROWS = 62;
const shapes = {
  hour: { day: "2-digit", month: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  day: { weekday: "short", day: "2-digit", month: "2-digit", year: "numeric" },
  month: { month: "long", year: "numeric" },
};

// Times come by the board's clock: what they say is shown, whatever the clock of the reader.
const said = (text, options) => new Intl.DateTimeFormat(lang, { ...options, timeZone: "UTC" }).format(new Date(`${text.slice(0, 19)}Z`));
const colour = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();

function Bars({ list, by, label, unit }) {
  const canvas = useRef(null);
  const [, again] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(() => again((n) => n + 1));
    observer.observe(canvas.current);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const element = canvas.current;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [element.clientWidth, element.clientHeight];
    element.width = Math.round(width * scale);
    element.height = Math.round(height * scale);
    const pen = element.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const most = Math.max(...list.map((span) => span.used || 0)) || 1;
    const marks = [most, most / 2, 0];
    const texts = marks.map((mark) => number(Number(mark.toPrecision(3))) + (unit ? ` ${unit}` : ""));
    const left = Math.max(...texts.map((text) => pen.measureText(text).width)) + 12;
    const [top, tall, wide] = [12, height - 40, width - left - 6];
    marks.forEach((mark, index) => {
      const y = Math.round(top + (index / 2) * tall) + 0.5;
      pen.strokeStyle = colour(element, "--edge");
      pen.beginPath();
      pen.moveTo(left, y);
      pen.lineTo(width - 6, y);
      pen.stroke();
      pen.fillStyle = colour(element, "--muted");
      pen.textAlign = "right";
      pen.fillText(texts[index], left - 6, y);
    });
    const [first, last] = [Date.parse(list[0].from), Date.parse(list[list.length - 1].to)];
    const x = (at) => left + ((Date.parse(at) - first) / (last - first)) * wide;
    let free = 0;
    list.forEach((span) => {
      const [begin, end] = [x(span.from), x(span.to)];
      const size = ((span.used || 0) / most) * tall;
      pen.fillStyle = colour(element, "--line");
      // What is known in part is paler.
      pen.globalAlpha = span.hours < span.hours_of ? 0.5 : 1;
      const room = Math.min(48, Math.max(1, (end - begin) * 0.8));
      pen.fillRect((begin + end - room) / 2, top + tall - size, room, size);
      pen.globalAlpha = 1;
      const text = said(span.from, by === "hour" ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : by === "day" ? { day: "2-digit", month: "2-digit" } : { month: "short" });
      const half = pen.measureText(text).width / 2;
      const middle = Math.min((begin + end) / 2, width - half - 2);
      if (middle - half > free) {
        free = middle + half + 10;
        pen.textAlign = "center";
        pen.fillStyle = colour(element, "--muted");
        pen.fillText(text, middle, height - 12);
      }
    });
  });
  return html`<canvas class="chart" ref=${canvas} role="img" aria-label=${label}></canvas>`;
}

function notes(span) {
  const parts = span.hours < span.hours_of ? [t("counters.part", { hours: number(span.hours), of: number(span.hours_of) })] : [];
  if (span.resets) parts.push(t(span.resets === 1 ? "counters.reset" : "counters.resets", { count: number(span.resets) }));
  return parts.join(", ");
}

export default function Consumption({ device, point, unit }) {
  const [by, setBy] = useState("day");
  const query = `device=${encodeURIComponent(device)}&point=${encodeURIComponent(point)}&by=${by}`;
  const { data, problem } = usePolled((background) => get(`history/counters?${query}`, background), 60000, [query]);
  const told = data && data.by === by ? data : null;
  const list = told ? told.counters.flatMap((counter) => counter.spans).filter((span) => span.used !== null) : [];
  const amount = (v) => (v === null ? "—" : `${number(v, 9)}${unit ? ` ${unit}` : ""}`);
  return html`<p class="inline" role="group" aria-label=${t("counters.by")}>${spans.map((name) => html`<button key=${name}
      class=${name === by ? "main" : "quiet"} aria-pressed=${name === by} onClick=${() => setBy(name)}>${t(`counters.${name}`)}</button>`)}
      <a download href=${`/api/v1/history/counters.csv?${query}`}>${t("history.csv")}</a></p>
    <${Failed} problem=${problem} />
    ${told && !list.length ? html`<p class="muted">${t("counters.none")}</p>` : null}
    ${list.length ? html`<div class="card"><${Bars} list=${list} by=${by} unit=${unit} label=${t("counters.chart", { name: `${device}/${point}`, by: t(`counters.${by}`) })} />
      <p class="count">${t("counters.zone", { zone: told.zone })}</p></div>
      <div class="scroll" tabindex="0" role="region" aria-label=${t("counters")}><table class="stack"><thead><tr><th>${t(`counters.${by}`)}</th><th class="amount">${t("counters.used")}</th><th class="amount">${t("counters.value")}</th><th>${t("counters.note")}</th></tr></thead>
        <tbody>${list.slice(-ROWS).reverse().map((span) => html`<tr key=${span.from}><th scope="row">${said(span.from, shapes[by])}</th>
          <td class="amount" data-name=${t("counters.used")}>${amount(span.used)}</td><td class="amount" data-name=${t("counters.value")}>${amount(span.value)}</td><td class="muted" data-name=${t("counters.note")}>${notes(span)}</td></tr>`)}</tbody></table></div>` : null}`;
}
