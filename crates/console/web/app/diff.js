// What changes from one text to another, by lines.

import { html } from "../vendor/htm-preact.js";
import { count, t } from "./i18n.js";

// Lines around a change that are shown with it.
const AROUND = 3;
// Comparisons until a part is taken as changed as a whole.
const MOST = 4_000_000;

// Steps from `before` to `after`: [kind, text, number before, number after], where kind is one of " ", "-", "+".
export function steps(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const out = [];
  for (let i = 0; i < head; i++) out.push([" ", a[i], i + 1, i + 1]);
  middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail), head, out);
  for (let i = tail; i > 0; i--) out.push([" ", a[a.length - i], a.length - i + 1, b.length - i + 1]);
  return out;
}

// The longest common sequence of what is between.
function middle(a, b, start, out) {
  const [n, m] = [a.length, b.length];
  let [i, j] = [0, 0];
  if (n && m && n * m <= MOST) {
    const width = m + 1;
    const length = new Uint16Array((n + 1) * width);
    for (let i = n - 1; i >= 0; i--)
      for (let j = m - 1; j >= 0; j--)
        length[i * width + j] = a[i] === b[j] ? length[(i + 1) * width + j + 1] + 1
          : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    while (i < n && j < m) {
      if (a[i] === b[j]) {
        out.push([" ", a[i], start + i + 1, start + j + 1]);
        i++;
        j++;
      } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) {
        out.push(["-", a[i], start + i + 1, null]);
        i++;
      } else {
        out.push(["+", b[j], null, start + j + 1]);
        j++;
      }
    }
  }
  for (; i < n; i++) out.push(["-", a[i], start + i + 1, null]);
  for (; j < m; j++) out.push(["+", b[j], null, start + j + 1]);
}

// Only what changes, with some lines around it; null where lines were left out.
export function hunks(all) {
  const near = all.map(() => false);
  all.forEach(([kind], index) => {
    if (kind !== " ") for (let i = index - AROUND; i <= index + AROUND; i++) near[i] = true;
  });
  const out = [];
  all.forEach((step, index) => {
    if (near[index]) out.push(step);
    else if (out.length ? out[out.length - 1] !== null : true) out.push(null);
  });
  return out;
}

export function Diff({ before, after }) {
  if (before === after) return html`<p class="muted">${t("diff.same")}</p>`;
  const all = steps(before, after);
  const added = all.filter(([kind]) => kind === "+").length;
  const removed = all.filter(([kind]) => kind === "-").length;
  const name = { "+": "diff.added", "-": "diff.removed" };
  return html`<p class="count">${count("diff.plus", added)}, ${count("diff.minus", removed)}</p>
    <div class="diff" tabindex="0" role="region" aria-label=${t("diff")}><table><tbody>${hunks(all).map((step) => step === null
      ? html`<tr class="gap"><td colspan="3">⋯</td></tr>`
      : html`<tr class=${step[0] === "+" ? "plus" : step[0] === "-" ? "minus" : ""}><td class="line">${step[3] ?? step[2]}</td>
        <td class="sign">${step[0] === " " ? "" : html`<span aria-label=${t(name[step[0]])} role="img">${step[0] === "+" ? "+" : "−"}</span>`}</td><td><pre>${step[1] || " "}</pre></td></tr>`)}</tbody></table></div>`;
}
