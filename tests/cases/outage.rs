//! Devices that fail: they go offline in time, come back by themselves, and disturb no other.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use fieldgate_sim::{Exception, Fault, Image, Table, Times, Unit};
use serde_json::{Value, json};

use crate::harness::{
    gateway::Gateway,
    modbus::{Pymodbus, Simulator},
    mqtt::{Paho, Subscriber, mosquitto_pub},
};

/// How often the counters are polled.
const POLL: Duration = Duration::from_millis(100);

/// A device that publishes each of its polls, and goes offline after two that fail.
fn device(name: &str, port: u16) -> (String, String) {
    let bus = format!(
        "  {name}_bus: {{tcp: \"127.0.0.1:{port}\", modbus: tcp, timeout: 300ms, retries: 0, \
         offline: {{after: 2, backoff: 200ms..1s}}}}\n"
    );
    let device = format!(
        "  {name}: {{bus: {name}_bus, unit: 1, points: {{reads: {{input: 0, as: u16, poll: 100ms, \
         publish: every_poll}}, }}}}\n"
    );
    (bus, device.replace(", }", "}"))
}

fn gateway(devices: &[(&str, u16)]) -> Gateway {
    let (mut buses, mut list) = (String::from("buses:\n"), String::from("devices:\n"));
    for (name, port) in devices {
        let (bus, device) = device(name, *port);
        buses += &bus;
        list += &device;
    }
    Gateway::start(&(buses + &list))
}

/// Waits until a device's state is `want`; `offline` has its reason with it under JSON.
fn wait_state(subscriber: &Subscriber, device: &str, want: &str) -> String {
    let state = format!("plant7/{device}/$state");
    subscriber.wait(&format!("{device} {want}"), |topic, payload| {
        (topic == state && payload.contains(want)).then(|| payload.to_owned())
    })
}

/// Waits for a value of the device's counter.
fn wait_reads(subscriber: &Subscriber, device: &str, quality: &str) -> u64 {
    let reads = format!("plant7/{device}/reads");
    subscriber.wait(&format!("{device} {quality}"), |topic, payload| {
        let payload: Value = serde_json::from_str(payload).ok()?;
        (topic == reads && payload["quality"] == quality)
            .then(|| payload["value"].as_u64().unwrap())
    })
}

/// Follows the counter of a healthy device until `end` is true of a message, and checks that it
/// missed no poll and kept its pace.
fn follow(subscriber: &Subscriber, device: &str, mut end: impl FnMut(&str, &str) -> bool) {
    let reads = format!("plant7/{device}/reads");
    let mut polls: Vec<(u64, u64)> = Vec::new();
    subscriber.wait("end of the outage", |topic, payload| {
        if topic == reads {
            let payload: Value = serde_json::from_str(payload).expect("JSON");
            assert_eq!(payload["quality"], "good", "{device}");
            let at = milliseconds(payload["ts"].as_str().unwrap());
            polls.push((payload["value"].as_u64().unwrap(), at));
        }
        end(topic, payload).then_some(())
    });
    for pair in polls.windows(2) {
        assert_eq!(pair[1].0, pair[0].0 + 1, "{device} published each poll");
    }
    let (first, last) = (polls[0], polls[polls.len() - 1]);
    let (count, took) = (last.0 - first.0, last.1 - first.1);
    let due = took / POLL.as_millis() as u64;
    assert!(count > 5, "{device} was polled {count} times only");
    // A pause of a whole timeout, 300 ms, would cost three polls.
    assert!(
        count + 2 + due / 20 >= due,
        "{device}: {count} polls in {took} ms"
    );
}

/// The time of day of `2026-11-22T17:16:00.123Z`.
fn milliseconds(ts: &str) -> u64 {
    let number = |range| {
        ts.get(range)
            .and_then(|part: &str| part.parse::<u64>().ok())
    };
    let part = |range| number(range).unwrap_or_else(|| panic!("{ts} is no time"));
    ((part(11..13) * 60 + part(14..16)) * 60 + part(17..19)) * 1000 + part(20..23)
}

#[test]
fn a_killed_server_is_offline_in_time_and_back_by_itself_while_others_keep_their_pace() {
    let mut failing = Pymodbus::counter(0);
    let healthy = Pymodbus::counter(0);
    let gateway = gateway(&[("failing", failing.port), ("healthy", healthy.port)]);
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
    let watcher = Subscriber::start(gateway.port, "mqttv311", "plant7/#");
    wait_state(&subscriber, "failing", "online");
    wait_reads(&subscriber, "failing", "good");

    let port = failing.port;
    failing.process.kill();
    let killed = Instant::now();
    let state = wait_state(&subscriber, "failing", "offline");
    // Two polls with their timeouts, one pause between them, and room for a busy machine.
    assert!(
        killed.elapsed() < Duration::from_secs(5),
        "{:?}",
        killed.elapsed()
    );
    let state: Value = serde_json::from_str(&state).expect("JSON");
    assert_eq!(state["state"], "offline");
    assert!(!state["error"].as_str().unwrap().is_empty());
    assert!(state["since"].as_str().unwrap().ends_with('Z'));
    // The last value stays, marked as old: it may come before or after the state.
    let late = Subscriber::start(gateway.port, "mqttv5", "plant7/failing/reads");
    wait_reads(&late, "failing", "stale");

    mosquitto_pub(gateway.port, "mqttv5", "plant7/failing/reads/set", "1");
    let result = subscriber.json("plant7/failing/reads/result");
    assert_eq!(result["status"], "error", "{result}");

    let _back = Pymodbus::counter(port);
    wait_state(&subscriber, "failing", "online");
    wait_reads(&subscriber, "failing", "good");
    // All the while, from before the kill to after the return:
    let mut offline = false;
    follow(&watcher, "healthy", |topic, payload| {
        offline |= topic == "plant7/failing/$state" && payload.contains("offline");
        offline && topic == "plant7/failing/$state" && payload == "online"
    });
}

