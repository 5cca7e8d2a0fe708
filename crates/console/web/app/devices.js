// Devices, and one of them.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get, listen, pathOf } from "./api.js";
import { count, number, t, time } from "./i18n.js";
import { Choice, Failed, Search, State, useLayout, usePolled, useTick } from "./ui.js";
import { Table } from "./points.js";
import { Lazy } from "./system.js";

const states = ["online", "offline", "starting"];

// A thousand devices are two requests; what changes comes by the stream.
async function whole() {
  let items = [];
  let after = "";
  do {
    const page = await get(`devices?limit=500&after=${encodeURIComponent(after)}`);
    items = items.concat(page.items);
    after = page.next || "";
  } while (after);
  return items;
}

export function Devices({ query }) {
  const [items, setItems] = useState(null);
  const [problem, setProblem] = useState(null);
  const [text, setText] = useState("");
  const [state, setState] = useState(query.get("state") || "");
  const load = () => whole().then(setItems, setProblem);
  useEffect(() => {
    load();
    return listen("states", (changed) => {
      const known = new Map(changed.map((device) => [device.device, device]));
      setItems((items) => items && items.map((device) => known.get(device.device) || device));
    });
  }, []);
  useLayout(load);
  useTick(10000);
  const wanted = text.toLowerCase();
  const fits = (device) => (!state || device.state === state) &&
    [device.device, device.bus || "", device.bridge].some((name) => name.toLowerCase().includes(wanted));
  const shown = (items || []).filter(fits);
  return html`<h1>${t("part.devices")}</h1>
    <div class="tools"><${Search} text=${text} set=${setText} label=${t("devices.search")} />
      <${Choice} label=${t("devices.state")} value=${state} set=${setState}
        options=${[["", t("points.all")], ...states.map((name) => [name, t(`state.${name}`)])]} /></div>
    <${Failed} problem=${problem} />
    <p class="count" role="status">${count("devices.count", shown.length)}</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("part.devices")}><table><thead><tr>${["device", "state", "bus", "points", "why"].map((name) =>
      html`<th scope="col" class=${`d-${name}`}>${t(`devices.${name}`)}</th>`)}</tr></thead>
    <tbody>${shown.map((device) => html`<tr key=${device.device}>
      <th scope="row"><a href=${`#/devices/${encodeURIComponent(device.device)}`}>${device.device}</a></th>
      <td><${State} device=${device} /></td><td class="bus">${device.bus || "—"} <span class="muted">${device.bridge}</span></td>
      <td class="number">${number(device.points)}</td>
      <td class="why">${device.error || ""}${device.since ? html` <span class="age">${t("since", { time: time(device.since) })}</span>` : null}</td></tr>`)}
    </tbody></table></div>`;
}

const test = () => import("./test.js");
const events = () => import("./events.js");

export function Device({ name, who }) {
  const { data, problem } = usePolled((background) => get(pathOf(name), background), 5000, [name]);
  const title = html`<p class="crumbs"><a href="#/devices">${t("part.devices")}</a></p>
    <h1>${name} ${data ? html`<${State} device=${data} />` : null}</h1><${Failed} problem=${problem} />`;
  if (!data) return title;
  return html`${title}
    ${data.error ? html`<p class="banner bad">${data.error} <span class="age">${t("since", { time: time(data.since) })}</span></p>` : null}
    <div class="cards two">
      <section class="card" aria-labelledby="h-about"><h2 id="h-about">${t("point.about")}</h2>
        <dl class="pairs"><dt>${t("point.bridge")}</dt><dd>${data.bridge}</dd>
          ${data.bus ? html`<dt>${t("point.bus")}</dt><dd><a href="#/buses">${data.bus}</a></dd>` : null}
          <dt>${t("devices.points")}</dt><dd>${number(data.points)}</dd>
          <dt>${t("log")}</dt><dd><a href=${`#/logs?subject=${encodeURIComponent(name)}`}>${t("devices.log")}</a></dd></dl></section>
      <section class="card" aria-labelledby="h-figures"><h2 id="h-figures">${t("figures")}</h2><${Figures} figures=${data.figures} /></section>
    </div>
    ${who.role !== "view" && data.bridge === "modbus" ? html`<${Lazy} load=${test} device=${name} />` : null}
    <section aria-labelledby="h-points"><h2 id="h-points">${t("part.points")}</h2><${Table} filter=${{ device: name }} /></section>
    <${Lazy} load=${events} device=${name} />`;
}

const label = (name) => {
  const key = `figure.${name}`;
  const text = t(key);
  return text === key ? name.replace(/_/g, " ") : text;
};

// Counters: all of what is as it should be, and of the faults those that happened.
export function Figures({ figures }) {
  const routine = Object.entries(figures.routine).filter(([name]) => name !== "busy_ms");
  const faults = Object.entries(figures.faults).filter(([, times]) => times > 0);
  if (!routine.length && !faults.length) return html`<p class="muted">${t("figures.none")}</p>`;
  return html`<dl class="pairs">${routine.map(([name, times]) => html`<dt>${label(name)}</dt><dd>${number(times)}</dd>`)}
    ${faults.map(([name, times]) => html`<dt class="fault">${label(name)}</dt><dd class="fault">${number(times)}</dd>`)}</dl>
    ${faults.length ? null : html`<p class="muted">${t("figures.fine")}</p>`}`;
}
