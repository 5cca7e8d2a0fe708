// Asking the gateway, and the one stream of what changes.

import { t, has } from "./i18n.js";

// What is called when the session is over.
export const on = { over: () => {} };

export class Problem extends Error {
  constructor(status, body) {
    // Texts of the gateway are English; those that have a code are told in the reader's language.
    const key = `problem.${body.code}`;
    super(has(key) ? t(key) : body.detail || String(status));
    this.status = status;
    this.code = body.code;
    this.detail = body.detail;
    this.present = body.present;
    this.mistakes = body.mistakes;
  }
}

async function send(path, { method = "GET", body, background = false, headers: more = {} }) {
  const headers = { ...more };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (background) headers["X-Background"] = "1";
  try {
    return await fetch(`/api/v1/${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, { code: "unreachable" });
  }
}

export async function ask(path, options = {}) {
  const answer = await send(path, options);
  if (answer.status === 204) return null;
  return read(answer);
}

// Has the browser keep what a request brings.
export async function download(path, body) {
  const answer = await send(path, { method: "POST", body });
  if (!answer.ok) return read(answer);
  const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") || "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name ? name[1] : "fieldgate";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return null;
}

// Sends a file, and tells which share of it has gone. `fetch` would not tell.
export function put(path, file, tell) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("PUT", `/api/v1/${path}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => tell(event.loaded / event.total);
    request.onload = () => read(new Response(request.responseText, { status: request.status })).then(resolve, reject);
    request.onerror = () => reject(new Problem(0, { code: "unreachable" }));
    request.onabort = () => reject(new Problem(0, { code: "ended" }));
    request.send(file);
  });
  return { done, stop: () => request.abort() };
}

async function read(answer) {
  const text = await answer.text();
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // What is no JSON has nothing to say.
  }
  if (!answer.ok) {
    if (answer.status === 401) on.over();
    throw new Problem(answer.status, told);
  }
  return told;
}

export const get = (path, background) => ask(path, { background });

export const key = (point) => `${point.device}/${point.point}`;

export function pathOf(device, point) {
  const device_ = `devices/${encodeURIComponent(device)}`;
  return point === undefined ? device_ : `${device_}/points/${encodeURIComponent(point)}`;
}

// Readings by device/point, of the points that a page shows.
export const readings = new Map();
const shown = new Map();
const told = new Set();
const listeners = { values: new Set(), states: new Set(), layout: new Set(), link: new Set() };
let source = null;
let stream = null;
let timer = 0;
export let isLinked = true;

export function listen(event, listener) {
  listeners[event].add(listener);
  return () => listeners[event].delete(listener);
}

const tell = (event, data) => listeners[event].forEach((listener) => listener(data));

function setLinked(linked) {
  if (linked !== isLinked) {
    isLinked = linked;
    tell("link", linked);
  }
}

// Shows some points; what is returned hides them again.
export function show(keys) {
  keys.forEach((key) => shown.set(key, (shown.get(key) || 0) + 1));
  later();
  return () => {
    keys.forEach((key) => {
      const left = shown.get(key) - 1;
      if (left > 0) shown.set(key, left);
      else shown.delete(key);
    });
    later();
  };
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(sync, 100);
}

async function sync() {
  if (stream === null) return;
  const add = [...shown.keys()].filter((key) => !told.has(key)).slice(0, 400);
  const remove = [...told].filter((key) => !shown.has(key));
  if (!add.length && !remove.length) return;
  add.forEach((key) => told.add(key));
  remove.forEach((key) => {
    told.delete(key);
    readings.delete(key);
  });
  try {
    await ask(`stream/${stream}`, { method: "PATCH", body: { add, remove }, background: true });
  } catch (problem) {
    if (problem.status === 404) reopen();
  }
}

export function open() {
  if (source || document.hidden) return;
  source = new EventSource("/api/v1/stream?states=true");
  const heard = (event, act) =>
    source.addEventListener(event, (message) => act(JSON.parse(message.data)));
  heard("hello", (hello) => {
    stream = hello.stream;
    told.clear();
    setLinked(true);
    sync();
  });
  heard("values", (changes) => {
    changes.forEach((change) => readings.set(key(change), change));
    tell("values", changes);
  });
  heard("states", (devices) => tell("states", devices));
  heard("layout", () => tell("layout"));
  heard("bye", () => {
    close();
    on.over();
  });
  source.onerror = () => {
    stream = null;
    setLinked(false);
    if (source && source.readyState === EventSource.CLOSED) {
      // The gateway answered, and has no stream for us: perhaps the session is over.
      close();
      get("overview", true).then(() => setTimeout(open, 5000), () => setTimeout(open, 5000));
    }
  };
}

export function close() {
  if (source) source.close();
  source = null;
  stream = null;
  told.clear();
}

function reopen() {
  close();
  open();
}

// A browser has six connections to one host: pages that are not looked at need none.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) close();
  else if (wantsStream) open();
});

let wantsStream = false;
export function start(wanted) {
  wantsStream = wanted;
  if (wanted) open();
  else close();
}
