// What belongs to the gateway itself: the parts of this page are loaded when they are opened.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { t } from "./i18n.js";

const roles = ["view", "operate", "admin"];
const parts = {
  config: { role: "admin", load: () => import("./config.js") },
  tools: { role: "operate", load: () => import("./tools.js") },
  mqtt: { role: "admin", load: () => import("./mqtt.js") },
  users: { role: "admin", load: () => import("./users.js") },
  certificates: { role: "admin", load: () => import("./certificates.js") },
  network: { role: "admin", load: () => import("./network.js") },
  update: { role: "admin", load: () => import("./update.js") },
  backup: { role: "admin", load: () => import("./backup.js") },
};

const may = (who, part) => roles.indexOf(who.role) >= roles.indexOf(parts[part].role);

export function System({ name, names, query, who }) {
  const part = name && parts[name] && may(who, name) ? name : null;
  if (part) return html`<p class="crumbs"><a href="#/system">${t("part.system")}</a></p>
    <h1>${t(`system.${part}`)}</h1><${Lazy} key=${part} load=${parts[part].load} names=${names} query=${query} who=${who} />`;
  const own = Object.keys(parts).filter((part) => may(who, part));
  return html`<h1>${t("part.system")}</h1>
    ${own.length ? html`<div class="cards two">${own.map((part) => html`<a class="card choice" key=${part} href=${`#/system/${part}`}>
      <h2>${t(`system.${part}`)}</h2><p>${t(`system.${part}.text`)}</p></a>`)}</div>` : html`<p class="muted">${t("system.none")}</p>`}`;
}

// What is loaded when it is shown.
export function Lazy({ load, ...rest }) {
  const [Shown, setShown] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    load().then((module) => setShown(() => module.default), setProblem);
  }, []);
  if (problem) return html`<p class="failed" role="alert">${t("problem.unreachable")}</p>`;
  return Shown ? html`<${Shown} ...${rest} />` : null;
}
