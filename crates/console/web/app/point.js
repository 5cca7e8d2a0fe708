// One point: its value, what it was, and writing to it.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { ask, get, key, listen, pathOf, readings, show } from "./api.js";
import { t, time, value } from "./i18n.js";
import { Lazy } from "./system.js";
import { Age, Failed, Quality, Reading, State, usePolled, useTick } from "./ui.js";

const trend = () => import("./trend.js");
const consumption = () => import("./counters.js");

export function Point({ device, point, query, who }) {
  const path = pathOf(device, point);
  const { data, problem } = usePolled((background) => get(path, background), 10000, [path]);
  const [, draw] = useState(0);
  useTick();
  useEffect(() => {
    const hide = show([`${device}/${point}`]);
    const stop = listen("values", () => draw((n) => n + 1));
    return () => {
      hide();
      stop();
    };
  }, []);
  const others = (query.get("with") || "").split(",").filter(Boolean);
  // In the address, so that it can be sent on as a link.
  const range = query.get("range") || "1h";
  const change = (names, range) => {
    const own = `#/points/${encodeURIComponent(device)}/${encodeURIComponent(point)}`;
    const keys = names.length ? [`with=${names.map(encodeURIComponent).join(",")}`] : [];
    if (range !== "1h") keys.push(`range=${range}`);
    location.hash = keys.length ? `${own}?${keys.join("&")}` : own;
  };
  const title = html`<p class="crumbs"><a href="#/points">${t("part.points")}</a> / <a href=${`#/devices/${encodeURIComponent(device)}`}>${device}</a></p>
    <h1>${point}</h1>`;
  if (!data) return html`${title}<${Failed} problem=${problem} />`;
  const reading = readings.get(key({ device, point })) || data;
  return html`${title}<${Failed} problem=${problem} />
    <div class="cards two">
      <section class="card" aria-labelledby="h-value"><h2 id="h-value">${t("points.value")}</h2>
        <p class="big" aria-live="polite"><${Reading} point=${data} reading=${reading} /></p>
        <p><${Quality} reading=${reading} /> <span class="muted">${time(reading.at)} · <${Age} at=${reading.at} /></span></p>
        ${reading.error ? html`<p class="why">${reading.error}</p>` : null}</section>
      <section class="card" aria-labelledby="h-about"><h2 id="h-about">${t("point.about")}</h2>
        <dl class="pairs"><dt>${t("point.device")}</dt><dd><a href=${`#/devices/${encodeURIComponent(device)}`}>${device}</a> <${State} device=${data.device_state} /></dd>
          <dt>${t("point.bridge")}</dt><dd>${data.bridge}</dd>
          ${data.bus ? html`<dt>${t("point.bus")}</dt><dd>${data.bus}</dd>` : null}
          ${data.unit ? html`<dt>${t("point.unit")}</dt><dd>${data.unit}</dd>` : null}
          <dt>${t("point.access")}</dt><dd>${t(data.writable ? "point.readwrite" : "point.readonly")}</dd></dl></section>
    </div>
    ${data.may_write ? html`<${Write} data=${data} reading=${reading} path=${path} />` : null}
    ${data.writable && !data.may_write ? html`<p class="muted">${t(who.role === "view" ? "write.role" : "write.denied")}</p>` : null}
    <section aria-labelledby="h-trend"><h2 id="h-trend">${t(data.history ? "history" : "trend")}</h2>
      <${Lazy} load=${trend} device=${device} point=${point} unit=${data.unit} others=${others} change=${change}
        kept=${data.history} range=${range} /></section>
    ${data.counter ? html`<section aria-labelledby="h-used"><h2 id="h-used">${t("counters")}</h2>
      <${Lazy} load=${consumption} device=${device} point=${point} unit=${data.unit} /></section>` : null}`;
}

// What a person chose or typed, as it is sent.
function meant(text, choices) {
  if (choices) return choices[Number(text)];
  const plain = text.trim().replace(/^([+-]?\d+),(\d+)$/, "$1.$2");
  return plain !== "" && /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(plain) && plain.length <= 15 ? Number(plain) : text.trim();
}

function choicesOf(data, reading) {
  if (data.options) return data.options;
  if (typeof (reading.value ?? data.value) === "boolean") return [false, true];
  return null;
}

function Write({ data, reading, path }) {
  const dialog = useRef(null);
  const choices = choicesOf(data, reading);
  const [text, setText] = useState("");
  const [asked, setAsked] = useState(null);
  const [result, setResult] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const unit = data.unit ? ` ${data.unit}` : "";
  const told = (v) => value({ value: v }) + (typeof v === "number" ? unit : "");
  const begin = (event) => {
    event.preventDefault();
    setResult(null);
    setAsked({ value: meant(text, choices), seen: reading.value });
    dialog.current.showModal();
  };
  const confirm = async (event) => {
    event.preventDefault();
    const body = { value: asked.value };
    // A state that another user has changed meanwhile is looked at once more; a measured value moves by itself.
    if (choices && asked.seen !== undefined && asked.seen !== null) body.expect = asked.seen;
    setBusy(true);
    try {
      const done = await ask(`${path}/write`, { method: "POST", body });
      setResult({ done });
      setText("");
    } catch (problem) {
      setResult({ problem });
    }
    setBusy(false);
    dialog.current.close();
  };
  return html`<section class="card write" aria-labelledby="h-write"><h2 id="h-write">${t("write")}</h2>
    <form onSubmit=${begin} class="inline">
      ${choices ? html`<select aria-label=${t("write.value")} required value=${text} onChange=${(event) => setText(event.target.value)}>
          <option value="" disabled>${t("write.choose")}</option>
          ${choices.map((choice, index) => html`<option value=${index}>${value({ value: choice })}</option>`)}</select>`
        : html`<input aria-label=${t("write.value")} required value=${text} maxlength="250" autocomplete="off"
          inputmode=${typeof data.value === "number" ? "decimal" : "text"} onInput=${(event) => setText(event.target.value)} />
          ${unit ? html`<span class="unit">${unit}</span>` : null}`}
      <button class="main" disabled=${text === ""}>${t("write.begin")}</button></form>
    <div role="status">${result && result.done ? html`<p class="done">${t("write.done", { value: told(result.done.value) })}
        ${" "}${result.done.readback === undefined ? t("write.blind") : t("write.readback", { value: told(result.done.readback) })}</p>` : null}
      ${result && result.problem ? html`<p class="failed">${result.problem.message}
        ${["not_written", "mismatch", "bad_request"].includes(result.problem.code) ? html`<br /><small>${result.problem.detail}</small>` : null}</p>` : null}</div>
    <dialog ref=${dialog} aria-labelledby="h-confirm">
      <form onSubmit=${confirm}>${asked ? html`<h2 id="h-confirm">${t("write.sure", { point: `${data.device}/${data.point}` })}</h2>
        <dl class="pairs"><dt>${t("write.now")}</dt><dd>${told(reading.value)}</dd>
          <dt>${t("write.then")}</dt><dd><b>${told(asked.value)}</b></dd></dl>` : null}
        <div class="buttons"><button type="button" onClick=${() => dialog.current.close()}>${t("cancel")}</button>
          <button class="main danger" disabled=${isBusy}>${t(isBusy ? "write.busy" : "write.confirm")}</button></div></form>
    </dialog></section>`;
}
