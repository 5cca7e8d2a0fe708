// What happened: a list, and marks on a chart.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { get } from "./api.js";
import { number, span, t, time } from "./i18n.js";
import { Failed, usePolled } from "./ui.js";

// In seconds.
const ranges = [["24h", 86400], ["7d", 604800], ["30d", 2592000]];
// Events of an answer, and lines of the list before all are asked for.
const LIMIT = 500;
const LINES = 20;
// Pixels from one mark to the next: a finger hits one of them. Lines of what a mark tells.
const APART = 30;
const TOLD = 6;

// How each kind looks, and the word for it.
const kinds = {
  started: ["plain", "start"], started_again: ["bad", "start"], stopped: ["plain", "stop"], reloaded: ["plain", "reload"],
  online: ["good", "online"], offline: ["bad", "offline"], bad: ["bad", "value"], good: ["good", "value"],
  command: ["plain", "command"], command_failed: ["bad", "command"], bus_up: ["good", "bus"], bus_down: ["bad", "bus"],
  uplink_up: ["good", "uplink"], uplink_down: ["bad", "uplink"], clock_set: ["plain", "clock"], clock_step: ["warn", "clock"],
  damaged: ["warn", "damage"],
};
const looks = ["bad", "warn", "good", "plain"];
const lookOf = (event) => (kinds[event.kind] || ["plain"])[0];
const worst = (events) => looks.find((look) => events.some((event) => lookOf(event) === look));

const query = (device, gateway, seconds) => new URLSearchParams({
  device, ...(gateway ? { gateway: "true" } : {}), from: new Date(Date.now() - seconds * 1000).toISOString(),
});

// Asked for now and then; null where no history is kept, or for no device.
export function useEvents(device, gateway, seconds) {
  const ask = (background) => device === null ? Promise.resolve(null) : get(`history/events?${query(device, gateway, seconds)}&limit=${LIMIT}`, background)
    .then((told) => ({ ...told, seconds }), (problem) => {
      if (problem.code === "no_history") return null;
      throw problem;
    });
  // A long range is some megabytes on the card.
  const { data, problem } = usePolled(ask, seconds > 3600 ? 60000 : 15000, [device, gateway, seconds]);
  return { told: data && data.seconds === seconds ? data : null, problem };
}

// What happened, in the reader's language; reasons are as the gateway tells them.
function said(event) {
  const step = Number(event.value);
  const key = event.kind === "clock_step" ? `event.clock_step.${step < 0 ? "back" : "forward"}` : `event.${event.kind}`;
  const name = event.name || t("event.raw");
  return t(key, { name, value: event.value || "“”", span: span(Math.round(Math.abs(step))) });
}

function remarks(event) {
  const all = [];
  if (event.text) all.push(event.text);
  if (event.by) all.push(t("event.by", { by: event.by }));
  if (event.left_out) all.push(t("event.left_out", { count: number(event.left_out) }));
  if (!event.clock_set) all.push(t("event.unset"));
  return all;
}

// In one line, for a mark.
const told = (event) => [[event.device, said(event)].filter(Boolean).join(": "), ...remarks(event)].join(" · ");

export function List({ told, device, gateway, seconds }) {
  const [isAll, setAll] = useState(false);
  const events = told.events.slice().reverse();
  const shown = isAll ? events : events.slice(0, LINES);
  return html`${events.length ? null : html`<p class="muted">${t("events.none")}</p>`}
    <ul class="list log events">${shown.map((event, index) => html`<li key=${`${event.at}${event.kind}${index}`}>
      <time datetime=${event.at}>${time(event.at)}</time><span class=${`tag e-${lookOf(event)}`}>${t(`event.word.${(kinds[event.kind] || [])[1]}`)}</span>
      <span class="text">${event.device ? html`<b>${event.device}</b> ` : null}${said(event)}
        ${remarks(event).map((remark) => html`<span class="muted"> · ${remark}</span>`)}</span></li>`)}</ul>
    <p class="inline">${events.length > shown.length ? html`<button class="quiet" onClick=${() => setAll(true)}>${t("events.all", { count: number(events.length) })}</button>` : null}
      ${told.more && isAll ? html`<span class="muted">${t("events.more", { count: number(events.length) })}</span>` : null}
      ${events.length ? html`<a download href=${`/api/v1/history/events.csv?${query(device, gateway, seconds)}`}>${t("history.csv")}</a>` : null}</p>`;
}

