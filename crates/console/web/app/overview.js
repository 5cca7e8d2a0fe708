// What a person wants to know first.

import { html, useRef } from "../vendor/htm-preact.js";
import { get } from "./api.js";
import { ago, count, number, percent, t, time } from "./i18n.js";
import { Failed, State, Spark, usePolled, useTick } from "./ui.js";

// What a counter grew by in a second, from one look to the next.
function useRate(at, total) {
  const kept = useRef({ at: 0, total: 0, rate: null });
  const now = Date.parse(at);
  const old = kept.current;
  if (now > old.at) {
    const rate = old.at ? ((total - old.total) / (now - old.at)) * 1000 : null;
    kept.current = { at: now, total, rate: rate !== null && rate >= 0 ? rate : null };
  }
  return kept.current.rate;
}

export function Overview() {
  const { data, problem } = usePolled((background) => get("overview", background), 3000);
  if (!data) return html`<h1>${t("part.overview")}</h1><${Failed} problem=${problem} />`;
  return html`<${Shown} data=${data} problem=${problem} />`;
}

function Shown({ data, problem }) {
  useTick();
  const broker = data.broker;
  const received = useRate(data.now, broker["broker_messages.received"]);
  const sent = useRate(data.now, broker["broker_messages.sent"]);
  const rate = (value) => (value === null ? "…" : `${number(value, 1)}/s`);
  const { online, offline, starting } = data.devices;
  return html`<h1>${t("part.overview")}</h1>
    <${Failed} problem=${problem} />
    ${data.warnings.map((warning) => html`<p class="banner bad" role="alert">${t(`warning.${warning}`)}</p>`)}
    ${data.clock_is_set ? null : html`<p class="banner warn">${t("overview.clock")}</p>`}
    <div class="cards">
      <section class="card" aria-labelledby="c-devices"><h2 id="c-devices">${t("part.devices")}</h2>
        <p class="big">${number(online)}<small> ${t("overview.of", { all: number(online + offline + starting) })}</small></p>
        <p class="links">
          ${offline ? html`<a href="#/devices?state=offline"><span class="tag s-offline">${number(offline)} ${t("state.offline")}</span></a>` : null}
          ${starting ? html`<span class="tag s-starting">${number(starting)} ${t("state.starting")}</span>` : null}
          ${!offline && !starting ? html`<span class="tag s-online">${t("overview.all")}</span>` : null}
        </p></section>
      <section class="card" aria-labelledby="c-points"><h2 id="c-points">${t("part.points")}</h2>
        <p class="big">${number(data.points)}</p>
        <p class="links">${["good", "stale", "bad", "none"].filter((name) => data.qualities[name]).map((name) =>
          html`<a href=${`#/points?quality=${name}`}><span class=${`tag q-${name}`}>${number(data.qualities[name])} ${t(`quality.${name}`)}</span></a>`)}</p></section>
      <section class="card" aria-labelledby="c-broker"><h2 id="c-broker">${t("overview.broker")}</h2>
        <p class="big">${number(broker.broker_clients)}<small> ${t("overview.clients")}</small></p>
        <dl class="pairs"><dt>${t("overview.received")}</dt><dd>${rate(received)}</dd>
          <dt>${t("overview.sent")}</dt><dd>${rate(sent)}</dd></dl></section>
      <section class="card" aria-labelledby="c-gateway"><h2 id="c-gateway">${t("overview.gateway")}</h2>
        <dl class="pairs"><dt>${t("overview.up")}</dt><dd>${ago(data.started, Date.parse(data.now))}</dd>
          <dt>${t("overview.now")}</dt><dd>${time(data.now)}</dd>
          <dt>${t("overview.version")}</dt><dd class="version">${data.version}</dd></dl></section>
    </div>
    ${data.troubled.length ? html`<section aria-labelledby="h-trouble"><h2 id="h-trouble">${t("overview.troubled")}</h2>
      <ul class="list">${data.troubled.map((device) => html`<li>
        <a href=${`#/devices/${encodeURIComponent(device.device)}`}><b>${device.device}</b></a> <${State} device=${device} />
        <span class="why">${device.error}</span><span class="age">${t("since", { time: time(device.since) })}</span></li>`)}</ul></section>` : null}
    <section aria-labelledby="h-buses"><h2 id="h-buses">${t("part.buses")}</h2>
      <ul class="list buses">${data.buses.map((bus) => {
        const busy = bus.busy.hi.length ? bus.busy.hi[bus.busy.hi.length - 1] : null;
        return html`<li><a href="#/buses"><b>${bus.bus}</b></a> <span class="muted">${bus.bridge}</span>
          <span class="muted grow">${count("buses.devices", bus.devices.length)}</span>
          <${Spark} trend=${bus.busy} range=${[0, 1]} label=${t("buses.busy")} />
          <span class="share">${busy === null ? "…" : percent(busy)}</span></li>`;
      })}</ul></section>
    <section aria-labelledby="h-log"><h2 id="h-log">${t("overview.troubles")}</h2>
      ${data.troubles.length ? html`<ul class="list log">${data.troubles.map((line) => html`<li class=${`l-${line.level}`}>
        <time>${time(line.at)}</time><span class=${`tag l-${line.level}`}>${t(`level.${line.level}`)}</span><span class="text">${line.subject ? html`<b>${line.subject}</b> ` : null}${line.text}</span></li>`)}</ul>`
        : html`<p class="muted">${t("overview.quiet")}</p>`}</section>`;
}
