//! How browsers and scripts get in: the certificate, made by the gateway or brought, and tokens.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use serde_json::{Value, json};

use crate::harness::{
    Folder, PATIENCE, free_port,
    gateway::{Gateway, fieldgate},
    process::Process,
    repository,
};

fn run(command: &mut Command) -> Output {
    command.output().expect("the program is there")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// What curl gets when it trusts one authority only.
fn get(authority: &Path, url: &str, more: &[&str]) -> Output {
    let curl = &mut Command::new("curl");
    run(curl
        .args(["-sS", "--cacert"])
        .arg(authority)
        .args(more)
        .arg(url))
}

fn ask(authority: &Path, base: &str, jar: &Path, method: &str, path: &str, body: &Value) -> Value {
    let jar = jar.to_str().expect("a plain path");
    let body = body.to_string();
    let mut more = vec![
        "-b",
        jar,
        "-c",
        jar,
        "-X",
        method,
        "-H",
        "Sec-Fetch-Site: same-origin",
    ];
    if method != "GET" {
        more.extend(["-H", "Content-Type: application/json", "-d", &body]);
    }
    let output = get(authority, &format!("{base}/api/v1/{path}"), &more);
    let text = text(&output);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn pair(folder: &Folder, name: &str) -> (String, String) {
    let file = |end: &str| folder.path().join(format!("{name}.{end}"));
    let made = run(Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10".split(' '))
        .args([
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .arg("-keyout")
        .arg(file("key"))
        .arg("-out")
        .arg(file("pem")));
    assert!(made.status.success(), "{}", text(&made));
    let read = |end| fs::read_to_string(file(end)).expect("just written");
    (read("pem"), read("key"))
}

#[test]
fn https_needs_no_certificate_of_a_person_and_takes_one_without_a_restart() {
    let folder = Folder::new();
    let [port, tls, https] = [(); 3].map(|()| free_port());
    let start = format!(
        "version: 1
gateway: {{name: plant7}}
broker:
  allow_anonymous: true
  listen: {{tcp: \"127.0.0.1:{port}\"}}
console: {{listen: {{https: \"127.0.0.1:{https}\"}}}}
"
    );
    let gateway = Gateway::start_text(port, &start, folder);
    gateway.keep_listening();
    let base = format!("https://localhost:{https}");
    let file = |name: &str| gateway.folder.path().join(name);
    let health = get(&file("ca.pem"), &format!("{base}/health"), &[]);
    assert_eq!(text(&health), "ok\n");
    for (name, want) in [
        ("ca.pem", 0o644),
        ("broker.pem", 0o644),
        ("ca.key", 0o600),
        ("broker.key", 0o600),
    ] {
        let mode = fs::metadata(file(name)).expect(name).permissions().mode() & 0o777;
        assert_eq!(mode, want, "{name}");
    }
    let shown = run(Command::new(fieldgate())
        .args(["certificate", "show", "--config"])
        .arg(file("gateway.yaml")));
    assert!(
        text(&shown).contains("localhost") && text(&shown).contains("SHA-256:"),
        "{}",
        text(&shown)
    );

    let code = gateway.process.wait("the console's code", |line| {
        let (_, code) = line.split_once("code is ")?;
        Some(code.trim().to_owned())
    });
    let jar = file("jar");
    ask(
        &file("ca.pem"),
        &base,
        &jar,
        "POST",
        "session",
        &json!({ "code": code }),
    );
    let own = ask(
        &file("ca.pem"),
        &base,
        &jar,
        "GET",
        "certificates",
        &Value::Null,
    );
    assert_eq!(
        (&own["is_own"], &own["for_console"], &own["for_mqtt"]),
        (&json!(true), &json!(true), &json!(false))
    );
    let (certificate, key) = pair(&gateway.folder, "brought");
    let (_, other) = pair(&gateway.folder, "other");
    let wrong = json!({"certificate": certificate, "key": other});
    let refused = ask(&file("ca.pem"), &base, &jar, "PUT", "certificates", &wrong);
    assert!(
        refused["detail"]
            .as_str()
            .expect("text")
            .contains("not the key"),
        "{refused}"
    );
    let good = json!({"certificate": certificate, "key": key});
    let now = ask(&file("ca.pem"), &base, &jar, "PUT", "certificates", &good);
    assert_eq!(
        (&now["certificate"]["subject"], &now["is_own"]),
        (&json!("brought"), &json!(false))
    );
    trusts(&file("brought.pem"), &format!("{base}/health"));
    let health = &mut Command::new(fieldgate());
    let health = run(health
        .args(["health", "--config"])
        .arg(file("gateway.yaml")));
    let told = text(&health);
    assert!(told.contains("the console answers"), "over https: {told}");

    // The same certificate for MQTT, once the configuration says so.
    let mqtt = start.replace(
        "listen: {tcp:",
        &format!("listen: {{tls: \"127.0.0.1:{tls}\", tcp:"),
    );
    let mqtt = mqtt.replace(
        "console:",
        "  tls: {certificate: broker.pem, key: broker.key}\nconsole:",
    );
    let mut gateway = gateway;
    gateway.process.kill();
    let folder = gateway.folder;
    fs::remove_file(folder.path().join("notify")).expect("the socket of before");
    let gateway = Gateway::start_text(port, &mqtt, folder);
    gateway.keep_listening();
    let file = |name: &str| gateway.folder.path().join(name);
    let publish = |ca: &Path| {
        let client = &mut Command::new("mosquitto_pub");
        let client = client.args([
            "-h",
            "localhost",
            "-p",
            &tls.to_string(),
            "-t",
            "a",
            "-m",
            "b",
            "--cafile",
        ]);
        run(client.arg(ca)).status.success()
    };
    assert!(publish(&file("brought.pem")) && !publish(&file("ca.pem")));
    let make = &mut Command::new(fieldgate());
    let made = run(make
        .args(["certificate", "make", "plant7.example", "--config"])
        .arg(file("gateway.yaml")));
    assert!(
        made.status.success() && text(&made).contains("plant7.example"),
        "{}",
        text(&made)
    );
    trusts(&file("ca.pem"), &format!("{base}/health"));
    gateway.process.signal("HUP");
    let end = Instant::now() + PATIENCE;
    while !publish(&file("ca.pem")) {
        assert!(Instant::now() < end, "the broker has the old certificate");
    }
}

/// Waits until a server's certificate is one of this authority.
fn trusts(authority: &Path, url: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let output = get(authority, url, &[]);
        if output.status.success() {
            return;
        }
        assert!(Instant::now() < end, "{}", text(&output));
    }
}

#[test]
fn a_script_gets_in_with_a_token_as_the_document_says_until_the_token_is_removed() {
    let folder = Folder::new();
    let [port, http] = [(); 2].map(|()| free_port());
    let users = folder.path().join("users.yaml");
    fs::write(&users, "users: {otto: {console: operate}}\n").expect("a file");
    let plant = "buses: {demo: {tcp: \"127.0.0.1:0\", modbus: tcp, simulated: true}}\n\
        devices: {plc: {bus: demo, unit: 1, points: {setpoint: {holding: 0, as: u16, write: true}}}}\n";
    let text_ = format!(
        "version: 1\ngateway: {{name: plant7}}\nbroker: {{listen: {{tcp: \"127.0.0.1:{port}\"}}, allow_anonymous: true, \
         users: users.yaml}}\nconsole: {{listen: {{http: \"127.0.0.1:{http}\"}}}}\n{plant}"
    );
    let gateway = Gateway::start_text(port, &text_, folder);
    gateway.wait_online("plant7/plc/$state");
    let document =
        fs::read_to_string(repository().join("config/console.md")).expect("the document");
    let mut blocks = document
        .split("```sh\n")
        .skip(1)
        .filter_map(|block| block.split_once("```"));
    let (block, _) = blocks
        .find(|(block, _)| block.contains("token add"))
        .expect("a block");
    let config = gateway.folder.path().join("gateway.yaml");
    let program = format!("{} ", fieldgate().display());
    let script = block
        .replace("sudo fieldgate ", &program)
        .replace(
            "--until 2030-12-31",
            &format!("--until 2999-12-31 --config {}", config.display()),
        )
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{http}"));
    assert!(script.contains("--config"), "{script}");
    let end = Instant::now() + PATIENCE;
    let mut token = None;
    // The gateway knows it within two seconds.
    loop {
        let script = match &token {
            None => script.clone(),
            Some(token) => script
                .lines()
                .skip(1)
                .fold(format!("token={token}\n"), |all, line| all + line + "\n"),
        };
        let output =
            run(Command::new("bash").args(["-e", "-c", &format!("{script}\necho \"$token\"")]));
        let said = text(&output);
        let told = String::from_utf8_lossy(&output.stdout);
        let last = told.lines().last().unwrap_or_default();
        // What was said before it does not end in a line.
        let last = last
            .rfind("fg_")
            .and_then(|at| last.get(at..))
            .unwrap_or_default()
            .to_owned();
        assert!(last.starts_with("fg_"), "{said}");
        token = Some(last);
        if said.contains("\"setpoint\"") && said.contains("\"status\":\"ok\"") {
            break;
        }
        assert!(Instant::now() < end, "{said}");
    }
    let token = token.expect("made");
    let kept = fs::read_to_string(&users).expect("the users file");
    assert!(kept.contains("sha256") && !kept.contains(&token), "{kept}");
    let status = |path: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        let curl = &mut Command::new("curl");
        let curl = curl.args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            &bearer,
        ]);
        text(&run(
            curl.arg(format!("http://127.0.0.1:{http}/api/v1/{path}"))
        ))
    };
    assert_eq!(status("users"), "403");
    let list = |command: &str, more: &[&str]| {
        let program = &mut Command::new(fieldgate());
        text(&run(program
            .args(["token", command])
            .args(more)
            .arg("--config")
            .arg(&config)))
    };
    assert_eq!(
        list("list", &[]),
        "otto  script: operate, until 2999-12-31\n"
    );
    assert_eq!(
        list("remove", &["otto", "script"]),
        "removed the token script of otto\n"
    );
    let end = Instant::now() + PATIENCE;
    while status("overview") != "401" {
        assert!(Instant::now() < end, "the removed token is still taken");
    }
}

#[test]
fn a_person_at_the_board_is_told_address_code_and_fingerprint_until_there_is_a_user() {
    let folder = Folder::new();
    let [port, https] = [(); 2].map(|()| free_port());
    let configuration = folder.write(
        "gateway.yaml",
        &format!(
            "version: 1\ngateway: {{name: plant7}}\nbroker: {{listen: {{tcp: \"127.0.0.1:{port}\"}}}}\n\
             console: {{listen: {{https: {https}}}}}\n"
        ),
    );
    let run_folder = folder.path().join("run");
    fs::create_dir(&run_folder).expect("a folder");
    let mut command = Command::new(fieldgate());
    command
        .arg("run")
        .arg(&configuration)
        .env("RUNTIME_DIRECTORY", &run_folder);
    let gateway = Process::spawn("fieldgate", &mut command);
    gateway.wait_line("setup code is");
    let told = |has: &dyn Fn(&str) -> bool| {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(run_folder.join("console")).unwrap_or_default();
            if has(&text) {
                return text;
            }
            assert!(Instant::now() < end, "{text}");
        }
    };
    let text_ = told(&|text| text.contains("Setup code: "));
    assert!(
        text_.starts_with("Console: https://") && text_.contains(&format!(".local:{https}\n")),
        "{text_}"
    );
    let digits: String = text_
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .collect();
    let openssl = &mut Command::new("openssl");
    let openssl = openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
    let shown = text(&run(openssl.arg(folder.path().join("broker.pem"))));
    assert_eq!(
        shown.trim().split_once('='),
        Some(("sha256 Fingerprint", digits.as_str()))
    );
    let code = text_
        .lines()
        .find_map(|line| line.strip_prefix("Setup code: "));
    let base = format!("https://localhost:{https}");
    let (ca, jar) = (folder.path().join("ca.pem"), folder.path().join("jar"));
    let first = json!({"code": code, "user": "ada", "password": "correct horse"});
    let made = ask(&ca, &base, &jar, "POST", "setup", &first);
    assert_eq!(made["user"], "ada", "{made}");
    told(&|text| text.starts_with("Console: ") && !text.contains("Setup code"));
}
