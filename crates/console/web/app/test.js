// A device asked once for everything: requests, raw words, values.

import { html, useState } from "../vendor/htm-preact.js";
import { ask, pathOf } from "./api.js";
import { useJob } from "./job.js";
import { t } from "./i18n.js";
import { Failed } from "./ui.js";

export default function Test({ device }) {
  const [number, setNumber] = useState(null);
  const [problem, setProblem] = useState(null);
  const job = useJob(number);
  const begin = () => ask(`${pathOf(device)}/test`, { method: "POST", body: {} }).then((told) => {
    setProblem(null);
    setNumber(told.job);
  }, setProblem);
  const isBusy = job && job.state === "working";
  return html`<section aria-labelledby="h-test"><h2 id="h-test">${t("test")}</h2>
    <p class="muted">${t("test.text")}</p>
    <p><button disabled=${isBusy} onClick=${begin}>${t(isBusy ? "door.wait" : "test.begin")}</button></p>
    <${Failed} problem=${problem} />
    ${job ? html`<div role="status">${job.state === "done" ? html`<p class="done">${t("test.done")}</p>` : null}
      ${job.state === "failed" ? html`<p class="failed">${job.error}</p>` : null}</div>
      ${job.text ? html`<pre class="output" tabindex="0" role="region" aria-label=${t("test")}>${job.text}</pre>` : null}` : null}</section>`;
}
