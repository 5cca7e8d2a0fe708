// The configuration as text: edited, checked by the gateway, compared, saved and applied; and its versions.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { mount } from "../vendor/editor.js";
import { ask, get } from "./api.js";
import { count, has, number, t, time } from "./i18n.js";
import { Dialog, Outcome } from "./change.js";
import { Diff } from "./diff.js";
import { Failed } from "./ui.js";

// What is being written outlives a reload of the page, and not the tab.
const DRAFT = "config.draft";

const post = (path, body) => ask(path, { method: "POST", body, background: path.endsWith("complete") });

// The words of the editor that are not English.
function phrases() {
  const all = {};
  for (const [english, key] of [["Find", "find"], ["Replace", "replace"], ["next", "next"], ["previous", "previous"], ["all", "all"],
    ["match case", "case"], ["regexp", "regexp"], ["by word", "word"], ["replace", "replace"], ["replace all", "replaceall"], ["close", "close"],
    ["Completions", "completions"], ["Diagnostics", "mistakes"], ["No diagnostics", "none"], ["Go to line", "line"], ["go", "go"]])
    if (has(`editor.${key}`)) all[english] = t(`editor.${key}`);
  return all;
}

function Editor({ text, changed, mistakes, editor }) {
  const place = useRef(null);
  useEffect(() => {
    // In a shadow root, as the styles of the editor are its own.
    const root = place.current.shadowRoot || place.current.attachShadow({ mode: "open" });
    const parent = document.createElement("div");
    parent.style.height = "100%";
    root.append(parent);
    const shown = mount({
      root, parent, text, changed,
      label: t("system.config"),
      phrases: phrases(),
      repair: (name) => t("config.repair", { name }),
      check: async (text) => {
        const told = await post("config/check", { text });
        mistakes(told.mistakes);
        return told.mistakes.filter((mistake) => mistake.own);
      },
      complete: (text, offset) => post("config/complete", { text, offset }),
    });
    editor.current = shown;
    return () => {
      shown.end();
      parent.remove();
    };
  }, []);
  return html`<div class="editor" ref=${place}></div>`;
}

function Mistakes({ mistakes, go }) {
  if (!mistakes) return html`<p class="muted">${t("config.checking")}</p>`;
  if (!mistakes.length) return html`<p><span class="tag q-good">${t("config.fine")}</span></p>`;
  return html`<h2>${count("config.mistakes", mistakes.length)}</h2>
    <ul class="list mistakes">${mistakes.map((mistake) => html`<li>
      ${mistake.own ? html`<button class="quiet" onClick=${() => go(mistake)}>${t("config.line", { line: number(mistake.line || 1) })}</button>`
        : html`<span class="muted">${mistake.file}${mistake.line ? `:${mistake.line}` : ""}</span>`}
      <span>${mistake.path ? html`<b>${mistake.path}</b> ` : null}${mistake.message}</span></li>`)}</ul>`;
}

export default function Config() {
  const [disk, setDisk] = useState(null);
  const [problem, setProblem] = useState(null);
  // What was done last stays when the page begins anew with another text.
  const [result, setResult] = useState(null);
  const load = () => get("config").then((told) => {
    setProblem(null);
    setDisk(told);
  }, setProblem);
  useEffect(load, []);
  if (!disk) return html`<${Failed} problem=${problem} />`;
  return html`<${Shown} key=${disk.tag} disk=${disk} reload=${load} result=${result} setResult=${setResult} />`;
}

function draftOf(disk) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(DRAFT));
    return kept && kept.text !== disk.text ? kept : null;
  } catch {
    return null;
  }
}

