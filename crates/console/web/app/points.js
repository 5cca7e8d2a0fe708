// All points in one table, of which only the rows that are seen exist and are told.

import { html, useCallback, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { get, key, listen, show } from "./api.js";
import { count, t } from "./i18n.js";
import { Age, Choice, Failed, Quality, Reading, Rows, Search, Spark, newest, useLayout, useTick } from "./ui.js";

const PAGE = 500;
const qualities = ["good", "stale", "bad", "none"];

// The whole list, page after page.
async function whole(filter, isOver, part) {
  let items = [];
  let after = "";
  let total = 0;
  do {
    const query = new URLSearchParams({ ...filter, limit: PAGE, after });
    const page = await get(`points?${query}`);
    if (isOver()) return;
    items = items.concat(page.items);
    if (page.total !== undefined) total = page.total;
    after = page.next || "";
    part(items, total);
  } while (after);
}

export function Points({ query }) {
  const [text, setText] = useState("");
  const [quality, setQuality] = useState(query.get("quality") || "");
  const [kind, setKind] = useState("");
  const filter = {};
  if (text) filter.q = text;
  if (quality) filter.quality = quality;
  if (kind) filter.writable = "true";
  return html`<h1>${t("part.points")}</h1>
    <div class="tools"><${Search} text=${text} set=${setText} label=${t("points.search")} />
      <${Choice} label=${t("quality")} value=${quality} set=${setQuality}
        options=${[["", t("points.all")], ...qualities.map((name) => [name, t(`quality.${name}`)])]} />
      <${Choice} label=${t("points.kind")} value=${kind} set=${setKind}
        options=${[["", t("points.any")], ["w", t("points.writable")]]} /></div>
    <${Table} filter=${filter} />`;
}

const widths = () => (matchMedia("(max-width: 700px)").matches ? 64 : 40);

export function Table({ filter }) {
  const [list, setList] = useState({ items: [], total: 0, isWhole: false });
  const [problem, setProblem] = useState(null);
  const [trends, setTrends] = useState({ trends: {} });
  const [height, setHeight] = useState(widths());
  const [layout, setLayout] = useState(0);
  const [, draw] = useState(0);
  const seen = useRef({ first: 0, last: 0 });
  const hide = useRef(() => {});
  const wanted = JSON.stringify(filter);
  useTick();
  useLayout(() => setLayout((n) => n + 1));
  useEffect(() => {
    let isOver = false;
    // During typing, nothing is asked.
    const timer = setTimeout(() => {
      const part = (items, total) => setList({ items, total, isWhole: items.length >= total });
      whole(filter, () => isOver, part).then(() => isOver || setProblem(null), (problem) => isOver || setProblem(problem));
    }, 200);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [wanted, layout]);
  useEffect(() => {
    const change = () => setHeight(widths());
    addEventListener("resize", change);
    const stop = listen("values", () => draw((n) => n + 1));
    return () => {
      removeEventListener("resize", change);
      stop();
      hide.current();
    };
  }, []);
  const items = list.items;
  const look = useCallback((first, last) => {
    seen.current = { first, last };
    const keys = items.slice(first, last).map(key);
    const before = hide.current;
    hide.current = show(keys);
    before();
  }, [items]);
  useEffect(() => {
    let isOver = false;
    const turn = async () => {
      const { first, last } = seen.current;
      const keys = items.slice(first, last).map(key).slice(0, 100);
      if (!keys.length || document.hidden) return;
      const told = await get(`trends?points=${encodeURIComponent(keys.join(","))}`, true).catch(() => null);
      if (told && !isOver) setTrends(told);
    };
    let last = "";
    const timer = setInterval(() => {
      // At once when other rows are seen, else every ten seconds.
      const now = `${seen.current.first} ${seen.current.last} ${Math.floor(Date.now() / 10000)}`;
      if (now !== last) turn();
      last = now;
    }, 400);
    turn();
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [items]);
  const row = (index) => {
    const point = items[index];
    const reading = newest(point);
    const name = `${point.device}/${point.point}`;
    const href = `#/points/${encodeURIComponent(point.device)}/${encodeURIComponent(point.point)}`;
    return html`<div role="row" class="row" key=${name} aria-rowindex=${index + 2} style=${{ height: `${height}px` }}>
      <span role="cell" class="c-name"><a href=${href}><span class="muted">${point.device}/</span>${point.point}</a>
        ${point.writable ? html`<span class="pen" role="img" aria-label=${t("points.writable")} title=${t("points.writable")}>✎</span>` : null}</span>
      <span role="cell" class="c-value"><${Reading} point=${point} reading=${reading} /></span>
      <span role="cell" class="c-quality"><${Quality} reading=${reading} /></span>
      <span role="cell" class="c-age"><${Age} at=${reading.at} /></span>
      <span role="cell" class="c-spark"><${Spark} trend=${trends.trends[name]} label=${t("trend.of", { name })} /></span>
    </div>`;
  };
  const head = html`${["name", "value", "quality", "age", "spark"].map((name) =>
    html`<span role="columnheader" class=${`c-${name}`}>${t(`points.${name}`)}</span>`)}`;
  return html`<${Failed} problem=${problem} />
    <p class="count" role="status">${count("points.count", list.total)}</p>
    <${Rows} count=${items.length} height=${height} row=${row} label=${t("part.points")} columns=${5} seen=${look} head=${head} />`;
}
