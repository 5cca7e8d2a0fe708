//! Uplinks as they are written.

use std::time::Duration;

use fieldgate_uplink::config::{Preset, Retain};
use fieldgate_uplink::lanes::Order;

use crate::tests::KINDS;

fn load(text: &str) -> Result<fieldgate_uplink::Config, String> {
    let text = format!("version: 1\ngateway: {{name: plant7}}\nuplinks:\n  cloud:\n{text}");
    let loaded = crate::load_text("gateway.yaml", &text, KINDS);
    match loaded {
        Ok(loaded) => Ok(loaded.config.uplinks["cloud"].clone()),
        Err(report) => Err(report.to_string()),
    }
}

#[test]
fn what_is_written_is_what_is_meant() {
    let uplink = load(
        "    url: [\"mqtts://a.example.com\", \"mqtt://b:7\"]
    preset: aws
    client_id: \"x-{gateway}\"
    username: u
    password_file: pw
    ca: ca.pem
    certificate: c.pem
    key: k.pem
    forward:
      - {topics: [\"plant7/#\"], except: [\"plant7/x/#\"], to: \"site/{gateway}/{topic:1..}\", retain: never}
      - {topics: [\"b\"], qos: 0, min_interval: 5s}
    pack: {topic: \"site/{gateway}/batch\", every: 2s, max: 3K}
    accept: [{topics: [\"site/+/set\"], to: \"{topic:1..}\", max_age: 30s}]
    spool: {max: 64M, age: 2d, when_full: drop_newest, window: 5s}
    replay: {order: fresh_first, share: 20%, topic: \"late/{topic}\"}
    limits: {messages: 50/s, bytes: 64K/s, in_flight: 9, packet: 4K}
    keep_alive: 20s
    reconnect: 2s..30s
",
    );
    let uplink = uplink.unwrap();
    let urls: Vec<_> = uplink.urls.iter().map(ToString::to_string).collect();
    assert_eq!(urls, ["mqtts://a.example.com:8883", "mqtt://b:7"]);
    assert_eq!(
        (uplink.preset, uplink.client_id.as_str()),
        (Preset::Aws, "x-plant7")
    );
    assert_eq!(
        uplink.forward[0].to.apply("a/b").as_deref(),
        Some("site/plant7/b")
    );
    assert_eq!(uplink.forward[0].retain, Retain::Never);
    assert_eq!(uplink.forward[1].retain, Retain::Last);
    assert_eq!(
        uplink.accept[0].to.apply("site/q/set").as_deref(),
        Some("q/set")
    );
    assert_eq!(uplink.accept[0].max_age, Some(Duration::from_secs(30)));
    assert_eq!(uplink.spool.max, 64 << 20);
    assert_eq!(uplink.spool.age, Some(Duration::from_secs(2 * 86_400)));
    assert_eq!(
        (uplink.replay.order, uplink.replay.share),
        (Order::FreshFirst, 0.2)
    );
    assert_eq!(uplink.forward[0].min_interval, None);
    assert_eq!(uplink.forward[1].min_interval, Some(Duration::from_secs(5)));
    let pack = uplink.pack.unwrap();
    assert_eq!(pack.topic, "site/plant7/batch");
    assert_eq!((pack.every, pack.max), (Duration::from_secs(2), 3 << 10));
    let limits = uplink.limits;
    assert_eq!((limits.messages, limits.bytes), (Some(50), Some(64 << 10)));
    assert_eq!((limits.in_flight, limits.packet), (9, 4 << 10));
    assert_eq!(
        uplink.reconnect,
        (Duration::from_secs(2), Duration::from_secs(30))
    );
    assert_eq!(uplink.own, "plant7/$uplink/");
}

#[test]
fn what_is_absent_is_as_usual_and_a_preset_sets_limits() {
    let few = |preset: &str| {
        load(&format!(
            "    url: \"mqtt://h\"\n    preset: {preset}\n    forward: [{{topics: [\"a\"]}}]\n"
        ))
        .unwrap()
    };
    let plain = few("none");
    assert_eq!((plain.limits.messages, plain.limits.in_flight), (None, 100));
    assert_eq!(
        (plain.client_id.as_str(), plain.spool.max),
        ("plant7", 256 << 20)
    );
    let aws = few("aws");
    assert_eq!(
        (aws.limits.messages, aws.limits.packet),
        (Some(100), 128 << 10)
    );
    // One connection a second of a client.
    assert_eq!(aws.reconnect.0, Duration::from_secs(2));
    let azure = few("event_grid");
    assert_eq!(
        (
            azure.limits.messages,
            azure.limits.bytes,
            azure.rules().slashes
        ),
        (Some(1_000), Some(1_000_000), Some(14))
    );
}

#[test]
fn mistakes_have_their_place_and_say_what_is_expected() {
    let with =
        |rest: &str| format!("    url: \"mqtt://h\"\n    forward: [{{topics: [\"a\"]}}]\n{rest}\n");
    for (text, want) in [
        ("    url: \"mqtt://h\"\n".to_owned(), ":4:3: uplinks.cloud: nothing goes up or down: expected forward or accept"),
        ("    forward: [{topics: [\"a\"]}]\n".to_owned(), "url"),
        (with("    urls: x"), ":7:5: uplinks.cloud.urls: unknown key"),
        (with("    limits: {messages: 100}"), "expected text, found 100"),
        (with("    limits: {messages: 0/s}"), "expected 1/s to 1000000/s"),
        (with("    limits: {in_flight: 0}"), "expected a number 1..=1000, found 0"),
        (with("    spool: {max: 1M}"), "expected a size from 16M to"),
        (with("    spool: {when_full: stop}"), "when_full"),
        (with("    spool: {max: 31M, when_full: thin}"), "cloud.spool.when_full: thin needs a spool.max of 32M or more"),
        (with("    replay: {share: 0%}"), "expected 1% to 100%"),
        (with("    certificate: c.pem"), ":7:5: uplinks.cloud.certificate: needs key, too"),
        (with("    ca: c.pem"), ":7:5: uplinks.cloud.ca: is for encrypted connections"),
        (with("    password_file: p"), ":7:5: uplinks.cloud.password_file: needs username, too"),
        (with("    pack: {topic: b, max: 1M}"), ":7:22: uplinks.cloud.pack.max: 1048576 bytes are more than limits.packet, 262144"),
        (with("    pack: {topic: \"b/{topic}\"}"), "uplinks.cloud.pack.topic: many messages have one topic"),
        (with("    pack: {every: 2s}"), "topic"),
        (with("    client_id: \"\""), "expected 1 to 256 bytes"),
        (with(&format!("    preset: aws\n    client_id: {}", "c".repeat(129))), "expected 1 to 128 bytes"),
        ("    url: \"http://h\"\n    forward: [{topics: [\"a\"]}]\n".to_owned(), "expected mqtt://HOST, mqtts://, ws://"),
        ("    url: [\"mqtt://h\", \"nats://h\"]\n    forward: [{topics: [\"a\"]}]\n".to_owned(), "uplinks.cloud.url: of one uplink all speak NATS"),
        ("    url: \"tls://h\"\n    preset: nats\n    forward: [{topics: [\"a\"]}]\n".to_owned(), ":6:5: uplinks.cloud.preset: is for MQTT"),
        (
            "    url: \"nats://h\"\n    forward: [{topics: [\"a\"], to: \"x y/{topic}\"}]\n".to_owned(),
            ":6:5: uplinks.cloud.forward: a becomes x y/a: a subject of NATS has no space",
        ),
        (
            "    url: \"nats://h\"\n    accept: [{topics: [\"a/*\"]}]\n".to_owned(),
            ":6:5: uplinks.cloud.accept: a/*: a subject of NATS has no '*'",
        ),
        (
            "    url: \"nats://h\"\n    token_file: t\n    credentials: c\n    forward: [{topics: [\"a\"]}]\n".to_owned(),
            "expected only one of username, token_file and credentials",
        ),
        (
            "    url: \"nats://h\"\n    forward: [{topics: [\"a\"]}]\n    replay: {topic: \"l t/{topic}\"}\n".to_owned(),
            ":7:14: uplinks.cloud.replay.topic: a subject of NATS has no space",
        ),
        (with("    token_file: t"), ":7:5: uplinks.cloud.token_file: is for NATS"),
        ("    url: \"mqtt://h\"\n    forward: [{topics: [\"a/#/b\"]}]\n".to_owned(), "expected a topic filter such as"),
        ("    url: \"mqtt://h\"\n    forward: [{topics: [\"a\"], to: \"{device}\"}]\n".to_owned(), "{device} is not known; expected {topic}"),
        ("    url: \"mqtt://h\"\n    forward: [{topics: [\"a\"], qos: 2}]\n".to_owned(), "expected 0 or 1, found 2"),
        (
            "    url: \"mqtt://h\"\n    preset: aws\n    forward: [{topics: [\"a\"], to: \"1/2/3/4/5/6/7/8/{topic}\"}]\n".to_owned(),
            ":7:5: uplinks.cloud.forward: a becomes 1/2/3/4/5/6/7/8/a: the topic has 8 slashes, the remote takes 7",
        ),
        (
            "    url: \"mqtt://h\"\n    preset: nats\n    forward: [{topics: [\"a/#\"]}]\n    accept: [{topics: [\"a/x\"]}]\n".to_owned(),
            ":8:5: uplinks.cloud.accept: a/x also matches a/#, where a/# of forward goes",
        ),
    ] {
        let error = load(&text).unwrap_err();
        assert!(error.contains(want), "{text}\n{error}\nwants {want}");
    }
}
