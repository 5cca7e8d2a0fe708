//! A state folder that cannot be used: the gateway runs without it, says so, and keeps everything
//! once it can.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::harness::gateway::{configuration, fieldgate};
use crate::harness::mqtt::{Paho, Subscriber, mosquitto_pub, wait_payload};
use crate::harness::{Folder, free_port, process::Process};

/// A gateway with a counter, whose folder outlives its process.
struct Plant {
    folder: Folder,
    port: u16,
}

const COUNTER: &str = "devices:
  panel:
    gpio: {simulated: true, chip: sim}
    points:
      water: {count: 3, persist: 1s, every: 1s, write: true}
";

impl Plant {
    fn new() -> Self {
        let (folder, port) = (Folder::new(), free_port());
        folder.write("gateway.yaml", &configuration(port, COUNTER));
        Self { folder, port }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts it from a shell in which `before` has been executed.
    fn start(&self, shell: &[&str], before: &str) -> Process {
        let (folder, program) = (self.folder.path().display(), fieldgate().display());
        let script =
            format!("{before} exec {program} run {folder}/gateway.yaml --state {folder}/state");
        let (first, rest) = shell.split_first().expect("a shell");
        let mut command = Command::new(first);
        let process = Process::spawn("fieldgate", command.args(rest).arg("-c").arg(script));
        process.wait_line("MQTT on");
        process
    }

    fn retain(&self, topic: &str, payload: &str) {
        let port = self.port.to_string();
        let arguments = ["-p", &port, "-q", "1", "-r", "-t", topic, "-m", payload];
        let published = Command::new("mosquitto_pub").args(arguments).status();
        assert!(published.expect("mosquitto_pub").success());
    }

    fn assert_retained(&self, topic: &str, want: &str) {
        wait_payload(self.port, topic, |payload| {
            assert_eq!(payload, want, "{topic}");
            true
        });
    }

    /// The count, in pulses.
    fn water(&self) -> u64 {
        let seen = Subscriber::start(self.port, "mqttv5", "plant7/panel/water");
        let value = seen.json("plant7/panel/water")["value"].clone();
        value.as_u64().unwrap_or_else(|| panic!("{value}"))
    }
}

#[test]
fn a_file_in_the_place_of_the_state_folder_stops_nothing_and_all_is_kept_when_it_is_gone() {
    let plant = Plant::new();
    plant.folder.write("state", "what is that?");
    let mut process = plant.start(&["sh"], "");
    let said = process.transcript().join("\n");
    assert!(said.contains("NOTHING IS KEPT"), "{said}");
    wait_payload(plant.port, "plant7/panel/$state", |payload| {
        payload == "online"
    });
    mosquitto_pub(plant.port, "5", "plant7/panel/water/set", "1000");
    plant.retain("kept/value", "1");
    let lasting = json!({"clean": false, "expiry": 600});
    let (mut reader, _) = Paho::connect(plant.port, "reader", "5", lasting.clone());
    reader.subscribe("queue/#", 2);
    reader.disconnect();
    let (mut writer, _) = Paho::connect(plant.port, "writer", "5", json!(null));
    for qos in 1..=2 {
        writer.publish("queue/x", "N", qos, json!({"count": 20}));
    }
    fs::remove_file(plant.state()).unwrap();
    process.wait_line("can be used now");
    // Counts are kept once a second; by then the file is there.
    while !plant.state().join("gpio/counts/00000.log").exists() {
        std::thread::yield_now();
    }
    plant.retain("kept/value", "2");
    process.kill();

    let process = plant.start(&["sh"], "");
    plant.assert_retained("kept/value", "2");
    let (reader, present) = Paho::connect(plant.port, "reader", "5", lasting);
    assert!(present);
    for number in (0..20).chain(0..20) {
        assert_eq!(reader.message()["payload"], number.to_string());
    }
    assert!(plant.water() >= 1000);
    assert!(!process.transcript().join("\n").contains("NOTHING IS KEPT"));
}

/// Mounts the state folder for reading only, for the gateway alone.
const READ_ONLY: &str =
    "mount --bind \"$STATE\" \"$STATE\" && mount -o remount,ro,bind \"$STATE\" &&";

#[test]
fn what_a_read_only_state_folder_holds_is_served_and_kept_again_once_it_can_be_written() {
    let plant = Plant::new();
    let lasting = json!({"clean": false, "expiry": 600});
    let mut process = plant.start(&["sh"], "");
    plant.retain("kept/value", "1");
    let (mut reader, _) = Paho::connect(plant.port, "reader", "5", lasting.clone());
    reader.subscribe("queue/#", 1);
    reader.disconnect();
    wait_payload(plant.port, "plant7/panel/$state", |payload| {
        payload == "online"
    });
    mosquitto_pub(plant.port, "5", "plant7/panel/water/set", "1000");
    process.signal("TERM");
    assert!(process.wait_exit(crate::harness::PATIENCE).success());

    let before = format!("STATE={};{READ_ONLY}", plant.state().display());
    let mut process = plant.start(&["unshare", "-rm", "sh"], &before);
    let said = process.transcript().join("\n");
    assert!(
        said.contains("what is there was read, but NOTHING IS KEPT"),
        "{said}"
    );
    plant.assert_retained("kept/value", "1");
    plant.retain("kept/value", "2");
    let (mut writer, _) = Paho::connect(plant.port, "writer", "5", json!(null));
    writer.publish("queue/x", "N", 1, json!({"count": 3}));
    // Counting goes on, and what was counted before is not forgotten.
    assert!(plant.water() < 1000);
    let state = plant.state().display().to_string();
    let id = process.id().to_string();
    let remounted = Command::new("nsenter")
        .args(["--preserve-credentials", "-U", "-m", "-t", &id])
        .args(["mount", "-o", "remount,rw,bind", &state])
        .status();
    assert!(remounted.expect("nsenter").success());
    process.wait_line("can be used now");
    while plant.water() < 1000 {}
    process.kill();

    let _process = plant.start(&["sh"], "");
    plant.assert_retained("kept/value", "2");
    let (reader, present) = Paho::connect(plant.port, "reader", "5", lasting);
    assert!(present);
    assert_eq!(reader.payloads(3), ["0", "1", "2"]);
    assert!(plant.water() >= 1000);
}
