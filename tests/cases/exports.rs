//! Exports of the history, read back by programs that we did not write, and broken off.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use fieldgate_history::{History, Keeps, Now, Settings};
use fieldgate_model::{Quality, Sample, Value};
use jiff::{Timestamp, tz::TimeZone};

use crate::harness::{
    Folder, PATIENCE, free_port,
    gateway::{Gateway, configuration, fieldgate},
    http::Http,
    process::Process,
    python, repository,
};

const PLANT: &str = r#"
console: {listen: {http: "127.0.0.1:0"}}
history: {max: 64M}
buses: {meters: {tcp: "127.0.0.1:0", modbus: tcp, simulated: true}}
devices:
  meter: {bus: meters, unit: 1, points: {voltage: {input: 0, as: f32, unit: V}, energy: {input: 72, as: f32, unit: kWh}}}
"#;
const FORMATS: [&str; 4] = ["csv", "jsonl", "parquet", "line"];
/// More than one row group of Parquet, and more different numbers than a dictionary takes.
const MANY: usize = 70_000;

/// Keeps what no meter sends, and much of what one does, between two hours ago and one hour ago.
fn fill(state: &Path, now: Timestamp) {
    let settings = Settings {
        folder: state.join("history"),
        max: 64 << 20,
        keep: Duration::from_secs(30 * 86_400),
        reserve: 0,
        flush: Duration::from_secs(3_600),
        memory: 16 << 20,
        keep_counters: Duration::from_secs(86_400),
        events: 1 << 20,
        zone: TimeZone::UTC,
        trust: Duration::MAX,
    };
    let at = now.as_millisecond();
    let history = History::start(settings, move || Now { at, is_set: true });
    let history = history.expect("it starts");
    let moment = |place: usize| {
        let at = at - 7_200_000 + place as i64 * 10;
        Timestamp::from_millisecond(at).expect("a time")
    };
    let sample = |point, place: usize, value, quality| Sample {
        point,
        value,
        quality,
        at: moment(place),
        error: None,
    };
    let good = |point, values: Vec<Value>| -> Vec<Sample> {
        let values = values.into_iter().enumerate();
        values
            .map(|(place, value)| sample(point, place, Some(value), Quality::Good))
            .collect()
    };
    let keeps = |_: &str| Keeps {
        readings: true,
        counter: None,
    };
    let decimals = [
        "9223372036854775807",
        "-9223372036854775808",
        "9007199254740992",
        "9007199254740993",
        "123456789012345678901234567.5",
        "0.000000000000000000000000000000000001",
        "0.1",
        "-0.05",
        "1000000",
        "0",
    ];
    let decimal = |text: &&str| Value::Decimal(text.parse().expect("a number"));
    let meter = history.tap().device("meter", ["voltage", "energy"], keeps);
    meter.take(&good(1, decimals.iter().map(decimal).collect()), true);
    let volts = |place: usize| Value::F64(230.0 + (place as f64).sqrt());
    for begin in (0..MANY).step_by(10_000) {
        let part = begin..begin + 10_000;
        let part = part.map(|place| sample(0, place, Some(volts(place)), Quality::Good));
        meter.take(&part.collect::<Vec<_>>(), true);
        history.flush();
        if begin == 30_000 {
            history.close();
        }
    }
    let plc = history.tap().device("plc", ["level", "pump"], keeps);
    let floats = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.1, -0.0];
    let floats = floats.into_iter().chain([f32::MAX, f32::from_bits(1)]);
    plc.take(&good(0, floats.map(Value::F32).collect()), true);
    plc.take(
        &[sample(0, 100, Some(Value::F32(7.5)), Quality::Good)],
        false,
    );
    let pump = [
        sample(1, 0, Some(Value::Bool(true)), Quality::Good),
        sample(1, 1, Some(Value::Bool(true)), Quality::Stale),
        sample(1, 2, None, Quality::Bad),
        sample(1, 3, Some(Value::Bool(false)), Quality::Good),
    ];
    plc.take(&pump, true);
    let odd = history.tap().device("Pumpe \"Süd\", a=b\\", ["x y"], keeps);
    odd.take(&good(0, vec![Value::F64(1e300), Value::F64(-1e-300)]), true);
}

