//! The first command of the README: the demonstration without hardware, seen by mosquitto's clients.

use std::{
    collections::HashMap,
    fs,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    Folder, free_port,
    gateway::{Gateway, fieldgate},
    mqtt::{Paho, Subscriber, mosquitto_pub, wait_payload},
    process::Process,
    repository,
};

/// `config/demo.yaml` with its device types, and with a free port instead of 1883.
fn demo() -> (u16, String, Folder) {
    let config = repository().join("config");
    let folder = Folder::new();
    fs::create_dir(folder.path().join("types")).unwrap();
    for entry in fs::read_dir(config.join("types")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(
            &path,
            folder.path().join("types").join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    let text = fs::read_to_string(config.join("demo.yaml")).unwrap();
    let (port, listen) = (free_port(), "listen: {tcp: 1883}");
    assert!(text.contains(listen), "config/demo.yaml listens on 1883");
    let here = format!("listen: {{tcp: \"127.0.0.1:{port}\"}}");
    let text = text
        .replace(listen, &here)
        .replace("127.0.0.1:8180", "127.0.0.1:0");
    (port, text, folder)
}

fn start() -> Gateway {
    let (port, text, folder) = demo();
    let gateway = Gateway::start_text(port, &text, folder);
    gateway.wait_online("demo/plc/$state");
    gateway
}

#[test]
fn meter_values_change_within_three_seconds_of_the_start() {
    fieldgate(); // Building it is not part of the start.
    let begin = Instant::now();
    let gateway = start();
    let subscribers = ["mqttv311", "mqttv5"].map(|version| {
        let filter = "demo/meter-1/#";
        (version, Subscriber::start(gateway.port, version, filter))
    });
    for (version, subscriber) in subscribers {
        let mut first: HashMap<String, Value> = HashMap::new();
        let limit = Duration::from_secs(3).saturating_sub(begin.elapsed());
        subscriber.wait_within(
            limit,
            &format!("change over {version}"),
            |topic, payload| {
                let payload: Value = serde_json::from_str(payload).ok()?;
                let value = payload["value"].as_f64()?;
                assert_eq!(payload["quality"], "good", "{topic}");
                let before = first.entry(topic.to_owned()).or_insert(json!(value));
                (*before != json!(value)).then_some(())
            },
        );
    }
}

#[test]
fn every_device_of_the_demonstration_is_online_and_all_its_values_are_good() {
    let gateway = start();
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "demo/#");
    let devices = [
        "meter-1", "meter-2", "workshop", "charger", "inverter", "plc",
    ];
    let mut online = Vec::new();
    let mut values = 0;
    subscriber.wait("state of every device", |topic, payload| {
        match topic.strip_prefix("demo/")?.split_once('/') {
            Some((device, "$state")) => {
                assert_eq!(payload, "online", "{topic}");
                online.push(device.to_owned());
            }
            // Counters.
            Some((_, "$stats") | ("$bus", _)) => {}
            Some(_) => {
                let payload: Value = serde_json::from_str(payload).expect("JSON");
                assert_eq!(payload["quality"], "good", "{topic}");
                values += 1;
            }
            None => assert_eq!((topic, payload), ("demo/$state", "online")),
        }
        devices
            .iter()
            .all(|device| online.iter().any(|seen| seen == device))
            .then_some(())
    });
    assert!(values > 0, "no value came with the states");
}

#[test]
fn a_coil_is_switched_by_mosquitto_pub_and_the_result_has_its_readback() {
    let gateway = start();
    for version in ["mqttv311", "mqttv5"] {
        let subscriber = Subscriber::start(gateway.port, version, "demo/plc/+/#");
        for (payload, want) in [
            ("1", true),
            ("0", false),
            ("true", true),
            ("{\"value\": 0}", false),
        ] {
            mosquitto_pub(gateway.port, version, "demo/plc/pump/set", payload);
            let result = subscriber.json("demo/plc/pump/result");
            let expected = json!({"status": "ok", "value": want, "readback": want});
            assert_eq!(result, expected, "{version} {payload}");
            mosquitto_pub(gateway.port, version, "demo/plc/valve/set", payload);
            let result = subscriber.json("demo/plc/valve/result");
            assert_eq!(result, expected, "{version} {payload}");
            for topic in ["demo/plc/pump", "demo/plc/valve"] {
                wait_payload(gateway.port, topic, |payload| {
                    let value: Value = serde_json::from_str(payload).expect("JSON");
                    value["value"] == want
                });
            }
        }
    }
}

#[test]
fn a_command_that_cannot_be_carried_out_is_answered_with_the_reason_and_changes_nothing() {
    let gateway = start();
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "demo/plc/+/result");
    for (point, payload, reason) in [
        ("setpoint", "80.5", "80"),
        ("setpoint", "-1", "0"),
        ("setpoint", "warm", "warm"),
        ("setpoint", "{\"valeu\": 5}", "value"),
        ("mode", "noon", "noon"),
        ("pump", "2", "2"),
        ("level", "1", "write"),
        ("leven", "1", "leven"),
    ] {
        mosquitto_pub(
            gateway.port,
            "mqttv5",
            &format!("demo/plc/{point}/set"),
            payload,
        );
        let result = subscriber.json(&format!("demo/plc/{point}/result"));
        assert_eq!(result["status"], "error", "{point} {payload}");
        let error = result["error"].as_str().unwrap();
        assert!(error.contains(reason), "{point} {payload}: {error}");
    }
    // A good one after the bad ones.
    mosquitto_pub(gateway.port, "mqttv5", "demo/plc/setpoint/set", "80");
    let result = subscriber.json("demo/plc/setpoint/result");
    assert_eq!(result["status"], "ok", "{result}");
    assert_eq!(result["readback"].as_f64(), Some(80.0));
}

