// Users: what each may do here and over MQTT, and its password.

import { html, useState } from "../vendor/htm-preact.js";
import { ask, get } from "./api.js";
import { Dialog } from "./change.js";
import { count, t } from "./i18n.js";
import { Tokens } from "./tokens.js";
import { Failed, usePolled } from "./ui.js";

const roles = ["", "view", "operate", "admin"];
const accesses = ["read", "write", "readwrite", "deny"];
const path = (user) => `users/${encodeURIComponent(user)}`;
const told = (problem) => (problem && ["refused", "weak_password", "wrong_password", "failed"].includes(problem.code) ? new Error(problem.detail) : problem);

export default function Users({ who }) {
  const [round, setRound] = useState(0);
  const { data, problem } = usePolled((background) => get("users", background), 0, [round]);
  const [edited, setEdited] = useState(null);
  const done = () => {
    setEdited(null);
    setRound(round + 1);
  };
  if (!data) return html`<${Failed} problem=${told(problem)} />`;
  return html`<div class="tools"><button class="main" onClick=${() => setEdited({ user: "", isNew: true, console: "view", rules: [], password: true })}>${t("users.add")}</button></div>
    <p class="count" role="status">${count("users.count", data.items.length)}</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("system.users")}><table class="stack"><thead><tr><th scope="col">${t("user")}</th><th scope="col">${t("users.console")}</th><th scope="col">${t("users.mqtt")}</th><th></th></tr></thead>
      <tbody>${data.items.map((user) => html`<tr key=${user.user}><th scope="row">${user.user} ${user.user === who.user ? html`<span class="muted">${t("users.you")}</span>` : null}</th>
        <td data-name=${t("users.console")}>${user.console ? t(`role.${user.console}`) : "—"}${user.password ? null : html` <span class="tag">${t("users.certificate")}</span>`}${user.tokens.length ? html` <span class="muted">${count("tokens.count", user.tokens.length)}</span>` : null}</td>
        <td class="says" data-name=${t("users.mqtt")}>${user.rules === null ? t("users.everything") : !user.rules.length ? t("users.nothing")
          : html`<div>${user.rules.map((rule) => html`<div><code>${rule.topic}</code> <span class="muted">${t(`users.${rule.access}`)}</span></div>`)}</div>`}</td>
        <td><button onClick=${() => setEdited({ ...user, isNew: false })} aria-label=${t("users.edit", { user: user.user })}>${t("users.change")}</button></td></tr>`)}</tbody></table></div>
    ${edited ? html`<${Edit} key=${edited.user} user=${edited} who=${who} done=${done} changed=${() => setRound(round + 1)} close=${() => setEdited(null)} />` : null}`;
}

function Edit({ user, who, done, changed, close }) {
  const [all, setAll] = useState(user.rules === null || user.isNew);
  const [rules, setRules] = useState(user.rules || []);
  const [role, setRole] = useState(user.console || "");
  const [problem, setProblem] = useState(null);
  const [isSure, setSure] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const run = async (work) => {
    setBusy(true);
    setProblem(null);
    try {
      await work();
      done();
    } catch (problem) {
      setProblem(problem);
      setBusy(false);
    }
  };
  const submit = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const body = { console: role || null, rules: all ? null : rules.filter((rule) => rule.topic.trim()) };
    if (given.get("password")) {
      if (given.get("password") !== given.get("again")) return setProblem(new Error(t("setup.differ")));
      body.password = given.get("password");
    }
    return run(() => ask(path(user.isNew ? given.get("user").trim() : user.user), { method: "PUT", body }));
  };
  const change = (index, what) => setRules(rules.map((rule, at) => (at === index ? { ...rule, ...what } : rule)));
  return html`<${Dialog} label=${user.isNew ? t("users.add") : user.user} close=${close} wide=${true}>
    <form onSubmit=${submit}><h2>${user.isNew ? t("users.add") : user.user}</h2>
      ${user.isNew ? html`<label class="field"><span>${t("user")}</span><input name="user" required maxlength="256" autocomplete="off" /></label>` : null}
      <label class="field"><span>${t("users.console")}</span><select name="console" value=${role} onChange=${(event) => setRole(event.target.value)}>${roles.map((role) => html`<option value=${role}>${role ? t(`role.${role}`) : t("users.nothing")}</option>`)}</select></label>
      <div class="fields"><label class="field"><span>${t(user.isNew ? "password" : "users.password")}</span><input name="password" type="password" required=${user.isNew} minlength="10" maxlength="1024" autocomplete="new-password" /><small>${t(user.isNew ? "setup.password" : "users.stays")}</small></label>
        <label class="field"><span>${t("setup.again")}</span><input name="again" type="password" required=${user.isNew} maxlength="1024" autocomplete="new-password" /><small aria-hidden="true"> </small></label></div>
      <fieldset><legend>${t("users.mqtt")}</legend>
        <label class="check"><input type="radio" name="all" checked=${all} onChange=${() => setAll(true)} /> ${t("users.everything")}</label>
        <label class="check"><input type="radio" name="all" checked=${!all} onChange=${() => setAll(false)} /> ${t("users.rules")}</label>
        ${all ? null : html`<p class="muted">${t("users.order")}</p>${rules.map((rule, index) => html`<div class="inline rule"><input aria-label=${t("mqtt.topic")} value=${rule.topic} maxlength="500" onInput=${(event) => change(index, { topic: event.target.value })} />
            <select aria-label=${t("users.access")} value=${rule.access} onChange=${(event) => change(index, { access: event.target.value })}>${accesses.map((access) => html`<option value=${access}>${t(`users.${access}`)}</option>`)}</select>
            <button type="button" class="quiet" aria-label=${t("users.drop", { topic: rule.topic })} onClick=${() => setRules(rules.filter((_, at) => at !== index))}>×</button></div>`)}
          <p><button type="button" onClick=${() => setRules([...rules, { topic: "", access: "read" }])}>${t("users.more")}</button></p>`}</fieldset>
      <${Failed} problem=${told(problem)} />
      <div class="buttons">${user.isNew || user.user === who.user ? null : isSure ? html`<button type="button" class="main danger" disabled=${isBusy} onClick=${() => run(() => ask(path(user.user), { method: "DELETE" }))}>${t("users.really", { user: user.user })}</button>`
          : html`<button type="button" onClick=${() => setSure(true)}>${t("users.remove")}</button>`}
        <span class="grow"></span><button type="button" onClick=${close}>${t("cancel")}</button><button class="main" disabled=${isBusy}>${t(isBusy ? "door.wait" : "users.save")}</button></div></form>
    ${user.isNew || !user.console ? null : html`<${Tokens} user=${user} changed=${changed} />`}<//>`;
}
