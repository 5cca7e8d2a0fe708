// Tokens of a user: what scripts show instead of a password.

import { html, useState } from "../vendor/htm-preact.js";
import { ask } from "./api.js";
import { t } from "./i18n.js";
import { Failed } from "./ui.js";

const roles = ["view", "operate", "admin"];
const told = (problem) => (problem && ["refused", "failed"].includes(problem.code) ? new Error(problem.detail) : problem);

export function Tokens({ user, changed }) {
  const [tokens, setTokens] = useState(user.tokens);
  const [secret, setSecret] = useState(null);
  const [isCopied, setCopied] = useState(false);
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const path = `users/${encodeURIComponent(user.user)}/tokens`;
  const run = async (work) => {
    setBusy(true);
    setProblem(null);
    try {
      await work();
      changed();
    } catch (problem) {
      setProblem(told(problem));
    }
    setBusy(false);
  };
  const add = (event) => {
    event.preventDefault();
    const form = event.target;
    const given = Object.fromEntries(new FormData(form));
    return run(async () => {
      const body = { token: given.token.trim(), console: given.console, until: given.until || null };
      const made = await ask(path, { method: "POST", body });
      setSecret({ token: body.token, text: made.secret });
      setCopied(false);
      setTokens([...tokens.filter((known) => known.token !== body.token), { ...body, is_over: false }]);
      form.reset();
    });
  };
  const remove = (token) => run(async () => {
    await ask(`${path}/${encodeURIComponent(token)}`, { method: "DELETE" });
    setTokens(tokens.filter((known) => known.token !== token));
    if (secret && secret.token === token) setSecret(null);
  });
  const copy = async () => {
    await navigator.clipboard.writeText(secret.text);
    setCopied(true);
  };
  const own = roles.slice(0, roles.indexOf(user.console) + 1);
  return html`<section class="tokens" aria-labelledby="h-tokens"><h3 id="h-tokens">${t("tokens")}</h3><p class="muted">${t("tokens.text")}</p>
    ${tokens.length ? html`<ul class="plain">${tokens.map((known) => html`<li key=${known.token} class="inline"><b>${known.token}</b> ${t(`role.${known.console}`)}
      <span class="muted">${known.until ? t("tokens.until", { day: known.until }) : t("tokens.ever")}</span> ${known.is_over ? html`<span class="tag q-bad">${t("certificates.over")}</span>` : null}
      <span class="grow"></span><button type="button" disabled=${isBusy} aria-label=${t("tokens.drop", { token: known.token })} onClick=${() => remove(known.token)}>${t("tokens.remove")}</button></li>`)}</ul>` : null}
    ${secret ? html`<div class="done" role="status"><p>${t("tokens.once", { token: secret.token })}</p><p><code class="print secret">${secret.text}</code></p>
      ${navigator.clipboard ? html`<p><button type="button" onClick=${copy}>${t(isCopied ? "tokens.copied" : "tokens.copy")}</button></p>` : null}</div>` : null}
    <form onSubmit=${add}><div class="fields">
      <label class="field"><span>${t("tokens.name")}</span><input name="token" required maxlength="64" autocomplete="off" /></label>
      <label class="field"><span>${t("tokens.role")}</span><select name="console">${own.map((role) => html`<option value=${role}>${t(`role.${role}`)}</option>`)}</select></label>
      <label class="field"><span>${t("tokens.last")}</span><input name="until" type="date" /></label></div>
      <${Failed} problem=${problem} /><button disabled=${isBusy}>${t("tokens.add")}</button></form></section>`;
}
