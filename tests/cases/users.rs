//! Users and rights as an operator meets them: `fieldgate user`, a running gateway, and the
//! mosquitto clients.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use crate::harness::{
    Folder, free_port,
    gateway::{Gateway, fieldgate},
    process::Process,
};

/// A gateway with the users of `users.yaml`, which `user` made.
fn gateway(folder: Folder) -> Gateway {
    let port = free_port();
    let text = format!(
        "version: 1
gateway: {{name: plant7}}
broker: {{listen: {{tcp: \"127.0.0.1:{port}\"}}, users: users.yaml}}
"
    );
    Gateway::start_text(port, &text, folder)
}

/// Runs `fieldgate user` on the folder's users file; a password goes in through standard input.
fn user(folder: &Folder, arguments: &[&str], password: &str) {
    let mut command = Command::new(fieldgate());
    command.arg("user").args(arguments);
    if !password.is_empty() {
        command.arg("--stdin");
    }
    let file = folder.path().join("users.yaml");
    let input = folder.write("password", password);
    command.arg("--file").arg(file);
    command.stdin(Stdio::from(fs::File::open(input).expect("just written")));
    let output = command.output().expect("fieldgate");
    assert!(output.status.success(), "{output:?}");
}

/// Runs `mosquitto_pub` at QoS 1 and returns whether the message was taken, and what was said.
fn publish(port: u16, version: &str, login: &[&str], topic: &str) -> (bool, String) {
    let output = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", version])
        .args(["-q", "1", "-t", topic, "-m", "x"])
        .args(login)
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("mosquitto_pub is there");
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    let taken = status.success() && !said.contains("failed");
    (taken, said)
}

fn subscriber(port: u16, version: &str, login: &[&str], filter: &str) -> Process {
    let mut command = Command::new("stdbuf");
    command
        .args(["-oL", "mosquitto_sub", "-h", "127.0.0.1"])
        .args(["-p", &port.to_string(), "-V", version, "-t", filter])
        .args(["-q", "1", "-d", "-F", "message: %t"])
        .args(login);
    let process = Process::spawn("mosquitto_sub", &mut command);
    process.wait_line("Subscribed");
    process
}

#[test]
fn mosquitto_clients_get_in_with_the_right_password_only() {
    let folder = Folder::new();
    user(
        &folder,
        &["add", "sensor", "--write", "plant7/%u/#"],
        "5ecret",
    );
    let gateway = gateway(folder);
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for (login, want) in [
            (&["-u", "sensor", "-P", "5ecret"][..], None),
            (
                &["-u", "sensor", "-P", "secret"],
                Some("bad user name or password"),
            ),
            (&["-u", "sensor"], Some("bad user name or password")),
            (
                &["-u", "nobody", "-P", "5ecret"],
                Some("bad user name or password"),
            ),
            (&[], Some("not authori")),
        ] {
            let (taken, said) = publish(gateway.port, version, login, "plant7/sensor/t");
            assert_eq!(taken, want.is_none(), "{version} {login:?}: {said}");
            if let Some(want) = want {
                assert!(
                    said.to_lowercase().contains(want),
                    "{version} {login:?}: {said}"
                );
            }
        }
    }
    gateway.process.wait_line("login of \"sensor\" failed");
    gateway.process.wait_line("login of \"nobody\" failed");
}

#[test]
fn rights_hold_for_reading_and_writing_and_change_while_clients_are_connected() {
    let folder = Folder::new();
    user(&folder, &["add", "dashboard", "--read", "#"], "d");
    user(&folder, &["add", "sensor", "--write", "a/%u"], "s");
    let gateway = gateway(folder);
    let (port, sensor) = (gateway.port, ["-u", "sensor", "-P", "s"]);
    let dashboard = ["-u", "dashboard", "-P", "d"];
    let reader = subscriber(port, "mqttv311", &dashboard, "+/sensor");
    let (taken, said) = publish(port, "mqttv5", &sensor, "b/sensor");
    assert!(!taken && said.contains("Not authorized"), "{said}");
    // An older client hears nothing of it.
    assert!(publish(port, "mqttv311", &sensor, "b/sensor").0);
    assert!(publish(port, "mqttv5", &sensor, "a/sensor").0);
    assert_eq!(reader.wait("message", message), "a/sensor");

    let file = gateway.folder.path().join("users.yaml");
    let old = fs::read_to_string(&file).expect("users");
    let new = old.replace("a/%u", "b/%u");
    assert_ne!(old, new);
    fs::write(&file, &new).expect("users");
    gateway
        .process
        .wait_line("users and rights have changed: 2 users");
    let (taken, said) = publish(port, "mqttv5", &sensor, "a/sensor");
    assert!(!taken && said.contains("Not authorized"), "{said}");
    assert!(publish(port, "mqttv5", &sensor, "b/sensor").0);
    assert_eq!(reader.wait("message", message), "b/sensor");

    // A mistake is shown with its place, and what held before goes on.
    fs::write(&file, new.replace("access: write", "access: wriet")).expect("users");
    gateway.process.wait("mistake", |line| {
        let told = line.contains("users.yaml:") && line.contains("did you mean \"write\"?");
        told.then_some(())
    });
    assert!(publish(port, "mqttv5", &sensor, "b/sensor").0);
    assert_eq!(reader.wait("message", message), "b/sensor");
}

fn message(line: &str) -> Option<String> {
    line.strip_prefix("message: ").map(str::to_owned)
}

#[test]
fn a_new_password_or_a_removed_user_disconnects_and_others_stay() {
    let folder = Folder::new();
    for name in ["ann", "bob", "eve"] {
        user(&folder, &["add", name], name);
    }
    let gateway = gateway(folder);
    let clients = ["ann", "bob", "eve"];
    let [ann, bob, eve] =
        clients.map(|name| subscriber(gateway.port, "mqttv5", &["-u", name, "-P", name], "x"));
    user(&gateway.folder, &["passwd", "ann"], "another");
    ann.wait_line("DISCONNECT");
    assert!(!publish(gateway.port, "mqttv5", &["-u", "ann", "-P", "ann"], "x").0);
    user(&gateway.folder, &["remove", "eve"], "");
    eve.wait_line("DISCONNECT");
    // Told to look at once, as `systemctl reload` does.
    user(&gateway.folder, &["add", "dan"], "dan");
    gateway.process.signal("HUP");
    gateway.process.wait_line("3 users");
    for (name, password) in [("ann", "another"), ("dan", "dan")] {
        assert!(
            publish(gateway.port, "mqttv5", &["-u", name, "-P", password], "x").0,
            "{name}"
        );
    }
    let mut told = 0;
    bob.wait("both messages, and no goodbye", |line| {
        assert!(!line.contains("DISCONNECT"), "{line}");
        told += u32::from(message(line).is_some());
        (told == 2).then_some(())
    });
}

#[test]
fn the_first_user_needs_no_line_in_the_configuration_and_no_restart() {
    let port = free_port();
    let text = format!("version: 1\nbroker: {{listen: {{tcp: \"127.0.0.1:{port}\"}}}}\n");
    let gateway = Gateway::start_text(port, &text, Folder::new());
    assert!(publish(port, "mqttv5", &[], "x").0, "from this machine");
    user(&gateway.folder, &["add", "ann"], "5ecret");
    gateway
        .process
        .wait_line("users and rights have changed: 1 user");
    assert!(!publish(port, "mqttv5", &[], "x").0, "without a name");
    assert!(publish(port, "mqttv5", &["-u", "ann", "-P", "5ecret"], "x").0);
    // A reload finds the file, too.
    gateway.reload(&text.replace("version: 1", "version: 1\ngateway: {}"));
    gateway.process.wait_line("reloaded: nothing changed");
    assert!(!publish(port, "mqttv5", &[], "x").0, "without a name");
}

#[test]
fn without_users_the_log_says_how_to_let_others_in() {
    let port = free_port();
    let text = format!("version: 1\nbroker: {{listen: {{tcp: \"0.0.0.0:{port}\"}}}}\n");
    let gateway = Gateway::start_text(port, &text, Folder::new());
    gateway
        .process
        .wait_line("to let others in, `fieldgate user add NAME`");
    assert!(publish(port, "mqttv5", &[], "x").0, "from this machine");
    // A change of the configuration needs no restart either.
    gateway.reload(&text.replace("listen:", "allow_anonymous: true, listen:"));
    gateway
        .process
        .wait_line("every client on the network may read and write everything");
    assert!(publish(port, "mqttv5", &["-u", "any", "-P", "thing"], "x").0);
}

#[test]
fn no_warning_about_a_network_without_a_listener() {
    let folder = Folder::new();
    let socket = folder.path().join("mqtt.sock");
    for listen in [
        format!("unix: {}", socket.display()),
        format!("tcp: \"127.0.0.1:{}\"", free_port()),
    ] {
        let text = format!("version: 1\nbroker: {{listen: {{{listen}}}, allow_anonymous: true}}\n");
        let gateway = Gateway::start_text(0, &text, Folder::new());
        let lines = gateway.process.transcript();
        assert!(
            !lines
                .iter()
                .any(|line| line.contains("every client on the network")),
            "{listen}: {lines:#?}"
        );
    }
}

/// Connects with `mosquitto_sub` as a client that leaves its session behind, and says what came of it.
fn session(port: u16, version: &str, login: &[&str]) -> String {
    let output = Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", version])
        .args(["-q", "1", "-t", "x/#", "-i", "shared", "-c", "-x", "600"])
        .args(["-W", "1", "-F", "message: %t"])
        .args(login)
        .output();
    let Output { stdout, stderr, .. } = output.expect("mosquitto_sub is there");
    String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
}

#[test]
fn a_users_session_is_not_for_others_to_take_unless_the_configuration_says_so() {
    for (key, is_kept) in [("", true), ("takeover: any", false)] {
        let folder = Folder::new();
        for name in ["ann", "bob"] {
            user(&folder, &["add", name], name);
        }
        let port = free_port();
        let text = format!(
            "version: 1
gateway: {{name: plant7}}
broker:
  listen: {{tcp: {{address: \"127.0.0.1:{port}\", allow_anonymous: true}}}}
  users: users.yaml
  {key}
"
        );
        let gateway = Gateway::start_text(port, &text, folder);
        for version in ["mqttv311", "mqttv5"] {
            let ann = ["-u", "ann", "-P", "ann"];
            session(port, version, &ann);
            assert!(publish(port, version, &ann, "x/for-ann").0);
            for login in [&["-u", "bob", "-P", "bob"][..], &[]] {
                let said = session(port, version, login);
                let is_refused = said.to_lowercase().contains("not authori");
                assert_eq!(is_refused, is_kept, "{version} {login:?}: {said}");
            }
            let said = session(port, version, &ann);
            assert_eq!(
                said.contains("message: x/for-ann"),
                is_kept,
                "{version}: {said}"
            );
        }
        drop(gateway);
    }
}

#[test]
fn the_gateways_own_topics_are_refused_to_all_whose_rules_do_not_name_the_device() {
    let folder = Folder::new();
    user(&folder, &["add", "all"], "all");
    user(&folder, &["add", "wide", "--write", "plant7/#"], "wide");
    user(
        &folder,
        &["add", "named", "--write", "plant7/plc/#"],
        "named",
    );
    let port = free_port();
    let text = format!(
        "version: 1
gateway: {{name: plant7}}
broker: {{listen: {{tcp: \"127.0.0.1:{port}\"}}, users: users.yaml}}
devices:
  plc: {{gpio: {{chip: x, simulated: true}}, points: {{pump: {{out: PUMP, initial: 0, safe: 0}}}}}}
"
    );
    let gateway = Gateway::start_text(port, &text, folder);
    let reader = subscriber(
        port,
        "mqttv5",
        &["-u", "all", "-P", "all"],
        "plant7/plc/pump",
    );
    for (name, own) in [("all", false), ("wide", false), ("named", true)] {
        let login = ["-u", name, "-P", name];
        for topic in [
            "plant7/plc/pump",
            "plant7/plc/$state",
            "plant7/plc/pump/result",
        ] {
            let (taken, said) = publish(port, "mqttv5", &login, topic);
            assert_eq!(taken, own, "{name} {topic}: {said}");
            assert!(own || said.contains("Not authorized"), "{said}");
        }
        assert!(
            publish(port, "mqttv5", &login, "plant7/plc/pump/set").0,
            "{name}"
        );
        let (taken, said) = publish(port, "mqttv5", &login, "plant7/$state");
        assert!(!taken && said.contains("Not authorized"), "{name}: {said}");
    }
    gateway.process.wait_line("refused on \"plant7/plc/pump\"");
    // Its own value, the one that was permitted, and its own again.
    for _ in 0..3 {
        reader.wait("message", message);
    }
    let text = text.replace("plc:", "other:");
    gateway.reload(&text);
    gateway.process.wait_line("reloaded");
    let login = ["-u", "wide", "-P", "wide"];
    assert!(!publish(port, "mqttv5", &login, "plant7/other/pump").0);
    assert!(publish(port, "mqttv5", &login, "plant7/plc/pump").0);
}