#[test]
fn a_device_that_accepts_and_never_answers_delays_no_other() {
    // The system completes the connections; they are never read.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let healthy = Pymodbus::counter(0);
    let gateway = gateway(&[
        ("silent", silent.local_addr().unwrap().port()),
        ("healthy", healthy.port),
    ]);
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
    wait_state(&subscriber, "silent", "offline");
    let mut count = 0;
    follow(&subscriber, "healthy", |topic, _| {
        count += u32::from(topic == "plant7/healthy/reads");
        count > 30
    });
}

#[test]
fn a_subscriber_that_never_reads_holds_up_neither_devices_nor_other_clients_for_long() {
    let device = Pymodbus::counter(0);
    let gateway = gateway(&[("healthy", device.port)]);
    let mut stuck = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
    // CONNECT as "stuck" over MQTT 3.1.1 without keep-alive, SUBSCRIBE to "#" at QoS 1.
    stuck
        .write_all(b"\x10\x11\0\x04MQTT\x04\x02\0\0\0\x05stuck")
        .unwrap();
    stuck.write_all(b"\x82\x06\0\x01\0\x01#\x01").unwrap();

    let (mut reader, _) = Paho::connect(gateway.port, "reader", "5", Value::Null);
    let (mut writer, _) = Paho::connect(gateway.port, "writer", "5", Value::Null);
    reader.subscribe("load", 1);
    // 20 MB: more than sockets and the broker's queue for one client hold.
    let payload = format!("N {}", "x".repeat(20_000));
    writer.publish("load", &payload, 1, json!({"count": 1000}));
    for (want, payload) in reader.payloads(1000).into_iter().enumerate() {
        let number = payload.split(' ').next();
        assert_eq!(number, Some(want.to_string().as_str()));
    }
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
    let mut count = 0;
    follow(&subscriber, "healthy", |topic, _| {
        count += u32::from(topic == "plant7/healthy/reads");
        count > 20
    });
    drop(stuck);
}

#[test]
fn faults_of_one_unit_never_show_in_the_values_of_another_on_the_same_connection() {
    let image = Image::new();
    for id in 1..=3 {
        let mut unit = Unit::new();
        unit.set_words(Table::Input, 0, &[u16::from(id) * 1111]);
        image.insert(id, unit);
    }
    let server = Simulator::start(image.clone());
    let gateway = Gateway::start(&format!(
        "buses:
  shared: {{tcp: \"127.0.0.1:{}\", modbus: tcp, timeout: 200ms, retries: 0, offline: {{after: 2, backoff: 100ms..300ms}}}}
devices:
  unit-{{unit}}: {{bus: shared, units: [1, 2, 3], points: {{own: {{input: 0, as: u16, poll: 50ms, publish: every_poll}}}}}}
",
        server.port
    ));
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
    // A late answer, above all, must not be taken for the answer to the next request.
    for fault in [
        Fault::Delay(Duration::from_millis(300)),
        Fault::Silence,
        Fault::Exception(Exception::DeviceBusy),
        Fault::Close,
        Fault::WrongTransaction,
        Fault::Truncate(8),
    ] {
        image.inject(1, fault, Times::Always);
        let mut good = [0, 0];
        let begin = Instant::now();
        subscriber.wait(&format!("polls during {fault:?}"), |topic, payload| {
            check_own(topic, payload);
            for (count, own) in good
                .iter_mut()
                .zip(["plant7/unit-2/own", "plant7/unit-3/own"])
            {
                *count += u32::from(topic == own && payload.contains("\"good\""));
            }
            good.iter().all(|count| *count >= 12).then_some(())
        });
        // Twelve polls are due in 0.6 s; each of unit 1's may cost the bus a timeout.
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{fault:?}: {:?}",
            begin.elapsed()
        );
        image.heal(1);
        subscriber.wait(&format!("recovery from {fault:?}"), |topic, payload| {
            check_own(topic, payload);
            (topic == "plant7/unit-1/own" && payload.contains("\"good\"")).then_some(())
        });
    }
}

/// Each unit holds its number as each of four digits.
fn check_own(topic: &str, payload: &str) {
    let own = topic
        .strip_prefix("plant7/unit-")
        .and_then(|rest| rest.strip_suffix("/own"));
    if let Some(unit) = own {
        let payload: Value = serde_json::from_str(payload).expect("JSON");
        if payload["quality"] == "bad" {
            return; // An exception: the device answers that it has no value.
        }
        let unit: u64 = unit.parse().expect("a number");
        assert_eq!(payload["value"], unit * 1111, "{topic}: {payload}");
    }
}
