use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::Request;
use fieldgate_broker::{Broker, Config, Link, Outgoing, QoS};
use fieldgate_model::{Command, Outcome, PayloadFormat, Point, Topics, Value};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::commands::{self, Directory};
use super::publisher::Publisher;
use super::supervisor::Supervisor;
use crate::kinds::KINDS;
use fieldgate_config as config;

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
    let topics = Topics::new("{gateway}/{device}/{point}", "t").unwrap();
    let publisher = Publisher::new(broker.link("gateway"), topics, PayloadFormat::Json);
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
    requests: mpsc::Receiver<Box<Request>>,
}

fn desk() -> Desk {
    let (broker, publisher) = publisher();
    let link = broker.link("commands");
    let filter = publisher.topics().command_filter();
    link.subscribe(&filter, QoS::AtLeastOnce).unwrap();
    let several = publisher.topics().device_command_filter();
    link.subscribe(&several, QoS::AtLeastOnce).unwrap();
    let directory = Directory::default();
    let (sender, requests) = mpsc::channel(1);
    let points = [point("level", false), point("pump", true)];
    directory.insert("plc", points.into(), sender, None);
    let cancel = CancellationToken::new();
    tokio::spawn(commands::serve(link, publisher, directory, cancel));
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
            requests.try_recv().is_err(),
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

/// Two simulated devices on two buses.
const PLANT: &str = r#"
version: 1
gateway: {name: t}
defaults: {poll: 20ms}
buses:
  one: {tcp: "127.0.0.1:0", simulated: true}
  two: {tcp: "127.0.0.1:0", simulated: true}
devices:
  a: {bus: one, unit: 1, points: {x: {holding: 0, as: u16, write: true}, y: {discrete: 1}}}
  b: {bus: two, unit: 1, points: {z: {holding: 0, as: u16, write: true}}}
"#;

fn configuration(text: &str) -> config::Config {
    load(text).unwrap()
}

fn plant(publisher: &Publisher) -> Supervisor {
    let changed = Arc::new(Notify::new());
    let config = configuration(PLANT);
    Supervisor::new(
        &config,
        None,
        publisher.clone(),
        Directory::default(),
        changed,
    )
}

/// Waits until the devices are online.
async fn online(link: &Link, devices: &[&str]) {
    let mut left: Vec<String> = devices
        .iter()
        .map(|name| format!("t/{name}/$state"))
        .collect();
    while !left.is_empty() {
        let (topic, payload) = next(link).await;
        if payload == "online" {
            left.retain(|wanted| *wanted != topic);
        }
    }
}

#[tokio::test]
async fn a_reload_clears_what_is_gone_and_leaves_the_others_alone() {
    let (broker, publisher) = publisher();
    let watcher = watch(&broker);
    let mut plant = plant(&publisher);
    plant.change(configuration(PLANT)).await.unwrap();
    online(&watcher, &["a", "b"]).await;
    assert_eq!(plant.count().1, 2);

    let changes = plant
        .change(configuration(&PLANT.replace(", y: {discrete: 1}", "")))
        .await;
    assert_eq!(
        changes.unwrap().changed.into_iter().collect::<Vec<_>>(),
        ["a"]
    );
    let mut seen = Vec::new();
    while !seen.contains(&("t/a/$state".to_owned(), "online".to_owned())) {
        seen.push(next(&watcher).await);
    }
    assert!(
        seen.contains(&("t/a/y".to_owned(), String::new())),
        "{seen:?}"
    );
    assert!(
        seen.iter().all(|(topic, _)| topic != "t/b/$state"),
        "{seen:?}"
    );

    let renamed = PLANT.replace("  a: {", "  c: {");
    plant.change(configuration(&renamed)).await.unwrap();
    for topic in ["t/a/x", "t/a/$state"] {
        while !on(&watcher, topic).await.is_empty() {}
    }
    online(&watcher, &["c"]).await;
    let again = plant.change(configuration(&renamed)).await.unwrap();
    assert!(again.is_empty(), "{again:?}");

    plant.drain().await;
    let state = on(&watcher, "t/b/$state").await;
    assert!(
        state.contains("\"error\":\"the gateway was stopped\""),
        "{state}"
    );
}

#[tokio::test]
async fn a_bus_that_cannot_listen_stops_no_other_and_is_tried_again_by_the_next_reload() {
    let (broker, publisher) = publisher();
    let watcher = watch(&broker);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = PLANT.replacen("127.0.0.1:0", &address, 1);
    let mut plant = plant(&publisher);
    let error = plant
        .change(configuration(&text))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&address) && error.contains("bus one"),
        "{error}"
    );
    online(&watcher, &["b"]).await;
    drop(taken);
    plant.change(configuration(&text)).await.unwrap();
    online(&watcher, &["a"]).await;
    plant.drain().await;
}

/// One device of each kind, none of them on hardware.
const RETAINED: &str = r#"
version: 1
buses: {one: {tcp: "127.0.0.1:0", simulated: true}}
devices:
  a: {bus: one, unit: 1, points: {x: {holding: 0, as: u16}}}
  b: {serial: {port: /dev/b}, simulated: {says: ["5\n"]}, points: {y: {}}}
  c: {gpio: {chip: x, simulated: true}, points: {z: {out: 1}}}
"#;

