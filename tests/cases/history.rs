//! History on the card: what is published is kept, and comes out in the console and on the command line.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use fieldgate_history::{Event, History, Keeps, Kind, Now, Settings};
use fieldgate_model::Sample;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use crate::harness::{
    Folder, PATIENCE, free_port,
    gateway::{Gateway, configuration, fieldgate},
    http::Http,
    python, repository,
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
      energy: {input: 72, as: f32, unit: kWh, history: false, counter: true}
"#;

/// A gateway whose console has a user.
fn start(folder: Folder) -> (Gateway, Http) {
    let (gateway, mut http, code) = open(folder);
    http.log_in(&serde_json::json!({ "code": code }).to_string());
    (gateway, http)
}

fn open(folder: Folder) -> (Gateway, Http, String) {
    let port = free_port();
    let state = folder.path().join("state").display().to_string();
    let gateway = Gateway::start_with(
        port,
        &configuration(port, PLANT),
        folder,
        &["--state", &state],
    );
    let http = Http::of(&gateway);
    let code = gateway.process.wait("the console's code", |line| {
        let (_, code) = line.split_once("code is ")?;
        Some(code.trim().to_owned())
    });
    (gateway, http, code)
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

/// Runs `fieldgate history export` or `counters` and returns its lines.
fn lines(command: &str, header: &str, state: &Path, more: &[&str]) -> Vec<Vec<String>> {
    let output = Command::new(fieldgate())
        .args(["history", command, "--device", "meter", "--state"])
        .arg(state)
        .args(more)
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = text.split_terminator("\r\n");
    assert_eq!(lines.next(), Some(header));
    lines
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect()
}

fn export(state: &Path, more: &[&str]) -> Vec<Vec<String>> {
    let header = "time,device,point,value,quality,clock,unit";
    lines("export", header, state, more)
}

fn counters(state: &Path, more: &[&str]) -> Vec<Vec<String>> {
    let header = "from,to,device,point,unit,used,value,hours,hours_of,resets";
    lines("counters", header, state, more)
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

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A counter that has counted one kWh an hour for forty days, and was reset once, nineteen days ago; and a voltage that
/// was read in the last half hour, in which its device was away for a minute, and went and came again and again.
fn forty_days(state: &Path) {
    let now = Timestamp::now().as_millisecond();
    let begin = (now - 40 * DAY) / HOUR * HOUR;
    let clock = Arc::new(AtomicI64::new(begin));
    let time = Arc::clone(&clock);
    let settings = Settings {
        folder: state.join("history"),
        max: 64 << 20,
        keep: Duration::from_secs(30 * 86_400),
        reserve: 0,
        events: 1 << 20,
        flush: Duration::from_secs(3_600),
        memory: 16 << 20,
        keep_counters: Duration::from_secs(731 * 86_400),
        zone: TimeZone::UTC,
        trust: Duration::MAX,
    };
    let history = History::start(settings, move || Now {
        at: time.load(Ordering::Relaxed),
        is_set: true,
    });
    let history = history.expect("it starts");
    let points = ["energy", "voltage"];
    let tap = history.tap().device("meter", points, |point| Keeps {
        readings: point == "voltage",
        counter: (point == "energy").then(|| "kWh".to_owned()),
    });
    for hour in 0..=40 * 24 {
        let at = begin + hour * HOUR;
        let shown = if hour < 21 * 24 {
            12_345 + hour
        } else {
            hour - 21 * 24 + 1
        };
        let shown = fieldgate_model::Value::Decimal(shown.into());
        let at = Timestamp::from_millisecond(at).expect("a time");
        clock.store(at.as_millisecond(), Ordering::Relaxed);
        tap.take(&[Sample::good(0, shown, at)], true);
        history.flush();
    }
    let moment = |second: i64| Timestamp::from_millisecond(now - second * 1_000).expect("a time");
    let samples = (1..=1_800).rev().map(|second| {
        let volts = fieldgate_model::Value::F32(230.0 + (second % 7) as f32);
        Sample::good(1, volts, moment(second))
    });
    tap.take(&samples.collect::<Vec<_>>(), true);
    // It ends before what a chart of half an hour shows.
    clock.store(now - 3_590_000, Ordering::Relaxed);
    let event = |kind, second| Event::new(kind, moment(second)).of("meter");
    let why = "no answer within 300 ms";
    tap.tap().event(event(Kind::Offline, 1_500).saying(why));
    tap.tap().event(event(Kind::Online, 1_440));
    let command = event(Kind::Command, 1_000).named("setpoint").with("65.5");
    tap.tap().event(command.by("vera at 10.0.0.7"));
    for flap in 0..8 {
        let why = "<img src=x onerror=\"document.title='hit'\">";
        tap.tap()
            .event(event(Kind::Offline, 600 - flap).saying(why));
        tap.tap().event(event(Kind::Online, 600 - flap));
    }
}

#[test]
fn what_a_counter_counted_survives_kill_9_and_comes_by_hour_day_and_month() {
    let folder = Folder::new();
    let state = folder.path().join("state");
    std::fs::create_dir_all(state.join("history")).expect("a folder");
    forty_days(&state);
    let days = counters(&state, &[]);
    assert!((31..=33).contains(&days.len()), "{days:?}");
    let whole = |day: &&Vec<String>| day[7] == "24";
    let middle: Vec<_> = days.iter().filter(whole).collect();
    assert!(middle.len() >= 29, "{days:?}");
    assert!(
        middle.iter().all(|day| day[5] == "24" && day[4] == "kWh"),
        "{days:?}"
    );
    let resets: usize = days
        .iter()
        .map(|day| day[9].parse::<usize>().expect("a number"))
        .sum();
    assert_eq!(resets, 1, "{days:?}");
    let months = counters(
        &state,
        &["--by", "month", "--from", "60d", "--point", "energy"],
    );
    let sum: f64 = months
        .iter()
        .map(|month| month[5].parse::<f64>().expect("a number"))
        .sum();
    assert_eq!(sum, 960.0, "{months:?}");
    let (mut gateway, http, _) = open(folder);
    // The simulated meter shows another number: another reset, in this hour.
    let path = "/api/v1/history/counters?device=meter&by=hour";
    let code = http.get(path).status;
    assert_eq!(code, 401, "without a user");
    gateway.process.kill();
    gateway.process.wait_exit(Duration::from_secs(5));
    let after = counters(&state, &["--by", "month", "--from", "60d"]);
    let sum: f64 = after
        .iter()
        .map(|month| month[5].parse::<f64>().expect("a number"))
        .sum();
    assert!(sum >= 960.0, "{after:?}");
}

#[test]
fn the_last_hour_goes_on_after_a_restart() {
    let folder = Folder::new();
    let state = folder.path().join("state");
    std::fs::create_dir_all(state.join("history")).expect("a folder");
    forty_days(&state);
    let (gateway, http) = start(folder);
    let end = Instant::now() + PATIENCE;
    loop {
        let told = http.get("/api/v1/trends?points=meter/voltage").json();
        let least = told["trends"]["meter/voltage"]["lo"]
            .as_array()
            .map_or(0, Vec::len);
        // Half an hour of ten seconds each, and what the start took.
        if (178..=200).contains(&least) {
            break;
        }
        assert!(Instant::now() < end, "{least} cells");
        std::thread::yield_now();
    }
    drop(gateway);
}

#[test]
fn a_person_sees_what_a_counter_counted() {
    let folder = Folder::new();
    let state = folder.path().join("state");
    std::fs::create_dir_all(state.join("history")).expect("a folder");
    forty_days(&state);
    let (gateway, http, code) = open(folder);
    let output = Command::new(python())
        .arg(repository().join("tests/peers/console_history.py"))
        .args([&format!("http://{}", http.address), &code])
        .arg(repository().join("tests/.node/node_modules/axe-core/axe.min.js"))
        .arg(repository().join("target/console"))
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    let seen: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON");
    assert_eq!(seen["wrong"], serde_json::json!([]), "{:#}", seen["wrong"]);
    drop(gateway);
}
