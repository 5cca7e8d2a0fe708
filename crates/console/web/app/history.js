// Ranges that are longer than the hour in memory.

import { get } from "./api.js";

export const HOUR = "1h";
// In seconds.
export const ranges = [[HOUR, 3600], ["24h", 86400], ["7d", 604800], ["30d", 2592000]];
const WIDTH = 400;

// One answer for each point, all over the same columns.
export async function load(names, range, background) {
  const seconds = ranges.find(([name]) => name === range)[1];
  const step = Math.ceil((seconds * 1000) / WIDTH);
  // Columns stay where they are when time goes on.
  const to = Math.ceil(Date.now() / step) * step;
  const from = to - WIDTH * step;
  const query = `from=${new Date(from).toISOString()}&to=${new Date(to).toISOString()}&width=${WIDTH}`;
  const one = (name) => get(`history/${name.split("/").map(encodeURIComponent).join("/")}?${query}`, background);
  const past = {};
  for (const name of names) past[name] = await one(name);
  return { past, range, list: names.join(","), from, step };
}

// Times and, for each name, least, greatest and mean. What is published on change holds until the next value, and no
// line is drawn across a time in which nothing was known.
export function past(names, { past, from, step }) {
  const until = Math.min(WIDTH, Math.ceil((Date.now() - from) / step));
  const out = [Array.from({ length: until }, (_, index) => (from + index * step) / 1000)];
  names.forEach((name) => {
    const [lo, hi, mean] = [[], [], []];
    const told = past[name];
    const places = new Map(told.at.map((at, index) => [Math.floor((at - from) / step), index]));
    let held = told.before && told.before.quality === "good" ? told.before.value : null;
    for (let column = 0; column < until; column += 1) {
      const place = places.get(column);
      const has = place !== undefined && told.count[place] > 0;
      lo.push(has ? told.min[place] : held);
      hi.push(has ? told.max[place] : held);
      mean.push(has ? told.mean[place] : held);
      if (place !== undefined) held = told.worst[place] === "good" ? told.last[place] : null;
    }
    out.push(lo, hi, mean);
  });
  return out;
}