// The section of a device's page.
export default function Events({ device }) {
  const [seconds, setSeconds] = useState(ranges[0][1]);
  const { told, problem } = useEvents(device, true, seconds);
  const [isKept, setKept] = useState(false);
  useEffect(() => {
    if (told) setKept(true);
  }, [told]);
  if (!isKept) return html`<${Failed} problem=${problem} />`;
  return html`<section aria-labelledby="h-events"><h2 id="h-events">${t("events")}</h2>
    <p class="inline" role="group" aria-label=${t("history.range")}>${ranges.map(([name, length]) => html`<button key=${name}
      class=${length === seconds ? "main" : "quiet"} aria-pressed=${length === seconds} onClick=${() => setSeconds(length)}>${t(`history.${name}`)}</button>`)}</p>
    <${Failed} problem=${problem} />
    ${told ? html`<${List} key=${seconds} told=${told} device=${device} gateway=${true} seconds=${seconds} />` : null}</section>`;
}

// Events that are near each other on the screen are one mark.
function grouped(events, { left, width, from, to }) {
  const marks = [];
  events.forEach((event) => {
    const at = Date.parse(event.at) / 1000;
    if (at < from || at > to) return;
    const x = left + ((at - from) / (to - from)) * width;
    const last = marks[marks.length - 1];
    if (last && x - last.x < APART) last.events.push(event);
    else marks.push({ x, events: [event] });
  });
  return marks;
}

// What a mark tells goes where there is more room.
function beside(x, { left, width, all }) {
  const side = x < left + width / 2 ? "left" : "right";
  const away = Math.max(0, (side === "left" ? x : all - x) - 40);
  return { [side]: `${away}px`, maxWidth: `${Math.min(440, all - away)}px` };
}

// Marks above a chart. `place` says where its times are, in pixels and seconds.
export function Marks({ events, place }) {
  const marks = grouped(events, place);
  const [open, setOpen] = useState(-1);
  const [current, setCurrent] = useState(-1);
  const box = useRef(null);
  const reached = current >= 0 && current < marks.length ? current : marks.length - 1;
  const go = (event, index) => {
    const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: marks.length - 1 }[event.key];
    if (event.key === "Escape") setOpen(-1);
    if (next === undefined) return;
    event.preventDefault();
    const button = box.current.querySelectorAll("button")[Math.max(0, Math.min(marks.length - 1, next))];
    button.focus();
  };
  const shown = marks[open];
  return html`<div class="marks" ref=${box} role="group" aria-label=${t("events.marks")}>
    ${marks.map((mark, index) => {
      const many = mark.events.length;
      const label = many === 1 ? `${time(mark.events[0].at)} ${told(mark.events[0])}` : t("events.some", { count: number(many), from: time(mark.events[0].at), to: time(mark.events[many - 1].at) });
      return html`<button key=${index} type="button" class=${`flag e-${worst(mark.events)}`} style=${{ left: `${mark.x}px` }} tabindex=${index === reached ? 0 : -1}
        aria-label=${label} aria-describedby=${open === index && many > 1 ? "mark-tells" : undefined} onKeyDown=${(event) => go(event, index)}
        onFocus=${() => { setCurrent(index); setOpen(index); }} onBlur=${() => setOpen(-1)} onClick=${() => setOpen(index)}
        onPointerEnter=${() => setOpen(index)} onPointerLeave=${(event) => event.pointerType === "mouse" && setOpen(-1)}>${many > 1 ? number(many) : html`<span aria-hidden="true"></span>`}</button>`;
    })}
    ${shown ? html`<div class="guide" style=${{ left: `${shown.x}px`, top: `${place.top}px`, height: `${place.height}px` }}></div>
      <div class="tells" id="mark-tells" role="tooltip" style=${beside(shown.x, place)}>
        ${shown.events.slice(-TOLD).map((event, index) => html`<p key=${index}><b>${time(event.at)}</b> ${told(event)}</p>`)}
        ${shown.events.length > TOLD ? html`<p class="muted">${t("event.left_out", { count: number(shown.events.length - TOLD) })}</p>` : null}</div>` : null}</div>`;
}
