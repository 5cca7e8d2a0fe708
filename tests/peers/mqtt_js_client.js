// MQTT.js, steered like mqtt_client.py: one JSON command a line in, one JSON event a line out.
//
// Commands, by "do": connect (url, id, version "3.1.1" or "5", clean; optional expiry, ca,
// certificate and key: files), subscribe (filter, qos), publish (topic, payload, qos, retain;
// optional count, for which "N" in the payload is replaced by 0, 1, …), disconnect.
// Events, by "event": connected, subscribed, published, message, disconnected, error.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const mqtt = require("mqtt");

const say = (event, fields) => console.log(JSON.stringify({ event, ...fields }));
const read = (file) => (file === undefined ? undefined : fs.readFileSync(file));

let client;

const commands = {
  connect({ url, id, version, clean = true, expiry, ca, certificate, key }) {
    client = mqtt.connect(url, {
      clientId: id,
      protocolVersion: version === "5" ? 5 : 4,
      clean,
      properties: expiry === undefined ? undefined : { sessionExpiryInterval: expiry },
      ca: read(ca),
      cert: read(certificate),
      key: read(key),
      reconnectPeriod: 0,
    });
    client.on("connect", (connack) =>
      say("connected", { session_present: connack.sessionPresent, reason: "Success" }),
    );
    client.on("message", (topic, payload, { qos, retain, dup }) =>
      say("message", { topic, payload: payload.toString(), qos, retain, dup }),
    );
    client.on("error", (error) => say("error", { reason: String(error) }));
    client.on("close", () => say("disconnected", { reason: "" }));
  },
  subscribe({ filter, qos }) {
    client.subscribe(filter, { qos }, (error, granted) =>
      say("subscribed", { codes: error ? [] : granted.map((one) => one.qos) }),
    );
  },
  async publish({ topic, payload, qos = 0, retain = false, count = 1 }) {
    const text = (n) => (count > 1 ? payload.replace("N", n) : payload);
    const sent = Array.from({ length: count }, (_, n) =>
      client.publishAsync(topic, text(n), { qos, retain }),
    );
    await Promise.all(sent);
    say("published", { count });
  },
  disconnect() {
    client.end();
  },
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
