// What surrounds a change of the configuration: asking for it, and what became of it.

import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import { t } from "./i18n.js";

// A dialog that is open as long as it is shown.
export function Dialog({ label, close, children, wide }) {
  const dialog = useRef(null);
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  return html`<dialog ref=${dialog} class=${wide ? "wide" : ""} aria-label=${label} onClose=${close}>${children}</dialog>`;
}

// What a saved and applied configuration has changed.
export function Outcome({ result }) {
  const done = result && result.applied;
  if (!result || result.problem) return null;
  if (!done) return html`<p class="done" role="status">${t("config.saved")}</p>`;
  const names = ["added", "changed", "removed"].filter((name) => done[name].length);
  return html`<div class="done" role="status"><p>${t(result.saved ? "config.both" : "config.applied")}</p>
      ${names.map((name) => html`<p>${t(`config.${name}`)} ${done[name].join(", ")}</p>`)}
      ${names.length ? null : html`<p>${t("config.nothing")}</p>`}</div>
    ${done.need_restart.length ? html`<p class="banner warn">${t("config.restart", { keys: done.need_restart.join(", ") })}</p>` : null}
    ${done.failed ? html`<p class="failed">${t("config.partly")} ${done.failed}</p>` : null}`;
}
