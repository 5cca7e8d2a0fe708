// The log, the newest line first.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { get } from "./api.js";
import { t, time } from "./i18n.js";
import { Choice, Failed, Search } from "./ui.js";

const LINES = 500;
const levels = ["error", "warn", "info", "debug"];

export function Logs({ query }) {
  const [text, setText] = useState("");
  const [subject, setSubject] = useState(query.get("subject") || "");
  const [level, setLevel] = useState("info");
  const [isPaused, setPaused] = useState(false);
  const [lines, setLines] = useState(null);
  const [problem, setProblem] = useState(null);
  const paused = useRef(false);
  paused.current = isPaused;
  useEffect(() => {
    let isOver = false;
    let after = 0;
    let timer = 0;
    const turn = async (background) => {
      if (!paused.current && !document.hidden) {
        const filter = new URLSearchParams({ level, q: text, subject, after, limit: LINES });
        try {
          const told = await get(`logs?${filter}`, background);
          if (isOver) return;
          const items = told.items.reverse();
          const isFirst = after === 0;
          // A gateway that was started anew counts from the beginning.
          after = told.last < after ? 0 : told.last;
          setLines((old) => (isFirst || !old ? items : items.length ? items.concat(old).slice(0, LINES) : old));
          setProblem(null);
        } catch (problem) {
          if (!isOver) setProblem(problem);
        }
      }
      if (!isOver) timer = setTimeout(() => turn(true), 2000);
    };
    timer = setTimeout(() => turn(false), 200);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [text, subject, level]);
  return html`<h1>${t("part.logs")}</h1>
    <div class="tools"><${Search} text=${text} set=${setText} label=${t("logs.search")} />
      <${Choice} label=${t("logs.level")} value=${level} set=${setLevel} options=${levels.map((name) => [name, t(`level.least.${name}`)])} />
      <input class="subject" value=${subject} placeholder=${t("logs.subject")} aria-label=${t("logs.subject")} maxlength="100"
        autocomplete="off" spellcheck=${false} onInput=${(event) => setSubject(event.target.value.trim())} />
      <button aria-pressed=${isPaused} onClick=${() => setPaused(!isPaused)}>${t(isPaused ? "logs.follow" : "logs.pause")}</button></div>
    <${Failed} problem=${problem} />
    ${lines && !lines.length ? html`<p class="muted">${t("logs.none")}</p>` : null}
    <ul class="list log">${(lines || []).map((line) => html`<li key=${line.number} class=${`l-${line.level}`}>
      <time>${time(line.at)}</time><span class=${`tag l-${line.level}`}>${t(`level.${line.level}`)}</span>
      <span class="text">${line.subject ? html`<b>${line.subject}</b> ` : null}${line.text}</span></li>`)}</ul>`;
}
