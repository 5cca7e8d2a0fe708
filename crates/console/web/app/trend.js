// A point, and others beside it, in one chart: the last hour from memory, longer ranges from history.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { get } from "./api.js";
import { List, Marks, useEvents } from "./events.js";
import { HOUR, load, past, ranges } from "./history.js";
import { number, t, time } from "./i18n.js";
import { Failed, usePolled } from "./ui.js";

// Kinds of files that a point's readings can be had as.
const files = ["csv", "jsonl", "parquet", "line"];
// Lines of one chart: more cannot be told apart.
const LINES = 8;
const colours = ["--line", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];

// uPlot as its makers give it: a script that makes a global.
let loading = null;
function uplot() {
  loading ||= new Promise((done, failed) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("../vendor/uPlot.min.css", import.meta.url);
    const script = document.createElement("script");
    script.src = new URL("../vendor/uPlot.iife.min.js", import.meta.url);
    script.onload = () => done(window.uPlot);
    script.onerror = () => {
      loading = null;
      failed(new Error(t("problem.unreachable")));
    };
    document.head.append(style, script);
  });
  return loading;
}

const shown = (v) => (v === null || v === undefined ? "—" : number(Number(v.toPrecision(6))));
const span = (lo, hi) => (lo === hi ? shown(lo) : `${shown(lo)} … ${shown(hi)}`);

