//! MQTT clients that we did not write: paho-mqtt through `peers/mqtt_client.py`, MQTT.js through
//! `peers/mqtt_js_client.js`, and the mosquitto command-line clients.

use std::{cell::RefCell, collections::VecDeque, env, process::Command, time::Duration};

use serde_json::{Value, json};

use super::{Folder, PATIENCE, free_port, gateway::Gateway, process::Process, python, repository};

/// A broker alone: a gateway without devices.
///
/// With FIELDGATE_TEST_BROKER=mosquitto the cases run against mosquitto instead: what fails there
/// as well is a mistake of the case.
pub enum Broker {
    Ours(Box<Gateway>),
    Mosquitto(Process, u16, Folder),
}

impl Broker {
    pub fn start() -> Self {
        if env::var("FIELDGATE_TEST_BROKER").is_ok_and(|name| name == "mosquitto") {
            return Self::mosquitto();
        }
        Self::Ours(Box::new(Gateway::start("")))
    }

    fn mosquitto() -> Self {
        let (port, folder) = (free_port(), Folder::new());
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\n");
        let file = folder.write("mosquitto.conf", &text);
        let mut command = Command::new("/usr/sbin/mosquitto");
        let process = Process::spawn("mosquitto", command.arg("-v").arg("-c").arg(file));
        process.wait_line("running");
        Self::Mosquitto(process, port, folder)
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Ours(gateway) => gateway.port,
            Self::Mosquitto(_, port, _) => *port,
        }
    }

    pub fn process(&mut self) -> &mut Process {
        match self {
            Self::Ours(gateway) => &mut gateway.process,
            Self::Mosquitto(process, ..) => process,
        }
    }
}

/// A client in a process of its own, so that it can die. It takes the commands of
/// `peers/mqtt_client.py`.
pub struct Peer {
    pub process: Process,
    /// Messages that came while another event was waited for.
    messages: RefCell<VecDeque<Value>>,
}

/// Most cases need no other.
pub type Paho = Peer;

impl Peer {
    /// Connects paho-mqtt with the options of `mqtt_client.py` and waits for the CONNACK; returns
    /// whether the broker had a session for it.
    pub fn connect(port: u16, id: &str, version: &str, options: Value) -> (Self, bool) {
        let script = repository().join("tests/peers/mqtt_client.py");
        Self::connect_by(
            Command::new(python()).arg(script),
            port,
            id,
            version,
            options,
        )
    }

    /// As [`Self::connect`], with MQTT.js; its options have a `url`, and the port does not count.
    pub fn connect_js(id: &str, version: &str, options: Value) -> (Self, bool) {
        let modules = repository().join("tests/.node/node_modules");
        assert!(
            modules.exists(),
            "MQTT.js is missing: `tests/run` installs it"
        );
        let script = repository().join("tests/peers/mqtt_js_client.js");
        let mut command = Command::new("node");
        command.arg(script).env("NODE_PATH", modules);
        Self::connect_by(&mut command, 0, id, version, options)
    }

    fn connect_by(
        command: &mut Command,
        port: u16,
        id: &str,
        version: &str,
        options: Value,
    ) -> (Self, bool) {
        let process = Process::spawn(id, command);
        let messages = RefCell::default();
        let mut peer = Self { process, messages };
        let mut command = json!({"do": "connect", "port": port, "id": id, "version": version});
        merge(&mut command, options);
        peer.process.say(&command.to_string());
        let connected = peer.event("connected");
        assert_eq!(connected["reason"], "Success", "{id} over MQTT {version}");
        (peer, connected["session_present"] == true)
    }

