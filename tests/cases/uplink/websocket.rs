//! Uplinks over WebSocket, to Debian's mosquitto and to the gateway's own broker.

use std::collections::BTreeMap;

use fieldgate_tests::counter::Wire;
use serde_json::Value;

use super::{Gateway, collect, duplicates, uplink};
use crate::harness::free_port;
use crate::harness::mosquitto::Mosquitto;
use crate::harness::secure::Secure;

#[test]
fn messages_and_commands_go_over_websocket_and_wait_while_mosquitto_is_away() {
    let websocket = free_port();
    let rest = format!(
        "max_inflight_messages 0\nlistener {websocket} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n"
    );
    let mut remote = Mosquitto::start_with(&rest);
    let rest = "    accept: [{topics: [\"down/#\"]}]\n";
    let text = uplink(websocket, rest).replace("mqtt://", "ws://");
    let gateway = Gateway::start("plant7", &text);
    let status = gateway.wait("connected", |status| status["state"] == "online");
    assert_eq!(status["remote"], format!("ws://127.0.0.1:{websocket}/mqtt"));
    let mut there = Wire::connect(remote.port(), "counter");
    there.subscribe("site/#");
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    let mut publish = |count: u64| {
        for _ in 0..count {
            here.publish("data/a", &number.to_string(), false);
            number += 1;
        }
    };
    // More than goes into one frame.
    publish(2_000);
    let mut seen = BTreeMap::new();
    collect(&mut there, &mut seen, 2_000);
    there.publish("down/pump", "on", false);
    gateway.wait("a command", |status| status["accepted"] == 1);
    remote.process().kill();
    publish(300);
    gateway.wait("on the card", |status| status["backlog"]["messages"] == 300);
    remote.again();
    let mut there = Wire::connect(remote.port(), "counter");
    there.subscribe("site/#");
    collect(&mut there, &mut seen, 2_300);
    assert_eq!(duplicates(&seen), 0);
}

#[test]
fn the_gateways_own_broker_is_a_remote_over_websocket_and_tls() {
    let remote = Secure::start("required");
    let rest = format!(
        "    ca: {:?}\n    certificate: {:?}\n    key: {:?}\n",
        remote.file("ca.pem"),
        remote.file("panel.pem"),
        remote.file("panel.key")
    );
    let text = uplink(remote.websocket_tls, &rest).replace("mqtt://", "wss://");
    let gateway = Gateway::start("board", &text);
    let status = gateway.wait("connected", |status| status["state"] == "online");
    let tls = status["tls"].as_str().unwrap();
    assert!(tls.starts_with("TLSv1_3"), "{tls}");
    Wire::connect(gateway.port, "publisher").publish("data/a", "0", false);
    gateway.wait("acknowledged", |status| status["acknowledged"] == 1);
    // A server of the web that is none of MQTT says so.
    let text = uplink(remote.gateway.port, "").replace("mqtt://", "ws://");
    let gateway = Gateway::start("board", &text);
    gateway.wait("the error", |status| status["error"] != Value::Null);
}