#[test]
fn an_mqtt_5_request_is_answered_on_its_response_topic_with_its_correlation_data() {
    let gateway = start();
    let results = Subscriber::start(gateway.port, "mqttv5", "demo/plc/+/result");
    let (mut client, _) = Paho::connect(gateway.port, "operator", "5", Value::Null);
    client.subscribe("operator/answers", 1);
    for (payload, correlation, status) in [("55.5", "a-1", "ok"), ("81", "a-2", "error")] {
        let options = json!({"response_topic": "operator/answers", "correlation": correlation});
        client.publish("demo/plc/setpoint/set", payload, 1, options);
        let answer = client.message();
        assert_eq!(answer["topic"], "operator/answers");
        assert_eq!(answer["correlation"], correlation);
        let body: Value = serde_json::from_str(answer["payload"].as_str().unwrap()).unwrap();
        assert_eq!(body["status"], status, "{body}");
    }
    // The answers went there instead of the result topic: only this one comes here.
    mosquitto_pub(gateway.port, "mqttv5", "demo/plc/setpoint/set", "44.5");
    assert_eq!(results.json("demo/plc/setpoint/result")["value"], 44.5);
}

#[test]
fn a_retained_command_is_refused() {
    let gateway = start();
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "demo/plc/setpoint/result");
    let (mut client, _) = Paho::connect(gateway.port, "careless", "3.1.1", Value::Null);
    client.publish("demo/plc/setpoint/set", "33", 1, json!({"retain": true}));
    let result = subscriber.json("demo/plc/setpoint/result");
    assert_eq!(result["status"], "error", "{result}");
    assert!(
        result["error"].as_str().unwrap().contains("retain"),
        "{result}"
    );
}

#[test]
fn a_coil_that_was_switched_stays_so_over_a_reload_of_its_device() {
    let (port, text, folder) = demo();
    let gateway = Gateway::start_text(port, &text, folder);
    gateway.wait_online("demo/plc/$state");
    mosquitto_pub(port, "mqttv5", "demo/plc/valve/set", "1");
    let is_on = |payload: &str| payload.contains("\"value\":true");
    wait_payload(port, "demo/plc/valve", is_on);
    let subscriber = Subscriber::start(port, "mqttv5", "demo/plc/#");
    gateway.reload(&text.replace("float_low:", "float_new:"));
    let mut off = None;
    // The device was restarted when the new point appears, after the poll that read all points.
    let mut polls = 0;
    subscriber.wait("the restarted device", |topic, payload| {
        if topic == "demo/plc/valve" && !is_on(payload) {
            off = Some(payload.to_owned());
        }
        let new = topic == "demo/plc/float_new" || (polls > 0 && topic == "demo/plc/counter");
        polls += u32::from(new);
        (polls > 2).then_some(())
    });
    assert_eq!(off, None);
}

#[test]
fn simulated_devices_are_read_and_written_by_mbpoll() {
    let port = free_port();
    let folder = Folder::new();
    let file = folder.write(
        "gateway.yaml",
        &format!(
            "version: 1
gateway: {{name: sim}}
buses:
  plant: {{tcp: \"127.0.0.1:{port}\", modbus: tcp}}
devices:
  plc:
    bus: plant
    unit: 7
    points:
      level:    {{input: 3, as: u16}}
      setpoint: {{holding: 10, as: u16, write: true}}
"
        ),
    );
    let mut command = Command::new(fieldgate());
    let simulator = Process::spawn("simulate", command.arg("simulate").arg(file));
    simulator.wait_line(&port.to_string());
    let mbpoll = |arguments: &[&str]| {
        let mut command = Command::new("mbpoll");
        command.args([
            "-m",
            "tcp",
            "-p",
            &port.to_string(),
            "-a",
            "7",
            "-0",
            "-1",
            "-q",
        ]);
        let (before, after) = arguments.split_at(4);
        let output = command
            .args(before)
            .arg("127.0.0.1")
            .args(after)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text)
    };
    let (read, text) = mbpoll(&["-t", "3", "-r", "3"]);
    assert!(read && text.contains("[3]:"), "{text}");
    let (written, text) = mbpoll(&["-t", "4", "-r", "10", "1234"]);
    assert!(written, "{text}");
    let (read, text) = mbpoll(&["-t", "4", "-r", "10"]);
    assert!(read && text.contains("1234"), "the write sticks: {text}");
    let (hole, text) = mbpoll(&["-t", "4", "-r", "11"]);
    assert!(!hole, "a hole is refused: {text}");
}