    /// Subscribes and waits for the SUBACK, which must grant `qos`.
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        let command = json!({"do": "subscribe", "filter": filter, "qos": qos});
        self.process.say(&command.to_string());
        assert_eq!(self.event("subscribed")["codes"], json!([qos]), "{filter}");
    }

    /// Publishes with the options of `mqtt_client.py` and waits until it is acknowledged.
    pub fn publish(&mut self, topic: &str, payload: &str, qos: u8, options: Value) {
        let count = options.get("count").cloned().unwrap_or(json!(1));
        let mut command = json!({"do": "publish", "topic": topic, "payload": payload, "qos": qos});
        merge(&mut command, options);
        self.process.say(&command.to_string());
        assert_eq!(self.event("published")["count"], count, "{topic}");
    }

    /// Disconnects properly and waits until the connection is closed.
    pub fn disconnect(mut self) {
        self.process.say(&json!({"do": "disconnect"}).to_string());
        self.event("disconnected");
    }

    /// Waits for the next event of a kind. Messages before it are kept for [`Self::message`],
    /// other events are dropped.
    pub fn event(&self, kind: &str) -> Value {
        self.process.wait(kind, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            if event["event"] == kind {
                return Some(event);
            }
            if event["event"] == "message" {
                self.messages.borrow_mut().push_back(event);
            }
            None
        })
    }

    /// The next message.
    pub fn message(&self) -> Value {
        let kept = self.messages.borrow_mut().pop_front();
        kept.unwrap_or_else(|| self.event("message"))
    }

    /// The payloads of the next `count` messages.
    pub fn payloads(&self, count: usize) -> Vec<String> {
        let payload = |_| self.message()["payload"].as_str().unwrap().to_owned();
        (0..count).map(payload).collect()
    }
}

/// What `mosquitto_sub` prints for a filter: topic and payload, one message a line.
pub struct Subscriber(Process);

impl Subscriber {
    /// `version` is what `-V` takes: `mqttv31`, `mqttv311` or `mqttv5`.
    pub fn start(port: u16, version: &str, filter: &str) -> Self {
        // It writes to a pipe in blocks, unless it is told otherwise.
        let mut command = Command::new("stdbuf");
        command.args([
            "-oL",
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
        ]);
        command.args([
            "-V",
            version,
            "-q",
            "1",
            "-t",
            filter,
            "-F",
            "message: %t %p",
            "-d",
        ]);
        let process = Process::spawn("mosquitto_sub", &mut command);
        process.wait_line("Subscribed");
        Self(process)
    }

    /// The next message of which `pick` makes something of topic and payload.
    pub fn wait<T>(&self, what: &str, pick: impl FnMut(&str, &str) -> Option<T>) -> T {
        self.wait_within(PATIENCE, what, pick)
    }

    pub fn wait_within<T>(
        &self,
        limit: Duration,
        what: &str,
        mut pick: impl FnMut(&str, &str) -> Option<T>,
    ) -> T {
        self.0.wait_within(limit, what, |line| {
            // The other lines are mosquitto_sub's own account of what it does.
            let message = line.strip_prefix("message: ")?;
            let (topic, payload) = message.split_once(' ').unwrap_or((message, ""));
            pick(topic, payload)
        })
    }

    /// The next payload of a topic, as JSON.
    pub fn json(&self, topic: &str) -> Value {
        self.wait(topic, |seen, payload| {
            (seen == topic).then(|| serde_json::from_str(payload).expect("a JSON payload"))
        })
    }
}

/// Waits until a topic's payload is as `wanted` says, seen by a client that has just come: the
/// retained one, or one that follows.
pub fn wait_payload(port: u16, topic: &str, mut wanted: impl FnMut(&str) -> bool) {
    let subscriber = Subscriber::start(port, "mqttv5", topic);
    subscriber.wait(topic, |_, payload| wanted(payload).then_some(()));
}

/// Publishes once with `mosquitto_pub` at QoS 1, which ends when it is acknowledged.
pub fn mosquitto_pub(port: u16, version: &str, topic: &str, payload: &str) {
    let status = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", version])
        .args(["-q", "1", "-t", topic, "-m", payload])
        .status();
    assert!(status.expect("mosquitto_pub is there").success(), "{topic}");
}

fn merge(into: &mut Value, options: Value) {
    if let (Value::Object(into), Value::Object(options)) = (into, options) {
        into.extend(options);
    }
}
