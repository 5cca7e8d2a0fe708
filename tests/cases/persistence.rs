//! What outlives the gateway: kill -9, a full disk, a damaged file, two daemons on one folder.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::gateway::{configuration, fieldgate};
use crate::harness::mqtt::{Paho, mosquitto_pub, wait_payload};
use crate::harness::{Folder, PATIENCE, free_port, process::Process};

const NONE: Value = Value::Null;

/// Options of a session that outlives its connection.
fn lasting(version: &str) -> Value {
    match version {
        "5" => json!({"clean": false, "expiry": 600}),
        _ => json!({"clean": false}),
    }
}

/// A gateway whose folder and port outlive its process.
struct Gateway {
    folder: Folder,
    port: u16,
    rest: &'static str,
}

impl Gateway {
    fn new(rest: &'static str) -> Self {
        let (folder, port) = (Folder::new(), free_port());
        folder.write("gateway.yaml", &configuration(port, rest));
        Self { folder, port, rest }
    }

    /// What runs it, for a shell.
    fn command(&self) -> String {
        let folder = self.folder.path().display();
        let program = fieldgate().display();
        format!("exec {program} run {folder}/gateway.yaml --state {folder}/state")
    }

    fn start(&self) -> Process {
        self.start_after("")
    }

    /// Starts it in a shell that executes `before`.
    fn start_after(&self, before: &str) -> Process {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{before}{}", self.command()));
        let process = Process::spawn("fieldgate", &mut shell);
        process.wait_line("MQTT on");
        process
    }

