//! Serial instruments on real pseudo terminals, seen by MQTT clients.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{
    Folder, free_port,
    gateway::{Gateway, configuration, fieldgate},
    mqtt::{Subscriber, mosquitto_pub},
    process::Process,
    pty::Pty,
    repository,
};

/// A gateway with one device, whose port is `port` in the gateway's folder.
fn gateway(device: &str) -> (Gateway, Pty) {
    let folder = Folder::new();
    let link = folder.path().join("port");
    let pty = Pty::at(&link);
    let device = device.replace("PORT", link.to_str().expect("a plain path"));
    let port = free_port();
    let text = configuration(port, &format!("devices:\n{device}"));
    (Gateway::start_text(port, &text, folder), pty)
}

const SCALE: &str = r#"
  scale:
    serial: {port: PORT, baud: 9600}
    frame: {line: "\r\n", max: 64}
    parse: {regex: '^(?P<st>ST|US),GS,\s*(?P<kg>[-+]?\s*\d+\.\d+)\s*kg$'}
    raw: true
    points:
      weight: {field: kg, as: decimal, unit: kg, deadband: 0.002}
      stable: {field: st, enum: {"ST": true, "US": false}}
      limit: {write: {send: "L {value:.1}\r\n", answer: '^L OK$', timeout: 20s}}
"#;

#[test]
fn a_scale_is_read_commanded_unplugged_and_back_under_its_name() {
    let (gateway, pty) = gateway(SCALE);
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
    gateway.wait_online("plant7/scale/$state");
    let stats = subscriber.json("plant7/scale/$stats");
    for name in ["bytes", "unmatched", "bad_check", "lost"] {
        assert_eq!(stats[name], json!(0), "{stats}");
    }
    pty.send(b"garbage\xFF\r\nUS,GS,  - 12.");
    pty.send(b"505kg\r\nST,GS,   0.0");
    let weight = subscriber.json("plant7/scale/weight");
    assert_eq!(weight["value"], json!(-12.505));
    assert_eq!(
        (&weight["unit"], &weight["quality"]),
        (&json!("kg"), &json!("good"))
    );
    assert_eq!(
        subscriber.json("plant7/scale/stable")["value"],
        json!(false)
    );
    pty.send(b"00kg\r\n");
    assert_eq!(subscriber.json("plant7/scale/weight")["value"], json!(0));
    assert_eq!(subscriber.json("plant7/scale/stable")["value"], json!(true));

    mosquitto_pub(gateway.port, "mqttv5", "plant7/scale/limit/set", "7.5");
    pty.expect(b"L 7.5\r\n");
    pty.send(b"L OK\r\n");
    let result = subscriber.json("plant7/scale/limit/result");
    assert_eq!(result, json!({"status": "ok", "value": 7.5}));

    mosquitto_pub(gateway.port, "mqttv5", "plant7/scale/$raw/tx", "\u{1b}T\t");
    pty.expect(b"\x1bT\t");
    assert_eq!(subscriber.json("plant7/scale/$raw/result")["status"], "ok");
    pty.send(b"any\tbytes");
    subscriber.wait("raw bytes", |topic, payload| {
        (topic == "plant7/scale/$raw/rx" && payload == "any\tbytes").then_some(())
    });

    let link = gateway.folder.path().join("port");
    drop(pty);
    subscriber.wait("offline", |topic, payload| {
        (topic == "plant7/scale/$state" && payload.contains("unplugged")).then_some(())
    });
    assert_eq!(subscriber.json("plant7/scale/weight")["quality"], "stale");
    for (topic, answer) in [("limit/set", "limit/result"), ("$raw/tx", "$raw/result")] {
        mosquitto_pub(
            gateway.port,
            "mqttv5",
            &format!("plant7/scale/{topic}"),
            "1",
        );
        let result = subscriber
            .json(&format!("plant7/scale/{answer}"))
            .to_string();
        assert!(result.contains("offline"), "{topic}: {result}");
    }
    // Another adapter, another number, the same name.
    let pty = Pty::at(&link);
    subscriber.wait("online", |topic, payload| {
        (topic == "plant7/scale/$state" && payload == "online").then_some(())
    });
    // Right after the port was opened, what comes may be the rest of a frame.
    pty.send(b"\r\nST,GS,   3.000kg\r\n");
    let weight = subscriber.json("plant7/scale/weight");
    assert_eq!(
        (&weight["value"], &weight["quality"]),
        (&json!(3), &json!("good"))
    );
}

#[test]
fn a_thousand_frames_a_second_all_arrive() {
    const FRAMES: u64 = 3000;
    let (gateway, pty) = gateway(
        "  counter:
    serial: {port: PORT, baud: 115200}
    parse: {regex: '^n=(?P<n>\\d+)$'}
    points:
      n: {field: n, as: decimal, publish: every_poll}
",
    );
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/counter/n");
    gateway.wait_online("plant7/counter/$state");
    let sender = thread::spawn(move || {
        let start = Instant::now();
        pty.send(b"\r\n");
        for number in 1..=FRAMES {
            // On the pace of the clock, so that a slow machine catches up.
            thread::sleep(Duration::from_millis(number).saturating_sub(start.elapsed()));
            pty.send(format!("n={number}\r\n").as_bytes());
        }
        pty
    });
    for number in 1..=FRAMES {
        assert_eq!(subscriber.json("plant7/counter/n")["value"], json!(number));
    }
    drop(sender.join().expect("it sends to the end"));
}

