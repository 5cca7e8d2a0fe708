//! Uplinks of the real binary to Debian's mosquitto, over connections that fail in every way: what is
//! published here is counted there, by number.

#[path = "uplink/cuts.rs"]
mod cuts;
#[path = "uplink/durable.rs"]
mod durable;
#[path = "uplink/fewer.rs"]
mod fewer;
#[path = "uplink/nats.rs"]
mod nats;
#[path = "uplink/nats_faults.rs"]
mod nats_faults;
#[path = "uplink/nats_login.rs"]
mod nats_login;
#[path = "uplink/thin.rs"]
mod thin;
#[path = "uplink/websocket.rs"]
mod websocket;

use std::collections::BTreeMap;
use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use fieldgate_tests::counter::{Got, Wire};
use fieldgate_tests::faults::{Mode, Proxy};
use serde_json::Value;

use crate::harness::gateway::{configuration, fieldgate};
use crate::harness::mosquitto::Mosquitto;
use crate::harness::process::Process;
use crate::harness::secure::{Secure, make_certificates};
use crate::harness::{Folder, PATIENCE, free_port};

/// Unacknowledged messages of an uplink in these cases.
const IN_FLIGHT: usize = 50;

/// `fieldgate run` with a state folder that outlives it.
struct Gateway {
    process: Process,
    port: u16,
    folder: Folder,
}

impl Gateway {
    fn start(name: &str, uplink: &str) -> Self {
        let (port, folder) = (free_port(), Folder::new());
        let text = configuration(port, &format!("uplinks:\n  cloud:\n{uplink}"));
        folder.write("gateway.yaml", &text.replace("plant7", name));
        let process = run(&folder);
        Self {
            process,
            port,
            folder,
        }
    }

    fn again(&mut self) {
        self.process = run(&self.folder);
    }

