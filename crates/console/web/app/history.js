// Ranges that are longer than the hour in memory.

import { get } from "./api.js";

export const HOUR = "1h";
// In seconds.
export const ranges = [[HOUR, 3600], ["24h", 86400], ["7d", 604800], ["30d", 2592000]];
const WIDTH = 400;

// Readings of less than one part in so many of a range are drawn over the time that they have.
const NARROW = 8;

// One answer for each point, all over the same columns.
async function ask(names, from, step, background) {
  const to = from + WIDTH * step;
  const query = `from=${new Date(from).toISOString()}&to=${new Date(to).toISOString()}&width=${WIDTH}`;
  const one = (name) => get(`history/${name.split("/").map(encodeURIComponent).join("/")}?${query}`, background);
  const past = {};
  for (const name of names) past[name] = await one(name);
  return { past, from, step };
}

// The part of a range in which something was read; null if that is most of it.
function narrow({ past, from, step }) {
  const all = Object.values(past);
  const begin = Math.min(...all.map((told) => (told.before ? from : told.at.length ? told.at[0] : Infinity)));
  // What was read last holds until now.
  const end = Math.min(Date.now(), from + WIDTH * step);
  if (begin === Infinity || (end - begin) * NARROW > WIDTH * step) return null;
  const fine = Math.max(1000, Math.ceil((end - begin) / WIDTH));
  return { from: end - WIDTH * fine, step: fine };
}

export async function load(names, range, whole, background) {
  const seconds = ranges.find(([name]) => name === range)[1];
  const step = Math.ceil((seconds * 1000) / WIDTH);
  // Columns stay where they are when time goes on.
  const to = Math.ceil(Date.now() / step) * step;
  let told = await ask(names, to - WIDTH * step, step, background);
  const part = narrow(told);
  if (part && !whole) told = await ask(names, part.from, part.step, background);
  return { ...told, range, whole, isNarrow: part !== null, list: names.join(",") };
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
