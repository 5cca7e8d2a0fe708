use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Receiver, Request, channel};
use fieldgate_broker::{Broker, Config, Link, Outgoing, QoS};
use fieldgate_model::{Command, Outcome, Point, Quality, Value};
use fieldgate_plant::{About, Plant, State, Unsent};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::commands;
use super::publisher::Publisher;
use super::supervisor::Supervisor;
use crate::kinds::KINDS;
use fieldgate_config as config;

mod allocations;
mod reload;

fn load(text: &str) -> Result<config::Config, String> {
    let loaded = config::load_text("gateway.yaml", text, KINDS);
    loaded
        .map(|loaded| loaded.config)
        .map_err(|report| report.to_string())
}

/// Only a failed test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker without listeners, and a publisher on it.
fn publisher() -> (Broker, Publisher) {
    let broker = Broker::start(Config::default()).unwrap();
    let config = load("version: 1\ngateway: {name: t}\n").unwrap();
    let publisher = Publisher::new(broker.link("gateway"), &config);
    (broker, publisher)
}

/// A link that sees everything but the broker's own topics.
fn watch(broker: &Broker) -> Link {
    let link = broker.link("watcher");
    link.subscribe("#", QoS::AtLeastOnce).unwrap();
    link
}

async fn next(link: &Link) -> (String, String) {
    let delivery = tokio::time::timeout(PATIENCE, link.recv()).await;
    let delivery = delivery.expect("a message");
    let message = delivery.message();
    let payload = String::from_utf8(message.payload().to_vec()).unwrap();
    (message.topic().to_owned(), payload)
}

/// Waits for a message on a topic, and returns its payload.
async fn on(link: &Link, topic: &str) -> String {
    loop {
        let (other, payload) = next(link).await;
        if other == topic {
            return payload;
        }
    }
}

fn point(name: &str, writable: bool) -> Point {
    Point {
        name: name.to_owned(),
        unit: None,
        writable,
        labels: None,
    }
}

fn message<'a>(topic: &'a str, payload: &'a str, retain: bool) -> Outgoing<'a> {
    Outgoing {
        topic,
        payload: payload.as_bytes(),
        qos: QoS::AtLeastOnce,
        retain,
        correlation_data: None,
    }
}

/// A gateway with one device `plc` that takes one command at a time, and nothing behind it.
struct Desk {
    _broker: Broker,
    client: Link,
    requests: Receiver<Box<Request>>,
}

fn desk() -> Desk {
    let (broker, publisher) = publisher();
    let link = broker.link("commands");
    let filter = publisher.topics().command_filter();
    link.subscribe(&filter, QoS::AtLeastOnce).unwrap();
    let several = publisher.topics().device_command_filter();
    link.subscribe(&several, QoS::AtLeastOnce).unwrap();
    let plant = Plant::default();
    let (sender, requests) = channel(1);
    let points = [point("level", false), point("pump", true)];
    let device = plant.new_device(About {
        name: "plc".to_owned(),
        bridge: "modbus".to_owned(),
        bus: None,
        points: points.into(),
        requests: sender,
        raw: None,
    });
    plant.change(|layout| {
        layout.devices.insert("plc".to_owned(), device);
    });
    let cancel = CancellationToken::new();
    tokio::spawn(commands::serve(link, publisher, plant, None, cancel));
    let client = broker.link("client");
    for filter in ["t/+/+/result", "t/+/result"] {
        client.subscribe(filter, QoS::AtLeastOnce).unwrap();
    }
    Desk {
        _broker: broker,
        client,
        requests,
    }
}

#[tokio::test]
async fn a_command_that_is_not_for_a_device_is_answered_with_the_reason() {
    let Desk {
        client,
        mut requests,
        _broker,
    } = desk();
    let long = "1".repeat(5000);
    for (topic, payload, retain, want) in [
        (
            "t/plk/pump/set",
            "1",
            false,
            "there is no device \\\"plk\\\"",
        ),
        ("t/plc/pumb/set", "1", false, "has no point \\\"pumb\\\""),
        ("t/plc/level/set", "1", false, "\\\"level\\\" is read-only"),
        ("t/plc/pump/set", "", false, "the payload is empty"),
        ("t/plc/pump/set", "{", false, "not a JSON command"),
        ("t/plc/pump/set", &long, false, "longer than 4096 bytes"),
        ("t/plc/pump/set", "1", true, "a retained command is refused"),
    ] {
        client
            .publish(message(topic, payload, retain))
            .await
            .unwrap();
        let (result, answer) = next(&client).await;
        assert_eq!(result, topic.replace("/set", "/result"));
        assert!(
            answer.starts_with("{\"status\":\"error\",\"error\":\""),
            "{answer}"
        );
        assert!(answer.contains(want), "{answer}");
        assert!(
            requests.try_recv().is_none(),
            "{topic} {payload} went through"
        );
    }
}

#[tokio::test]
async fn a_command_waits_for_its_device_and_one_too_many_is_refused() {
    let Desk {
        client,
        mut requests,
        _broker,
    } = desk();
    let set = "t/plc/pump/set";
    client.publish(message(set, "1", false)).await.unwrap();
    client.publish(message(set, "0", false)).await.unwrap();
    assert_eq!(
        on(&client, "t/plc/pump/result").await,
        "{\"status\":\"error\",\"error\":\"busy: too many commands are waiting\"}"
    );
    let request = requests.recv().await.unwrap();
    assert_eq!(
        request.commands,
        [Command {
            point: 1,
            value: Value::Decimal(1.into())
        }]
    );
    let value = Value::Bool(true);
    let outcome = Outcome::Done {
        value: value.clone(),
        readback: Some(value),
    };
    request.reply.send(vec![outcome]);
    assert_eq!(
        on(&client, "t/plc/pump/result").await,
        "{\"status\":\"ok\",\"value\":true,\"readback\":true}"
    );
    // A device that is stopped while a command waits.
    client.publish(message(set, "1", false)).await.unwrap();
    drop(requests.recv().await.unwrap());
    let answer = on(&client, "t/plc/pump/result").await;
    assert!(answer.contains("the device was stopped"), "{answer}");
}

#[tokio::test]
async fn several_points_are_commanded_by_one_message_and_answered_by_one() {
    let mut desk = desk();
    let set = "t/plc/set";
    for (payload, want) in [
        ("1", "expected an object of points"),
        ("{\"pumb\": 1}", "has no point \\\"pumb\\\""),
        ("{\"level\": 1}", "\\\"level\\\" is read-only"),
    ] {
        desk.client
            .publish(message(set, payload, false))
            .await
            .unwrap();
        let answer = on(&desk.client, "t/plc/result").await;
        assert!(answer.contains(want), "{answer}");
    }
    let payload = "{\"pump\": true}";
    desk.client
        .publish(message(set, payload, false))
        .await
        .unwrap();
    let request = desk.requests.recv().await.unwrap();
    assert_eq!(request.commands.len(), 1);
    request.reply.send(vec![Outcome::Done {
        value: Value::Bool(true),
        readback: None,
    }]);
    let want = r#"{"status":"ok","points":{"pump":{"status":"ok","value":true}}}"#;
    assert_eq!(on(&desk.client, "t/plc/result").await, want);
}

#[tokio::test]
async fn clearing_a_retained_command_is_no_command() {
    let Desk {
        client,
        requests: _requests,
        _broker,
    } = desk();
    client
        .publish(message("t/plc/pump/set", "", true))
        .await
        .unwrap();
    client
        .publish(message("t/plc/level/set", "1", false))
        .await
        .unwrap();
    assert_eq!(next(&client).await.0, "t/plc/level/result");
}
