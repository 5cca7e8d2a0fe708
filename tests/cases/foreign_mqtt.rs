//! paho-mqtt and the mosquitto clients against the broker: what a plant's other software does.

use std::iter;

use serde_json::{Value, json};

use crate::harness::mqtt::{Broker, Paho, Subscriber, mosquitto_pub};

const NONE: Value = Value::Null;

/// Options of a session that outlives its connection.
fn lasting(version: &str) -> Value {
    match version {
        "5" => json!({"clean": false, "expiry": 600}),
        _ => json!({"clean": false}),
    }
}

#[test]
fn every_qos_in_every_version_delivers_all_messages_once_and_in_order() {
    let broker = Broker::start();
    for version in ["3.1", "3.1.1", "5"] {
        for qos in 0..=2 {
            let topic = format!("order/{version}/{qos}");
            let (mut reader, _) = Paho::connect(broker.port(), "reader", version, NONE);
            let (mut writer, _) = Paho::connect(broker.port(), "writer", version, NONE);
            reader.subscribe(&topic, qos);
            writer.publish(&topic, "N", qos, json!({"count": 200}));
            for want in 0..200 {
                let message = reader.message();
                assert_eq!(message["payload"], want.to_string(), "{topic}");
                assert_eq!(message["qos"], qos, "{topic}");
                assert_eq!(message["retain"], false, "{topic}");
            }
            // A second copy of anything would come before this.
            writer.publish(&topic, "end", qos, NONE);
            assert_eq!(reader.message()["payload"], "end", "{topic}");
            reader.disconnect();
            writer.disconnect();
        }
    }
}

#[test]
fn the_delivered_qos_is_the_lower_of_publisher_and_subscriber() {
    let broker = Broker::start();
    for (published, granted, want) in [(0, 2, 0), (1, 0, 0), (2, 1, 1), (1, 2, 1), (2, 2, 2)] {
        let (mut reader, _) = Paho::connect(broker.port(), "reader", "5", NONE);
        let (mut writer, _) = Paho::connect(broker.port(), "writer", "3.1.1", NONE);
        reader.subscribe("lower", granted);
        writer.publish("lower", "x", published, NONE);
        assert_eq!(reader.message()["qos"], want, "{published} to {granted}");
        reader.disconnect();
        writer.disconnect();
    }
}

#[test]
fn a_session_is_resumed_with_its_queued_messages_in_order() {
    let broker = Broker::start();
    for version in ["3.1.1", "5"] {
        let (mut reader, present) =
            Paho::connect(broker.port(), "sleeper", version, lasting(version));
        assert!(!present, "{version}");
        reader.subscribe("queue/#", 2);
        reader.disconnect();

        let (mut writer, _) = Paho::connect(broker.port(), "writer", version, NONE);
        for qos in [1, 2] {
            writer.publish(
                "queue/a",
                &format!("qos {qos} N"),
                qos,
                json!({"count": 30}),
            );
        }

        let (reader, present) = Paho::connect(broker.port(), "sleeper", version, lasting(version));
        assert!(present, "{version}");
        let want: Vec<String> = [1, 2]
            .iter()
            .flat_map(|qos| (0..30).map(move |n| format!("qos {qos} {n}")))
            .collect();
        assert_eq!(reader.payloads(60), want, "{version}");
        // The subscription is still there too.
        writer.publish("queue/b", "live", 1, NONE);
        assert_eq!(reader.payloads(1), ["live"], "{version}");
        reader.disconnect();
        writer.disconnect();

        let (reader, present) = Paho::connect(broker.port(), "sleeper", version, NONE);
        assert!(!present, "a clean start ends the session, {version}");
        reader.disconnect();
    }
}

#[test]
fn what_a_killed_client_did_not_acknowledge_comes_again_as_a_duplicate() {
    let broker = Broker::start();
    for (version, qos) in [("3.1.1", 1), ("5", 1), ("3.1.1", 2), ("5", 2)] {
        let mut options = lasting(version);
        options["manual_ack"] = json!(true);
        let (mut reader, _) = Paho::connect(broker.port(), "mortal", version, options);
        reader.subscribe("again", qos);
        let (mut writer, _) = Paho::connect(broker.port(), "writer", version, NONE);
        writer.publish("again", "N", qos, json!({"count": 5}));
        if qos == 1 {
            assert_eq!(reader.payloads(5), ["0", "1", "2", "3", "4"], "{version}");
        } else {
            // paho hands a QoS 2 message on only when it is released, which is after its PUBREC.
            assert_eq!(reader.payloads(1), ["0"], "{version}");
        }
        reader.process.kill();

        let (reader, present) = Paho::connect(broker.port(), "mortal", version, lasting(version));
        assert!(present, "{version}");
        if qos == 1 {
            for want in 0..5 {
                let message = reader.message();
                assert_eq!(message["payload"], want.to_string(), "{version}");
                assert_eq!(message["dup"], true, "{version}");
            }
        }
        writer.publish("again", "end", qos, NONE);
        while reader.message()["payload"] != "end" {}
        let (cleaner, _) = Paho::connect(broker.port(), "mortal", version, NONE);
        cleaner.disconnect();
        writer.disconnect();
    }
}