#[tokio::test]
async fn what_is_retained_of_devices_of_every_kind_outlives_a_start() {
    let (broker, publisher) = publisher();
    let watcher = watch(&broker);
    let kept = ["t/a/x", "t/b/$state", "t/b/y", "t/c/z"];
    let gone = ["t/a/y", "t/c/$stats", "t/d/$state"];
    let stale = r#"{"value":1,"ts":"2026-11-22T17:16:00.123Z","quality":"stale"}"#;
    for topic in kept.iter().chain(&gone) {
        publisher.send(message(topic, stale, true)).await;
        assert_eq!(on(&watcher, topic).await, stale);
    }
    publisher.take_over(&configuration(RETAINED)).await;
    publisher.send(message("end", "", false)).await;
    let mut cleared = Vec::new();
    loop {
        let (topic, payload) = next(&watcher).await;
        if topic == "end" {
            break;
        }
        assert_eq!(payload, "", "{topic}");
        cleared.push(topic);
    }
    cleared.sort_unstable();
    assert_eq!(cleared, gone);
}

/// Six readings of one device, which is never started.
const READINGS: &str = r#"
version: 1
buses: {one: {tcp: "127.0.0.1:1"}}
devices:
  a:
    bus: one
    unit: 1
    points: {p: {holding: 0, as: u16}, q: {holding: 1, as: u16}, r: {holding: 2, as: u16}}
"#;

#[tokio::test]
async fn nothing_of_before_is_good_or_online_until_a_device_answers() {
    const GOOD: &str = r#"{"value":1,"ts":"2026-11-22T17:16:00.123Z","quality":"good"}"#;
    const STALE: &str = r#"{"value":1,"ts":"2026-11-22T17:16:00.123Z","quality":"stale"}"#;
    const BAD: &str = r#"{"value":null,"ts":"2026-11-22T17:16:00.123Z","quality":"bad"}"#;
    const OFFLINE: &str = r#"{"state":"offline","error":"e","since":"2026-11-22T17:16:00.123Z"}"#;
    const JUST: &str = "the gateway has just started";
    let json = PayloadFormat::Json;
    // Who retained it, what, and what a client finds: the same, this, or what contains it.
    for (format, ours, topic, before, after) in [
        (json, true, "t/a/p", GOOD, STALE),
        (json, true, "t/a/p", STALE, STALE),
        (json, true, "t/a/p", BAD, BAD),
        (json, true, "t/a/p", "21.5", ""),
        (json, true, "t/gone/p", GOOD, ""),
        (json, true, "t/a/gone", GOOD, ""),
        (json, false, "t/a/p", GOOD, ""),
        (json, false, "t/a/p", "{\"value\":999}", ""),
        (json, false, "t/other", "1", "1"),
        (json, true, "t/a/$state", "online", JUST),
        (json, true, "t/a/$state", OFFLINE, OFFLINE),
        (json, false, "t/a/$state", "offline", JUST),
        (json, true, "t/$state", "online", "offline"),
        (PayloadFormat::Raw, true, "t/a/p", "21.5", "21.5"),
        (PayloadFormat::Raw, true, "t/a/p", GOOD, ""),
        (PayloadFormat::Raw, false, "t/a/p", "21.5", ""),
        (PayloadFormat::Raw, true, "t/a/$state", "online", "offline"),
        (PayloadFormat::Raw, true, "t/a/$state", "offline", "offline"),
    ] {
        let broker = Broker::open(Config::default()).unwrap();
        let topics = Topics::new("{gateway}/{device}/{point}", "t").unwrap();
        let name = if ours { "gateway" } else { "client" };
        let retained = broker
            .link(name)
            .publish(message(topic, before, true))
            .await;
        assert_eq!(retained, Ok(()));
        let publisher = Publisher::new(broker.link("gateway"), topics, format);
        publisher.take_over(&configuration(READINGS)).await;
        let found = broker.link("late").retained(topic);
        let found = found.map_or(String::new(), |(message, _)| {
            String::from_utf8(message.payload().to_vec()).unwrap()
        });
        let is_as_wanted = found == after || after == JUST && found.contains(after);
        assert!(is_as_wanted, "{format:?} {name} {topic} {before}: {found}");
    }
}

#[tokio::test]
async fn a_device_that_stops_leaves_stale_readings_behind() {
    let (broker, publisher) = publisher();
    let mut plant = plant(&publisher);
    let watcher = watch(&broker);
    let quality = |wanted: &'static str| {
        let watcher = &watcher;
        async move { while !on(watcher, "t/a/x").await.contains(wanted) {} }
    };
    plant.change(configuration(PLANT)).await.unwrap();
    quality("good").await;
    // It is started anew.
    let changed = PLANT.replacen("holding: 0", "holding: 1", 1);
    assert_ne!(changed, PLANT);
    plant.change(configuration(&changed)).await.unwrap();
    quality("stale").await;
    quality("good").await;
    plant.drain().await;
    quality("stale").await;
    let (last, _) = broker.link("late").retained("t/a/x").unwrap();
    assert!(String::from_utf8_lossy(last.payload()).contains("stale"));
}

#[tokio::test]
async fn a_device_that_another_bridge_serves_from_now_on_keeps_its_name() {
    let (broker, publisher) = publisher();
    let watcher = watch(&broker);
    let mut plant = plant(&publisher);
    let (b, c) = (
        "serial: {port: /dev/b}, simulated: {says: [\"5\\n\"]}, points: {y: {}}",
        "gpio: {chip: x, simulated: true}, points: {z: {out: 1}}",
    );
    let exchanged = RETAINED
        .replace(b, "B")
        .replace(c, b)
        .replace("{B}", &format!("{{{c}}}"));
    for (text, points) in [
        (RETAINED, ["t/b/y", "t/c/z"]),
        (exchanged.as_str(), ["t/b/z", "t/c/y"]),
        (RETAINED, ["t/b/y", "t/c/z"]),
    ] {
        plant.change(configuration(text)).await.unwrap();
        let mut left = points.to_vec();
        while !left.is_empty() {
            let (topic, payload) = next(&watcher).await;
            left.retain(|point| *point != topic || payload.is_empty());
        }
        assert_eq!(plant.count().1, 3);
    }
    plant.drain().await;
}
