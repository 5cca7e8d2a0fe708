//! What runs, and what is retained of it, over reloads and restarts.

use super::*;

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

fn supervisor(publisher: &Publisher, plant: &Plant) -> Supervisor {
    let changed = Arc::new(Notify::new());
    let config = configuration(PLANT);
    Supervisor::new(
        &config,
        None,
        publisher.clone(),
        plant.clone(),
        changed,
        None,
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
    let plant = Plant::default();
    let mut supervisor = supervisor(&publisher, &plant);
    supervisor.change(configuration(PLANT)).await.unwrap();
    online(&watcher, &["a", "b"]).await;

    let changes = supervisor
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

    let shown: Vec<String> = plant.layout().devices.keys().cloned().collect();
    assert_eq!(shown, ["a", "b"]);
    let a = plant.device("a").unwrap();
    assert_eq!((a.points().len(), a.state()), (1, State::Online));
    assert_eq!(a.about().bus.as_deref(), Some("one"));

    let renamed = PLANT.replace("  a: {", "  c: {");
    supervisor.change(configuration(&renamed)).await.unwrap();
    for topic in ["t/a/x", "t/a/$state"] {
        while !on(&watcher, topic).await.is_empty() {}
    }
    online(&watcher, &["c"]).await;
    let again = supervisor.change(configuration(&renamed)).await.unwrap();
    assert!(again.is_empty(), "{again:?}");
    assert!(plant.device("a").is_none());
    // Who holds a device that is gone cannot write to it.
    let write = a.write("x", Value::Bool(true));
    assert_eq!(
        write.err(),
        Some(Unsent("the device was stopped".to_owned()))
    );

    supervisor.drain().await;
    let c = plant.device("c").unwrap();
    let reading = c.reading(0).map(|reading| reading.quality);
    assert_eq!(reading, Some(Quality::Stale));
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
    let plant = Plant::default();
    let mut supervisor = supervisor(&publisher, &plant);
    let error = supervisor
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
    supervisor.change(configuration(&text)).await.unwrap();
    online(&watcher, &["a"]).await;
    supervisor.drain().await;
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
    const WHOLE: &str = r#"{"ts":"2026-11-22T17:16:00.123Z","points":{"p":1,"gone":2}}"#;
    const WHOLE_STALE: &str =
        r#"{"ts":"2026-11-22T17:16:00.123Z","points":{"p":1},"quality":{"p":"stale"}}"#;
    let (json, raw) = ("payload: json", "payload: raw");
    let (both, device) = ("payload: device", "payload: device, points: false");
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
        (raw, true, "t/a/p", "21.5", "21.5"),
        (raw, true, "t/a/p", GOOD, ""),
        (raw, false, "t/a/p", "21.5", ""),
        (raw, true, "t/a/$state", "online", "offline"),
        (raw, true, "t/a/$state", "offline", "offline"),
        (json, true, "t/a", WHOLE, ""),
        (both, true, "t/a/p", GOOD, STALE),
        (both, true, "t/a", WHOLE, WHOLE_STALE),
        (both, true, "t/a", WHOLE_STALE, WHOLE_STALE),
        (device, true, "t/a/p", GOOD, ""),
        (device, true, "t/a", WHOLE, WHOLE_STALE),
        (device, true, "t/gone", WHOLE, ""),
        (device, false, "t/a", WHOLE, ""),
    ] {
        let broker = Broker::open(Config::default()).unwrap();
        let head = format!("version: 1\ngateway: {{name: t}}\nmqtt: {{{format}}}");
        let config = configuration(&READINGS.replacen("version: 1", &head, 1));
        let name = if ours { "gateway" } else { "client" };
        let retained = broker
            .link(name)
            .publish(message(topic, before, true))
            .await;
        assert_eq!(retained, Ok(()));
        let publisher = Publisher::new(broker.link("gateway"), &config);
        publisher.take_over(&config).await;
        let found = broker.link("late").retained(topic);
        let found = found.map_or(String::new(), |(message, _)| {
            String::from_utf8(message.payload().to_vec()).unwrap()
        });
        let is_as_wanted = found == after || after == JUST && found.contains(after);
        assert!(is_as_wanted, "{format} {name} {topic} {before}: {found}");
    }
}

#[tokio::test]
async fn a_device_that_stops_leaves_stale_readings_behind() {
    let (broker, publisher) = publisher();
    let plant = Plant::default();
    let mut supervisor = supervisor(&publisher, &plant);
    let watcher = watch(&broker);
    let quality = |wanted: &'static str| {
        let watcher = &watcher;
        async move { while !on(watcher, "t/a/x").await.contains(wanted) {} }
    };
    supervisor.change(configuration(PLANT)).await.unwrap();
    quality("good").await;
    // It is started anew.
    let changed = PLANT.replacen("holding: 0", "holding: 1", 1);
    assert_ne!(changed, PLANT);
    supervisor.change(configuration(&changed)).await.unwrap();
    quality("stale").await;
    quality("good").await;
    supervisor.drain().await;
    quality("stale").await;
    let (last, _) = broker.link("late").retained("t/a/x").unwrap();
    assert!(String::from_utf8_lossy(last.payload()).contains("stale"));
}

#[tokio::test]
async fn a_device_is_one_message_with_all_its_points_for_each_poll_that_changed_one() {
    let head = "version: 1\nmqtt: {payload: device, points: false}";
    let text = PLANT.replacen("version: 1", head, 1);
    let config = configuration(&text);
    let broker = Broker::start(Config::default()).unwrap();
    let publisher = Publisher::new(broker.link("gateway"), &config);
    let plant = Plant::default();
    let mut supervisor = supervisor(&publisher, &plant);
    let watcher = watch(&broker);
    let holds = |wanted: &'static [&'static str]| {
        let watcher = &watcher;
        async move {
            loop {
                let (topic, payload) = next(watcher).await;
                assert!(
                    !topic.starts_with("t/a/x") && !topic.starts_with("t/a/y"),
                    "{topic}"
                );
                if topic == "t/a" && wanted.iter().all(|wanted| payload.contains(wanted)) {
                    return payload;
                }
            }
        }
    };
    supervisor.change(config).await.unwrap();
    let payload = holds(&["\"x\":", "\"y\":"]).await;
    assert!(
        payload.starts_with("{\"ts\":\"2") && !payload.contains("quality"),
        "{payload}"
    );
    // A point goes, and the device is stale until it answers again.
    let less = configuration(&text.replacen(", y: {discrete: 1}", "", 1));
    supervisor.change(less).await.unwrap();
    let payload = holds(&["\"quality\":{\"x\":\"stale\"}"]).await;
    assert!(!payload.contains("\"y\""), "{payload}");
    holds(&["\"x\":"]).await;
    supervisor.drain().await;
    holds(&["\"quality\":{\"x\":\"stale\"}"]).await;
}

#[tokio::test]
async fn a_device_that_another_bridge_serves_from_now_on_keeps_its_name() {
    let (broker, publisher) = publisher();
    let watcher = watch(&broker);
    let plant = Plant::default();
    let mut supervisor = supervisor(&publisher, &plant);
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
        supervisor.change(configuration(text)).await.unwrap();
        let mut left = points.to_vec();
        while !left.is_empty() {
            let (topic, payload) = next(&watcher).await;
            left.retain(|point| *point != topic || payload.is_empty());
        }
        assert_eq!(plant.count().1, 3);
    }
    supervisor.drain().await;
}
