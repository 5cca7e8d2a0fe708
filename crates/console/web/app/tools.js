// What a person at the cabinet does on a bus: asks who is there and writes it down, and reads registers.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { ask, get } from "./api.js";
import { Dialog, Outcome } from "./change.js";
import { Diff } from "./diff.js";
import { useJob } from "./job.js";
import { count, number, t } from "./i18n.js";
import { Failed, usePolled } from "./ui.js";

const post = (path, body) => ask(path, { method: "POST", body });
const busPath = (bus, what) => `buses/${encodeURIComponent(bus)}/${what}`;

function Field({ label, hint, children }) {
  return html`<label class="field"><span>${label}</span>${children}${hint ? html`<small>${hint}</small>` : null}</label>`;
}

const BusChoice = ({ buses }) => html`<${Field} label=${t("tools.bus")}><select name="bus">${buses.map((bus) => html`<option value=${bus}>${bus}</option>`)}</select><//>`;

export default function Tools({ who }) {
  const { data, problem } = usePolled((background) => get("buses", background), 0);
  if (!data) return html`<${Failed} problem=${problem} />`;
  const buses = data.items.filter((bus) => bus.bridge === "modbus").map((bus) => bus.bus);
  if (!buses.length) return html`<p class="muted">${t("tools.nobus")}</p>`;
  return html`<${Scan} buses=${buses} who=${who} /><${Read} buses=${buses} />`;
}

function Scan({ buses, who }) {
  const [job, setJob] = useState(null);
  const [bus, setBus] = useState(buses[0]);
  const [problem, setProblem] = useState(null);
  const told = useJob(job);
  const isBusy = told && told.state === "working";
  const begin = (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    setBus(given.bus);
    post(busPath(given.bus, "scan"), { units: given.units, timeout_ms: Number(given.timeout) }).then((told) => {
      setProblem(null);
      setJob(told.job);
    }, setProblem);
  };
  const end = () => ask(`jobs/${job}`, { method: "DELETE" }).catch(setProblem);
  return html`<section class="card" aria-labelledby="h-scan"><h2 id="h-scan">${t("scan")}</h2><p>${t("scan.text")}</p>
    <form class="fields" onSubmit=${begin}><${BusChoice} buses=${buses} />
      <${Field} label=${t("scan.units")}><input name="units" value="1-247" required maxlength="200" autocomplete="off" /><//>
      <${Field} label=${t("scan.timeout")}><input name="timeout" type="number" min="10" max="10000" value="300" required /><//>
      <div class="field"><button class="main" disabled=${isBusy}>${t("scan.begin")}</button></div></form>
    <${Failed} problem=${problem} />
    ${isBusy ? html`<div class="inline"><progress max=${told.all || 1} value=${told.done} aria-label=${t("scan")}></progress>
      <span>${t("scan.progress", { done: number(told.done), all: number(told.all) })}</span><button onClick=${end}>${t("scan.end")}</button></div>` : null}
    ${told && told.state === "failed" ? html`<p class="failed" role="alert">${told.error}</p>` : null}
    ${told && (told.found.length || told.state === "done") ? html`<${Found} key=${job} told=${told} bus=${bus} who=${who} />` : null}</section>`;
}

// The type whose name the unit's own words have most of.
function guess(text, types) {
  const words = text.toLowerCase();
  let [best, most] = ["", 0];
  types.forEach((type) => {
    const parts = type.toLowerCase().split(/[^a-z0-9]+/).filter((part) => part.length > 2);
    const met = parts.filter((part) => words.includes(part)).length / (parts.length || 1);
    if (met > most) [best, most] = [type, met];
  });
  return most >= 0.5 ? best : "";
}

