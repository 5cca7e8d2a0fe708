//! Meters on M-Bus, from a simulated line to a client.

use std::process::Command;

use crate::harness::gateway::{Gateway, configuration, fieldgate};
use crate::harness::mqtt::Subscriber;
use crate::harness::{Folder, free_port};

const METERS: &str = "buses:
  heating: {protocol: mbus, tcp: \"127.0.0.1:0\", simulated: true}
  cellar: {protocol: mbus, serial: /dev/serial/by-id/none, simulated: true}
devices:
  flat-12:
    bus: heating
    address: 12
    poll: 1s
    points: {energy: {quantity: energy, unit: kWh}, number: {header: id}}
  water:
    bus: cellar
    secondary: \"12345678\"
    poll: 1s
    points: {volume: {quantity: volume, unit: \"m³\"}}
";

#[test]
fn meters_behind_a_converter_and_on_a_line_are_read_and_a_reload_adds_one() {
    let (port, folder) = (free_port(), Folder::new());
    let gateway = Gateway::start_text(port, &configuration(port, METERS), folder);
    let seen = Subscriber::start(port, "5", "#");
    for (topic, unit) in [("flat-12/energy", "kWh"), ("water/volume", "m³")] {
        let first = until_number(&seen, topic);
        let next = until_number(&seen, topic);
        assert!(next.1 > first.1, "{topic} {} {}", first.1, next.1);
        assert_eq!(next.0["unit"], unit);
    }
    let more = METERS.to_owned()
        + "  flat-13: {bus: heating, address: 13, poll: 1s, points: {power: {quantity: power, unit: kW}}}\n";
    gateway.reload(&configuration(port, &more));
    until_number(&seen, "flat-13/power");
    until_number(&seen, "flat-12/energy");
}

/// The next good value of a point, by the end of its topic.
fn until_number(seen: &Subscriber, topic: &str) -> (serde_json::Value, f64) {
    seen.wait(topic, |found, payload| {
        let reading: serde_json::Value = serde_json::from_str(payload).ok()?;
        let value = reading["value"].as_f64()?;
        let is_it = found.ends_with(topic) && reading["quality"] == "good";
        is_it.then_some((reading, value))
    })
}

#[test]
fn a_test_shows_all_records_of_a_meter_a_scan_finds_it_and_a_mapping_for_another_bus_is_refused() {
    let folder = Folder::new();
    let file = folder.path().join("gateway.yaml");
    let run = |text: &str, arguments: &[&str]| {
        std::fs::write(&file, configuration(free_port(), text)).expect("written");
        let mut command = Command::new(fieldgate());
        let output = command.args(arguments).arg("--config").arg(&file).output();
        let output = output.expect("fieldgate runs");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (is_good, text) = run(METERS, &["test", "flat-12"]);
    assert!(is_good, "{text}");
    for want in ["energy", "Wh", "number: 00000012"] {
        assert!(text.contains(want), "{want}: {text}");
    }
    for (arguments, wanted) in [
        (
            &["scan", "heating"][..],
            &[
                "searching all meters by their number",
                "00000012",
                "1 found in",
            ][..],
        ),
        (
            &["scan", "heating", "--units", "11-12"],
            &["asking 2 addresses, ", "address 12: 00000012", "1 found in"],
        ),
        (
            &["scan", "cellar", "--baud", "300,2400"],
            &[", 300 baud", ", 2400 baud", "secondary 12345678"],
        ),
    ] {
        let (is_good, text) = run(METERS, arguments);
        assert!(is_good, "{text}");
        for want in wanted {
            assert!(text.contains(want), "{arguments:?}: {want}: {text}");
        }
    }
    for (arguments, want) in [
        (
            &["scan", "heating", "--units", "251"][..],
            "`251` is no unit from 0 to 250",
        ),
        (
            &["scan", "heating", "--parity", "even"],
            "--parity is for Modbus",
        ),
        (
            &["read", "heating", "1", "holding", "0", "1"],
            "bus \"heating\" is no Modbus bus but one of mbus",
        ),
    ] {
        let (is_good, text) = run(METERS, arguments);
        assert!(!is_good && text.contains(want), "{arguments:?}: {text}");
    }
    let modbus = METERS.replace("{quantity: energy, unit: kWh}", "{holding: 1, as: u16}");
    let (is_good, text) = run(&modbus, &["test", "flat-12"]);
    assert!(
        !is_good && text.contains("devices.flat-12.points.energy.holding: unknown key"),
        "{text}"
    );
}
