// Texts, numbers and times in the reader's language.

const languages = ["en", "de"];
let texts = {};
export let lang = "en";

function wanted() {
  const kept = localStorage.getItem("lang");
  if (languages.includes(kept)) return kept;
  const all = navigator.languages || [navigator.language || "en"];
  for (const one of all) {
    const short = one.slice(0, 2).toLowerCase();
    if (languages.includes(short)) return short;
  }
  return "en";
}

export async function load(name) {
  lang = name || wanted();
  if (name) localStorage.setItem("lang", name);
  const answer = await fetch(new URL(`../lang/${lang}.json`, import.meta.url));
  texts = await answer.json();
  document.documentElement.lang = lang;
}

// The text of a key, with {name} filled in.
export function t(key, values) {
  const text = texts[key];
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) =>
    values && name in values ? values[name] : whole);
}

// A number of things: one has a text of its own.
export const count = (key, many) => t(many === 1 ? `${key}.one` : key, { count: number(many) });

export const has = (key) => key in texts;

const formats = {};
function format(kind, options) {
  const key = lang + kind.name + JSON.stringify(options);
  return (formats[key] ||= new kind(lang, options));
}

export function number(value, digits = 6) {
  return format(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);
}

export function percent(share) {
  return format(Intl.NumberFormat, { style: "percent", maximumFractionDigits: 1 }).format(share);
}

// Single-precision floats have seven digits, others as many as they came with.
export function value(reading) {
  const v = reading.value;
  if (v === null || v === undefined) return "—";
  if (typeof v === "boolean") return t(v ? "on" : "off");
  if (reading.text) return reading.text;
  if (typeof v === "number") {
    const size = Math.abs(v);
    if (size !== 0 && (size < 1e-4 || size >= 1e15)) return String(v);
    return number(v, 10);
  }
  if (typeof v === "object") return JSON.stringify(v);
  return v === "" ? "“”" : String(v);
}

const day = { year: "numeric", month: "2-digit", day: "2-digit" };
const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

export function time(at) {
  if (!at) return "—";
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  return format(Intl.DateTimeFormat, isToday ? clock : { ...day, ...clock }).format(date);
}

// How long ago, in words.
export function ago(at, now = Date.now()) {
  if (!at) return "—";
  const seconds = Math.max(0, Math.round((now - Date.parse(at)) / 1000));
  return span(seconds);
}

export function span(seconds) {
  const unit = (count, unit) =>
    format(Intl.NumberFormat, { style: "unit", unit, unitDisplay: "narrow" }).format(count);
  if (seconds < 60) return unit(seconds, "second");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return unit(minutes, "minute");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${unit(hours, "hour")} ${unit(minutes % 60, "minute")}`;
  const days = Math.floor(hours / 24);
  return `${unit(days, "day")} ${unit(hours % 24, "hour")}`;
}
