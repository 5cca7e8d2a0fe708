//! Uplinks to Debian's nats-server, one or three of them: each message is in the stream once, whatever dies.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use fieldgate_tests::counter::Wire;
use fieldgate_tests::faults::{Mode, Proxy};
use serde_json::Value;

use super::{Gateway, rounds};
use crate::harness::gateway::{configuration, fieldgate};
use crate::harness::nats::Nats;
use crate::harness::secure::make_certificates;
use crate::harness::{Folder, PATIENCE};

/// An uplink for all below `data/`. Clients are acknowledged at once, so that they are quick.
pub(super) fn uplink(urls: &str, rest: &str) -> String {
    format!(
        "    url: {urls}
    forward: [{{topics: [\"data/#\"], to: \"site/{{topic}}\"}}]
    spool: {{max: 32M, window: 1s, durable: none}}
    reconnect: 100ms..1s
{rest}"
    )
}

pub(super) fn to_port(port: u16) -> String {
    format!("\"nats://127.0.0.1:{port}\"")
}

/// Publishes so many more messages, whose payloads are numbers.
pub(super) fn publish(here: &mut Wire, number: &mut u64, count: u64) {
    for _ in 0..count {
        here.publish(
            &format!("data/p{}", *number % 50),
            &number.to_string(),
            false,
        );
        *number += 1;
    }
}

/// Whether nothing waits.
pub(super) fn is_through(status: &Value) -> bool {
    status["state"] == "online" && status["backlog"]["messages"] == 0 && status["window"] == 0
}

/// Whether the error is this one.
pub(super) fn says(text: &'static str) -> impl Fn(&Value) -> bool {
    move |status| {
        let error = status["error"].as_str();
        error.is_some_and(|error| error.contains(text))
    }
}

/// Waits until all of `count` messages are acknowledged.
pub(super) fn through(gateway: &Gateway, count: u64) -> Value {
    let is_all =
        |status: &Value| is_through(status) && status["acknowledged"].as_u64() >= Some(count);
    gateway.wait("all acknowledged", is_all)
}

/// Waits until the stream has so many messages.
fn wait_stored(nats: &Nats, count: usize) {
    let end = Instant::now() + PATIENCE;
    while nats.read("SITE").len() < count {
        assert!(
            Instant::now() < end,
            "{} of {count}",
            nats.read("SITE").len()
        );
    }
}

/// The stream has each number once, with a name of its own.
pub(super) fn assert_each_once(messages: &[Value], count: u64) {
    let mut seen: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for message in messages {
        let number: u64 = message["payload"].as_str().unwrap().parse().unwrap();
        assert_eq!(message["subject"], format!("site.data.p{}", number % 50));
        assert_eq!(message["headers"]["Fg-Via"], "plant7", "{message}");
        seen.entry(number)
            .or_default()
            .push(&message["headers"]["Nats-Msg-Id"]);
    }
    let missing: Vec<u64> = (0..count)
        .filter(|number| !seen.contains_key(number))
        .collect();
    let twice: Vec<_> = seen
        .iter()
        .filter(|(_, ids)| ids.len() > 1)
        .take(5)
        .collect();
    assert!(
        missing.is_empty() && twice.is_empty(),
        "{} missing: {:?}; twice: {twice:?}",
        missing.len(),
        missing.iter().take(20).collect::<Vec<_>>()
    );
    assert_eq!(messages.len() as u64, count);
}

#[test]
fn every_message_is_in_the_stream_once_when_nodes_and_leaders_of_a_cluster_die() {
    let mut nats = Nats::start_many(3, "");
    nats.ask(&["create", "SITE", "site.>", "3", "120"]);
    let gateway = Gateway::start("plant7", &uplink(&nats.urls(), ""));
    gateway.wait("connected", |status| status["state"] == "online");
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    for round in 0..rounds(6).div_ceil(6) {
        let leader = nats.leader("SITE");
        let node = (leader + 1) % 3;
        publish(&mut here, &mut number, 300);
        nats.kill(node);
        publish(&mut here, &mut number, 300);
        through(&gateway, number);
        nats.again(node);
        let leader = nats.leader("SITE");
        publish(&mut here, &mut number, 300);
        nats.kill(leader);
        publish(&mut here, &mut number, 300);
        through(&gateway, number);
        // Without a majority it waits.
        nats.kill((leader + 1) % 3);
        let before = gateway.status()["acknowledged"].as_u64().unwrap();
        publish(&mut here, &mut number, 300);
        let status = gateway.wait("on the card", |status| {
            status["backlog"]["messages"].as_u64() >= Some(300)
        });
        assert!(
            status["acknowledged"].as_u64() <= Some(before),
            "{status:#}"
        );
        nats.kill((leader + 2) % 3);
        publish(&mut here, &mut number, 300);
        (0..3).for_each(|node| nats.again(node));
        let status = through(&gateway, number);
        println!("round {round}: {number} messages, {status:#}");
    }
    assert_each_once(&nats.read("SITE"), number);
    let status = gateway.status();
    assert_eq!(
        [&status["dropped"]["full"], &status["dropped"]["rejected"]],
        [0, 0],
        "{status:#}"
    );
}

#[test]
fn what_a_stream_has_is_not_sent_again_after_an_outage_longer_than_its_window() {
    let nats = Nats::start("");
    nats.ask(&["create", "SITE", "site.>", "1", "0.1"]);
    let proxy = Proxy::start(nats.port());
    let mut gateway = Gateway::start("plant7", &uplink(&to_port(proxy.port), ""));
    gateway.wait("connected", |status| status["state"] == "online");
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    // The stream takes them, and the gateway does not hear of it.
    publish(&mut here, &mut number, 40);
    through(&gateway, number);
    proxy.set(Mode::NoAnswers);
    publish(&mut here, &mut number, 60);
    wait_stored(&nats, 100);
    proxy.set(Mode::Refuse);
    proxy.cut();
    // The window of the stream is over before these are on the card.
    publish(&mut here, &mut number, 200);
    gateway.wait("on the card", |status| status["backlog"]["messages"] == 260);
    proxy.set(Mode::Pass);
    let status = through(&gateway, number);
    assert_eq!(status["already_there"], 60, "{status:#}");
    assert_each_once(&nats.read("SITE"), number);
    // The same, but the gateway is killed while a backlog goes: it does not know what it has sent.
    proxy.set(Mode::Refuse);
    proxy.cut();
    publish(&mut here, &mut number, 400);
    gateway.wait("on the card", |status| status["backlog"]["messages"] == 400);
    proxy.limit_answers(15_000);
    proxy.set(Mode::Pass);
    wait_stored(&nats, 500);
    gateway.process.kill();
    proxy.cut();
    proxy.limit_answers(usize::MAX);
    gateway.again();
    let status = gateway.wait("sent", is_through);
    assert!(status["already_there"].as_u64() >= Some(50), "{status:#}");
    assert_each_once(&nats.read("SITE"), number);
}

#[test]
fn a_subject_without_a_stream_is_said_plainly_and_nothing_is_lost() {
    let nats = Nats::start("");
    let gateway = Gateway::start("plant7", &uplink(&to_port(nats.port()), ""));
    let is_told = |status: &Value| status["error"] == "no stream takes the subject site.data.>";
    gateway.wait("the error", is_told);
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    publish(&mut here, &mut number, 50);
    let file = gateway.folder.path().join("gateway.yaml");
    let test = || {
        let mut test = Command::new(fieldgate());
        test.args(["test", "uplink", "cloud", "--config"])
            .arg(&file)
            .output()
            .unwrap()
    };
    let told = test();
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(
        !told.status.success() && text.contains("no stream takes the subject"),
        "{text}"
    );
    nats.ask(&["create", "SITE", "site.>", "1", "120"]);
    let status = through(&gateway, number);
    assert!(
        status["protocol"].as_str().unwrap().starts_with("NATS 2."),
        "{status:#}"
    );
    // A topic that can be no subject is set aside, and those behind it go on.
    here.publish("data/a b", "x", false);
    publish(&mut here, &mut number, 10);
    let status = gateway.wait("the rest", |status| status["acknowledged"] == 60);
    assert_eq!(status["dropped"]["rejected"], 1);
    assert_each_once(&nats.read("SITE"), number);
    let told = test();
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(
        told.status.success() && text.contains("with JetStream: messages of 1048576 bytes"),
        "{text}"
    );
}

#[test]
fn commands_come_down_over_nats_and_circles_are_cut() {
    let nats = Nats::start("");
    nats.ask(&["create", "ALL", "all.>", "1", "120"]);
    let both = |name: &str| {
        let urls = to_port(nats.port());
        let text = "    forward: [{topics: [\"all/#\"]}]\n    accept: [{topics: [\"all/#\"]}]\n";
        Gateway::start(name, &format!("    url: {urls}\n{text}"))
    };
    let (one, other) = (both("one"), both("other"));
    for gateway in [&one, &other] {
        gateway.wait("connected", |status| status["state"] == "online");
    }
    let mut at_other = Wire::connect(other.port, "reader");
    at_other.subscribe("all/#");
    let mut here = Wire::connect(one.port, "publisher");
    for number in 0..50 {
        here.publish("all/a", &number.to_string(), false);
    }
    for number in 0..50 {
        let got = at_other.message(PATIENCE).unwrap();
        assert_eq!(
            (got.topic.as_str(), got.payload),
            ("all/a", number.to_string())
        );
    }
    nats.ask(&["publish", "all.pump.set", "on"]);
    nats.ask(&["publish", "all.pump.set", "off", "fg-via=x,other"]);
    nats.ask(&["publish", "all.pump.set", "end"]);
    for want in ["on", "end"] {
        let got = at_other.message(PATIENCE).unwrap();
        assert_eq!(
            (got.topic.as_str(), got.payload.as_str()),
            ("all/pump/set", want)
        );
    }
    let status = other.wait("accepted", |status| status["accepted"] == 52);
    assert_eq!(status["dropped"]["looped"], 1);
    // Nothing that came down went up again.
    assert_eq!(nats.read("ALL").len(), 53);
}

#[test]
fn nats_is_spoken_encrypted_with_a_password_or_a_key_and_files_are_read_anew() {
    let (files, stranger) = (Folder::new(), Folder::new());
    make_certificates(files.path());
    make_certificates(stranger.path());
    let at = |name: &str| files.path().join(name);
    // A pair from the documentation of nkeys.
    let (seed, public) = (
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
        "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
    );
    let users = format!("[{{user: plant7, password: secret}}, {{nkey: {public}}}]");
    let (certificate, key) = (at("broker.pem"), at("broker.key"));
    let rest = format!(
        "tls: {{cert_file: {certificate:?}, key_file: {key:?}, timeout: 5}}\n\
         authorization: {{users: {users}}}\n"
    );
    let nats = Nats::start(&rest);
    let ca = files.path().join("uplink-ca.pem");
    std::fs::copy(stranger.path().join("ca.pem"), &ca).unwrap();
    files.write("pw", "wrong\n");
    files.write("seed", seed);
    let urls = format!("\"tls://127.0.0.1:{}\"", nats.port());
    let text = |who: &str| {
        let text = uplink(&urls, &format!("    ca: {ca:?}\n{who}"));
        text.replace(
            "forward: [{topics: [\"data/#\"], to: \"site/{topic}\"}]",
            "accept: [{topics: [\"x\"]}]",
        )
    };
    let gateway = Gateway::start(
        "plant7",
        &text(&format!(
            "    username: plant7\n    password_file: {:?}\n",
            at("pw")
        )),
    );
    gateway.wait("the wrong authority", says("certificate"));
    std::fs::copy(at("ca.pem"), &ca).unwrap();
    gateway.wait("the wrong password", says("Authorization Violation"));
    files.write("pw", "secret\n");
    let status = gateway.wait("connected", |status| status["state"] == "online");
    assert!(
        status["tls"].as_str().unwrap().starts_with("TLSv1_3"),
        "{status:#}"
    );
    assert!(
        status["certificate_days"]["remote"].as_i64() > Some(0),
        "{status:#}"
    );
    let file = gateway.folder.path().join("gateway.yaml");
    let with_key = text(&format!("    credentials: {:?}\n", at("seed")));
    std::fs::write(
        &file,
        configuration(gateway.port, &format!("uplinks:\n  cloud:\n{with_key}")),
    )
    .unwrap();
    gateway.process.signal("HUP");
    gateway.process.wait_line("2 uplinks started or stopped");
    gateway.wait("connected with a key", |status| status["state"] == "online");
}

#[test]
fn the_mqtt_listener_of_nats_takes_every_message_through_a_kill() {
    let mut nats = Nats::start("");
    nats.ask(&["create", "SITE", "site.>", "1", "120"]);
    let urls = format!("\"mqtt://127.0.0.1:{}\"", nats.mqtt_port());
    let gateway = Gateway::start("plant7", &uplink(&urls, "    preset: nats\n"));
    gateway.wait("connected", |status| status["state"] == "online");
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    publish(&mut here, &mut number, 200);
    nats.kill(0);
    publish(&mut here, &mut number, 200);
    gateway.wait("offline", |status| status["state"] == "offline");
    nats.again(0);
    let status = gateway.wait("sent", is_through);
    assert_eq!(status["protocol"], "MQTT 3.1.1");
    // This way there is no name by which the stream would know a message again.
    let messages = nats.read("SITE");
    let twice = status["duplicates_possible"].as_u64().unwrap();
    assert!(
        (400..=400 + twice as usize).contains(&messages.len()),
        "{} {twice}",
        messages.len()
    );
    let mut seen: Vec<u64> = messages
        .iter()
        .map(|one| one["payload"].as_str().unwrap().parse().unwrap())
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len() as u64, number);
}