function Found({ told, bus, who }) {
  const [types, setTypes] = useState([]);
  const [chosen, setChosen] = useState({});
  const [change, setChange] = useState(null);
  const [result, setResult] = useState(null);
  const [added, setAdded] = useState({});
  const found = told.found.map((one) => (added[one.unit] ? { ...one, device: added[one.unit] } : one));
  useEffect(() => {
    get("types").then((told) => setTypes(told.items), () => {});
  }, []);
  const change1 = (unit, what) => setChosen((old) => ({ ...old, [unit]: { ...of(unit), ...what } }));
  const of = (unit) => chosen[unit] || { name: `${bus}-${unit}`, type: guess((told.found.find((found) => found.unit === unit) || {}).text || "", types), on: false };
  const wanted = found.filter((found) => !found.device && of(found.unit).on);
  const show = async () => {
    setResult(null);
    try {
      const disk = await get("config");
      const devices = wanted.map(({ unit }) => ({ name: of(unit).name.trim(), bus, unit, ...(of(unit).type ? { type: of(unit).type } : {}) }));
      const added = await post("config/add", { text: disk.text, devices });
      const checked = await post("config/check", { text: added.text });
      setChange({ disk, text: added.text, mistakes: checked.mistakes });
    } catch (problem) {
      setResult({ problem });
    }
  };
  const apply = async () => {
    let saved = false;
    try {
      await ask("config", { method: "PUT", body: { text: change.text }, headers: { "If-Match": `"${change.disk.tag}"` } });
      saved = true;
      setAdded((old) => ({ ...old, ...Object.fromEntries(wanted.map(({ unit }) => [unit, of(unit).name.trim()])) }));
      setResult({ saved, applied: await post("config/apply", {}) });
      setChosen({});
    } catch (problem) {
      setResult({ saved, problem });
    }
    setChange(null);
  };
  const isAdmin = who.role === "admin";
  return html`<h3>${count("scan.found", told.found.length)}</h3>
    ${told.found.length ? html`<div class="scroll" tabindex="0" role="region" aria-label=${t("scan")}><table><thead><tr><th scope="col">${t("scan.unit")}</th><th scope="col">${t("scan.says")}</th>
        <th scope="col">${t("devices.device")}</th>${isAdmin ? html`<th scope="col">${t("scan.type")}</th>` : null}</tr></thead>
      <tbody>${found.map((found) => html`<tr key=${found.unit}><th scope="row">${found.unit}</th><td class="says">${found.text}</td>
        ${found.device ? html`<td><a href=${`#/devices/${encodeURIComponent(found.device)}`}>${found.device}</a></td>${isAdmin ? html`<td></td>` : null}`
          : !isAdmin || !found.understood ? html`<td class="muted">${t("scan.new")}</td>${isAdmin ? html`<td></td>` : null}`
          : html`<td><span class="inline"><input type="checkbox" aria-label=${t("scan.add", { unit: found.unit })} checked=${of(found.unit).on} onChange=${(event) => change1(found.unit, { on: event.target.checked })} />
              <input aria-label=${t("scan.name", { unit: found.unit })} value=${of(found.unit).name} maxlength="64" onInput=${(event) => change1(found.unit, { name: event.target.value, on: true })} /></span></td>
            <td><select aria-label=${t("scan.typeof", { unit: found.unit })} value=${of(found.unit).type} onChange=${(event) => change1(found.unit, { type: event.target.value, on: true })}>
              <option value="">${t("scan.notype")}</option>${types.map((type) => html`<option value=${type}>${type}</option>`)}</select></td>`}</tr>`)}</tbody></table></div>` : null}
    ${isAdmin && found.some((found) => !found.device && found.understood) ? html`<p><button class="main" disabled=${!wanted.length} onClick=${show}>${t("scan.write")}</button></p>` : null}
    <${Failed} problem=${result && result.problem} />
    ${result && result.problem && result.problem.code === "refused" ? html`<p class="why">${result.problem.detail}</p>` : null}
    <${Outcome} result=${result} />
    ${change ? html`<${Dialog} label=${t("scan.write")} close=${() => setChange(null)} wide=${true}><h2>${t("scan.change")}</h2>
      <${Diff} before=${change.disk.text} after=${change.text} />
      ${change.mistakes.length ? html`<ul class="list mistakes">${change.mistakes.map((mistake) => html`<li><span class="muted">${mistake.file}${mistake.line ? `:${mistake.line}` : ""}</span>
        <span>${mistake.path ? html`<b>${mistake.path}</b> ` : null}${mistake.message}</span></li>`)}</ul>` : null}
      <div class="buttons"><button onClick=${() => setChange(null)}>${t("cancel")}</button>
        <button class="main" disabled=${change.mistakes.length > 0} onClick=${apply}>${t("config.saveapply")}</button></div><//>` : null}`;
}

function Read({ buses }) {
  const [problem, setProblem] = useState(null);
  const [raw, setRaw] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    setBusy(true);
    try {
      const body = { unit: Number(given.unit), table: given.table, address: Number(given.address), count: Number(given.count) };
      setRaw(await post(busPath(given.bus, "read"), body));
      setProblem(null);
    } catch (problem) {
      setRaw(null);
      setProblem(problem);
    }
    setBusy(false);
  };
  const shown = problem && ["device", "refused"].includes(problem.code) ? new Error(problem.detail) : problem;
  return html`<section class="card" aria-labelledby="h-read"><h2 id="h-read">${t("read")}</h2><p>${t("read.text")}</p>
    <form class="fields" onSubmit=${submit}><${BusChoice} buses=${buses} />
      <${Field} label=${t("scan.unit")}><input name="unit" type="number" min="1" max="247" value="1" required /><//>
      <${Field} label=${t("read.table")}><select name="table">${["holding", "input", "coil", "discrete"].map((name) => html`<option value=${name}>${name}</option>`)}</select><//>
      <${Field} label=${t("read.address")}><input name="address" type="number" min="0" max="65535" value="0" required /><//>
      <${Field} label=${t("read.count")}><input name="count" type="number" min="1" max="2000" value="10" required /><//>
      <div class="field"><button class="main" disabled=${isBusy}>${t(isBusy ? "door.wait" : "read.begin")}</button></div></form>
    <${Failed} problem=${shown} />
    ${raw ? html`<pre class="output" tabindex="0" role="region" aria-label=${t("read")}>${raw.text}</pre>` : null}</section>`;
}
