//! GPIO devices on simulated lines, seen by MQTT clients. Inputs are wired to outputs of another
//! device, so that clients move them; what drives an output is in the log.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    Folder, PATIENCE,
    gateway::fieldgate,
    mqtt::Subscriber,
    plant::{Plant, until, until_online},
    process::Process,
    repository,
};

const PLANT: &str = "devices:
  panel:
    gpio: {chip: board, simulated: true, wires: {DOOR: HAND1, WATER: HAND2}}
    points:
      door:  {in: DOOR, pull: up, active_low: true, debounce: 20ms, enum: {0: closed, 1: open}}
      water: {count: WATER, edge: falling, scale: 0.5, unit: L, every: 50ms, persist: 1s, write: true}
      siren: {out: SIREN, initial: 0, safe: 0, pulse_max: 10m}
      pump:  {out: PUMP, safe: 0, interlock: [siren]}
      light: {out: LIGHT, enum: {0: dark, 1: bright}}
  lasting:
    gpio: {chip: board, simulated: true, wires: {LASTING: HAND2}}
    points:
      water: {count: LASTING, every: 50ms, persist: 12h}
  hand:
    gpio: {chip: board, simulated: true}
    points:
      door:  {out: HAND1}
      water: {out: HAND2}
";

/// Starts it, and waits until all devices are online.
fn start(plant: &Plant) -> (Process, Subscriber) {
    plant.start(&["panel", "lasting", "hand"])
}

/// One pulse on the line of the counters.
fn pulse(plant: &Plant, seen: &Subscriber) {
    for level in ["1", "0"] {
        assert_eq!(plant.command(seen, "hand/water", level)["status"], "ok");
    }
}

/// Waits until outputs were driven so often, then compares all of it. The log is a pipe of its own,
/// so it may come later than the answer to a command.
fn assert_driven(process: &Process, want: &[&str], why: &str) {
    while driven(process).len() < want.len() {
        process.wait_line("simulated line");
    }
    assert_eq!(driven(process), want, "{why}");
}

/// What drove an output so far: `SIREN high`.
fn driven(process: &Process) -> Vec<String> {
    let transcript = process.transcript();
    let lines = transcript.iter().filter_map(|line| {
        let (_, rest) = line.split_once("simulated line ")?;
        Some(rest.replace("is driven ", ""))
    });
    lines.filter(|line| !line.starts_with("HAND")).collect()
}

