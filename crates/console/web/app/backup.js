// Backups: taken, looked at, and taken back.

import { html, useRef, useState } from "../vendor/htm-preact.js";
import { ask, download } from "./api.js";
import { t, time } from "./i18n.js";
import { Failed } from "./ui.js";

const told = (problem) => (["wrong_password", "refused", "failed"].includes(problem.code) ? problem.detail : null);

function Trouble({ problem }) {
  if (!problem) return null;
  return html`<${Failed} problem=${problem} />${told(problem) ? html`<p class="why">${problem.detail}</p>` : null}
    ${problem.mistakes ? html`<ul class="list mistakes">${problem.mistakes.map((mistake) => html`<li>
      <span class="muted">${mistake.file}${mistake.line ? `:${mistake.line}` : ""}</span>
      <span>${mistake.path ? html`<b>${mistake.path}</b> ` : null}${mistake.message}</span></li>`)}</ul>` : null}`;
}

function Make() {
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    if (given.password !== given.again) return setProblem(new Error(t("setup.differ")));
    setBusy(true);
    setProblem(null);
    try {
      await download("backup", given.password ? { password: given.password } : {});
    } catch (problem) {
      setProblem(problem);
    }
    setBusy(false);
  };
  return html`<section class="card" aria-labelledby="h-make"><h2 id="h-make">${t("backup.make")}</h2>
    <p>${t("backup.text")}</p>
    <form onSubmit=${submit}>
      <label class="field"><span>${t("backup.password")}</span><input name="password" type="password" autocomplete="new-password" maxlength="1024" minlength="10" />
        <small>${t("backup.keys")}</small></label>
      <label class="field"><span>${t("setup.again")}</span><input name="again" type="password" autocomplete="new-password" maxlength="1024" /></label>
      <${Trouble} problem=${problem} />
      <button class="main" disabled=${isBusy}>${t(isBusy ? "door.wait" : "backup.download")}</button></form></section>`;
}

const base64 = (file) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => failed(new Error(t("backup.unreadable")));
  reader.readAsDataURL(file);
});

function Take() {
  const [problem, setProblem] = useState(null);
  const [seen, setSeen] = useState(null);
  const [done, setDone] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const form = useRef(null);
  const send = async (check) => {
    const given = new FormData(form.current);
    const file = given.get("file");
    setBusy(true);
    setProblem(null);
    try {
      const body = { archive: await base64(file), check };
      if (given.get("password")) body.password = given.get("password");
      if (given.get("without")) body.without_keys = true;
      const told = await ask("restore", { method: "POST", body });
      setSeen(check ? told : null);
      setDone(check ? null : told);
      if (!check) form.current.reset();
    } catch (problem) {
      setSeen(null);
      setProblem(problem);
    }
    setBusy(false);
  };
  const forget = () => {
    setSeen(null);
    setDone(null);
  };
  return html`<section class="card" aria-labelledby="h-take"><h2 id="h-take">${t("backup.take")}</h2>
    <p>${t("backup.taketext")}</p>
    <form ref=${form} onChange=${forget} onSubmit=${(event) => {
      event.preventDefault();
      send(true);
    }}>
      <label class="field"><span>${t("backup.file")}</span><input name="file" type="file" required accept=".gz,.tgz,application/gzip" /></label>
      <label class="field"><span>${t("backup.itspassword")}</span><input name="password" type="password" autocomplete="off" maxlength="1024" />
        <small>${t("backup.ifany")}</small></label>
      <label class="check"><input name="without" type="checkbox" /> ${t("backup.without")}</label>
      <${Trouble} problem=${problem} />
      ${seen ? html`<${Seen} told=${seen} title=${t("backup.would")} />` : null}
      <div class="inline"><button class=${seen ? "" : "main"} disabled=${isBusy}>${t(isBusy ? "door.wait" : "backup.look")}</button>
        ${seen ? html`<button type="button" class="main danger" disabled=${isBusy} onClick=${() => send(false)}>${t("backup.restore")}</button>` : null}</div>
      ${done ? html`<div role="status"><p class="done">${t("backup.done")}</p><${Seen} told=${done} title=${t("backup.did")} />
        ${done.applied && done.applied.need_restart.length ? html`<p class="banner warn">${t("config.restart", { keys: done.applied.need_restart.join(", ") })}</p>` : null}</div>` : null}
    </form></section>`;
}

function Seen({ told, title }) {
  return html`<div class="seen"><dl class="pairs"><dt>${t("backup.of")}</dt><dd>${told.gateway}</dd><dt>${t("backup.at")}</dt><dd>${time(told.made)}</dd>
      <dt>${t("overview.version")}</dt><dd>${told.version}</dd></dl>
    <h3>${title}</h3><ul class="plain long" tabindex="0" aria-label=${title}>${told.files.map((file) => html`<li><code>${file}</code></li>`)}</ul>
    ${told.notes.map((note) => html`<p class="muted">${note}</p>`)}</div>`;
}

export default function Backup() {
  return html`<div class="cards two top"><${Make} /><${Take} /></div>`;
}
