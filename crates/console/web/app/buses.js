// Buses: how much of their time is taken, and what went wrong.

import { html } from "../vendor/htm-preact.js";
import { get } from "./api.js";
import { percent, t } from "./i18n.js";
import { Chart, Failed, usePolled } from "./ui.js";
import { Figures } from "./devices.js";

export function Buses() {
  const { data, problem } = usePolled((background) => get("buses", background), 5000);
  return html`<h1>${t("part.buses")}</h1><${Failed} problem=${problem} />
    ${data && !data.items.length ? html`<p class="muted">${t("buses.none")}</p>` : null}
    <div class="cards wide">${data ? data.items.map((bus) => html`<section class="card" key=${bus.bus} aria-label=${bus.bus}>
      <h2>${bus.bus} <small class="muted">${bus.bridge}</small></h2>
      <h3>${t("buses.busy")}</h3>
      <${Chart} trend=${bus.busy} step=${bus.step_seconds} format=${percent} least=${[0, 0.01]} label=${`${bus.bus}: ${t("buses.busy")}`} />
      <h3>${t("figures")}</h3><${Figures} figures=${bus.figures} />
      <h3>${t("part.devices")}</h3>
      <p class="links">${bus.devices.map((name) => html`<a href=${`#/devices/${encodeURIComponent(name)}`}>${name}</a> `)}</p>
    </section>`) : null}</div>`;
}