/// A state with readings, and the configuration beside it. Returns until when all of them are.
fn prepared(folder: &Folder) -> Timestamp {
    let state = folder.path().join("state");
    fs::create_dir_all(state.join("history")).expect("a folder");
    let now = Timestamp::now();
    fill(&state, now);
    folder.write("gateway.yaml", &configuration(free_port(), PLANT));
    now
}

/// Writes an export of what was there before a time to a file.
fn export(folder: &Path, until: Timestamp, format: &str, more: &[&str]) {
    let file = folder.join(format!("all.{format}"));
    let status = Command::new(fieldgate())
        .args(["history", "export", "--from", "24h", "--format", format])
        .args(["--to", &until.to_string(), "--state"])
        .arg(folder.join("state"))
        .arg("--config")
        .arg(folder.join("gateway.yaml"))
        .args(more)
        .stdout(File::create(file).expect("a file"))
        .status();
    assert!(status.expect("it runs").success(), "{format}");
}

fn peer(arguments: &[&str]) -> usize {
    let script = repository().join("tests/peers/history_exports.py");
    let output = Command::new(python()).arg(script).args(arguments).output();
    let output = output.expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    said.trim().parse().expect("a number")
}

#[test]
fn json_lines_and_parquet_say_the_same_as_the_csv() {
    let folder = Folder::new();
    let until = prepared(&folder);
    let path = folder.path();
    for format in FORMATS {
        export(path, until, format, &[]);
    }
    assert_eq!(peer(&["files", &path.display().to_string()]), MANY + 24);
    // The document's question to DuckDB.
    let sql = super::databases::block("history.md", "sql", "read_parquet");
    let script = "import duckdb, os, sys; os.chdir(sys.argv[1]); print(len(duckdb.sql(sys.argv[2]).fetchall()))";
    fs::rename(path.join("all.parquet"), path.join("meter.parquet")).expect("a file");
    let output = Command::new(python())
        .args(["-c", script])
        .arg(path)
        .arg(&sql)
        .output()
        .expect("python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    let rows = String::from_utf8_lossy(&output.stdout);
    // One for each point and hour, of which there may be two.
    assert!(matches!(rows.trim().parse(), Ok(5..=10)), "{rows}{errors}");
}

#[test]
fn victoria_metrics_takes_good_numbers_and_the_quality_by_the_command_of_the_document() {
    let folder = Folder::new();
    let until = prepared(&folder);
    let path = folder.path().display().to_string();
    export(folder.path(), until, "csv", &[]);
    let program = repository().join("tests/.victoria/usr/bin/victoria-metrics");
    assert!(
        program.exists(),
        "VictoriaMetrics is missing: `tests/run` unpacks it"
    );
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(program);
    command
        .arg(format!("-httpListenAddr={address}"))
        .arg(format!("-storageDataPath={path}/victoria"));
    let process = Process::spawn("VictoriaMetrics", &mut command);
    process.wait_line("starting http server at http");
    let recipe = super::databases::block("history.md", "sh", "8428/write");
    let export = format!(
        "{} history export --state {path}/state --config {path}/gateway.yaml --to {until}",
        fieldgate().display()
    );
    let recipe = recipe
        .replace("sudo fieldgate history export", &export)
        .replace("192.168.1.20:8428", &address);
    assert!(
        recipe.contains(&export) && recipe.contains(&address),
        "{recipe}"
    );
    let status = Command::new("sh").args(["-ec", &recipe]).status();
    assert!(status.expect("a shell").success(), "{recipe}");
    let values = peer(&["victoria", &path, &address]);
    // Each has its quality; a number have all but three that JSON has none for, one that is stale and one that is bad.
    assert_eq!(values, 2 * (MANY + 24) - 5);
}

/// A running gateway with these readings, a person who is logged in, and what to ask for.
fn served() -> (Gateway, Http, Timestamp) {
    let folder = Folder::new();
    let until = prepared(&folder);
    let state = folder.path().join("state").display().to_string();
    let text = fs::read_to_string(folder.path().join("gateway.yaml")).expect("a file");
    let gateway = Gateway::start_with(free_port(), &text, folder, &["--state", &state]);
    let mut http = Http::of(&gateway);
    let code = gateway.process.wait("the console's code", |line| {
        let (_, code) = line.split_once("code is ")?;
        Some(code.trim().to_owned())
    });
    http.log_in(&serde_json::json!({ "code": code }).to_string());
    (gateway, http, until)
}

/// Downloads an export, until it is this one's turn.
fn download(http: &Http, format: &str, until: Timestamp, to: &Path) {
    let from = until - Duration::from_secs(86_400);
    let url = format!(
        "http://{}/api/v1/history.{format}?device=meter&from={from}&to={until}",
        http.address
    );
    let cookie = format!("Cookie: {}", http.cookie.as_deref().unwrap_or_default());
    let end = Instant::now() + PATIENCE;
    loop {
        let mut command = Command::new("curl");
        command.args(["-s", "-w", "%{http_code}", "-H", &cookie, &url, "-o"]);
        let output = command.arg(to).output().expect("curl runs");
        match String::from_utf8_lossy(&output.stdout).as_ref() {
            "200" if output.status.success() => return,
            "503" => assert!(Instant::now() < end, "others never end"),
            other => panic!("{url}: {other}, {output:?}"),
        }
    }
}

#[test]
fn the_console_gives_the_same_bytes_and_none_that_were_not_asked_for() {
    let (gateway, http, until) = served();
    let path = gateway.folder.path();
    for format in FORMATS {
        export(path, until, format, &["--device", "meter"]);
        let to = path.join("downloaded");
        download(&http, format, until, &to);
        let same = fs::read(&to).ok() == fs::read(path.join(format!("all.{format}"))).ok();
        assert!(same, "{format}");
    }
    for (query, want) in [
        ("jsonl?from=2026-11-27T08:00:00Z", 400),
        ("parquet?device=meter&from=yesterday", 400),
        ("line?device=meter&format=csv", 400),
        ("xlsx?device=meter", 404),
        ("line?device=none", 200),
    ] {
        let answer = http.get(&format!("/api/v1/history.{query}"));
        assert_eq!(answer.status, want, "{query}");
    }
    let wrong = Command::new(fieldgate())
        .args(["history", "export", "--from", "1h", "--to", "2h"])
        .output();
    let wrong = String::from_utf8(wrong.expect("it runs").stderr).expect("text");
    assert!(
        wrong.contains("expected a time before that of --to"),
        "{wrong}"
    );
}

#[test]
fn a_client_that_goes_in_the_middle_leaves_nothing_behind() {
    let (gateway, http, until) = served();
    let status = format!("/proc/{}/status", gateway.process.id());
    let resident = || {
        let text = fs::read_to_string(&status).expect("a process");
        let line = text.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("a number")
    };
    let to = gateway.folder.path().join("downloaded");
    for format in FORMATS {
        download(&http, format, until, &to);
    }
    let before = resident();
    let from = until - Duration::from_secs(86_400);
    for round in 0..20 {
        let mut stream = TcpStream::connect(&http.address).expect("the console");
        let request = format!(
            "GET /api/v1/history.{}?device=meter&from={from}&to={until} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n",
            FORMATS[round % 4],
            http.address,
            http.cookie.as_deref().unwrap_or_default()
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut bytes = [0; 10_000];
        let _ = stream.read(&mut bytes).expect("it answers");
    }
    // Each of those had a place among those that run.
    for format in FORMATS {
        download(&http, format, until, &to);
    }
    let after = resident();
    assert!(after < before + 16 * 1024, "{before} KiB, then {after} KiB");
    // One who takes nothing of a pipe is no error either.
    let mut piped = Command::new(fieldgate())
        .args(["history", "export", "--from", "24h", "--state"])
        .arg(gateway.folder.path().join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(piped.stdout.take());
    let output = piped.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
