//! The command line as a person meets it: what it prints and how it exits.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fieldgate(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fieldgate"))
        .args(arguments)
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn shipped(name: &str) -> String {
    format!("{}/../../config/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A folder for one test; it goes when this goes.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fieldgate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("types")).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_that_an_uplink_names_have_to_be_there() {
    let folder = Folder::new("uplink-files");
    let file = folder.write(
        "gateway.yaml",
        b"version: 1\nuplinks:\n  cloud:\n    url: \"mqtts://127.0.0.1:1\"\n    username: plant7\n    password_file: pw\n    \
          ca: ca.pem\n    forward: [{topics: [\"plant7/#\"]}]\n",
    );
    let (code, _, stderr) = fieldgate(&["check", &file]);
    let folder_name = folder.0.display();
    let want = format!(
        "{file}:7:5: uplinks.cloud.ca: {folder_name}/ca.pem: there is no such file\n\
         {file}:6:5: uplinks.cloud.password_file: {folder_name}/pw: there is no such file\n2 mistakes\n"
    );
    let mut lines: Vec<&str> = stderr.lines().collect();
    let mut wanted: Vec<&str> = want.lines().collect();
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!((code, lines), (1, wanted));
    folder.write("pw", b"secret\n");
    folder.write("ca.pem", b"");
    assert_eq!(fieldgate(&["check", &file]).0, 0);
}

#[test]
fn the_shipped_files_pass_and_are_counted() {
    for (name, want) in [
        (
            "gateway.yaml",
            ": 0 devices, 0 points, 0 planned requests\n",
        ),
        ("demo.yaml", " 8 devices, "),
    ] {
        let (code, stdout, stderr) = fieldgate(&["check", &shipped(name)]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(stdout.contains(want), "{stdout}");
    }
}

/// A file with the device types that are shipped beside it.
fn with_types(folder: &Folder, text: &str) -> String {
    for entry in std::fs::read_dir(shipped("types")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        folder.write(&format!("types/{name}"), &std::fs::read(&path).unwrap());
    }
    folder.write("gateway.yaml", text.as_bytes())
}

#[test]
fn the_examples_that_are_there_to_be_uncommented_are_right() {
    let folder = Folder::new("examples");
    let text = std::fs::read_to_string(shipped("gateway.yaml")).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix("#  ") {
        // Prose has a capital letter or goes on in words; an example is a key.
        Some(rest) if rest.trim_start().contains(": ") || rest.ends_with(':') => {
            format!("  {rest}")
        }
        _ => line.to_owned(),
    });
    let text: Vec<String> = lines.collect();
    folder.write("users.yaml", b"users:");
    let (code, stdout, stderr) = fieldgate(&["check", &with_types(&folder, &text.join("\n"))]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains(": 4 devices, "), "{stdout}");
}

#[test]
fn the_examples_of_the_readme_are_right() {
    let folder = Folder::new("readme");
    let text = std::fs::read_to_string(shipped("README.md")).unwrap();
    let blocks = text.split("```yaml\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    let text = format!("version: 1\n{}", blocks.concat());
    let identity = rcgen::generate_simple_self_signed(["plant7".to_owned()]).unwrap();
    folder.write("broker.pem", identity.cert.pem().as_bytes());
    folder.write(
        "broker.key",
        identity.signing_key.serialize_pem().as_bytes(),
    );
    let (code, stdout, stderr) = fieldgate(&["check", &with_types(&folder, &text)]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains(": 8 devices, "), "{stdout}");
}

#[test]
fn a_device_type_of_the_program_needs_no_file_and_a_file_replaces_it() {
    let folder = Folder::new("built-in");
    let text = "version: 1
buses: {b: {tcp: \"127.0.0.1:502\"}}
devices: {m: {type: sdm630, bus: b, unit: 1}}
";
    let file = folder.write("gateway.yaml", text.as_bytes());
    let (code, stdout, stderr) = fieldgate(&["check", &file]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(!stdout.contains("1 device, 1 point"), "{stdout}");

    let own = b"points: {only: {input: 0, as: u16}}\n";
    let own = folder.write("types/sdm630.yaml", own);
    let (_, stdout, _) = fieldgate(&["check", &file]);
    assert!(stdout.contains("1 device, 1 point"), "{stdout}");

    // A mistake that comes of the program's type is shown there.
    std::fs::remove_file(own).unwrap();
    let text = text.replace("unit: 1", "unit: 1, modbus: {max_registers: 1}");
    let wrong = folder.write("gateway.yaml", text.as_bytes());
    let (code, _, stderr) = fieldgate(&["check", &wrong]);
    assert_eq!(code, 1);
    assert!(stderr.contains("max_registers"), "{stderr}");
    let text = text.replace("sdm630", "sdm63");
    let wrong = folder.write("gateway.yaml", text.as_bytes());
    let (_, _, stderr) = fieldgate(&["check", &wrong]);
    assert!(stderr.contains("did you mean \"sdm630\"?"), "{stderr}");

    let (code, listed, _) = fieldgate(&["types"]);
    assert_eq!(code, 0);
    assert!(
        listed.contains("sdm630 ") && listed.contains("Eastron SDM630-Modbus V2\n"),
        "{listed}"
    );
    let (code, printed, _) = fieldgate(&["types", "sdm630"]);
    assert_eq!(code, 0);
    assert_eq!(
        printed,
        std::fs::read_to_string(shipped("types/sdm630.yaml")).unwrap()
    );
    let (code, _, stderr) = fieldgate(&["types", "sdm63"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("did you mean \"sdm630\"?"), "{stderr}");
}

#[test]
fn an_expanded_file_passes_the_check_and_has_no_types_left() {
    let folder = Folder::new("expanded");
    let (code, stdout, _) = fieldgate(&["check", &shipped("demo.yaml"), "--expand"]);
    assert_eq!(code, 0);
    assert!(
        stdout.contains("meter-2:") && !stdout.contains("type:"),
        "{stdout}"
    );
    let file = folder.write("gateway.yaml", stdout.as_bytes());
    let counts = |file: &str| {
        let (code, stdout, stderr) = fieldgate(&["check", file]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        stdout.rsplit_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(counts(&file), counts(&shipped("demo.yaml")));
}

#[test]
fn mistakes_of_all_files_are_printed_and_the_exit_code_is_1() {
    let folder = Folder::new("mistakes");
    let file = folder.write(
        "gateway.yaml",
        b"version: 1\nbroker: {port: 1}\ndevices:\n  a: {type: t, bus: x, unit: 1}\n",
    );
    folder.write("types/t.yaml", b"points: {p: {coil: -1}}\n");
    folder.write("types/broken.yaml", b"points: [\n");
    folder.write("types/latin.yaml", b"points: {p: {coil: 1}} # \xB0C\n");
    folder.write("types/short.yml", b"");
    folder.write("types/.t.yaml.swp", b"\0");
    let folder_name = Path::new(&file).parent().unwrap().to_str().unwrap();
    let want = "FOLDER/gateway.yaml:2:10: broker.port: unknown key; expected one of listen, tls, allow_anonymous, local_networks, takeover, users, store, limits
FOLDER/gateway.yaml:4:21: devices.a.bus: unknown bus \"x\"
FOLDER/types/broken.yaml:2:1: while parsing a node, did not find expected node content
FOLDER/types/latin.yaml:1:26: not UTF-8 text
FOLDER/types/short.yml: the name of a device type's file ends in .yaml
FOLDER/types/t.yaml:1:20: points.p.coil: invalid value -1; expected a whole number from 0 to 65535
6 mistakes
";
    for command in ["check", "run", "simulate"] {
        let (code, stdout, stderr) = fieldgate(&[command, &file]);
        assert_eq!((code, stdout.as_str()), (1, ""));
        assert_eq!(stderr.replace(folder_name, "FOLDER"), want);
    }
}

#[test]
fn run_and_check_look_for_certificates_beside_the_file() {
    let folder = Folder::new("certificates");
    let text = "version: 1
broker:
  listen: {tls: 8883}
  tls:
    certificate: broker.pem
    key: /nonexistent/key.pem
";
    let file = folder.write("gateway.yaml", text.as_bytes());
    let certificate = folder.write("broker.pem", b"nonsense");
    let want = format!(
        "{file}:5:5: broker.tls.certificate: {certificate}: \
         no PEM certificate in it (-----BEGIN CERTIFICATE-----)\n1 mistake\n"
    );
    for command in ["check", "run"] {
        let (code, _, stderr) = fieldgate(&[command, &file]);
        assert_eq!((code, stderr.as_str()), (1, want.as_str()), "{command}");
    }
    // A command that looks at a device need not read the key.
    let (code, _, stderr) = fieldgate(&["test", "plc", "--config", &file]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("there is no device"), "{stderr}");
}

#[test]
fn what_cannot_be_done_says_so_with_its_exit_code() {
    let folder = Folder::new("codes");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let busy = format!("version: 1\nbroker: {{listen: {{tcp: \"{taken}\"}}}}\n");
    let busy = folder.write("busy.yaml", busy.as_bytes());
    let dead = format!(
        "version: 1\nbuses: {{b: {{tcp: \"{taken}\", timeout: 50ms, retries: 0}}}}\ndevices:\n  d: {{bus: b, unit: 1, points: {{p: {{coil: 0}}}}}}\n"
    );
    let dead = folder.write("dead.yaml", dead.as_bytes());
    let demo = shipped("demo.yaml");
    let listen = taken.to_string();
    for (arguments, want_code, want) in [
        (
            &["check", "/nonexistent.yaml"][..],
            1,
            "/nonexistent.yaml: No such file",
        ),
        (&["serve"], 2, "unrecognized subcommand"),
        (
            &["test", "plk", "--config", &demo],
            2,
            "did you mean \"plc\"?",
        ),
        (&["run", &busy], 3, "the port is in use by another program"),
        (&["run", &busy], 3, &listen),
        (&["simulate", &demo, "--listen", &listen], 3, &listen),
        (
            &["test", "d", "--config", &dead],
            4,
            "1 of 1 request failed",
        ),
    ] {
        let (code, _, stderr) = fieldgate(arguments);
        assert_eq!(code, want_code, "{arguments:?}: {stderr}");
        assert!(stderr.contains(want), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_device_of_a_simulated_bus_is_tested_with_its_raw_words() {
    let (code, stdout, stderr) = fieldgate(&["test", "plc", "--config", &shipped("demo.yaml")]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    for want in [
        "plc: unit 1 on bus plant (127.0.0.1:",
        "read holding 10..=12 of unit 1",
        "\n    0000 3F80 0000\n",
        "setpoint             holding 10       f32                        1 °C     good",
    ] {
        assert!(stdout.contains(want), "{want:?} is not in\n{stdout}");
    }
}

#[test]
fn how_long_a_spool_lasts_is_counted_from_what_the_devices_publish() {
    let folder = Folder::new("estimate");
    let text = |mqtt: &str, forward: &str| {
        let text = format!(
            "version: 1
gateway: {{name: plant7}}
mqtt: {mqtt}
buses: {{b: {{tcp: \"127.0.0.1:502\"}}}}
devices:
  plc:
    bus: b
    unit: 1
    points:
      level: {{input: 0, as: u16, poll: 100ms}}
      flow: {{input: 1, as: u16, poll: 500ms}}
      serial_number: {{input: 9, as: u16, poll: once}}
  fan:
    bus: b
    unit: 2
    points: {{speed: {{input: 0, as: u16, poll: 1s}}}}
uplinks:
  cloud: {{url: \"mqtt://h\", forward: [{forward}]}}
"
        );
        folder.write("gateway.yaml", text.as_bytes())
    };
    let unknown = "how many messages a second go up is not known; without the remote 256 MiB last about 8 days at \
         10 messages/s (35 MB written a day), ";
    for (mqtt, forward, want) in [
        (
            "{}",
            "{topics: [\"#\"]}",
            "at most 13.0 messages/s of 4 topics if all values",
        ),
        (
            "{}",
            "{topics: [\"plant7/fan/#\"]}",
            "at most 1.0 messages/s of 1 topic if",
        ),
        (
            "{}",
            "{topics: [\"#\"], except: [\"+/plc/#\"]}",
            "at most 1.0 messages/s of 1 topic if",
        ),
        (
            "{}",
            "{topics: [\"#\"], min_interval: 1s}",
            "at most 3.0 messages/s of 4 topics if",
        ),
        (
            "{}",
            "{topics: [\"+/fan/#\"], qos: 0}, {topics: [\"#\"]}",
            "at most 12.0 messages/s of 3 topics",
        ),
        (
            "{payload: device, points: false}",
            "{topics: [\"#\"]}",
            "at most 11.0 messages/s of 2 topics",
        ),
        (
            "{payload: device}",
            "{topics: [\"plant7/plc\"]}",
            "at most 10.0 messages/s of 1 topic if",
        ),
        ("{}", "{topics: [\"other/#\"]}", unknown),
        ("{}", "{topics: [\"plant7/plc/serial_number\"]}", unknown),
    ] {
        let (code, stdout, stderr) = fieldgate(&["check", &text(mqtt, forward)]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{forward}");
        assert!(
            stdout.contains(&format!("    uplink cloud: {want}")),
            "{mqtt} {forward}: {stdout}"
        );
    }
}
