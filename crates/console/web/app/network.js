// The addresses of the board. A change returns unless it is confirmed at the new address.

import { html, useEffect, useMemo, useState } from "../vendor/htm-preact.js";
import { ask, get } from "./api.js";
import { number, t } from "./i18n.js";
import { Failed, usePolled } from "./ui.js";

// Seconds in which a change must be confirmed.
const SECONDS = 90;

const bracketed = (address) => (address.includes(":") ? `[${address}]` : address);

function Change({ change, again }) {
  const [problem, setProblem] = useState(null);
  const wanted = change.wanted;
  const address = wanted.address ? wanted.address.split("/")[0] : null;
  const names = { interface: wanted.interface, address: address || "DHCP", seconds: number(change.seconds) };
  const confirm = async () => {
    try {
      await ask("system/network/confirm", { method: "POST", body: { id: change.id } });
      setProblem(null);
    } catch (problem) {
      setProblem(problem);
    }
    again();
  };
  if (change.state !== "trying") return html`<p role="status" class=${change.state === "kept" ? "done" : "muted"}>${t(`network.${change.state}`, names)}
    ${change.problem ? html`<br /><small>${change.problem}</small>` : null}</p>`;
  const isThere = !address || location.hostname === bracketed(address) || !/^[\d.]+$|^\[/.test(location.hostname);
  const port = location.port ? `:${location.port}` : "";
  const isOver = change.seconds === 0;
  return html`<section class="card" aria-labelledby="h-change"><h2 id="h-change">${t("network.trying", names)}</h2>
    <p role="status">${t(isOver ? "network.over" : "network.left", names)}</p>
    ${isThere || isOver ? null : html`<p>${t("network.go")} <a href=${`${location.protocol}//${bracketed(address)}${port}/#/system/network`}>${address}</a></p>`}
    ${isThere && change.id && !isOver ? html`<p class="buttons"><button class="main" onClick=${confirm}>${t("network.confirm")}</button></p>` : null}
    <${Failed} problem=${problem && { message: problem.detail || problem.message }} /></section>`;
}

function Setting({ one, tell }) {
  const now = one.setting || { dhcp: true, dns: [] };
  const [dhcp, setDhcp] = useState(now.dhcp);
  const [texts, setTexts] = useState({ address: now.address || "", gateway: now.gateway || "", dns: (now.dns || []).join(", ") });
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    const body = { interface: one.name, dhcp };
    if (!dhcp) {
      body.address = texts.address.trim();
      if (texts.gateway.trim()) body.gateway = texts.gateway.trim();
      body.dns = texts.dns.split(/[\s,]+/).filter(Boolean);
    }
    setBusy(true);
    try {
      await ask("system/network", { method: "PUT", body });
      tell(body);
    } catch (problem) {
      setProblem(problem);
      setBusy(false);
    }
  };
  const field = (name, hint) => html`<label class="field">${t(`network.${name}`)}<input value=${texts[name]} placeholder=${hint} maxlength="200" autocomplete="off"
    spellcheck=${false} onInput=${(event) => setTexts({ ...texts, [name]: event.target.value })} /></label>`;
  return html`<form onSubmit=${send}>
    <p><label class="check"><input type="checkbox" checked=${dhcp} onChange=${(event) => setDhcp(event.target.checked)} /> ${t("network.dhcp")}</label></p>
    ${dhcp ? null : html`<div class="fields">${field("address", "192.168.1.5/24")}${field("gateway", "192.168.1.1")}${field("dns", "192.168.1.1, 9.9.9.9")}</div>`}
    <${Failed} problem=${problem && { message: problem.code === "refused" ? problem.detail : problem.message }} />
    <p class="buttons"><button class="main" disabled=${isBusy}>${t("network.try")}</button></p></form>`;
}

export default function Network() {
  const [turn, setTurn] = useState(0);
  const { data, problem } = usePolled((background) => get("system/network", background), 3000, [turn]);
  const again = () => setTurn((turn) => turn + 1);
  // The address of this page may be gone before it hears what became of the change, or that time goes on.
  const [asked, setAsked] = useState(null);
  const until = useMemo(() => Date.now() + (data && data.change ? data.change.seconds : 0) * 1000, [data]);
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  if (!data) return html`<${Failed} problem=${problem} />`;
  const id = data.change ? data.change.id : null;
  const isAsked = asked && asked.before === id;
  const known = isAsked ? { id: null, wanted: asked.wanted, state: "trying" } : data.change;
  const left = (isAsked ? asked.until : until) - Date.now();
  const seconds = Math.max(0, Math.ceil(left / 1000));
  const change = known && { ...known, seconds };
  // At the end it takes a while until the page hears of it, or that the gateway is not there.
  const isTrying = change && change.state === "trying" && (left > -10000 || problem);
  const tell = (wanted) => {
    setAsked({ wanted, before: id, until: Date.now() + SECONDS * 1000 });
    again();
  };
  return html`<${Failed} problem=${problem} />
    ${data.managed ? html`<p class="muted">${t("network.how")}</p>` : html`<p class="muted">${t("network.unmanaged")}</p>`}
    <div>${change ? html`<${Change} change=${change} again=${again} />` : null}</div>
    ${data.interfaces.map((one) => html`<section class="card" key=${one.name} aria-labelledby=${`h-${one.name}`}><h2 id=${`h-${one.name}`}>${one.name}</h2>
      <dl class="pairs"><dt>${t("network.state")}</dt><dd>${t(one.up ? "network.up" : "network.down")}</dd>
        <dt>${t("network.addresses")}</dt><dd>${one.addresses.length ? one.addresses.join(", ") : "—"}</dd>
        <dt>MAC</dt><dd>${one.mac}</dd></dl>
      ${data.managed && one.wired && !isTrying ? html`<${Setting} key=${JSON.stringify(one.setting)} one=${one} tell=${tell} />` : null}
      ${data.managed && !one.wired ? html`<p class="muted">${t("network.wifi")}</p>` : null}</section>`)}
    ${data.interfaces.length ? null : html`<p class="muted">${t("network.none")}</p>`}`;
}
