// The page: who is here, which part is shown, and what is around it.

import { html, render, useEffect, useState } from "../vendor/htm-preact.js";
import { ask, get, isLinked, listen, on, start } from "./api.js";
import { lang, load, t } from "./i18n.js";
import { Door } from "./door.js";
import { Overview } from "./overview.js";
import { Points } from "./points.js";
import { Point } from "./point.js";
import { Device, Devices } from "./devices.js";
import { Buses } from "./buses.js";
import { Logs } from "./logs.js";
import { System } from "./system.js";

const parts = ["overview", "points", "devices", "buses", "logs", "system"];

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [part, ...names] = path.split("/").map((name) => {
    try {
      return decodeURIComponent(name);
    } catch {
      return name;
    }
  });
  return { part: parts.includes(part) ? part : "overview", names, query: new URLSearchParams(query) };
}

function usePlace() {
  const [now, set] = useState(place());
  useEffect(() => {
    const change = () => set(place());
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return now;
}

function theme(name) {
  if (name) localStorage.setItem("theme", name);
  const kept = localStorage.getItem("theme") || "auto";
  document.documentElement.dataset.theme = kept;
  return kept;
}

function Shown({ place, who }) {
  const { part, names, query } = place;
  if (part === "points" && names.length >= 2)
    return html`<${Point} key=${names.join("/")} device=${names[0]} point=${names.slice(1).join("/")} query=${query} who=${who} />`;
  if (part === "points") return html`<${Points} query=${query} />`;
  if (part === "devices" && names.length >= 1)
    return html`<${Device} key=${names[0]} name=${names[0]} who=${who} />`;
  if (part === "devices") return html`<${Devices} query=${query} />`;
  if (part === "buses") return html`<${Buses} />`;
  if (part === "logs") return html`<${Logs} query=${query} />`;
  if (part === "system") return html`<${System} name=${names[0]} names=${names.slice(1)} query=${query} who=${who} />`;
  return html`<${Overview} />`;
}

function Settings({ changeLang, changeTheme, kept }) {
  return html`<div class="settings">
    <select aria-label=${t("language")} value=${lang} onChange=${(event) => changeLang(event.target.value)}>
      <option value="en">English</option><option value="de">Deutsch</option>
    </select>
    <select aria-label=${t("theme")} value=${kept} onChange=${(event) => changeTheme(event.target.value)}>
      ${["auto", "light", "dark"].map((name) => html`<option value=${name}>${t(`theme.${name}`)}</option>`)}
    </select>
  </div>`;
}

function App() {
  const [who, setWho] = useState(null);
  const [failed, setFailed] = useState(null);
  const [, setLang] = useState(lang);
  const [kept, setTheme] = useState(theme());
  const [linked, setLinked] = useState(isLinked);
  const now = usePlace();
  const look = () => get("session").then((who) => {
    setFailed(null);
    setWho(who);
  }, setFailed);
  useEffect(() => {
    on.over = look;
    look();
    return listen("link", setLinked);
  }, []);
  useEffect(() => start(Boolean(who && who.user)), [who && who.user]);
  useEffect(() => {
    if (who) document.title = who.user ? `${t(`part.${now.part}`)} – ${who.gateway}` : who.gateway;
  });
  const settings = html`<${Settings} changeLang=${(name) => load(name).then(() => setLang(name))}
    changeTheme=${(name) => setTheme(theme(name))} kept=${kept} />`;
  if (failed && !who)
    return html`<main class="door"><p class="failed" role="alert">${failed.message}</p>
      <button onClick=${look}>${t("again")}</button></main>`;
  if (!who) return null;
  if (!who.user) return html`<${Door} who=${who} enter=${setWho} settings=${settings} />`;
  const logout = () => ask("session", { method: "DELETE" }).then(look, look);
  return html`<a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      document.getElementById("main").focus();
    }}>${t("skip")}</a>
    <header>
      <a class="brand" href="#/overview"><span class="mark" aria-hidden="true"></span><b>${who.gateway}</b></a>
      <nav aria-label=${t("parts")}>${parts.map((part) => html`<a href=${`#/${part}`}
        aria-current=${part === now.part ? "page" : undefined}>${t(`part.${part}`)}</a>`)}</nav>
      <div class="who">${settings}<span class="user">${who.user} <small>${t(`role.${who.role}`)}</small></span>
        <button class="quiet" onClick=${logout}>${t("logout")}</button></div>
    </header>
    ${who.plain ? html`<p class="banner warn">${t("plain")}</p>` : null}
    ${linked ? null : html`<p class="banner bad" role="status">${t("unlinked")}</p>`}
    <main id="main" tabindex="-1" class=${`part-${now.part}`}><${Shown} place=${now} who=${who} /></main>`;
}

theme();
load().then(() => render(html`<${App} />`, document.getElementById("app")));