function Shown({ disk, reload, result, setResult }) {
  const [kept] = useState(() => draftOf(disk));
  const editor = useRef(null);
  const [text, setText] = useState(kept ? kept.text : disk.text);
  const [mistakes, setMistakes] = useState(null);
  const [panel, setPanel] = useState(null);
  const changed = (now) => {
    setText(now);
    setMistakes(null);
    if (now === disk.text) sessionStorage.removeItem(DRAFT);
    else sessionStorage.setItem(DRAFT, JSON.stringify({ tag: disk.tag, text: now }));
  };
  const discard = () => {
    editor.current.put(disk.text);
    setResult(null);
  };
  const isNew = text !== disk.text;
  const isOld = disk.running !== disk.tag;
  const review = () => {
    setResult(null);
    setPanel("review");
  };
  const done = (result) => {
    setPanel(null);
    setResult(result);
    if (result.saved) sessionStorage.removeItem(DRAFT);
    if (result.saved || result.applied) reload();
  };
  return html`<p class="links state">${isNew ? html`<span class="tag q-stale">${t("config.new")}</span>` : html`<span class="tag q-good">${t("config.same")}</span>`}
      ${isOld ? html`<span class="tag q-stale">${t("config.old")}</span>` : null}</p>
    ${kept && kept.tag !== disk.tag ? html`<p class="banner warn">${t("config.draft")}</p>` : null}
    <${Failed} problem=${result && result.problem} />
    <${Outcome} result=${result} />
    <div class="tools"><button class="main" disabled=${!isNew && !isOld} onClick=${review}>${t("config.review")}</button>
      <button disabled=${!isNew} onClick=${discard}>${t("config.discard")}</button>
      <button aria-pressed=${panel === "versions"} onClick=${() => setPanel(panel === "versions" ? null : "versions")}>${t("config.versions")}</button></div>
    ${panel === "versions" ? html`<${Versions} text=${text} tag=${disk.tag} put=${(text) => {
      editor.current.put(text);
      setPanel(null);
    }} />` : null}
    <${Editor} text=${text} changed=${changed} mistakes=${setMistakes} editor=${editor} />
    <div role="status"><${Mistakes} mistakes=${mistakes} go=${(mistake) => editor.current.go(mistake.line || 1, mistake.column || 1)} /></div>
    ${panel === "review" ? html`<${Review} disk=${disk} text=${text} mistakes=${mistakes} done=${done} close=${() => setPanel(null)} />` : null}`;
}

function Review({ disk, text, mistakes, done, close }) {
  const [running, setRunning] = useState(null);
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    get("config/running").then((told) => setRunning(told.text), setProblem);
  }, []);
  const isNew = text !== disk.text;
  const act = async (apply) => {
    setBusy(true);
    let saved = false;
    try {
      if (isNew) {
        await ask("config", { method: "PUT", body: { text }, headers: { "If-Match": `"${disk.tag}"` } });
        saved = true;
      }
      done({ saved, applied: apply ? await post("config/apply", {}) : null });
    } catch (problem) {
      done({ saved, problem });
    }
  };
  const isWrong = Boolean(mistakes && mistakes.length);
  return html`<${Dialog} label=${t("config.review")} close=${close} wide=${true}>
    <h2>${t("config.against")}</h2><${Failed} problem=${problem} />
    ${running === null ? null : html`<${Diff} before=${running} after=${text} />`}
    ${isWrong ? html`<p class="failed">${count("config.mistakes", mistakes.length)}. ${t("config.refused")}</p>` : null}
    <div class="buttons"><button onClick=${close}>${t("cancel")}</button>
      ${isNew ? html`<button disabled=${isBusy || isWrong} onClick=${() => act(false)}>${t("config.save")}</button>` : null}
      <button class="main" disabled=${isBusy || isWrong} onClick=${() => act(true)}>${t(isBusy ? "config.busy" : isNew ? "config.saveapply" : "config.apply")}</button></div>
  <//>`;
}

function Versions({ text, tag, put }) {
  const [items, setItems] = useState(null);
  const [problem, setProblem] = useState(null);
  const [opened, setOpened] = useState(null);
  useEffect(() => {
    get("config/versions").then((told) => setItems(told.items), setProblem);
  }, []);
  const open = (version) => get(`config/versions/${version.version}`).then((told) => setOpened({ ...version, text: told.text }), setProblem);
  return html`<section class="card versions" aria-label=${t("config.versions")}><${Failed} problem=${problem} />
    ${items && !items.length ? html`<p class="muted">${t("config.noversions")}</p>` : null}
    <ul class="plain">${(items || []).map((version) => html`<li key=${version.version}>
      <button class="quiet" onClick=${() => open(version)}>${time(version.at)}</button>
      <span>${version.user || t("config.found")}</span> <span class="muted">${t("config.bytes", { bytes: number(version.bytes) })}</span>
      ${version.tag === tag ? html`<span class="tag q-good">${t("config.present")}</span>` : null}</li>`)}</ul>
    ${opened ? html`<${Dialog} label=${time(opened.at)} close=${() => setOpened(null)} wide=${true}>
      <h2>${t("config.back", { time: time(opened.at) })}</h2><${Diff} before=${text} after=${opened.text} />
      <div class="buttons"><button onClick=${() => setOpened(null)}>${t("cancel")}</button>
        <button class="main" onClick=${() => put(opened.text)}>${t("config.take")}</button></div><//>` : null}</section>`;
}