    /// The uplink's state, as the command shows it.
    fn status(&self) -> Value {
        let file = self.folder.path().join("gateway.yaml");
        let output = Command::new(fieldgate())
            .args(["uplink", "status", "cloud", "--config"])
            .arg(&file)
            .arg("--control")
            .arg(self.folder.path().join("control"))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until the uplink's state is as wanted.
    fn wait(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + 2 * PATIENCE;
        loop {
            let status = self.status();
            if is_it(&status) {
                return status;
            }
            assert!(Instant::now() < end, "{what}: {status:#}");
        }
    }
}

fn run(folder: &Folder) -> Process {
    let mut command = Command::new(fieldgate());
    command
        .arg("run")
        .arg(folder.path().join("gateway.yaml"))
        .arg("--state")
        .arg(folder.path().join("state"))
        .arg("--control")
        .arg(folder.path().join("control"));
    let process = Process::spawn("fieldgate", &mut command);
    process.wait_line("MQTT on");
    process
}

/// An uplink for all below `data/`. Clients are acknowledged at once, so that they are quick.
fn uplink(port: u16, rest: &str) -> String {
    format!(
        "    url: \"mqtt://127.0.0.1:{port}\"
    forward: [{{topics: [\"data/#\"], to: \"site/{{topic}}\"}}]
    spool: {{max: 32M, window: 1s, durable: none}}
    limits: {{in_flight: {IN_FLIGHT}}}
    reconnect: 100ms..1s
{rest}"
    )
}

/// Counts messages by their number until `count` different ones are there.
fn collect(wire: &mut Wire, seen: &mut BTreeMap<u64, Vec<Got>>, count: usize) {
    let end = Instant::now() + 4 * PATIENCE;
    while seen.len() < count && Instant::now() < end {
        if let Some(got) = wire.message(Duration::from_secs(1)) {
            seen.entry(got.payload.parse().unwrap())
                .or_default()
                .push(got);
        }
    }
    let missing: Vec<u64> = (0..count as u64)
        .filter(|number| !seen.contains_key(number))
        .collect();
    assert!(
        missing.is_empty(),
        "{} of {count} are missing: {:?}…",
        missing.len(),
        &missing[..missing.len().min(20)]
    );
}

/// Those that came more than once. They have the same name each time.
fn duplicates(seen: &BTreeMap<u64, Vec<Got>>) -> usize {
    for all in seen.values() {
        assert!(
            all.iter()
                .all(|got| got.user["fg-id"] == all[0].user["fg-id"]),
            "{all:?}"
        );
    }
    seen.values().map(|all| all.len() - 1).sum()
}

/// How many rounds of faults: so many, or as the environment says.
fn rounds(usual: usize) -> usize {
    let given = env::var("FIELDGATE_UPLINK_ROUNDS").ok();
    given.map_or(usual, |rounds| rounds.parse().unwrap())
}

#[test]
fn a_remote_that_takes_messages_and_never_acknowledges_is_left_for_a_new_connection() {
    let remote = Mosquitto::start();
    let proxy = Proxy::start(remote.port());
    let gateway = Gateway::start("plant7", &uplink(proxy.port, ""));
    let mut there = Wire::connect(remote.port(), "counter");
    there.subscribe("site/#");
    gateway.wait("connected", |status| status["state"] == "online");
    proxy.set(Mode::NoAnswers);
    Wire::connect(gateway.port, "publisher").publish("data/a", "0", false);
    let began = Instant::now();
    let status = gateway.wait("given up", |status| status["state"] == "offline");
    assert_eq!(status["error"], "no acknowledgement within 20s");
    assert!(began.elapsed() < Duration::from_secs(35));
    proxy.set(Mode::Pass);
    gateway.wait("acknowledged", |status| status["acknowledged"] == 1);
    let mut seen = BTreeMap::new();
    collect(&mut there, &mut seen, 1);
}

#[test]
fn what_waits_on_the_card_survives_kills_of_the_gateway_and_of_the_remote() {
    let dead = free_port();
    let proxy = Proxy::start(dead);
    proxy.set(Mode::Refuse);
    let mut gateway = Gateway::start("plant7", &uplink(proxy.port, ""));
    let mut number = 0;
    for round in 1..=3 {
        let mut here = Wire::connect(gateway.port, "publisher");
        for _ in 0..300 {
            here.publish("data/a", &number.to_string(), false);
            number += 1;
        }
        // Younger than the window of a second is what a kill may lose; all of it is on the card now.
        gateway.wait("on the card", |status| {
            status["backlog"]["messages"] == 300 * round
        });
        gateway.process.kill();
        gateway.again();
    }
    let mut remote = Mosquitto::start();
    let mut there = Wire::connect(remote.port(), "counter");
    there.subscribe("site/#");
    proxy.retarget(remote.port());
    proxy.set(Mode::Pass);
    let mut seen = BTreeMap::new();
    collect(&mut there, &mut seen, number);
    let all: Vec<&Got> = seen.values().flatten().collect();
    assert!(
        all.iter()
            .all(|got| got.user["fg-late"] == "1" && got.user["fg-via"] == "plant7")
    );
    gateway.wait("sent", |status| status["backlog"]["messages"] == 0);
    // Both die at once, and what was acknowledged does not come again but for the last moments.
    remote.process().kill();
    gateway.process.kill();
    gateway.again();
    let status = gateway.status();
    let again = status["backlog"]["messages"].as_u64().unwrap();
    assert!(again <= 600, "{status:#}");
}

#[test]
fn an_orderly_stop_keeps_what_is_in_memory() {
    let proxy = Proxy::start(free_port());
    proxy.set(Mode::Refuse);
    let rest = "    client_id: other\n";
    let mut gateway = Gateway::start(
        "plant7",
        &uplink(proxy.port, rest).replace("window: 1s", "window: 600s"),
    );
    let mut here = Wire::connect(gateway.port, "publisher");
    for number in 0..100 {
        here.publish("data/a", &number.to_string(), false);
    }
    gateway.wait("in memory", |status| {
        status["window"] == 100 && status["backlog"]["messages"] == 0
    });
    gateway.process.signal("TERM");
    assert!(gateway.process.wait_exit(PATIENCE).success());
    let remote = Mosquitto::start();
    let mut there = Wire::connect(remote.port(), "counter");
    there.subscribe("site/#");
    proxy.retarget(remote.port());
    proxy.set(Mode::Pass);
    gateway.again();
    let mut seen = BTreeMap::new();
    collect(&mut there, &mut seen, 100);
    assert_eq!(duplicates(&seen), 0);
}

#[test]
fn kept_values_are_put_right_at_each_connect_and_old_ones_are_never_kept_there() {
    let remote = Mosquitto::start();
    let proxy = Proxy::start(remote.port());
    proxy.set(Mode::Refuse);
    let gateway = Gateway::start("plant7", &uplink(proxy.port, ""));
    let mut here = Wire::connect(gateway.port, "publisher");
    for number in 0..10 {
        here.publish("data/a", &number.to_string(), true);
    }
    gateway.wait("on the card", |status| status["backlog"]["messages"] == 10);
    proxy.set(Mode::Pass);
    gateway.wait("sent", |status| status["backlog"]["messages"] == 0);
    let mut there = Wire::connect(remote.port(), "late");
    there.subscribe("site/#");
    let got = there.message(PATIENCE).unwrap();
    assert_eq!(
        (got.topic.as_str(), got.payload.as_str(), got.retain),
        ("site/data/a", "9", true)
    );
    assert_eq!(got.user.get("fg-sync").map(String::as_str), Some("1"));
}

#[test]
fn two_gateways_that_send_each_other_everything_do_not_go_in_circles() {
    let remote = Mosquitto::start();
    let both = |name: &str| {
        Gateway::start(
            name,
            &format!(
                "    url: \"mqtt://127.0.0.1:{}\"\n    forward: [{{topics: [\"all/#\"]}}]\n    accept: [{{topics: [\"all/#\"]}}]\n",
                remote.port()
            ),
        )
    };
    let (one, other) = (both("one"), both("other"));
    for gateway in [&one, &other] {
        gateway.wait("connected", |status| status["state"] == "online");
    }
    let mut at_other = Wire::connect(other.port, "reader");
    at_other.subscribe("all/#");
    let mut at_remote = Wire::connect(remote.port(), "reader");
    at_remote.subscribe("all/#");
    let mut here = Wire::connect(one.port, "publisher");
    for number in 0..50 {
        here.publish("all/a", &number.to_string(), false);
    }
    let mut seen = BTreeMap::new();
    collect(&mut at_other, &mut seen, 50);
    // A last one shows that nothing more is under way.
    here.publish("all/end", "50", false);
    collect(&mut at_other, &mut seen, 51);
    let mut there = BTreeMap::new();
    collect(&mut at_remote, &mut there, 51);
    assert_eq!((duplicates(&seen), duplicates(&there)), (0, 0));
    let status = other.wait("accepted", |status| status["accepted"] == 51);
    assert_eq!(status["dropped"]["looped"], 0);
    assert_eq!(one.status()["accepted"], 0);
}

#[test]
fn what_comes_down_reaches_clients_but_none_of_the_gateways_own_topics() {
    let remote = Mosquitto::start();
    let rest = "    accept: [{topics: [\"site/down/#\"], to: \"{topic:2..}\"}]\n";
    let gateway = Gateway::start("plant7", &uplink(remote.port(), rest));
    gateway.wait("connected", |status| status["state"] == "online");
    let mut here = Wire::connect(gateway.port, "reader");
    here.subscribe("#");
    let mut there = Wire::connect(remote.port(), "boss");
    for (topic, payload) in [
        ("site/down/plant7/$state", "forged"),
        ("site/down/plant7/pump/level/set", "1"),
    ] {
        there.publish(topic, payload, false);
    }
    let end = Instant::now() + PATIENCE;
    loop {
        let got = here.message(PATIENCE).unwrap();
        assert_ne!(got.payload, "forged");
        if got.topic == "plant7/pump/level/set" {
            break;
        }
        assert!(Instant::now() < end);
    }
    gateway.wait("counted", |status| {
        status["accepted"] == 1 && status["not_accepted"] == 1
    });
}

#[test]
fn uplinks_come_change_and_go_with_a_reload_and_the_command_tests_one() {
    let remote = Mosquitto::start();
    let gateway = Gateway::start("plant7", &uplink(free_port(), ""));
    gateway.wait("offline", |status| status["error"] != Value::Null);
    let file = gateway.folder.path().join("gateway.yaml");
    let text = configuration(
        gateway.port,
        &format!("uplinks:\n  cloud:\n{}", uplink(remote.port(), "")),
    );
    std::fs::write(&file, &text).unwrap();
    gateway.process.signal("HUP");
    gateway.process.wait_line("uplink cloud: connected");
    let test = Command::new(fieldgate())
        .args(["test", "uplink", "cloud", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&test.stdout);
    assert!(
        test.status.success() && told.contains("MQTT 5.0: 65535 messages"),
        "{told}"
    );
    std::fs::write(&file, configuration(gateway.port, "")).unwrap();
    gateway.process.signal("HUP");
    gateway.process.wait_line("1 uplink started or stopped");
    let asked = Command::new(fieldgate())
        .args(["uplink", "status", "cloud", "--config"])
        .arg(&file)
        .arg("--control")
        .arg(gateway.folder.path().join("control"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&asked.stderr);
    assert!(told.contains("has no uplink \"cloud\""), "{told}");
}

#[test]
fn an_encrypted_uplink_shows_its_certificate_and_reads_its_files_before_each_connection() {
    let remote = Secure::start("required");
    let (stranger, files) = (Folder::new(), Folder::new());
    make_certificates(stranger.path());
    let ca = files.path().join("ca.pem");
    std::fs::copy(stranger.path().join("ca.pem"), &ca).unwrap();
    let rest = format!(
        "    ca: {ca:?}\n    certificate: {:?}\n    key: {:?}\n",
        remote.file("panel.pem"),
        remote.file("panel.key")
    );
    let text = uplink(remote.tls, &rest).replace("mqtt://", "mqtts://");
    let gateway = Gateway::start("board", &text);
    let is_refused = |status: &Value| {
        let error = status["error"].as_str();
        error.is_some_and(|error| error.contains("certificate"))
    };
    gateway.wait("the wrong authority", is_refused);
    std::fs::copy(remote.file("ca.pem"), &ca).unwrap();
    let status = gateway.wait("connected", |status| status["state"] == "online");
    let tls = status["tls"].as_str().unwrap();
    assert!(tls.starts_with("TLSv1_3"), "{tls}");
    for whose in ["remote", "own"] {
        let days = status["certificate_days"][whose].as_i64().unwrap();
        assert!(days > 0, "{whose}: {days}");
    }
    Wire::connect(gateway.port, "publisher").publish("data/a", "0", false);
    gateway.wait("acknowledged", |status| status["acknowledged"] == 1);
}
