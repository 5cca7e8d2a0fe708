//! The web console of the real gateway: over sockets, in a browser, and read by Prometheus.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    Folder, PATIENCE, free_port,
    gateway::{Gateway, configuration, fieldgate},
    http::Http,
    process::Process,
    python, repository,
};

/// The plant of the demonstration: a device with points that can be written, and a meter.
const PLANT: &str = r#"
buses:
  meters: {tcp: "127.0.0.1:0", modbus: tcp, simulated: true}
  plant:  {tcp: "127.0.0.1:0", modbus: tcp, simulated: true}
devices:
  meter: {bus: meters, unit: 1, points: {voltage: {input: 0, as: f32, unit: V}, energy: {input: 72, as: f32, unit: kWh}}}
  plc:
    bus: plant
    unit: 1
    points:
      pump:     {coil: 0, write: true}
      setpoint: {holding: 10, as: f32, unit: "°C", write: {min: 0, max: 80}}
      mode:     {holding: 12, as: u16, write: true, enum: {0: "off", 1: day, 2: night}}
"#;

/// Two meters on a bus of their own.
const SPARE: &str = r#"
version: 1
gateway: {name: spare}
buses: {spare: {tcp: "127.0.0.1:1502", modbus: tcp}}
devices: {"spare-{unit}": {type: sdm630, bus: spare, units: [1, 2]}}
"#;

fn start(console: &str) -> (Gateway, Http) {
    let rest = format!("console: {console}\ndefaults: {{poll: 200ms}}\n{PLANT}");
    let gateway = Gateway::start(&rest);
    let http = Http::of(&gateway);
    (gateway, http)
}

/// The code that a gateway without users logs.
fn code(gateway: &Gateway) -> String {
    gateway.process.wait("the console's code", |line| {
        let (_, code) = line.split_once("code is ")?;
        Some(code.trim().to_owned())
    })
}