#[test]
fn a_will_is_sent_for_a_client_that_dies_and_not_for_one_that_leaves() {
    let broker = Broker::start();
    let watcher = Subscriber::start(broker.port(), "mqttv5", "will/#");
    for version in ["3.1.1", "5"] {
        for dies in [true, false] {
            let topic = format!("will/{version}/{dies}");
            let will = json!({"topic": topic, "payload": "gone", "qos": 1, "retain": true});
            let (mut client, _) =
                Paho::connect(broker.port(), "mortal", version, json!({"will": will}));
            if dies {
                client.process.kill();
            } else {
                client.disconnect();
                mosquitto_pub(broker.port(), "mqttv5", &topic, "no will before this");
            }
            let want = if dies { "gone" } else { "no will before this" };
            let got = watcher.wait(&topic, |seen, payload| {
                (seen == topic).then(|| payload.to_owned())
            });
            assert_eq!(got, want, "{topic}");
        }
    }
    // The wills were retained.
    let late = Subscriber::start(broker.port(), "mqttv311", "will/+/true");
    for _ in 0..2 {
        late.wait("retained will", |_, payload| {
            (payload == "gone").then_some(())
        });
    }
}

#[test]
fn a_retained_message_waits_for_subscribers_until_an_empty_one_removes_it() {
    let broker = Broker::start();
    let (mut writer, _) = Paho::connect(broker.port(), "writer", "5", NONE);
    for (payload, want) in [("old", Some("old")), ("new", Some("new")), ("", None)] {
        writer.publish("kept/value", payload, 1, json!({"retain": true}));
        let (mut reader, _) = Paho::connect(broker.port(), "reader", "3.1.1", NONE);
        reader.subscribe("kept/+", 1);
        if let Some(want) = want {
            let message = reader.message();
            assert_eq!(message["payload"], want);
            assert_eq!(message["retain"], true);
        }
        writer.publish("kept/live", "live", 1, NONE);
        let message = reader.message();
        assert_eq!(
            (&message["payload"], &message["retain"]),
            (&json!("live"), &json!(false))
        );
        reader.disconnect();
    }
}

#[test]
fn a_shared_subscription_spreads_the_messages_and_loses_none() {
    let broker = Broker::start();
    let mut group: Vec<Paho> = (0..3)
        .map(|n| Paho::connect(broker.port(), &format!("worker{n}"), "5", NONE).0)
        .collect();
    for worker in &mut group {
        worker.subscribe("$share/crew/jobs/#", 1);
    }
    let (mut everyone, _) = Paho::connect(broker.port(), "foreman", "3.1.1", NONE);
    everyone.subscribe("jobs/#", 1);
    let (mut writer, _) = Paho::connect(broker.port(), "writer", "5", NONE);
    writer.publish("jobs/a", "N", 1, json!({"count": 90}));
    let want: Vec<String> = (0..90).map(|n| n.to_string()).collect();
    assert_eq!(everyone.payloads(90), want);
    // The broker keeps the order: each worker sees its own mark after its share.
    for (n, worker) in group.iter_mut().enumerate() {
        worker.subscribe(&format!("mark/{n}"), 1);
        writer.publish(&format!("mark/{n}"), "mark", 1, NONE);
    }
    let share = |worker: &Paho| {
        let payloads = iter::repeat_with(|| worker.payloads(1).remove(0));
        let jobs = payloads.take_while(|payload| payload != "mark");
        jobs.map(|job| job.parse().unwrap()).collect()
    };
    let shares: Vec<Vec<u32>> = group.iter().map(share).collect();
    for share in &shares {
        assert!(share.len() >= 10, "a fair share of 90 among 3: {shares:?}");
    }
    let mut all = shares.concat();
    all.sort_unstable();
    assert_eq!(all, (0..90).collect::<Vec<u32>>());
}

#[test]
fn request_and_response_properties_reach_an_mqtt_5_peer_and_are_left_out_for_an_older_one() {
    let broker = Broker::start();
    let (mut modern, _) = Paho::connect(broker.port(), "modern", "5", NONE);
    let (mut older, _) = Paho::connect(broker.port(), "older", "3.1.1", NONE);
    modern.subscribe("ask", 1);
    older.subscribe("ask", 1);
    let (mut writer, _) = Paho::connect(broker.port(), "writer", "5", NONE);
    let user = json!([["b", "2"], ["a", "1"], ["b", "1"]]);
    let options = json!({"response_topic": "answer/7", "correlation": "c-42", "user": user});
    writer.publish("ask", "?", 1, options);
    let message = modern.message();
    assert_eq!(message["response_topic"], "answer/7");
    assert_eq!(message["correlation"], "c-42");
    assert_eq!(message["user"], user, "the order is kept");
    assert_eq!(older.message()["payload"], "?");
}

#[test]
fn topics_of_any_script_pass_and_dollar_topics_stay_out_of_wildcards() {
    let broker = Broker::start();
    let (mut reader, _) = Paho::connect(broker.port(), "Leser ü 読者", "5", NONE);
    reader.subscribe("#", 1);
    let (mut writer, _) = Paho::connect(broker.port(), "writer", "3.1.1", NONE);
    for topic in ["über/Straße", "温度/一階", "🌡/x", " spaced / out "] {
        writer.publish("$hidden/x", "hidden", 1, NONE);
        writer.publish(topic, "seen", 1, NONE);
        let mut seen = reader.message();
        if seen["topic"] == "plant7/$state" {
            seen = reader.message(); // The gateway's own, retained.
        }
        assert_eq!(seen["topic"], topic);
    }
}
