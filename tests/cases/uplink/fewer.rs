//! Fewer messages: many in one, and of a topic the last in a time.

use fieldgate_tests::counter::{Got, Wire};
use serde_json::Value;

use super::{Gateway, uplink};
use crate::harness::PATIENCE;
use crate::harness::mosquitto::Mosquitto;

#[test]
fn many_messages_go_up_in_one_and_of_a_topic_the_last_in_a_time() {
    let remote = Mosquitto::start();
    let pack = "pack: {topic: \"site/{gateway}/batch\", every: 2s}";
    let text = uplink(remote.port(), &format!("    {pack}\n"));
    let text = text.replace("\"site/{topic}\"}", "\"site/{topic}\", min_interval: 1s}");
    let mut gateway = Gateway::start("plant7", &text);
    let mut there = Wire::connect(remote.port(), "counter");
    there.subscribe("site/#");
    gateway.wait("connected", |status| status["state"] == "online");
    let mut here = Wire::connect(gateway.port, "publisher");
    for number in 0..100 {
        here.publish("data/a", &format!("{{\"value\":{number}}}"), true);
        here.publish("data/b", "no JSON", false);
    }
    let members = |got: &Got| {
        assert_eq!(
            (got.topic.as_str(), got.retain),
            ("site/plant7/batch", false)
        );
        let value: Value = serde_json::from_str(&got.payload).unwrap();
        assert_eq!(value["id"], got.user["fg-id"]);
        let members = value["messages"].as_array().unwrap().clone();
        assert!(
            members
                .iter()
                .all(|member| member["topic"] == "site/data/a")
        );
        let values = members
            .iter()
            .map(|member| member["payload"]["value"].as_i64().unwrap());
        values.collect::<Vec<i64>>()
    };
    let (mut values, mut alone) = (Vec::new(), 0);
    while values.last() != Some(&99) {
        let got = there.message(PATIENCE).expect("a message");
        match got.topic == "site/data/b" {
            true => alone += 1,
            false => values.extend(members(&got)),
        }
    }
    assert_eq!(values[0], 0);
    // The hundred took less than some seconds, of which each has one at most.
    assert!(values.len() < 20 && alone < 20, "{values:?} {alone}");
    let status = gateway.wait("counted", |status| status["packed"] == values.len());
    assert!(status["replaced"].as_u64() > Some(100), "{status:#}");
    // What is held back is not lost by a stop.
    here.publish("data/c", "1", false);
    here.publish("data/c", "2", false);
    gateway.process.signal("TERM");
    gateway.process.wait_exit(PATIENCE);
    gateway.again();
    let mut last = None;
    while last != Some(2) {
        let got = there.message(PATIENCE).expect("a message");
        let value: Value = serde_json::from_str(&got.payload).unwrap_or_default();
        let messages = value["messages"].as_array().cloned().unwrap_or_default();
        last = messages
            .last()
            .and_then(|member| member["payload"].as_i64());
    }
}
