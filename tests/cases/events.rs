//! What happened is kept: a device that goes away and comes back, commands, a gateway that is killed.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::harness::{
    Folder, PATIENCE, free_port,
    gateway::{Gateway, configuration, fieldgate},
    http::Http,
    modbus::Pymodbus,
    mqtt::mosquitto_pub,
};

/// A meter at an address, and a simulated pump.
fn plant(port: u16) -> String {
    format!(
        r#"
console: {{listen: {{http: "127.0.0.1:0"}}}}
history: {{max: 64M, flush: 1s}}
defaults: {{poll: 100ms}}
buses:
  line:
    {{tcp: "127.0.0.1:{port}", modbus: tcp, timeout: 300ms, retries: 0, offline: {{after: 2, backoff: 200ms..1s}}}}
  inside: {{tcp: "127.0.0.1:0", modbus: tcp, simulated: true}}
devices:
  meter: {{bus: line, unit: 1, points: {{reads: {{input: 0, as: u16}}}}}}
  plc: {{bus: inside, unit: 1, points: {{pump: {{coil: 0, write: true, readback: 2s}}}}}}
"#
    )
}

fn start(folder: Folder, plant: &str) -> (Gateway, Http) {
    let port = free_port();
    let state = folder.path().join("state").display().to_string();
    let text = configuration(port, plant);
    let gateway = Gateway::start_with(port, &text, folder, &["--state", &state]);
    let mut http = Http::of(&gateway);
    let code = gateway.process.wait("the console's code", |line| {
        let (_, code) = line.split_once("code is ")?;
        Some(code.trim().to_owned())
    });
    http.log_in(&serde_json::json!({ "code": code }).to_string());
    (gateway, http)
}

/// Lines of `fieldgate history events`: kind, device, name, value and who wanted it.
fn on_card(state: &Path, more: &[&str]) -> Vec<String> {
    let mut command = Command::new(fieldgate());
    command.args(["history", "events", "--from", "1h", "--state"]);
    let output = command.arg(state).args(more).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = text.split_terminator("\r\n");
    let header = "time,device,kind,name,value,text,by,left_out,clock";
    assert_eq!(lines.next(), Some(header));
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert!(lines.is_sorted_by_key(|fields| fields[0]), "{text}");
    let lines = lines.iter();
    let shown = lines.map(|fields| [fields[2], fields[1], fields[3], fields[4]].join(" "));
    shown.map(|line| line.trim_end().to_owned()).collect()
}

/// The same from the console.
fn told(http: &Http, query: &str) -> Vec<String> {
    let answer = http.get(&format!("/api/v1/history/events?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let events = told["events"].as_array().expect("a list").iter();
    let field =
        |event: &serde_json::Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let shown = events.map(|event| {
        ["kind", "device", "name", "value"]
            .map(|name| field(event, name))
            .join(" ")
    });
    shown.map(|line| line.trim_end().to_owned()).collect()
}

/// Waits until the list has all of these, in this order.
fn until(mut list: impl FnMut() -> Vec<String>, want: &[&str]) -> Vec<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = list();
        let mut rest = found.iter();
        if want.iter().all(|want| rest.any(|line| line == want)) {
            return found;
        }
        assert!(Instant::now() < end, "{want:?} in {found:#?}");
        std::thread::yield_now();
    }
}

#[test]
fn what_happened_is_in_order_on_the_card_and_in_the_console_after_kill_9() {
    let mut server = Pymodbus::counter(0);
    let plant = plant(server.port);
    let (mut gateway, http) = start(Folder::new(), &plant);
    let state = gateway.folder.path().join("state");
    until(|| told(&http, "device=meter"), &["online meter"]);
    until(|| told(&http, "device=plc"), &["online plc"]);
    let port = server.port;
    server.process.kill();
    until(|| told(&http, ""), &["online meter", "offline meter"]);
    until(|| told(&http, "device="), &["bus_down  line"]);
    let _back = Pymodbus::counter(port);
    until(
        || told(&http, "device=meter"),
        &["online meter", "offline meter", "online meter"],
    );
    until(
        || told(&http, "device="),
        &["bus_down  line", "bus_up  line"],
    );

    // It leaves at once, and is told of nevertheless.
    let status = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &gateway.port.to_string()])
        .args(["-i", "panel", "-t", "plant7/plc/pump/set", "-m", "1"])
        .status();
    assert!(status.expect("mosquitto_pub is there").success());
    until(|| told(&http, "device=plc"), &["command plc pump true"]);
    let path = "/api/v1/devices/plc/points/pump/write";
    let answer = http.ask("POST", path, r#"{"value": false}"#);
    assert_eq!(answer.status, 200, "{answer:?}");
    mosquitto_pub(gateway.port, "mqttv5", "plant7/plc/pump/set", "seven");
    let commands = [
        "command plc pump true",
        "command plc pump false",
        "command_failed plc pump seven",
    ];
    until(
        || told(&http, "device=plc&kind=command,command_failed"),
        &commands,
    );
    let last = http
        .get("/api/v1/history/events?kind=command&limit=1")
        .json();
    assert_eq!(
        (&last["more"], &last["events"][0]["by"]),
        (&true.into(), &"local at 127.0.0.1".into())
    );

    // What was flushed is on the card, seen from outside.
    let before = until(|| on_card(&state, &[]), &commands);
    assert_eq!(before[0], "started");
    gateway.process.kill();
    gateway.process.wait_exit(Duration::from_secs(5));
    let after = on_card(&state, &[]);
    assert_eq!(
        after.get(..before.len()),
        Some(before.as_slice()),
        "the same, and no less"
    );
    let Gateway { folder, .. } = gateway;
    let (gateway, http) = start(folder, &plant);
    let mut want: Vec<&str> = vec!["started", "online meter", "offline meter", "online meter"];
    want.extend(commands);
    want.extend(["started_again", "online plc"]);
    let now = until(|| told(&http, ""), &want);
    assert_eq!(
        now.get(..before.len()),
        Some(before.as_slice()),
        "after a restart"
    );
    until(|| on_card(&state, &[]), &want);
    let offline = on_card(&state, &["--device", "meter", "--kind", "offline"]);
    assert_eq!(offline, ["offline meter"]);
    let csv = http.get("/api/v1/history/events.csv?device=plc").body;
    assert!(
        csv.contains(",plc,command,pump,true,,MQTT client panel,,set\r\n"),
        "{csv}"
    );
    let figures = http.get("/metrics").body;
    assert!(
        figures.contains("fieldgate_history_events_left_out_total 0"),
        "{figures}"
    );
    drop(gateway);
}