// Cells of all lines over the same times, the newest last.
function columns(names, data, now) {
  const cells = Math.max(30, ...names.map((name) => (data.trends[name] ? data.trends[name].lo.length : 0)));
  const times = Array.from({ length: cells }, (_, index) => now - (cells - 1 - index) * data.step_seconds);
  const out = [times];
  names.forEach((name) => {
    const trend = data.trends[name] || { lo: [], hi: [] };
    const gap = Array(cells - trend.lo.length).fill(null);
    const [lo, hi] = [gap.concat(trend.lo), gap.concat(trend.hi)];
    out.push(lo, hi, lo.map((low, index) => (low === null ? null : (low + hi[index]) / 2)));
  });
  return out;
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Values that no line leads to: a dot shows them.
function alone(chart, series) {
  const values = chart.data[series];
  const has = (index) => values[index] !== null && values[index] !== undefined;
  return Array.from(values.keys()).filter((index) => has(index) && !has(index - 1) && !has(index + 1));
}

// One scale for each unit; the first two have an axis.
function options(names, units, width, height, label) {
  const scales = [...new Set(names.map((name) => units[name] || "1"))];
  const axis = { stroke: css("--muted"), grid: { stroke: css("--edge"), width: 1 }, ticks: { stroke: css("--edge") }, font: "12px system-ui, sans-serif" };
  // Seconds only where minutes are too coarse.
  const clock = (marks) => {
    const fine = marks.length > 1 && marks[1] - marks[0] < 60 ? { second: "2-digit" } : {};
    const days = marks.length > 1 && marks[marks.length - 1] - marks[0] > 20 * 3600;
    const format = (parts) => new Intl.DateTimeFormat(document.documentElement.lang, parts);
    const day = format({ day: "2-digit", month: "2-digit" });
    const hour = format({ hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...fine });
    // Of more than a day, midnight has the date and what is between has the hour: both would not fit side by side.
    const isDay = (at) => days && at.getHours() === 0 && at.getMinutes() === 0;
    return marks.map((seconds) => new Date(seconds * 1000)).map((at) => (isDay(at) ? day : hour).format(at));
  };
  const series = [{}];
  const bands = [];
  names.forEach((name, index) => {
    const [scale, colour] = [units[name] || "1", css(colours[index])];
    const edge = { scale, stroke: "transparent", width: 0, points: { show: false } };
    bands.push({ series: [series.length + 1, series.length], fill: `${colour}33` });
    const points = { show: true, size: 6, width: 0, fill: colour, stroke: colour, filter: alone };
    series.push(edge, edge, { scale, stroke: colour, width: 2, points, label: name });
  });
  return {
    width, height, series, bands,
    // Room for the marks.
    padding: [34, null, null, null],
    legend: { show: false },
    cursor: { drag: { x: true, y: false }, points: { show: false } },
    scales: { x: { time: true }, ...Object.fromEntries(scales.map((scale) => [scale, { range: (_, least, most) => padded(least, most) }])) },
    axes: [{ ...axis, space: 85, values: (_, marks) => clock(marks) },
      ...scales.slice(0, 2).map((scale, index) => ({ ...axis, scale, side: index ? 1 : 3, size: 86, grid: index ? { show: false } : axis.grid,
        values: (_, marks) => marks.map((mark) => number(Number(mark.toPrecision(8)))) }))],
    hooks: { draw: [(chart) => head(chart, scales.slice(0, 2), axis)], ready: [(chart) => chart.root.querySelectorAll("canvas").forEach((canvas) => {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", label);
    })] },
  };
}

// Writes each unit above its axis, as a person reads it; uPlot would turn it.
function head(chart, scales, axis) {
  const { ctx, bbox } = chart;
  const dot = window.devicePixelRatio || 1;
  ctx.save();
  ctx.font = axis.font.replace(/[\d.]+(?=px)/, (size) => size * dot);
  ctx.fillStyle = axis.stroke;
  ctx.textBaseline = "bottom";
  scales.forEach((scale, index) => {
    ctx.textAlign = index ? "left" : "right";
    const x = index ? bbox.left + bbox.width + 8 * dot : bbox.left - 8 * dot;
    if (scale !== "1") ctx.fillText(scale, x, bbox.top - 10 * dot);
  });
  ctx.restore();
}

// When a range begins, for an export.
const since = (range) => new Date(Date.now() - ranges.find(([name]) => name === range)[1] * 1000).toISOString();

function padded(least, most) {
  if (least === null || most === null) return [0, 1];
  const room = (most - least) * 0.08 || Math.abs(most) * 0.02 || 1;
  return [least - room, most + room];
}

// Where the times of a chart are on the screen.
function whereabouts(chart) {
  const scale = window.devicePixelRatio || 1;
  const { min, max } = chart.scales.x;
  const [left, top, width, height] = ["left", "top", "width", "height"].map((side) => chart.bbox[side] / scale);
  return { left, top, width, height, all: chart.width, from: min, to: max };
}

function Chart({ names, units, table, label, point, events }) {
  const place = useRef(null);
  const chart = useRef(null);
  const [made, setMade] = useState(null);
  const [failed, setFailed] = useState(null);
  const [where, setWhere] = useState(null);
  useEffect(() => {
    uplot().then((made) => setMade(() => made), setFailed);
  }, []);
  const look = `${names.join()} ${document.documentElement.dataset.theme} ${document.documentElement.lang} ${names.map((name) => units[name]).join()}`;
  useEffect(() => {
    if (!made) return undefined;
    const width = () => Math.max(200, place.current.clientWidth);
    const height = () => (innerWidth < 700 ? 260 : 340);
    chart.current = new made(options(names, units, width(), height(), label), table, place.current);
    chart.current.setCursor({ left: -10, top: -10 });
    const hook = (u) => point(u.cursor.idx);
    (chart.current.hooks.setCursor ||= []).push(hook);
    const draw = (u) => {
      const now = whereabouts(u);
      setWhere((old) => (old && Object.keys(now).every((key) => old[key] === now[key]) ? old : now));
    };
    (chart.current.hooks.draw ||= []).push(draw);
    draw(chart.current);
    const observer = new ResizeObserver(() => chart.current && chart.current.setSize({ width: width(), height: height() }));
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      chart.current.destroy();
      chart.current = null;
    };
  }, [made, look]);
  useEffect(() => {
    if (chart.current) chart.current.setData(table);
  }, [table]);
  return html`<${Failed} problem=${failed} /><div class="marked"><div class="trend" ref=${place}></div>
    ${where && events.length ? html`<${Marks} events=${events} place=${where} />` : null}</div>`;
}

