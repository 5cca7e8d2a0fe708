// An editor with yaml-language-server: opens a file with a schema, prints what is underlined and what is completed.
//
// Usage: yaml_editor.js SCHEMA FILE [LINE:COLUMN ...], numbers from one. One JSON object a line: first
// {"underlined": ["LINE:COLUMN message", ...]}, then for each place {"completed": ["key", ...]}.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");

const [schema, file, ...places] = process.argv.slice(2);
const uri = pathToFileURL(path.resolve(file)).href;
const modules = process.env.NODE_PATH;
const program = path.join(modules, "yaml-language-server", "bin", "yaml-language-server");
const server = spawn(process.execPath, [program, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });

const settings = {
  yaml: {
    schemas: { [pathToFileURL(path.resolve(schema)).href]: [uri] },
    schemaStore: { enable: false },
    validate: true,
    completion: true,
  },
};

let number = 0;
const waiting = new Map();
const send = (message) => {
  const text = JSON.stringify({ jsonrpc: "2.0", ...message });
  server.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
};
const notify = (method, params) => send({ method, params });
const ask = (method, params) =>
  new Promise((resolve) => {
    number += 1;
    waiting.set(number, resolve);
    send({ id: number, method, params });
  });

let told;
const underlined = new Promise((resolve) => {
  told = resolve;
});

function take(message) {
  if (message.method === "workspace/configuration") {
    send({ id: message.id, result: message.params.items.map(({ section }) => settings[section] ?? {}) });
  } else if (message.method === "textDocument/publishDiagnostics") {
    told(message.params.diagnostics);
  } else if (message.method !== undefined && message.id !== undefined) {
    send({ id: message.id, result: null });
  } else if (waiting.has(message.id)) {
    waiting.get(message.id)(message.result);
  }
}

let buffer = Buffer.alloc(0);
server.stdout.on("data", (data) => {
  buffer = Buffer.concat([buffer, data]);
  for (;;) {
    const head = buffer.indexOf("\r\n\r\n");
    const length = /Content-Length: (\d+)/.exec(buffer.toString("latin1", 0, head))?.[1];
    if (head < 0 || buffer.length < head + 4 + Number(length)) return;
    const end = head + 4 + Number(length);
    take(JSON.parse(buffer.toString("utf8", head + 4, end)));
    buffer = buffer.subarray(end);
  }
});

async function main() {
  await ask("initialize", {
    processId: process.pid,
    rootUri: null,
    capabilities: { workspace: { configuration: true, didChangeConfiguration: {} } },
  });
  notify("initialized", {});
  notify("workspace/didChangeConfiguration", { settings });
  const text = fs.readFileSync(file, "utf8");
  notify("textDocument/didOpen", { textDocument: { uri, languageId: "yaml", version: 1, text } });
  const at = ({ start }) => `${start.line + 1}:${start.character + 1}`;
  const found = (await underlined).map(({ range, message }) => `${at(range)} ${message}`);
  console.log(JSON.stringify({ underlined: found }));
  for (const place of places) {
    const [line, column] = place.split(":").map(Number);
    const position = { line: line - 1, character: column - 1 };
    const { items } = await ask("textDocument/completion", { textDocument: { uri }, position });
    console.log(JSON.stringify({ completed: items.map(({ label }) => label) }));
  }
  server.kill();
}

main();
