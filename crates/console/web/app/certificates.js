// The certificate: what it says, replaced, made with an authority of the gateway.

import { html, useRef, useState } from "../vendor/htm-preact.js";
import { ask, get } from "./api.js";
import { count, t, time } from "./i18n.js";
import { Failed, usePolled } from "./ui.js";

// Days before the end in which it is said.
const SOON = 30;
// Larger files are no certificates.
const FILE_MAX = 32 * 1024;

const told = (problem) => (problem && ["refused", "failed"].includes(problem.code) ? new Error(problem.detail) : problem);

function Days({ days }) {
  if (days < 0) return html`<span class="tag q-bad">${t("certificates.over")}</span>`;
  return html`<span class=${`tag ${days < SOON ? "q-stale" : "q-good"}`}>${count("certificates.days", days)}</span>`;
}

function About({ about, names }) {
  return html`<dl class="pairs"><dt>${t("certificates.subject")}</dt><dd>${about.subject}</dd>
    ${names ? html`<dt>${t("certificates.names")}</dt><dd>${about.names.join(", ") || "—"}</dd>
      <dt>${t("certificates.issuer")}</dt><dd>${about.issuer}</dd>` : null}
    <dt>${t("certificates.until")}</dt><dd>${time(about.until)} <${Days} days=${about.days} /></dd>
    <dt>SHA-256</dt><dd><code class="print">${about.sha256.replaceAll(":", ":\u200b")}</code></dd></dl>`;
}

function Now({ data }) {
  const uses = [data.for_console ? t("certificates.console") : null, data.for_mqtt ? t("certificates.mqtt") : null].filter(Boolean);
  return html`<section class="card" aria-labelledby="h-now"><h2 id="h-now">${t("certificates.now")}</h2>
    ${data.problem ? html`<p class="failed" role="alert">${data.problem}</p>` : null}
    ${data.certificate ? html`<${About} about=${data.certificate} names=${true} />` : html`<p class="muted">${t("certificates.none")}</p>`}
    <p class="muted">${uses.length ? t("certificates.used", { uses: uses.join(", ") }) : t("certificates.unused")}${" "}${data.is_own ? t("certificates.renewed") : ""}</p>
    <p class="muted"><code>${data.file}</code></p></section>`;
}

function Authority({ about }) {
  return html`<section class="card" aria-labelledby="h-ca"><h2 id="h-ca">${t("certificates.authority")}</h2>
    ${about ? html`<${About} about=${about} /><p>${t("certificates.import")}</p>
      <p><a class="button" href="api/v1/certificates/ca.pem" download="ca.pem">${t("certificates.download")}</a></p>`
      : html`<p class="muted">${t("certificates.noauthority")}</p>`}</section>`;
}

// Does something with the files; what it has come to is shown by the page.
function useChange(done) {
  const [state, set] = useState({ isBusy: false, problem: null });
  const run = async (work) => {
    set({ isBusy: true, problem: null });
    try {
      done(await work());
      set({ isBusy: false, problem: null });
      return true;
    } catch (problem) {
      set({ isBusy: false, problem: told(problem) });
      return false;
    }
  };
  return [state, run];
}

function Make({ data, done }) {
  const [{ isBusy, problem }, run] = useChange(done);
  const had = data.certificate && data.is_own ? data.certificate.names : [];
  const usual = [...new Set([...data.names, ...had])];
  const submit = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const names = given.get("names").split(/[\s,]+/).filter(Boolean);
    run(() => ask("certificates/make", { method: "POST", body: { names, new_authority: given.get("new") === "on" } }));
  };
  return html`<section class="card" aria-labelledby="h-own"><h2 id="h-own">${t("certificates.make")}</h2>
    <p>${t("certificates.maketext")}</p>
    <form onSubmit=${submit}>
      <label class="field"><span>${t("certificates.names")}</span><textarea name="names" rows="8" required spellcheck=${false}>${usual.join("\n")}</textarea>
        <small>${t("certificates.nametext")}</small></label>
      ${data.authority ? html`<label class="check"><input name="new" type="checkbox" /> ${t("certificates.renew")}</label>` : null}
      <${Failed} problem=${problem} />
      <button class="main" disabled=${isBusy}>${t(isBusy ? "door.wait" : "certificates.makenow")}</button></form></section>`;
}

async function read(file) {
  if (file.size > FILE_MAX) throw new Error(t("certificates.large", { file: file.name }));
  return file.text();
}

function Put({ done }) {
  const form = useRef(null);
  const [{ isBusy, problem }, run] = useChange(done);
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(form.current);
    const isDone = await run(async () => {
      const [certificate, key] = await Promise.all([read(given.get("certificate")), read(given.get("key"))]);
      return ask("certificates", { method: "PUT", body: { certificate, key } });
    });
    if (isDone) form.current.reset();
  };
  return html`<section class="card" aria-labelledby="h-put"><h2 id="h-put">${t("certificates.put")}</h2>
    <p>${t("certificates.puttext")}</p>
    <form ref=${form} onSubmit=${submit}>
      <label class="field"><span>${t("certificates.file")}</span><input name="certificate" type="file" required accept=".pem,.crt,.cer" /><small>${t("certificates.chain")}</small></label>
      <label class="field"><span>${t("certificates.key")}</span><input name="key" type="file" required accept=".pem,.key" /><small>${t("certificates.keytext")}</small></label>
      <${Failed} problem=${problem} />
      <button class="main" disabled=${isBusy}>${t(isBusy ? "door.wait" : "certificates.putnow")}</button></form></section>`;
}

export default function Certificates() {
  const { data: first, problem } = usePolled((background) => get("certificates", background), 0);
  const [next, setNext] = useState(null);
  const data = next || first;
  if (!data) return html`<${Failed} problem=${told(problem)} />`;
  return html`${next ? html`<div class="done" role="status"><p>${t("certificates.done")}</p></div>` : null}
    <div class="cards two top"><${Now} data=${data} /><${Authority} about=${data.authority} /></div>
    ${data.fixed ? html`<p class="banner warn">${data.fixed}</p>`
      : html`<div class="cards two top"><${Make} key=${data.certificate ? data.certificate.sha256 : ""} data=${data} done=${setNext} /><${Put} done=${setNext} /></div>`}`;
}