export default function Trend({ device, point, unit, others, change, kept, range }) {
  const own = `${device}/${point}`;
  const names = [own, ...others.filter((name) => name !== own)].slice(0, LINES);
  const list = names.join(",");
  const isPast = kept && range !== HOUR;
  const [whole, setWhole] = useState(false);
  const ask = isPast ? (background) => load(names, range, whole, background) : (background) => get(`trends?points=${encodeURIComponent(list)}`, background);
  const { data, problem } = usePolled(ask, isPast ? 60000 : 10000, [list, range, isPast, whole]);
  // What was asked for before another range was chosen is not drawn for it.
  const told = data && Boolean(data.past) === Boolean(isPast) && (!isPast || (data.range === range && data.list === list && data.whole === whole)) ? data : null;
  const table = useMemo(() => told && (isPast ? past(names, told) : columns(names, told, Date.now() / 1000)), [list, told]);
  const seconds = ranges.find(([name]) => name === (isPast ? range : HOUR))[1];
  const happened = useEvents(kept ? device : null, true, seconds);
  const events = (happened.told || { events: [] }).events;
  const [units, setUnits] = useState({ [own]: unit });
  const [at, setAt] = useState(null);
  const [all, setAll] = useState([]);
  const [text, setText] = useState("");
  useEffect(() => {
    const missing = names.filter((name) => !(name in units));
    missing.forEach((name) => get(`points?q=${encodeURIComponent(name.split("/")[1])}&limit=500`, true).then((told) => {
      const found = told.items.find((item) => `${item.device}/${item.point}` === name);
      setUnits((old) => ({ ...old, [name]: found ? found.unit : undefined }));
    }, () => {}));
  }, [list]);
  useEffect(() => {
    if (!text) return undefined;
    const timer = setTimeout(() => get(`points?q=${encodeURIComponent(text)}&limit=20`, true).then((told) => setAll(told.items.map((item) => `${item.device}/${item.point}`)), () => {}), 150);
    return () => clearTimeout(timer);
  }, [text]);
  const add = (name) => {
    if (!name.includes("/") || names.includes(name) || names.length >= LINES) return;
    setText("");
    change([...others, name], range);
  };
  const choose = kept ? html`<p class="inline" role="group" aria-label=${t("history.range")}>${ranges.map(([name]) => html`<button key=${name}
      class=${name === range ? "main" : "quiet"} aria-pressed=${name === range} onClick=${() => change(others, name)}>${t(`history.${name}`)}</button>`)}
    </p>
    <p class="links files"><span class="muted">${t("history.download")}</span>${files.map((kind) => html`<a key=${kind} download
      href=${`/api/v1/history.${kind}?device=${encodeURIComponent(device)}&point=${encodeURIComponent(point)}&from=${since(range)}`}>${t(`history.as_${kind}`)}</a>`)}</p>` : null;
  if (!table) return html`${choose}<${Failed} problem=${problem} />`;
  const last = at === null || at === undefined ? table[0].length - 1 : at;
  const minutes = (table[0][table[0].length - 1] - table[0][last]) / 60;
  const isEmpty = table.slice(1).every((line) => line.every((value) => value === null));
  const moment = isPast ? time(table[0][last] * 1000) : `−${number(minutes, 1)} min`;
  return html`${choose}<div class="card"><${Failed} problem=${problem} />
    ${isEmpty ? html`<p class="muted">${t("trend.none")}</p>` : html`<${Chart} names=${names} units=${units} table=${table} events=${events} point=${setAt} label=${t("trend.of", { name: list, range: t(`history.${isPast ? range : HOUR}`) })} />`}
    ${told && told.isNarrow ? html`<p class="inline"><span class="muted">${t(whole ? "history.whole" : "history.narrow")}</span>
      <button class="quiet" onClick=${() => setWhole(!whole)}>${t(whole ? "history.show_narrow" : "history.show_whole")}</button></p>` : null}
    <p class="count">${at === null || at === undefined ? t("now") : moment}</p>
    <ul class="plain legend">${names.map((name, index) => html`<li key=${name}><span class=${`key k${index}`} aria-hidden="true"></span>
      <a href=${`#/points/${name.split("/").map(encodeURIComponent).join("/")}`}>${name}</a>
      <b>${span(table[1 + 3 * index][last], table[2 + 3 * index][last])}${units[name] ? ` ${units[name]}` : ""}</b>
      ${index ? html`<button class="quiet" aria-label=${t("trend.remove", { name })} onClick=${() => change(others.filter((other) => other !== name), range)}>×</button>` : null}</li>`)}</ul>
    ${names.length < LINES ? html`<div class="inline"><input list="others" aria-label=${t("trend.add")} placeholder=${t("trend.add")} value=${text} maxlength="200" autocomplete="off"
        onInput=${(event) => (all.includes(event.target.value) ? add(event.target.value) : setText(event.target.value))} />
      <datalist id="others">${all.filter((name) => !names.includes(name)).map((name) => html`<option value=${name} />`)}</datalist>
      <button disabled=${!all.includes(text)} onClick=${() => add(text)}>${t("trend.put")}</button></div>` : null}</div>
    ${kept ? html`<section aria-labelledby="h-events"><h2 id="h-events">${t("events")}</h2><${Failed} problem=${happened.problem} />
      ${happened.told ? html`<${List} key=${seconds} told=${happened.told} device=${device} gateway=${true} seconds=${seconds} />` : null}</section>` : null}`;
}