/// Asks until the answer is as it should be.
fn until(http: &Http, path: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = http.get(path);
        if answer.status == 200 && is_it(&answer.json()) {
            return answer.json();
        }
        assert!(Instant::now() < end, "{path}: {answer:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_gateway_without_users_lets_in_with_its_code_shows_values_and_writes_them() {
    let (gateway, mut http) = start(r#"{listen: {http: "127.0.0.1:0"}}"#);
    let code = code(&gateway);
    let hint = format!("http://{}/#code={code}", http.address);
    gateway
        .process
        .wait("where to look", |line| line.contains(&hint).then_some(()));
    assert_eq!(http.get("/api/v1/points").status, 401);
    assert_eq!(http.log_in(&json!({"code": code}).to_string()).status, 200);
    until(&http, "/api/v1/devices/plc", |device| {
        device["state"] == "online"
    });
    let point = "/api/v1/devices/plc/points/setpoint";
    let written = http.ask("POST", &format!("{point}/write"), r#"{"value": 42.5}"#);
    assert_eq!(
        written.json(),
        json!({"status": "ok", "value": 42.5, "readback": 42.5})
    );
    until(&http, point, |point| {
        point["value"] == 42.5 && point["quality"] == "good"
    });
    let refused = http.ask("POST", &format!("{point}/write"), r#"{"value": 99}"#);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (422, &json!("not_written"))
    );
    let mode = http.ask(
        "POST",
        "/api/v1/devices/plc/points/mode/write",
        r#"{"value": "day"}"#,
    );
    assert_eq!(mode.json()["value"], "day");
    let log = http.get("/api/v1/logs?q=wrote").json();
    let lines = log["items"].as_array().expect("a list");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0]["subject"], "plc");
    assert_eq!(
        lines[0]["text"],
        "local at 127.0.0.1 wrote 42.5 to setpoint: ok"
    );
    let answer = http.get("/");
    assert!(
        answer
            .header("content-security-policy")
            .is_some_and(|policy| policy.starts_with("default-src 'none';"))
    );
}

#[test]
fn without_a_users_file_the_console_makes_one_and_its_first_user_is_an_admin() {
    let (gateway, mut http) = start(r#"{listen: {http: "127.0.0.1:0"}}"#);
    let code = json!({"code": code(&gateway)}).to_string();
    assert_eq!(http.log_in(&code).status, 200);
    let new = |role: &str| json!({"console": role, "password": "correct horse"}).to_string();
    let refused = http.ask("PUT", "/api/v1/users/otto", &new("view"));
    assert!(refused.body.contains("needs the role admin"), "{refused:?}");
    let made = http.ask("PUT", "/api/v1/users/ada", &new("admin"));
    assert!((200..300).contains(&made.status), "{made:?}");
    let login = json!({"user": "ada", "password": "correct horse"}).to_string();
    let end = Instant::now() + PATIENCE;
    while http.log_in(&login).status != 200 {
        assert!(Instant::now() < end, "the new user cannot log in");
    }
    let made = http.ask("PUT", "/api/v1/users/otto", &new("view"));
    assert!((200..300).contains(&made.status), "{made:?}");
}

#[test]
fn the_first_user_is_made_with_the_setup_code_and_changes_of_the_file_end_sessions() {
    let folder = Folder::new();
    let users = folder.write("users.yaml", "users: {}\n");
    let port = free_port();
    let text = configuration(
        port,
        &format!("console: {{listen: {{http: \"127.0.0.1:0\"}}}}\n{PLANT}"),
    );
    let text = text.replace("allow_anonymous", "users: users.yaml\n  allow_anonymous");
    let gateway = Gateway::start_text(port, &text, folder);
    gateway.keep_listening();
    let mut http = Http::of(&gateway);
    let code = code(&gateway);
    let first = json!({"code": code, "user": "ada", "password": "correct horse"}).to_string();
    let made = http.ask("POST", "/api/v1/setup", &first);
    assert_eq!(made.status, 200, "{made:?}");
    http.keep(&made);
    assert_eq!(http.get("/api/v1/overview").status, 200);
    let written = fs::read_to_string(&users).expect("the users file");
    assert!(
        written.contains("console: admin") && !written.contains("correct horse"),
        "{written}"
    );
    // The broker takes the file over within two seconds, and knows the password from then on.
    let login = json!({"user": "ada", "password": "correct horse"}).to_string();
    let end = Instant::now() + PATIENCE;
    while http.log_in(&login).status != 200 {
        assert!(Instant::now() < end, "the new user cannot log in");
    }
    let list = Command::new(fieldgate())
        .args(["user", "list", "--file"])
        .arg(&users)
        .output();
    let list = String::from_utf8(list.expect("fieldgate").stdout).expect("text");
    assert_eq!(list, "ada  may read and write everything; console: admin\n");
    fs::write(&users, written.replace("console: admin", "console: view")).expect("the users file");
    let end = Instant::now() + PATIENCE;
    while http.get("/api/v1/overview").status != 401 {
        assert!(Instant::now() < end, "the session of another role goes on");
    }
    let again = http.log_in(&login);
    assert_eq!(again.json()["role"], "view", "{}", again.body);
    let write = http.ask(
        "POST",
        "/api/v1/devices/plc/points/pump/write",
        r#"{"value": true}"#,
    );
    assert_eq!(write.status, 403);
}

#[test]
fn half_open_connections_leave_room_and_end() {
    let socket = Folder::new();
    let path = socket.path().join("console.sock");
    let listen = format!(
        "{{listen: {{http: \"127.0.0.1:0\", unix: {}}}}}",
        path.display()
    );
    let (_gateway, http) = start(&listen);
    let open = || TcpStream::connect(&http.address).expect("the console takes connections");
    let begin = Instant::now();
    let mut held: Vec<_> = (0..24).map(|_| open()).collect();
    for stream in &mut held {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost:")
            .expect("it reads");
    }
    // One more of this address is turned away.
    let mut turned_away = open();
    let _ = turned_away
        .write_all(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    let _ = turned_away.read_to_string(&mut text);
    assert_eq!(text, "");
    let mut unix = UnixStream::connect(&path).expect("the console's socket");
    unix.write_all(b"GET /health HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
        .expect("it reads");
    let mut text = String::new();
    unix.read_to_string(&mut text).expect("it answers");
    assert!(text.ends_with("ok\n"), "{text}");
    for mut stream in held {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let _ = stream.read_to_string(&mut String::new());
    }
    assert!(
        begin.elapsed() < Duration::from_secs(25),
        "{:?}",
        begin.elapsed()
    );
    let host = format!("Host: {}", http.address);
    assert_eq!(http.send("GET", "/health", &[&host], "").body, "ok\n");
}

#[test]
fn prometheus_takes_the_figures_in_both_formats() {
    let (_gateway, http) = start(r#"{listen: {http: "127.0.0.1:0"}}"#);
    let host = format!("Host: {}", http.address);
    // Points have values one after the other.
    let units = ["volts", "celsius", "watthours"];
    let has_all = |body: &str| {
        let name = |unit: &&str| format!("\nfieldgate_point_{unit}{{");
        units.iter().all(|unit| body.contains(&name(unit)))
    };
    let end = Instant::now() + PATIENCE;
    let (text, open) = loop {
        let text = http.send("GET", "/metrics", &[&host], "");
        let accept = "Accept: application/openmetrics-text;version=1.0.0";
        let open = http.send("GET", "/metrics", &[&host, accept], "");
        if has_all(&text.body) && has_all(&open.body) {
            break (text, open);
        }
        assert!(Instant::now() < end, "{text:?}");
    };
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let promtool = repository().join("tests/.prometheus/usr/bin/promtool");
    assert!(
        promtool.exists(),
        "promtool is missing: `tests/run` unpacks it"
    );
    let checked = with_input(
        Command::new(promtool).args(["check", "metrics"]),
        &text.body,
    );
    assert_eq!(checked, "");
    let script = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as new\n\
        from prometheus_client.parser import text_string_to_metric_families as old\n\
        read = new if sys.argv[1] == 'open' else old\n\
        names = {s.name for f in read(sys.stdin.read()) for s in f.samples}\n\
        print(' '.join(sorted(n for n in names if n.startswith('fieldgate_point'))))";
    for (format, body) in [("text", &text.body), ("open", &open.body)] {
        let mut parser = Command::new(python());
        let found = with_input(parser.args(["-c", script, format]), body);
        let want = "fieldgate_point_celsius fieldgate_point_good fieldgate_point_value fieldgate_point_volts fieldgate_point_watthours\n";
        assert_eq!(found, want, "{format}");
    }
}

/// What a program says of its input, and what it complains of.
fn with_input(command: &mut Command, input: &str) -> String {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).expect("text")
}

#[test]
fn a_person_gets_from_the_first_start_to_a_written_value_and_every_page_is_fit_to_be_shown() {
    let config = repository().join("config");
    let folder = Folder::new();
    fs::create_dir(folder.path().join("types")).expect("a folder");
    for entry in fs::read_dir(config.join("types")).expect("types") {
        let path = entry.expect("a file").path();
        let to = folder
            .path()
            .join("types")
            .join(path.file_name().expect("a name"));
        fs::copy(&path, to).expect("a copy");
    }
    folder.write("users.yaml", "users: {}\n");
    let port = free_port();
    let text = fs::read_to_string(config.join("demo.yaml")).expect("the demonstration");
    let text = text
        .replace(
            "listen: {tcp: 1883}",
            &format!("listen: {{tcp: \"127.0.0.1:{port}\"}}\n  users: users.yaml"),
        )
        .replace("127.0.0.1:8180", "127.0.0.1:0");
    // A bus on which the configuration has no device yet.
    let other = free_port();
    let spare = folder.write("spare.yaml", SPARE);
    let mut serving = Command::new(fieldgate());
    serving
        .arg("simulate")
        .arg(&spare)
        .arg("--listen")
        .arg(format!("127.0.0.1:{other}"));
    let serving = Process::spawn("simulate", &mut serving);
    serving.wait_line("serving");
    let text = text.replace(
        "buses:\n",
        &format!("buses:\n  spare: {{tcp: \"127.0.0.1:{other}\", modbus: tcp}}\n"),
    );
    let state = folder.path().join("state").display().to_string();
    let gateway = Gateway::start_with(port, &text, folder, &["--state", &state]);
    gateway.keep_listening();
    gateway.wait_online("demo/plc/$state");
    let http = Http::of(&gateway);
    let code = code(&gateway);
    let axe = repository().join("tests/.node/node_modules/axe-core/axe.min.js");
    assert!(axe.exists(), "axe-core is missing: `tests/run` installs it");
    let output = Command::new(python())
        .arg(repository().join("tests/peers/console_browser.py"))
        .args([&format!("http://{}", http.address), &code])
        .arg(axe)
        .arg(repository().join("target/console"))
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let seen: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON");
    assert_eq!(seen["wrong"], json!([]), "{:#}", seen["wrong"]);
    let bytes = seen["first_page_bytes"].as_u64().expect("a number");
    assert!(
        (1_000..=60 * 1024).contains(&bytes),
        "{bytes} bytes of the first page"
    );
}