    fn state(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("state")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

/// Debian's client; with `-d` it tells the reason code of the acknowledgement.
fn publish(port: u16, arguments: &[&str]) -> Output {
    let mut command = Command::new("mosquitto_pub");
    command
        .args(["-d", "-p", &port.to_string()])
        .args(arguments);
    command.output().expect("mosquitto_pub")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether it was logged before what was waited for.
fn was_said(process: &Process, text: &str) -> bool {
    process.transcript().iter().any(|line| line.contains(text))
}

#[test]
fn sessions_queues_and_retained_messages_survive_kill_9_in_every_version() {
    let gateway = Gateway::new("");
    let mut process = gateway.start();
    for version in ["3.1.1", "5"] {
        let (mut reader, present) = Paho::connect(gateway.port, version, version, lasting(version));
        assert!(!present);
        reader.subscribe(&format!("{version}/#"), 2);
        reader.disconnect();
        let (mut writer, _) = Paho::connect(gateway.port, "writer", version, NONE);
        for qos in 1..=2 {
            writer.publish(&format!("{version}/{qos}"), "N", qos, json!({"count": 50}));
        }
        writer.publish(
            &format!("kept/{version}"),
            "value",
            1,
            json!({"retain": true}),
        );
        writer.disconnect();
    }
    process.kill();
    let process = gateway.start();
    assert!(was_said(
        &process,
        "2 sessions of before, with 200 messages waiting in them"
    ));
    for version in ["3.1.1", "5"] {
        let (reader, present) = Paho::connect(gateway.port, version, version, lasting(version));
        assert!(present, "{version}");
        for qos in 1..=2 {
            for number in 0..50 {
                let message = reader.message();
                assert_eq!(message["topic"], format!("{version}/{qos}"));
                assert_eq!(message["payload"], number.to_string());
                assert_eq!(message["qos"], qos);
            }
        }
        // Its subscription is there, too, and nothing comes twice.
        mosquitto_pub(gateway.port, "5", &format!("{version}/new"), "end");
        assert_eq!(reader.message()["payload"], "end");
        wait_payload(gateway.port, &format!("kept/{version}"), |payload| {
            payload == "value"
        });
        reader.disconnect();
    }
}

#[test]
fn a_session_of_mqtt_js_survives_kill_9() {
    let gateway = Gateway::new("");
    let mut process = gateway.start();
    for version in ["3.1.1", "5"] {
        let (mut reader, _) = Paho::connect_js(version, version, over_js(&gateway, version));
        reader.subscribe(&format!("{version}/js"), 2);
        reader.disconnect();
        let (mut writer, _) = Paho::connect_js("writer", version, over_js(&gateway, version));
        let topic = format!("{version}/js");
        writer.publish(&topic, "kept", 2, NONE);
        writer.disconnect();
    }
    process.kill();
    let _process = gateway.start();
    for version in ["3.1.1", "5"] {
        let (reader, present) = Paho::connect_js(version, version, over_js(&gateway, version));
        assert!(present, "{version}");
        assert_eq!(reader.message()["payload"], "kept", "{version}");
        reader.disconnect();
    }
}

fn over_js(gateway: &Gateway, version: &str) -> Value {
    let mut options = lasting(version);
    options["url"] = json!(format!("mqtt://127.0.0.1:{}", gateway.port));
    options
}

#[test]
fn what_a_session_ends_with_is_not_there_after_a_restart() {
    let gateway = Gateway::new("");
    let mut process = gateway.start();
    let (mut reader, _) = Paho::connect(gateway.port, "reader", "5", lasting("5"));
    reader.subscribe("a/#", 1);
    reader.disconnect();
    mosquitto_pub(gateway.port, "5", "a/b", "queued");
    let port = gateway.port;
    publish(port, &["-q", "1", "-r", "-t", "gone", "-m", "value"]);
    publish(port, &["-q", "1", "-r", "-t", "gone", "-n"]);
    // A clean start ends the session that there was.
    let (reader, present) = Paho::connect(gateway.port, "reader", "5", NONE);
    assert!(!present);
    reader.disconnect();
    process.signal("TERM");
    assert!(process.wait_exit(PATIENCE).success());
    let process = gateway.start();
    let (mut reader, present) = Paho::connect(gateway.port, "reader", "5", lasting("5"));
    assert!(!present);
    reader.subscribe("#", 1);
    mosquitto_pub(gateway.port, "5", "end", "end");
    loop {
        let message = reader.message();
        if message["topic"] == "end" {
            break;
        }
        let topic = message["topic"].as_str().unwrap();
        assert!(topic.starts_with("plant7/"), "{message}");
    }
    drop(process);
}

/// The daemon may write no file past this size, in units of 512 bytes, as if the disk were full;
/// the signal that comes with it is ignored, so that writing fails.
const FULL: &str = "trap '' XFSZ; ulimit -S -f 400; ";

#[test]
fn a_full_disk_refuses_what_must_be_kept_and_recovers_by_itself() {
    let gateway = Gateway::new("");
    let process = gateway.start_after(FULL);
    let port = gateway.port;
    let (mut reader, _) = Paho::connect(port, "reader", "5", lasting("5"));
    reader.subscribe("a/#", 2);
    reader.disconnect();
    let payload = "x".repeat(20_000);
    let mut kept = 0;
    // Fills what the limit allows.
    let refused = loop {
        let output = publish(port, &["-V", "5", "-q", "1", "-t", "a/b", "-m", &payload]);
        if said(&output).contains("RC:0") {
            kept += 1;
            assert!(kept < 50, "the disk is never full");
        } else {
            break output;
        }
    };
    assert!(said(&refused).contains("RC:151"), "{}", said(&refused));
    process.wait_line("messages of QoS 1 and 2 that would have to be kept are refused");
    for qos in ["1", "2"] {
        let output = publish(port, &["-V", "5", "-q", qos, "-t", "a/b", "-m", "y"]);
        // The client prints no reason code for PUBREC, and ends the exchange if it is an error.
        let refused = said(&output).contains("RC:151")
            || (said(&output).contains("received PUBREC") && !said(&output).contains("PUBREL"));
        assert!(refused, "{qos}: {}", said(&output));
        // What need not be kept is served as ever.
        let output = publish(port, &["-V", "5", "-q", qos, "-t", "elsewhere", "-m", "y"]);
        assert!(
            !said(&output).contains("RC:151"),
            "{qos}: {}",
            said(&output)
        );
    }
    // MQTT 3.1.1 has no code for it: the connection ends without the acknowledgement.
    let output = publish(port, &["-V", "311", "-q", "1", "-t", "a/b", "-m", "y"]);
    assert!(
        !said(&output).contains("received PUBACK"),
        "{}",
        said(&output)
    );

    let raised = Command::new("prlimit")
        .args(["--pid", &process.id().to_string(), "--fsize=unlimited"])
        .stdout(Stdio::null())
        .status()
        .expect("prlimit");
    assert!(raised.success());
    process.wait_line("sessions and retained messages are kept again");
    publish(port, &["-V", "5", "-q", "2", "-t", "a/b", "-m", "after"]);
    let mut process = process;
    process.kill();
    let process = gateway.start();
    let (reader, present) = Paho::connect(port, "reader", "5", lasting("5"));
    assert!(present);
    let mut seen = 0;
    loop {
        let message = reader.message();
        match message["payload"].as_str().unwrap() {
            "after" => break,
            payload => assert_eq!(payload.len(), 20_000, "what was refused came"),
        }
        seen += 1;
    }
    // The first that was refused may have been on its way already.
    assert!(seen == kept || seen == kept + 1, "{seen} of {kept}");
    drop(process);
}

/// What a new subscriber to `filter` gets that was there before, by topic.
fn retained(port: u16, filter: &str) -> BTreeMap<String, String> {
    let (mut reader, _) = Paho::connect(port, "retained", "5", NONE);
    reader.subscribe(filter, 1);
    reader.subscribe("end/of/it", 1);
    mosquitto_pub(port, "5", "end/of/it", "end");
    let mut found = BTreeMap::new();
    loop {
        let message = reader.message();
        let text = |key: &str| message[key].as_str().unwrap().to_owned();
        if message["topic"] == "end/of/it" {
            reader.disconnect();
            return found;
        }
        found.insert(text("topic"), text("payload"));
    }
}

#[test]
fn an_acknowledged_change_of_a_retained_value_is_there_after_kill_9_and_so_is_its_end() {
    let gateway = Gateway::new("");
    let mut process = gateway.start();
    for version in ["3.1.1", "5"] {
        for qos in 1..=2 {
            let (mut writer, _) = Paho::connect(gateway.port, "writer", version, NONE);
            let topic = |name: &str| format!("plc/{version}/{qos}/{name}");
            let mut set = |name: &str, value: &str| {
                writer.publish(&topic(name), value, qos, json!({"retain": true}));
            };
            for name in ["cleared", "changed", "again"] {
                set(name, "open");
            }
            set("cleared", "");
            set("changed", "shut");
            set("again", "");
            set("again", "new");
        }
    }
    process.kill();
    let mut process = gateway.start();
    let found = retained(gateway.port, "plc/#");
    let mut want = BTreeMap::new();
    for version in ["3.1.1", "5"] {
        for qos in 1..=2 {
            want.insert(format!("plc/{version}/{qos}/changed"), "shut".to_owned());
            want.insert(format!("plc/{version}/{qos}/again"), "new".to_owned());
        }
    }
    assert_eq!(found, want);
    // Without an acknowledgement, what is a topic's first or last is written at once all the same: the
    // acknowledgement of a later message says that it was.
    let (mut writer, _) = Paho::connect(gateway.port, "writer", "5", NONE);
    writer.publish("plc/zero", "first", 0, json!({"retain": true}));
    writer.publish("plc/5/1/again", "", 0, json!({"retain": true}));
    writer.publish("plc/one", "1", 1, json!({"retain": true}));
    process.kill();
    let process = gateway.start();
    want.remove("plc/5/1/again");
    want.insert("plc/zero".into(), "first".into());
    want.insert("plc/one".into(), "1".into());
    assert_eq!(retained(gateway.port, "plc/#"), want);
    drop(process);
}

#[test]
fn a_will_is_published_after_kill_9_and_a_goodbye_voids_it() {
    let gateway = Gateway::new("");
    let mut process = gateway.start();
    let (mut reader, _) = Paho::connect(gateway.port, "reader", "5", lasting("5"));
    reader.subscribe("state/#", 1);
    reader.disconnect();
    let will = |name: &str, retain: bool| json!({"will": {"topic": format!("state/{name}"), "payload": "offline", "qos": 1, "retain": retain}});
    let (_here, _) = Paho::connect(gateway.port, "kept", "5", will("kept", true));
    let (_here, _) = Paho::connect(gateway.port, "passing", "3.1.1", will("passing", false));
    let (left, _) = Paho::connect(gateway.port, "left", "5", will("left", true));
    left.disconnect();
    // Behind the disconnection on the disk.
    publish(gateway.port, &["-q", "1", "-r", "-t", "after", "-m", "it"]);
    process.kill();
    let mut process = gateway.start();
    let want = BTreeMap::from([("state/kept".to_owned(), "offline".to_owned())]);
    assert_eq!(retained(gateway.port, "state/#"), want);
    let (reader, present) = Paho::connect(gateway.port, "reader", "5", lasting("5"));
    assert!(present);
    let mut topics = [reader.message(), reader.message()].map(|message| {
        assert_eq!(message["payload"], "offline");
        message["topic"].as_str().unwrap().to_owned()
    });
    topics.sort();
    assert_eq!(topics, ["state/kept", "state/passing"]);
    // They are published once.
    mosquitto_pub(gateway.port, "5", "state/end", "end");
    assert_eq!(reader.message()["topic"], "state/end");
    process.signal("TERM");
    assert!(process.wait_exit(PATIENCE).success());
}

#[test]
fn a_state_folder_that_was_removed_is_said_and_made_again_with_all_that_was_in_it() {
    let gateway = Gateway::new("");
    let mut process = gateway.start();
    let (mut reader, _) = Paho::connect(gateway.port, "reader", "5", lasting("5"));
    reader.subscribe("queue/#", 2);
    reader.disconnect();
    let (mut writer, _) = Paho::connect(gateway.port, "writer", "5", NONE);
    for qos in 1..=2 {
        writer.publish("queue/x", "N", qos, json!({"count": 20}));
    }
    publish(
        gateway.port,
        &["-q", "1", "-r", "-t", "kept", "-m", "value"],
    );
    fs::remove_dir_all(gateway.folder.path().join("state/broker")).unwrap();
    let refused = publish(
        gateway.port,
        &["-V", "5", "-q", "1", "-r", "-t", "new", "-m", "1"],
    );
    assert!(said(&refused).contains("RC:151"), "{}", said(&refused));
    process.wait_line("was removed while it was in use");
    process.wait_line("are kept again");
    publish(gateway.port, &["-q", "1", "-r", "-t", "new", "-m", "2"]);
    process.kill();
    let process = gateway.start();
    let text = |text: &str| text.to_owned();
    let want = [(text("kept"), text("value")), (text("new"), text("2"))];
    let mut found = retained(gateway.port, "+");
    found.retain(|topic, _| want.iter().any(|(wanted, _)| wanted == topic));
    assert_eq!(found, BTreeMap::from(want));
    let (reader, present) = Paho::connect(gateway.port, "reader", "5", lasting("5"));
    assert!(present);
    for number in (0..20).chain(0..20) {
        assert_eq!(reader.message()["payload"], number.to_string());
    }
    drop(process);
}

#[test]
fn a_damaged_store_is_set_aside_and_the_gateway_starts() {
    let gateway = Gateway::new("");
    let mut process = gateway.start();
    for number in 0..3 {
        let topic = format!("kept/{number}");
        publish(
            gateway.port,
            &["-q", "1", "-r", "-t", &topic, "-m", "value"],
        );
    }
    process.kill();
    let file = gateway.folder.path().join("state/broker/00000.log");
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let process = gateway.start();
    assert!(was_said(&process, "it is set aside as"));
    let aside = gateway
        .state()
        .into_iter()
        .find(|name| name.contains(".damaged-"));
    let aside = gateway.folder.path().join("state").join(aside.unwrap());
    assert_eq!(fs::read(aside.join("00000.log")).unwrap(), bytes);
    mosquitto_pub(gateway.port, "5", "works", "still");
    drop(process);
}

#[test]
fn a_second_gateway_on_the_same_state_says_so_and_touches_nothing() {
    let gateway = Gateway::new("");
    let _process = gateway.start();
    let other = configuration(free_port(), gateway.rest);
    let file = gateway.folder.write("other.yaml", &other);
    let output = Command::new(fieldgate())
        .args(["run", file.to_str().unwrap(), "--state"])
        .arg(gateway.folder.path().join("state"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("another process has it open"), "{text}");
    assert_eq!(gateway.state(), ["broker"]);
}

#[test]
fn retained_values_of_a_device_that_is_gone_go_with_the_next_start() {
    const DEVICE: &str = "buses:
  b: {tcp: \"127.0.0.1:1\", modbus: tcp, timeout: 100ms}
devices:
  old: {bus: b, unit: 1, points: {x: {holding: 0, as: u16}}}
";
    let gateway = Gateway::new(DEVICE);
    let mut process = gateway.start();
    wait_payload(gateway.port, "plant7/old/$state", |payload| {
        payload.contains("offline")
    });
    publish(
        gateway.port,
        &["-q", "1", "-r", "-t", "plant7/foreign/x", "-m", "stays"],
    );
    process.signal("TERM");
    assert!(process.wait_exit(PATIENCE).success());
    gateway
        .folder
        .write("gateway.yaml", &configuration(gateway.port, ""));
    let process = gateway.start();
    let (mut reader, _) = Paho::connect(gateway.port, "reader", "5", NONE);
    reader.subscribe("plant7/#", 1);
    let until = Instant::now() + PATIENCE;
    let mut topics = Vec::new();
    while !topics.contains(&"plant7/foreign/x".to_owned()) {
        assert!(Instant::now() < until);
        topics.push(reader.message()["topic"].as_str().unwrap().to_owned());
    }
    mosquitto_pub(gateway.port, "5", "plant7/end", "end");
    loop {
        let topic = reader.message()["topic"].as_str().unwrap().to_owned();
        if topic == "plant7/end" {
            break;
        }
        topics.push(topic);
    }
    assert!(
        !topics.iter().any(|topic| topic.contains("old")),
        "{topics:?}"
    );
    drop(process);
}
