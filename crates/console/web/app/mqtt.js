// The broker: who is connected, what is retained, and a message sent by hand.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { ask, get } from "./api.js";
import { count, number, t } from "./i18n.js";
import { Failed, Search } from "./ui.js";

const PAGE = 100;
const size = (bytes) => (bytes < 10240 ? t("mqtt.bytes", { bytes: number(bytes) }) : t("mqtt.kib", { kib: number(bytes / 1024, 0) }));

export default function Mqtt() {
  return html`<${Clients} /><${Retained} /><${Publish} />`;
}

// A list that grows by pages.
function usePages(path, needs) {
  const [state, setState] = useState({ items: null, next: null, total: 0 });
  const [problem, setProblem] = useState(null);
  const load = (after) => get(`${path}&limit=${PAGE}${after === undefined ? "" : `&after=${encodeURIComponent(after)}`}`, after === undefined).then((told) => {
    setProblem(null);
    setState((old) => ({ items: after === undefined ? told.items : old.items.concat(told.items), next: told.next, total: told.total ?? old.total }));
  }, setProblem);
  useEffect(() => {
    const timer = setTimeout(() => load(), 150);
    return () => clearTimeout(timer);
  }, needs);
  return { ...state, problem, again: () => load(), further: () => load(state.next) };
}

function Clients() {
  const [text, setText] = useState("");
  const { items, next, total, problem, again, further } = usePages(`mqtt/clients?q=${encodeURIComponent(text)}`, [text]);
  return html`<section aria-labelledby="h-clients"><h2 id="h-clients">${t("mqtt.clients")}</h2>
    <div class="tools"><${Search} text=${text} set=${setText} label=${t("mqtt.search")} /><button onClick=${again}>${t("mqtt.refresh")}</button></div>
    <${Failed} problem=${problem} />
    ${items ? html`<p class="count" role="status">${count("mqtt.count", total)}</p>` : null}
    ${items && items.length ? html`<div class="scroll" tabindex="0" role="region" aria-label=${t("mqtt.clients")}><table class="stack"><thead><tr>
        ${["client", "user", "remote", "subscriptions", "waiting", "memory"].map((name) => html`<th scope="col">${t(`mqtt.${name}`)}</th>`)}</tr></thead>
      <tbody>${items.map((client) => html`<tr key=${client.client}><th scope="row" class="says">${client.client}</th><td data-name=${t("mqtt.user")}>${client.user || "—"}</td>
        <td data-name=${t("mqtt.remote")}>${client.remote || html`<span class="tag q-stale">${t("mqtt.away")}</span>`}</td>
        <td class="says" data-name=${t("mqtt.subscriptions")}>${client.subscription_count ? html`<details><summary>${number(client.subscription_count)}</summary>
          <ul class="plain">${client.subscriptions.map(([filter, qos]) => html`<li><code>${filter}</code> <span class="muted">QoS ${qos}</span></li>`)}</ul></details>` : "0"}</td>
        <td data-name=${t("mqtt.waiting")}>${number(client.waiting)}</td><td data-name=${t("mqtt.memory")}>${size(client.bytes)}</td></tr>`)}</tbody></table></div>` : null}
    ${next ? html`<p><button onClick=${further}>${t("mqtt.more")}</button></p>` : null}</section>`;
}

function Retained() {
  return html`<section class="card" aria-labelledby="h-retained"><h2 id="h-retained">${t("mqtt.retained")}</h2><${Levels} below=${null} /></section>`;
}

function Levels({ below }) {
  const path = below === null ? "mqtt/retained?" : `mqtt/retained?below=${encodeURIComponent(below)}`;
  const { items, next, problem, further } = usePages(path, [below]);
  if (!items) return html`<${Failed} problem=${problem} />`;
  if (!items.length) return html`<p class="muted">${t("mqtt.none")}</p>`;
  return html`<${Failed} problem=${problem} /><ul class="tree">${items.map((level) => html`<${Level} key=${level.level} level=${level} topic=${below === null ? level.level : `${below}/${level.level}`} />`)}</ul>
    ${next !== null ? html`<p><button onClick=${further}>${t("mqtt.more")}</button></p>` : null}`;
}

function Level({ level, topic }) {
  const [isOpen, setOpen] = useState(false);
  const message = level.message;
  const name = level.level === "" ? "“”" : level.level;
  return html`<li>${level.more ? html`<button class="quiet" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOpen ? "▾" : "▸"} ${name}/</button>`
      : html`<span class="leaf">${name}</span>`}
    ${message ? html` <code class="payload">${message.text === undefined ? t("mqtt.binary") : message.text || "“”"}${message.text !== undefined && message.text.length < message.bytes && message.bytes > 4096 ? " …" : ""}</code>
      <span class="muted">${size(message.bytes)}, QoS ${message.qos}, ${message.publisher}</span>` : null}
    ${isOpen ? html`<${Levels} below=${topic} />` : null}</li>`;
}

function Publish() {
  const [problem, setProblem] = useState(null);
  const [done, setDone] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    setDone(null);
    try {
      await ask("mqtt/publish", { method: "POST", body: { topic: given.get("topic"), payload: given.get("payload"), qos: Number(given.get("qos")), retain: Boolean(given.get("retain")) } });
      setProblem(null);
      setDone(given.get("topic"));
    } catch (problem) {
      setProblem(problem.code === "refused" ? new Error(problem.detail) : problem);
    }
  };
  return html`<section class="card" aria-labelledby="h-publish"><h2 id="h-publish">${t("mqtt.publish")}</h2><p>${t("mqtt.text")}</p>
    <form onSubmit=${submit}>
      <label class="field"><span>${t("mqtt.topic")}</span><input name="topic" required maxlength="1000" autocomplete="off" spellcheck=${false} /></label>
      <label class="field"><span>${t("mqtt.payload")}</span><textarea name="payload" rows="3" maxlength="60000" spellcheck=${false}></textarea></label>
      <div class="inline"><select name="qos" aria-label="QoS">${[0, 1, 2].map((qos) => html`<option value=${qos}>QoS ${qos}</option>`)}</select>
        <label class="check"><input type="checkbox" name="retain" /> ${t("mqtt.retain")}</label>
        <button class="main">${t("mqtt.send")}</button></div></form>
    <div role="status">${done ? html`<p class="done">${t("mqtt.sent", { topic: done })}</p>` : null}</div><${Failed} problem=${problem} /></section>`;
}
