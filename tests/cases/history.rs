//! History on the card: what is published is kept, and comes out in the console and on the command line.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    Folder, PATIENCE, free_port,
    gateway::{Gateway, configuration, fieldgate},
    http::Http,
};

/// A simulated meter whose values move, and a point that is not kept.
const PLANT: &str = r#"
console: {listen: {http: "127.0.0.1:0"}}
history: {max: 64M, flush: 1s}
defaults: {poll: 100ms}
buses: {meters: {tcp: "127.0.0.1:0", modbus: tcp, simulated: true}}
devices:
  meter:
    bus: meters
    unit: 1
    points:
      voltage: {input: 0, as: f32, unit: V}
      energy: {input: 72, as: f32, unit: kWh, history: false}
"#;

fn start(folder: Folder) -> (Gateway, Http) {
    let port = free_port();
    let state = folder.path().join("state").display().to_string();
    let gateway = Gateway::start_with(
        port,
        &configuration(port, PLANT),
        folder,
        &["--state", &state],
    );
    let mut http = Http::of(&gateway);
    let code = gateway.process.wait("the console's code", |line| {
        let (_, code) = line.split_once("code is ")?;
        Some(code.trim().to_owned())
    });
    http.log_in(&serde_json::json!({ "code": code }).to_string());
    (gateway, http)
}

/// Asks for the last hour until so many readings are there.
fn until(http: &Http, point: &str, count: u64) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = http.get(&format!("/api/v1/history/meter/{point}?width=4000"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();
        let counts = told["count"].as_array().expect("a list").iter();
        if counts.filter_map(Value::as_u64).sum::<u64>() >= count {
            return told;
        }
        assert!(Instant::now() < end, "{told}");
        std::thread::yield_now();
    }
}

fn export(state: &Path, more: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new(fieldgate());
    command
        .args(["history", "export", "--device", "meter", "--from", "1h"])
        .args(more)
        .arg("--state")
        .arg(state);
    let output = command.output().expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = text.split_terminator("\r\n");
    assert_eq!(lines.next(), Some("time,device,point,value,quality,clock"));
    lines
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect()
}

#[test]
fn what_is_published_is_kept_and_survives_kill_9() {
    let folder = Folder::new();
    let state = folder.path().join("state");
    std::fs::create_dir(&state).expect("a folder");
    let (mut gateway, http) = start(folder);
    let point = http.get("/api/v1/devices/meter/points/voltage").json();
    assert_eq!(point["history"], true);
    until(&http, "voltage", 30);
    let told = http.get("/api/v1/history/meter/energy").json();
    assert_eq!(told["at"].as_array().map(Vec::len), Some(0), "not kept");
    // What was flushed is on the card, seen from outside, while the gateway writes.
    let end = Instant::now() + PATIENCE;
    let before = loop {
        let found = export(&state, &[]);
        if found.len() >= 30 {
            break found;
        }
        assert!(Instant::now() < end, "{} lines", found.len());
        std::thread::yield_now();
    };
    assert!(
        before
            .iter()
            .all(|line| line[2] == "voltage" && line[4] == "good")
    );
    gateway.process.kill();
    gateway.process.wait_exit(Duration::from_secs(5));
    let after = export(&state, &["--point", "voltage"]);
    assert_eq!(
        after.get(..before.len()),
        Some(before.as_slice()),
        "the same, and no less"
    );
    let Gateway { folder, .. } = gateway;
    let (gateway, http) = start(folder);
    until(&http, "voltage", after.len() as u64 + 10);
    let now = export(&state, &[]);
    assert_eq!(
        now.get(..before.len()),
        Some(before.as_slice()),
        "after a restart"
    );
    let csv = http.get("/api/v1/history.csv?device=meter");
    assert!(csv.body.lines().count() > after.len());
    let figures = http.get("/metrics").body;
    assert!(
        figures.contains("fieldgate_history_dropped_total 0"),
        "{figures}"
    );
    drop(gateway);
}
