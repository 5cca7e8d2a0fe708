//! What a gateway that was away says of its readings: stale, with their own time, until their devices answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{Packet, QoS, SubscriptionOptions, Version};
use fieldgate_sim::{Image, Table, Unit};
use fieldgate_test_client::{Event, Raw, lasting};
use serde_json::Value;

use crate::harness::PATIENCE;
use crate::harness::gateway::fieldgate;
use crate::harness::modbus::Simulator;
use crate::harness::mqtt::Subscriber;
use crate::harness::plant::{Plant, until_online};
use crate::harness::process::Process;

fn simulator() -> Simulator {
    let image = Image::new();
    let mut unit = Unit::new();
    unit.set_words(Table::Holding, 0, &[17]);
    image.insert(1, unit);
    Simulator::start(image)
}

fn devices(stays: &Simulator, goes: &Simulator) -> String {
    format!(
        "buses:
  one: {{tcp: \"127.0.0.1:{}\"}}
  two: {{tcp: \"127.0.0.1:{}\", timeout: 100ms, offline: {{after: 1, backoff: 1s..1s}}}}
devices:
  stays: {{bus: one, unit: 1, points: {{level: {{holding: 0, as: u16}}}}}}
  goes: {{bus: two, unit: 1, points: {{level: {{holding: 0, as: u16}}}}}}
",
        stays.port, goes.port
    )
}

fn is(reading: &Value, quality: &str) -> bool {
    reading["value"] == 17 && reading["quality"] == quality
}

fn until(seen: &Subscriber, topic: &str, quality: &str) -> Value {
    loop {
        let reading = seen.json(topic);
        if is(&reading, quality) {
            return reading;
        }
    }
}

/// Starts the gateway and returns what is retained of `topic` when the first client comes.
fn first(plant: &Plant, topic: &str) -> (Process, Option<Vec<u8>>) {
    let folder = plant.folder.path();
    let mut command = std::process::Command::new(fieldgate());
    command.arg("run").arg(folder.join("gateway.yaml"));
    command.arg("--state").arg(folder.join("state"));
    let process = Process::spawn("fieldgate", &mut command);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, plant.port));
    let mut connect = lasting(Version::V4, "first");
    connect.clean_start = true;
    let end = Instant::now() + PATIENCE;
    let mut client = loop {
        match Raw::connect(address, &connect, PATIENCE) {
            Ok((client, _)) => break client,
            Err(error) if Instant::now() > end => panic!("no connection: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    };
    client.put_subscribe(1, &[(topic, SubscriptionOptions::new(QoS::AtMostOnce))]);
    client.put(&Packet::PingReq);
    client.flush().unwrap();
    loop {
        match client.next(PATIENCE).unwrap() {
            Some(Event::Publish(message)) => return (process, Some(message.payload)),
            Some(Event::PingResp) => return (process, None),
            Some(_) => {}
            None => panic!("no answer"),
        }
    }
}

#[test]
fn after_any_end_a_reading_is_stale_with_its_own_time_until_its_device_answers() {
    for signal in ["TERM", "KILL"] {
        let (stays, goes) = (simulator(), simulator());
        let plant = Plant::new(&devices(&stays, &goes));
        let (mut process, seen) = plant.start(&["stays", "goes"]);
        let good = until(&seen, "plant7/goes/level", "good");
        let watching = plant.subscriber();
        process.signal(signal);
        if signal == "TERM" {
            let stale = until(&watching, "plant7/goes/level", "stale");
            assert_eq!(stale["ts"], good["ts"]);
        }
        process.wait_exit(PATIENCE);
        drop((seen, watching, goes));

        let (process, payload) = first(&plant, "plant7/goes/level");
        // Readings may be lost with a process that is killed soon after.
        assert!(payload.is_some() || signal == "KILL");
        if let Some(payload) = payload {
            let found: Value = serde_json::from_slice(&payload).unwrap();
            assert!(is(&found, "stale"), "SIG{signal}: {found}");
            assert_eq!(found["ts"], good["ts"], "SIG{signal}");
        }
        let state = plant.subscriber();
        let state = state.wait("its state", |topic, payload| {
            (topic == "plant7/goes/$state").then(|| payload.to_owned())
        });
        assert!(state.contains("offline"), "SIG{signal}: {state}");
        until_online(&plant.subscriber(), "stays");
        until(&plant.subscriber(), "plant7/stays/level", "good");
        drop(process);
    }
}
