//! A gateway with everything that a backup has: a key, a type, a counter; and its console.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use super::{
    Folder,
    gateway::{Gateway, configuration},
    http::Http,
};

const CONSOLE: &str = "console: {listen: {http: \"127.0.0.1:0\"}}\n";
const PLANT: &str = r#"# The plant, as its engineer wrote it.
buses:
  plant: {tcp: "127.0.0.1:0", modbus: tcp, simulated: true}
devices:
  plc: {bus: plant, unit: 1, type: own}
  panel:
    gpio: {chip: board, simulated: true}
    points: {water: {count: WATER, persist: 1s, write: true}}
"#;
/// The type of its device.
pub const TYPE: &str = "points:\n  setpoint: {holding: 10, as: f32, write: true}\n";

/// A gateway with a key, a type, users and counts.
pub fn start(port: u16) -> (Gateway, Http) {
    let folder = Folder::new();
    certificate(folder.path());
    fs::create_dir(folder.path().join("types")).expect("a folder");
    folder.write("types/own.yaml", TYPE);
    let text = text(port);
    let state = folder.path().join("state");
    let state = state.display().to_string();
    let gateway = Gateway::start_with(port, &text, folder, &["--state", &state]);
    enter(gateway)
}

/// Logs in with the code of the start.
fn enter(gateway: Gateway) -> (Gateway, Http) {
    gateway.keep_listening();
    let mut http = Http::of(&gateway);
    let code = gateway.process.wait("the console's code", |line| {
        let (_, code) = line.split_once("code is ")?;
        Some(code.trim().to_owned())
    });
    assert_eq!(http.log_in(&json!({"code": code}).to_string()).status, 200);
    (gateway, http)
}

/// The gateway again, with the text that is there.
pub fn restart(port: u16, folder: Folder) -> (Gateway, Http) {
    let text = read(folder.path().join("gateway.yaml"));
    let state = folder.path().join("state").display().to_string();
    let _ = fs::remove_file(folder.path().join("notify"));
    let gateway = Gateway::start_with(port, &text, folder, &["--state", &state]);
    enter(gateway)
}

/// Its configuration.
pub fn text(port: u16) -> String {
    let text = configuration(port, &format!("{CONSOLE}{PLANT}"));
    text.replace(
        "allow_anonymous: true",
        "allow_anonymous: true\n  tls: {certificate: tls/own.pem, key: tls/own.key}",
    )
}

fn certificate(folder: &Path) {
    let tls = folder.join("tls");
    fs::create_dir(&tls).expect("a folder");
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=a"
                .split(' '),
        )
        .arg("-keyout")
        .arg(tls.join("own.key"))
        .arg("-out")
        .arg(tls.join("own.pem"))
        .output();
    assert!(made.expect("openssl").status.success());
}

/// The text of a file.
pub fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}