#[test]
fn inputs_tell_their_state_and_each_edge_and_counters_are_preset_and_reset() {
    let gateway = Plant::new(PLANT);
    let (_process, seen) = start(&gateway);
    let late = Subscriber::start(gateway.port, "mqttv5", "plant7/panel/door");
    let door = late.json("plant7/panel/door");
    assert_eq!(
        (&door["value"], &door["quality"]),
        (&json!("open"), &json!("good"))
    );
    for (hand, want) in [("1", "closed"), ("0", "open")] {
        gateway.publish("hand/door", hand);
        let door = late.json("plant7/panel/door");
        assert_eq!(door["value"], want);
        assert!(door["ts"].is_string(), "{door}");
    }

    pulse(&gateway, &seen);
    gateway.shows("panel/water", &json!(0.5));
    for (payload, want) in [
        (
            "100",
            json!({"status": "ok", "value": 100, "readback": 100}),
        ),
        (
            "0.3",
            json!({"status": "error", "error": "0.3 is between two counts"}),
        ),
    ] {
        assert_eq!(gateway.command(&seen, "panel/water", payload), want);
    }
    pulse(&gateway, &seen);
    gateway.shows("panel/water", &json!(100.5));
    gateway.command(&seen, "panel/water", "0");
    pulse(&gateway, &seen);
    gateway.shows("panel/water", &json!(0.5));
    for (point, reason) in [("panel/door", "read-only"), ("lasting/water", "read-only")] {
        let error = gateway.command(&seen, point, "1").to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn counts_go_on_after_kill_9_and_after_an_orderly_end() {
    let gateway = Plant::new(PLANT);
    let (mut process, seen) = start(&gateway);
    gateway.command(&seen, "panel/water", "100");
    pulse(&gateway, &seen);
    gateway.shows("panel/water", &json!(100.5));
    // It is kept once a second.
    let file = gateway.folder.path().join("state/gpio/counts/00000.log");
    let end = Instant::now() + PATIENCE;
    let kept = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).contains("\"total\":201");
    while !fs::read(&file).is_ok_and(kept) {
        assert!(Instant::now() < end, "the count is not kept");
        thread::sleep(Duration::from_millis(20));
    }
    process.kill();
    let (mut process, seen) = start(&gateway);
    pulse(&gateway, &seen);
    gateway.shows("panel/water", &json!(101));
    gateway.shows("lasting/water", &json!(1));
    process.signal("TERM");
    assert!(process.wait_exit(PATIENCE).success());
    let (_process, seen) = start(&gateway);
    pulse(&gateway, &seen);
    // Kept twice a day, and at the end; the first one was lost with kill -9.
    gateway.shows("lasting/water", &json!(2));
}

#[test]
fn outputs_are_switched_pulsed_refused_and_read_back() {
    let gateway = Plant::new(PLANT);
    let (process, seen) = start(&gateway);
    let ok = |value: Value| json!({"status": "ok", "value": value, "readback": value});
    let error = |text: &str| json!({"status": "error", "error": text});
    for (point, payload, want) in [
        ("panel/siren", "1", ok(json!(true))),
        ("panel/pump", "1", error("interlocked: \"siren\" is on")),
        ("panel/siren", "off", ok(json!(false))),
        ("panel/pump", "1", ok(json!(true))),
        ("panel/siren", "1", error("interlocked: \"pump\" is on")),
        ("panel/pump", "0", ok(json!(false))),
        ("panel/light", "bright", ok(json!("bright"))),
        (
            "panel/light",
            "brihgt",
            error("expected 0, 1 or a pulse, found brihgt"),
        ),
        (
            "panel/siren",
            r#"{"pulse": "11m"}"#,
            error("longer than pulse_max, 600s"),
        ),
        ("panel/siren", r#"{"pulse": "200ms"}"#, ok(json!(true))),
    ] {
        assert_eq!(
            gateway.command(&seen, point, payload),
            want,
            "{point} {payload}"
        );
    }
    until(&seen, "panel/siren", &json!(false));
    let want = [
        "SIREN low",
        "SIREN high",
        "SIREN low",
        "PUMP high",
        "PUMP low",
        "LIGHT high",
        "SIREN high",
        "SIREN low",
    ];
    assert_driven(&process, &want, "commands and a pulse");

    let mut retained = Command::new("mosquitto_pub");
    let port = gateway.port.to_string();
    retained.args(["-p", &port, "-r", "-t", "plant7/panel/siren/set", "-m", "1"]);
    assert!(retained.status().expect("mosquitto_pub").success());
    let refused = seen.json("plant7/panel/siren/result").to_string();
    assert!(
        refused.contains("a retained command is refused"),
        "{refused}"
    );
    assert_driven(&process, &want, "a retained command");
    let stats = seen.wait("counters", |topic, payload| {
        let stats: Value = serde_json::from_str(payload).ok()?;
        (topic == "plant7/panel/$stats" && stats["refused"] != 0).then_some(stats)
    });
    for (name, want) in [
        ("refused", 4),
        ("commands", 6),
        ("lost_edges", 0),
        ("lost", 0),
    ] {
        assert_eq!(stats[name], want, "{stats}");
    }
}

#[test]
fn a_reload_moves_no_output_that_stays_and_makes_safe_what_goes() {
    let gateway = Plant::new(PLANT);
    let (process, seen) = start(&gateway);
    for (point, payload) in [("panel/siren", "1"), ("panel/light", "1")] {
        assert_eq!(gateway.command(&seen, point, payload)["status"], "ok");
    }
    let before = ["SIREN low", "SIREN high", "LIGHT high"];
    assert_driven(&process, &before, "commands");
    let reload = |text: &str, want: &str| {
        gateway.write(text);
        process.signal("HUP");
        process.wait_line(want);
    };
    let other = PLANT.replace("LASTING: HAND2", "LASTING: HAND1");
    reload(&other, "reloaded: 0 devices added, 0 removed, 1 restarted");
    for (from, to) in [
        ("debounce: 20ms", "debounce: 30ms"),
        ("pulse_max: 10m", "pulse_max: 20m, heartbeat: 1h"),
        ("initial: 0", "initial: 1"),
        ("door:  {in", "gate:  {in"),
    ] {
        reload(&PLANT.replace(from, to), "devices added, 0 removed, ");
        until_online(&seen, "panel");
        assert_driven(&process, &before, from);
    }
    // It is still ours to switch, and the pulse that ends it is still to come.
    assert_eq!(gateway.command(&seen, "panel/light", "0")["status"], "ok");
    let without = PLANT.replace(
        "      siren: {out: SIREN, initial: 0, safe: 0, pulse_max: 10m}\n",
        "",
    );
    gateway.write(&without.replace(", interlock: [siren]", ""));
    process.signal("HUP");
    process.wait_line("simulated line SIREN is driven low");
    seen.wait("the cleared topic", |topic, payload| {
        (topic == "plant7/panel/siren" && payload.is_empty()).then_some(())
    });
    let want = [
        "SIREN low",
        "SIREN high",
        "LIGHT high",
        "LIGHT low",
        "SIREN low",
    ];
    assert_driven(
        &process,
        &want,
        "the light by a command, the siren as it goes",
    );
}

#[test]
fn outputs_are_safe_when_the_gateway_ends_or_the_device_goes() {
    let gateway = Plant::new(PLANT);
    let (mut process, seen) = start(&gateway);
    for point in ["panel/pump", "panel/light"] {
        assert_eq!(gateway.command(&seen, point, "1")["status"], "ok");
    }
    process.signal("TERM");
    process.wait_line("simulated line PUMP is driven low");
    assert!(process.wait_exit(PATIENCE).success());
    let driven_last = driven(&process);
    assert!(
        !driven_last.contains(&"LIGHT low".to_owned()),
        "it has no `safe`: {driven_last:?}"
    );

    let (process, seen) = start(&gateway);
    let why = "only what has `initial` moves at the start";
    assert_driven(&process, &["SIREN low"], why);
    assert_eq!(gateway.command(&seen, "panel/pump", "1")["status"], "ok");
    let hand = PLANT.split("  hand:\n").nth(1).expect("the last device");
    gateway.write(&format!("devices:\n  hand:\n{hand}"));
    process.signal("HUP");
    process.wait_line("simulated line PUMP is driven low");
    seen.wait("the cleared state", |topic, payload| {
        (topic == "plant7/panel/$state" && payload.is_empty()).then_some(())
    });
}

fn said(arguments: &[&str], folder: &Folder) -> (Option<i32>, String) {
    let file = folder.path().join("gateway.yaml");
    let output = Command::new(fieldgate())
        .args(arguments)
        .arg(file)
        .output()
        .expect("fieldgate");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn check_lists_lines_and_test_looks_at_them_without_switching() {
    let gateway = Plant::new(PLANT);
    let (code, text) = said(&["check"], &gateway.folder);
    assert_eq!(code, Some(0));
    for want in [
        "3 devices, 8 points, 0 planned requests, 8 GPIO lines",
        "panel/door: in DOOR (simulated)",
        "hand/water: out HAND2 (simulated)",
    ] {
        assert!(text.contains(want), "{text}");
    }
    let (code, text) = said(&["test", "panel", "--config"], &gateway.folder);
    assert_eq!(code, Some(0), "{text}");
    for want in ["panel: simulated, 5 points", "1 \"open\"", "free"] {
        assert!(text.contains(want), "{text}");
    }
    assert!(!text.contains("driven"), "{text}");
    gateway.write("devices: {panel: {gpio: {chip: no-such-chip}, points: {door: {in: 1}}}}");
    let (code, text) = said(&["test", "panel", "--config"], &gateway.folder);
    assert_ne!(code, Some(0));
    for want in [
        "there is no GPIO chip no-such-chip",
        "the gateway could not have door",
    ] {
        assert!(text.contains(want), "{text}");
    }
}

#[test]
fn the_examples_of_the_document_are_right() {
    let text = fs::read_to_string(repository().join("config/gpio.md")).expect("the document");
    let folder = Folder::new();
    let mut checked = 0;
    for block in text.split("```yaml\n").skip(1) {
        let (block, _) = block.split_once("```").expect("the block ends");
        folder.write("gateway.yaml", &format!("version: 1\n{block}"));
        let (code, text) = said(&["check"], &folder);
        assert_eq!(code, Some(0), "{block}\n{text}");
        checked += 1;
    }
    assert!(checked >= 5, "{checked} examples");
}