#[test]
fn test_shows_frames_and_values_and_monitor_what_comes_in() {
    let folder = Folder::new();
    let link = folder.path().join("port");
    let pty = Pty::at(&link);
    let path = link.to_str().expect("a plain path");
    let device = SCALE.replace("PORT", path).replace(
        "    raw: true\n",
        "    request: {send: \"P\\r\\n\", timeout: 20s}\n",
    );
    let file = folder.write(
        "gateway.yaml",
        &configuration(1, &format!("devices:\n{device}")),
    );
    let mut command = Command::new(fieldgate());
    command.args(["test", "scale", "--config"]).arg(&file);
    let mut process = Process::spawn("fieldgate test", &mut command);
    pty.expect(b"P\r\n");
    pty.send(b"ES\r\nST,GS,  12.500kg\r\n");
    for line in [
        "scale: ",
        "request  \"P\\r\\n\"",
        "\"ES\"",
        "does not fit: the regex does not match",
        "\"ST,GS,  12.500kg\"",
        "53 54 2C 47 53 2C",
        "weight",
        "true",
    ] {
        process.wait_line(line);
    }
    assert!(process.wait_exit(Duration::from_secs(20)).success());

    let mut command = Command::new(fieldgate());
    command.args(["monitor", path, "--frame", "line"]);
    let mut process = Process::spawn("fieldgate monitor", &mut command);
    process.wait_line(", 9600 8N1; end with Ctrl-C");
    pty.send(b"P1 \x02\r\n");
    process.wait_line("4 bytes: \"P1 \\x02\"");
    process.wait_line("50 31 20 02");
    process.signal("INT");
    assert!(process.wait_exit(Duration::from_secs(20)).success());
}

#[test]
fn a_simulated_instrument_talks_or_answers_on_a_line_without_a_cable() {
    let devices = r#"devices:
  scale:
    serial: {port: /dev/ttyUSB0}
    simulated: {says: ["kg=1\r\n", "kg=2\r\n"], every: 100ms}
    parse: {regex: '^kg=(?P<kg>\d+)$'}
    points: {weight: {field: kg, as: decimal}}
  oven:
    serial: {port: /dev/ttyUSB1}
    simulated: {says: ['20\r', '21\r']}
    frame: {line: "\r"}
    request: {send: "T?\r", every: 100ms, timeout: 20s}
    points: {temperature: {as: decimal}}
"#;
    let gateway = Gateway::start(devices);
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
    for point in ["scale/weight", "oven/temperature"] {
        let topic = format!("plant7/{point}");
        let first = subscriber.json(&topic)["value"].clone();
        let is_other = |seen: &str, payload: &str| {
            let value = serde_json::from_str::<serde_json::Value>(payload);
            (seen == topic && value.ok()?["value"] != first).then_some(())
        };
        subscriber.wait("another value", is_other);
    }
    // What is said anew is said by another instrument.
    let text = configuration(gateway.port, &devices.replace("kg=2", "kg=7"));
    gateway.reload(&text);
    subscriber.wait("the new value", |topic, payload| {
        (topic == "plant7/scale/weight" && payload.contains("\"value\":7")).then_some(())
    });
    let folder = Folder::new();
    let file = folder.write("gateway.yaml", &text);
    let mut command = Command::new(fieldgate());
    command.args(["test", "oven", "--config"]).arg(&file);
    let mut test = Process::spawn("fieldgate test", &mut command);
    test.wait_line("\"20\"");
    assert!(test.wait_exit(Duration::from_secs(20)).success());
    let mut command = Command::new(fieldgate());
    let mut simulate = Process::spawn("fieldgate simulate", command.arg("simulate").arg(&file));
    let port = simulate.wait("a port", |line| {
        Some(line.strip_prefix("device scale: ")?.to_owned())
    });
    let mut command = Command::new(fieldgate());
    command.args(["monitor", &port, "--frame", "line"]);
    let mut monitor = Process::spawn("fieldgate monitor", &mut command);
    monitor.wait_line("kg=7");
    for process in [&mut monitor, &mut simulate] {
        process.signal("TERM");
        assert!(process.wait_exit(Duration::from_secs(20)).success());
    }
}

#[test]
fn the_examples_of_the_document_are_right() {
    let text = fs::read_to_string(repository().join("config/serial.md")).expect("the document");
    let folder = Folder::new();
    let mut checked = 0;
    for block in text.split("```yaml\n").skip(1) {
        let (block, _) = block.split_once("```").expect("the block ends");
        let file = folder.write("gateway.yaml", &format!("version: 1\n{block}"));
        let output = Command::new(fieldgate())
            .arg("check")
            .arg(&file)
            .output()
            .expect("fieldgate");
        assert!(
            output.status.success(),
            "{block}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        checked += 1;
    }
    assert!(checked >= 7, "{checked} examples");
}
