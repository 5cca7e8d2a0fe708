// The system of the board: its two slots, an update by upload, going back, restarts.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { ask, get, put } from "./api.js";
import { number, percent, t, time } from "./i18n.js";
import { Failed, usePolled } from "./ui.js";

const megabytes = (bytes) => number(bytes / 1048576, bytes < 10485760 ? 1 : 0);
const told = (problem) => problem && { message: ["refused", "failed"].includes(problem.code) ? problem.detail : problem.message };
const named = ({ version, build }) => (build ? `${version} (${build})` : version);

// What is done at the second press.
function Sure({ text, sure, act, disabled, danger = true }) {
  const [isSure, setSure] = useState(false);
  useEffect(() => {
    if (!isSure) return undefined;
    const timer = setTimeout(() => setSure(false), 8000);
    return () => clearTimeout(timer);
  }, [isSure]);
  if (!isSure) return html`<button type="button" disabled=${disabled} onClick=${() => setSure(true)}>${text}</button>`;
  return html`<button type="button" class=${danger ? "main danger" : "main"} disabled=${disabled} onClick=${() => {
    setSure(false);
    act();
  }}>${sure}</button>`;
}

function Slot({ slot, disabled, begin }) {
  const tags = [
    slot.running ? ["s-online", "update.running"] : null,
    slot.next ? ["", "update.next"] : null,
    slot.whole ? null : ["s-offline", "update.half"],
    slot.good || !slot.whole ? null : ["s-starting", "update.bad"],
  ];
  return html`<section class="card" aria-labelledby=${`h-${slot.name}`}><h2 id=${`h-${slot.name}`}>${t("update.slot", { slot: slot.name })}
      ${tags.filter(Boolean).map(([kind, text]) => html` <span class=${`tag ${kind}`}>${t(text)}</span>`)}</h2>
    <dl class="pairs"><dt>${t("update.version")}</dt><dd>${slot.version || t("update.came")}</dd>
      ${slot.installed ? html`<dt>${t("update.installed")}</dt><dd>${time(slot.installed)}</dd>` : null}
      ${slot.starts_left === undefined ? null : html`<dt>${t("update.left")}</dt><dd>${number(slot.starts_left)}</dd>`}</dl>
    ${slot.next || !slot.whole ? null : html`<p class="buttons"><${Sure} text=${t("update.take")} sure=${t("update.taken", { slot: slot.name })} disabled=${disabled}
      act=${() => begin("update/next", { slot: slot.name })} /></p>`}</section>`;
}

// What the next start does. The gateway says it in English; here the states have texts of their own.
function Outlook({ view }) {
  const running = view.slots.find((slot) => slot.running);
  const other = view.slots.find((slot) => !slot.running);
  const names = { slot: running ? running.name : "", other: other ? other.name : "", starts: running && running.starts_left !== undefined ? number(running.starts_left) : "?" };
  const kind = { stays: "muted", fell_back: "banner bad", half_written: "banner warn", none_good: "banner bad" }[view.outlook.state] || "banner warn";
  return html`<p role="status" class=${kind}>${t(`update.${view.outlook.state}`, names)}</p>`;
}

function Work({ work }) {
  const text = t(`update.${work.act}.${work.state}`);
  if (work.state === "refused") return html`<p class="failed" role="alert">${text}</p>${work.problem ? html`<p class="why">${work.problem}</p>` : null}`;
  if (work.state === "done") return html`<p class="done" role="status">${text}</p>`;
  return html`<p class="inline" role="status"><span>${text}</span>
    ${work.percent === undefined ? null : html`<progress aria-label=${text} max="100" value=${work.percent}></progress><span>${percent(work.percent / 100)}</span>`}</p>
    ${work.step ? html`<p class="muted">${work.step}</p>` : null}`;
}

function Upload({ view, disabled, changed, begin }) {
  const [sent, setSent] = useState(null);
  const [problem, setProblem] = useState(null);
  const stop = useRef(null);
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const file = new FormData(form).get("file");
    setProblem(null);
    setSent(0);
    try {
      const sending = put("system/update/bundle", file, setSent);
      stop.current = sending.stop;
      await sending.done;
      form.reset();
    } catch (problem) {
      setProblem(problem);
    }
    stop.current = null;
    setSent(null);
    changed();
  };
  const discard = () => ask("system/update/bundle", { method: "DELETE" }).then(changed, setProblem);
  const bundle = view.bundle;
  return html`<section class="card" aria-labelledby="h-update"><h2 id="h-update">${t("update.title")}</h2>
    <p>${t("update.text")}</p>
    ${bundle ? html`<p role="status">${t("update.ready", { version: named(bundle) })} <b>${t(`update.${bundle.fit}`)}</b> ${t("update.signed")}</p>
      <p class="buttons"><button type="button" disabled=${disabled} onClick=${discard}>${t("update.discard")}</button>
        <button type="button" class="main" disabled=${disabled} onClick=${() => begin("update/install", {})}>${t("update.install")}</button></p>` : null}
    ${sent === null ? html`<form onSubmit=${submit}><label class="field"><span>${t("update.file")}</span>
        <input name="file" type="file" required accept=".raucb" /><small>${t("update.room", { megabytes: megabytes(view.room) })}</small></label>
      <p class="buttons"><button class=${bundle ? "" : "main"} disabled=${disabled || view.room === 0}>${t("update.upload")}</button></p></form>`
    : html`<p class="inline"><progress aria-label=${t("update.upload")} max="1" value=${sent}></progress><span>${percent(sent)}</span>
        <button type="button" onClick=${() => stop.current && stop.current()}>${t("cancel")}</button></p>`}
    <${Failed} problem=${told(problem)} /></section>`;
}

export default function Update() {
  const [turn, setTurn] = useState(0);
  const [failed, setFailed] = useState(null);
  const { data: view, problem } = usePolled((background) => get("system/update", background), 1500, [turn]);
  const changed = () => setTurn((turn) => turn + 1);
  const begin = async (path, body) => {
    setFailed(null);
    try {
      await ask(`system/${path}`, { method: "POST", body });
    } catch (problem) {
      setFailed(problem);
    }
    changed();
  };
  if (!view) return html`<${Failed} problem=${problem} />`;
  const isBusy = Boolean(view.work && view.work.state === "busy");
  if (!view.managed) return html`<${Failed} problem=${problem} /><p class="muted">${t("update.unmanaged")}</p>`;
  return html`<${Failed} problem=${problem} /><${Failed} problem=${told(failed)} />
    ${view.outlook ? html`<${Outlook} view=${view} />` : null}
    ${view.work ? html`<${Work} work=${view.work} />` : null}
    ${view.problem ? html`<p class="muted">${view.problem}</p>` : null}
    <div class="cards two top">${view.slots.map((slot) => html`<${Slot} key=${slot.name} slot=${slot} disabled=${isBusy} begin=${begin} />`)}</div>
    <div class="cards two top">${view.slots.length ? html`<${Upload} view=${view} disabled=${isBusy} changed=${changed} begin=${begin} />` : null}
      <section class="card" aria-labelledby="h-restart"><h2 id="h-restart">${t("update.restart")}</h2><p>${t("update.restarttext")}</p>
        <p class="buttons"><${Sure} text=${t("update.gateway")} sure=${t("update.gateway.sure")} disabled=${isBusy} act=${() => begin("restart", { what: "gateway" })} />
          <${Sure} text=${t("update.board")} sure=${t("update.board.sure")} disabled=${isBusy} act=${() => begin("restart", { what: "board" })} /></p></section></div>`;
}
