// What pages are made of.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { ago, number, t, value } from "./i18n.js";
import { listen, readings, key } from "./api.js";

// Draws again every so many milliseconds.
export function useTick(pause = 1000) {
  const [, set] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => set((n) => n + 1), pause);
    return () => clearInterval(timer);
  }, [pause]);
}

// Asks now and every so often, while the page is looked at.
export function usePolled(load, pause, needs = []) {
  const [state, set] = useState({ data: null, problem: null });
  useEffect(() => {
    let isOver = false;
    let timer = 0;
    const turn = async (background) => {
      if (!document.hidden) {
        try {
          const data = await load(background);
          if (!isOver) set({ data, problem: null });
        } catch (problem) {
          if (!isOver) set((old) => ({ ...old, problem }));
        }
      }
      // The second look comes soon: what is a rate needs two.
      if (!isOver && pause) timer = setTimeout(() => turn(true), background ? pause : pause / 3);
    };
    turn(false);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, needs);
  return state;
}

export function useLayout(act, needs = []) {
  useEffect(() => listen("layout", act), needs);
}

// The newest reading of a point, or what came with the list.
export const newest = (point) => readings.get(key(point)) || point;

export function Quality({ reading }) {
  const quality = reading.quality;
  const title = reading.error || t(`quality.${quality}.title`);
  return html`<span class=${`tag q-${quality}`} title=${title}>${t(`quality.${quality}`)}</span>`;
}

export function State({ device }) {
  return html`<span class=${`tag s-${device.state}`}>${t(`state.${device.state}`)}</span>`;
}

export function Reading({ point, reading }) {
  const isOff = reading.quality === "none" || reading.quality === "bad";
  const unit = point.unit && !isOff ? html` <span class="unit">${point.unit}</span>` : null;
  return html`<span class=${`value v-${reading.quality}`}>${value(reading)}${unit}</span>`;
}

export function Age({ at }) {
  return html`<span class="age">${ago(at)}</span>`;
}

export function Failed({ problem }) {
  return problem ? html`<p class="failed" role="alert">${problem.message}</p>` : null;
}

export function Search({ text, set, label }) {
  return html`<input type="search" class="search" value=${text} placeholder=${label} aria-label=${label}
    onInput=${(event) => set(event.target.value)} autocomplete="off" spellcheck=${false} maxlength="100" />`;
}

export function Choice({ label, value, set, options }) {
  return html`<select aria-label=${label} value=${value} onChange=${(event) => set(event.target.value)}>
    ${options.map(([value, text]) => html`<option value=${value}>${text}</option>`)}
  </select>`;
}

// A list of any length, of which only what is seen exists. Rows have one height.
export function Rows({ count, height, row, label, columns, seen, head }) {
  const box = useRef(null);
  const [place, setPlace] = useState({ top: 0, height: 600 });
  useLayoutEffect(() => {
    const element = box.current;
    const look = () => setPlace({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    look();
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
  const first = Math.max(0, Math.min(Math.floor(place.top / height) - 4, count - 1));
  const last = Math.min(count, Math.ceil((place.top + place.height) / height) + 4);
  useEffect(() => {
    if (seen) seen(first, last);
  }, [first, last, count, seen]);
  const rows = [];
  for (let index = first; index < last; index++) rows.push(row(index));
  return html`<div class="rows" ref=${box} role="table" aria-label=${label} aria-rowcount=${count + 1}
      aria-colcount=${columns} tabindex="0">
    <div class="head" role="rowgroup"><div role="row" class="row" aria-rowindex="1">${head}</div></div>
    <div role="rowgroup" class="space" style=${{ height: `${count * height}px` }}>
      <div style=${{ transform: `translateY(${first * height}px)` }} role="presentation">${rows}</div>
    </div>
  </div>`;
}

const colour = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();

function prepare(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return [pen, width, height];
}

function range(trend) {
  let [least, most] = [Infinity, -Infinity];
  trend.lo.forEach((value) => value !== null && (least = Math.min(least, value)));
  trend.hi.forEach((value) => value !== null && (most = Math.max(most, value)));
  return [least, most];
}

// The last hour as a band from the least to the greatest value, the newest at the right.
function draw(pen, trend, [left, top, width, height], [least, most], cells, line, band) {
  const span = most - least || 1;
  const y = (value) => (most === least ? top + height / 2 : top + height - ((value - least) / span) * height);
  const x = (index) => left + width - ((trend.lo.length - 1 - index) / (cells - 1)) * width;
  let begin = 0;
  while (begin < trend.lo.length) {
    if (trend.lo[begin] === null) {
      begin += 1;
      continue;
    }
    let end = begin;
    while (end < trend.lo.length && trend.lo[end] !== null) end += 1;
    pen.beginPath();
    for (let i = begin; i < end; i++) pen.lineTo(x(i), y(trend.hi[i]));
    for (let i = end - 1; i >= begin; i--) pen.lineTo(x(i), y(trend.lo[i]));
    pen.closePath();
    pen.fillStyle = band;
    pen.fill();
    pen.beginPath();
    for (let i = begin; i < end; i++) pen.lineTo(x(i), y((trend.lo[i] + trend.hi[i]) / 2));
    if (end - begin === 1) pen.lineTo(x(begin) - 2, y((trend.lo[begin] + trend.hi[begin]) / 2));
    pen.strokeStyle = line;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.stroke();
    begin = end;
  }
}

// A series that has just begun fills no screen, and is not drawn into a corner of it.
const LEAST = 30;
const cellsOf = (trend) => Math.max(trend.lo.length, LEAST);

export function Spark({ trend, label, range: fixed }) {
  const canvas = useRef(null);
  useLayoutEffect(() => {
    const element = canvas.current;
    const [pen, width, height] = prepare(element);
    if (!trend || !trend.lo.length) return;
    const bounds = fixed || range(trend);
    draw(pen, trend, [1, 2, width - 2, height - 4], bounds, cellsOf(trend), colour(element, "--line"), colour(element, "--band"));
  });
  return html`<canvas class="spark" ref=${canvas} role="img" aria-label=${label}></canvas>`;
}

export function Chart({ trend, label, format, step, least }) {
  const canvas = useRef(null);
  useLayoutEffect(() => {
    const element = canvas.current;
    const [pen, width, height] = prepare(element);
    const [ink, grid] = [colour(element, "--muted"), colour(element, "--edge")];
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = ink;
    if (!trend || !trend.lo.length) {
      pen.textAlign = "center";
      pen.fillText(t("trend.none"), width / 2, height / 2);
      return;
    }
    let bounds = range(trend);
    if (least) bounds = [Math.min(least[0], bounds[0]), Math.max(least[1], bounds[1])];
    const marks = bounds[0] === bounds[1] ? [bounds[0]] : [bounds[1], (bounds[0] + bounds[1]) / 2, bounds[0]];
    const texts = marks.map(format);
    const left = Math.max(...texts.map((text) => pen.measureText(text).width)) + 10;
    const place = [left, 10, width - left - 4, height - 34];
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.strokeStyle = grid;
    pen.lineWidth = 1;
    marks.forEach((mark, index) => {
      const share = marks.length === 1 ? 0.5 : index / (marks.length - 1);
      const y = Math.round(place[1] + share * place[3]) + 0.5;
      pen.beginPath();
      pen.moveTo(left, y);
      pen.lineTo(width - 4, y);
      pen.stroke();
      pen.fillText(texts[index], left - 6, y);
    });
    const minutes = (cellsOf(trend) * step) / 60;
    (width < 480 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]).forEach((share) => {
      pen.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      const text = share === 1 ? t("now") : `−${number(minutes * (1 - share), minutes < 10 ? 1 : 0)} min`;
      pen.fillText(text, left + share * place[2], height - 10);
    });
    draw(pen, trend, place, bounds, cellsOf(trend), colour(element, "--line"), colour(element, "--band"));
  });
  return html`<canvas class="chart" ref=${canvas} role="img" aria-label=${label}></canvas>`;
}
