//! `run --simulate`: a mapping as it is for the plant, played without one; and a write to all units of a line.

use std::{collections::HashSet, process::Command};

use crate::harness::{
    free_port,
    gateway::{Gateway, configuration, fieldgate},
    mqtt::{Subscriber, mosquitto_pub},
};

/// Every kind of device, none of which is there; the address is in no network (RFC 5737).
const PLANT: &str = "buses:
  net: {tcp: \"192.0.2.1:502\", modbus: tcp, timeout: 500ms}
  line: {serial: {port: /dev/serial/by-id/none, baud: 19200, parity: even}}
  heating: {protocol: mbus, serial: /dev/serial/by-id/none-either}
devices:
  meter-{unit}: {type: sdm630, bus: net, units: 1-2}
  valve: {bus: line, unit: 3, points: {open: {coil: 0, write: true}}}
  all-valves: {bus: line, unit: 0, points: {open: {coil: 0, write: true, poll: never, readback: never}}}
  flat: {bus: heating, address: 12, poll: 1s, points: {energy: {quantity: energy, unit: kWh}}}
  scale:
    serial: {port: /dev/serial/by-id/no-scale, baud: 9600, parity: even, data_bits: 7, flow: hardware}
    simulated: {says: [\"12.5\\r\\n\", \"12.7\\r\\n\"], every: 200ms}
    parse: {regex: '^(?P<kg>[\\d.]+)$'}
    points: {weight: {field: kg, as: decimal, unit: kg}}
  silent:
    serial: {port: /dev/serial/by-id/no-reader, baud: 9600}
    points: {code: {}}
  panel:
    gpio: {chip: pinctrl-bcm2711}
    points: {door: {in: GPIO17}}
uplinks:
  cloud: {url: \"mqtt://192.0.2.1\", forward: [{topics: [\"#\"]}]}
";

#[test]
fn any_mapping_is_played_without_an_edit_and_all_units_of_a_line_are_written_at_once() {
    let port = free_port();
    let text = configuration(port, PLANT);
    let gateway = Gateway::start_with(port, &text, crate::harness::Folder::new(), &["--simulate"]);
    gateway.keep_listening();
    gateway
        .process
        .wait_line("silent: left out, as it cannot be simulated");
    let seen = Subscriber::start(port, "mqttv5", "plant7/#");
    let wanted = [
        "meter-1/voltage_l1",
        "meter-2/power",
        "flat/energy",
        "scale/weight",
        "panel/door",
        "valve/open",
    ];
    let mut wanted: HashSet<String> = wanted.map(|topic| format!("plant7/{topic}")).into();
    seen.wait("a good value of every device", |topic, payload| {
        if payload.contains("\"quality\":\"good\"") {
            wanted.remove(topic);
        }
        wanted.is_empty().then_some(())
    });

    // To all units: written without an answer, and the unit that is there has it.
    gateway.wait_online("plant7/all-valves/$state");
    mosquitto_pub(port, "mqttv5", "plant7/all-valves/open/set", "1");
    seen.wait("the result", |topic, payload| {
        let is_it = topic == "plant7/all-valves/open/result";
        is_it.then(|| assert_eq!(payload, "{\"status\":\"ok\",\"value\":true}"))
    });
    let is_open = |want: &str| {
        seen.wait("the valve", |topic, payload| {
            (topic == "plant7/valve/open" && payload.contains(want)).then_some(())
        });
    };
    is_open("\"value\":true");
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(fieldgate());
        command
            .args(arguments)
            .arg("--config")
            .arg(gateway.folder.path().join("gateway.yaml"));
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), text)
    };
    let (code, said) = tool(&["write", "line", "0", "coil", "0", "off"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("sent to all units of the line"), "{said}");
    is_open("\"value\":false");
    let (code, said) = tool(&["read", "line", "0", "coil", "0", "1"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("it can only be written"), "{said}");

    // A reload plays the new file, too.
    let more = text.replace("units: 1-2", "units: 1-3");
    gateway.reload(&more);
    gateway.wait_online("plant7/meter-3/$state");
}

#[test]
fn what_needs_an_answer_is_no_point_of_all_units() {
    let port = free_port();
    for (points, want) in [
        (
            "points: {p: {coil: 0}}",
            "devices.all.points.p.poll: unit 0 is all units of the line",
        ),
        ("points: {p: {coil: 0, write: true}}", "write `poll: never`"),
        (
            "points: {p: {coil: 0, write: true, poll: never}}",
            "write `readback: never`",
        ),
        (
            "type: sdm630",
            "devices.all.type: unit 0 is all units of the line",
        ),
        (
            "points: {p: {holding: 0, as: bit(1), write: true, poll: never, readback: never}}",
            "a part of a register",
        ),
    ] {
        let rest = format!(
            "buses: {{line: {{serial: {{port: /dev/x}}}}}}\ndevices: {{all: {{bus: line, unit: 0, {points}}}}}\n"
        );
        let folder = crate::harness::Folder::new();
        let file = folder.write("gateway.yaml", &configuration(port, &rest));
        let output = Command::new(fieldgate()).arg("check").arg(file).output();
        let said = String::from_utf8_lossy(&output.expect("it runs").stderr).into_owned();
        assert!(said.contains(want), "{points}: {said}");
    }
}
