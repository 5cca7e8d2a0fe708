//! The process as systemd and its users see it: mistakes in the file, reload, stop, sudden death.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use fieldgate_mqtt::{Connect, Packet, Version};
use fieldgate_test_client::{Event, Raw, lasting};
use serde_json::Value;

use crate::harness::{
    Folder, PATIENCE,
    gateway::{Gateway, configuration, fieldgate},
    modbus::Pymodbus,
    mqtt::{Broker, Subscriber},
    repository,
};

/// Five mistakes of five kinds. The line of each is marked, with a word that its message contains.
const MISTAKES: &str = "version: 1
gateway: {name: plant7}
broker:
  listen: {tcp: 1883}
  alow_anonymous: true # MISTAKE allow_anonymous
buses:
  plant: {tcp: \"127.0.0.1:502\", modbus: tcp, timeout: fast} # MISTAKE timeout
devices:
  plc:
    bus: plnt # MISTAKE plant
    unit: 1
    points:
      level: {input: 70000, as: u16} # MISTAKE 70000
      valve: {discrete: 1, write: true} # MISTAKE write
      sound: {input: 1, as: f32, unit: dB}
";

fn run(command: &str, folder: &Folder, text: &str) -> Output {
    let file = folder.write("gateway.yaml", text);
    let mut process = Command::new(fieldgate());
    process.arg(command).arg(file).output().expect("fieldgate")
}

/// The lines that a complaint names, as `FILE:LINE:COLUMN`.
fn lines_named(text: &str) -> Vec<usize> {
    let mut lines: Vec<usize> = text
        .split("gateway.yaml:")
        .skip(1)
        .filter_map(|rest| rest.split(':').next()?.parse().ok())
        .collect();
    lines.dedup();
    lines
}

#[test]
fn five_mistakes_are_reported_together_each_at_its_line() {
    let folder = Folder::new();
    for command in ["check", "run"] {
        let output = run(command, &folder, MISTAKES);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let mistakes = (1..).zip(MISTAKES.lines());
        let mistakes: Vec<(usize, &str)> = mistakes
            .filter_map(|(number, line)| Some((number, line.split_once("# MISTAKE ")?.1)))
            .collect();
        assert_eq!(mistakes.len(), 5);
        let lines: Vec<usize> = mistakes.iter().map(|(number, _)| *number).collect();
        assert_eq!(lines_named(&text), lines, "{command}:\n{text}");
        for (number, word) in mistakes {
            let place = format!("gateway.yaml:{number}:");
            let message = text.lines().find(|line| line.contains(&place));
            let message =
                message.unwrap_or_else(|| panic!("{place} is not a line's place:\n{text}"));
            assert!(message.contains(word), "{word:?} in {message:?}");
        }
    }
}

#[test]
fn the_shipped_files_and_every_shipped_device_type_pass_the_check() {
    let config = repository().join("config");
    let folder = Folder::new();
    fs::create_dir(folder.path().join("types")).unwrap();
    let mut every_type = configuration(
        1883,
        "buses:\n  b: {tcp: \"h:502\", modbus: tcp}\ndevices:\n",
    );
    let types = fs::read_dir(config.join("types")).unwrap();
    for (n, path) in types.map(|entry| entry.unwrap().path()).enumerate() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        every_type += &format!("  d{n}: {{type: {name}, bus: b, unit: {}}}\n", n + 1);
        fs::copy(
            &path,
            folder.path().join("types").join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    let every_type = folder.write("gateway.yaml", &every_type);
    for file in [
        config.join("gateway.yaml"),
        config.join("demo.yaml"),
        every_type,
    ] {
        let output = Command::new(fieldgate()).arg("check").arg(&file).output();
        let output = output.expect("fieldgate");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", file.display());
    }
}

/// Two devices on two servers; `poll` is that of the first.
fn two(port: u16, servers: [u16; 2], poll: &str) -> String {
    let [one, two] = servers;
    configuration(
        port,
        &format!(
            "buses:
  one_bus: {{tcp: \"127.0.0.1:{one}\", modbus: tcp}}
  two_bus: {{tcp: \"127.0.0.1:{two}\", modbus: tcp}}
devices:
  one: {{bus: one_bus, unit: 1, points: {{reads: {{input: 0, as: u16, poll: {poll}, publish: every_poll}}}}}}
  two: {{bus: two_bus, unit: 1, points: {{reads: {{input: 0, as: u16, poll: 100ms, publish: every_poll}}}}}}
"
        ),
    )
}

/// Follows device `two` over `count` polls: it misses none and its state does not change.
fn undisturbed(subscriber: &Subscriber, last: &mut Option<u64>, count: u32) {
    let mut seen = 0;
    subscriber.wait("polls of the other device", |topic, payload| {
        match topic {
            "plant7/two/reads" => {
                let payload: Value = serde_json::from_str(payload).expect("JSON");
                let read = payload["value"].as_u64().unwrap();
                if let Some(last) = *last {
                    assert_eq!(read, last + 1, "no poll is missing");
                }
                *last = Some(read);
                seen += 1;
            }
            "plant7/two/$state" if last.is_some() => panic!("its state was published: {payload}"),
            _ => {}
        }
        (seen == count).then_some(())
    });
}

#[test]
fn a_reload_with_a_bad_file_changes_nothing_and_one_with_a_changed_device_restarts_only_that() {
    let servers = [Pymodbus::counter(0), Pymodbus::counter(0)];
    let ports = [servers[0].port, servers[1].port];
    let folder = Folder::new();
    let port = crate::harness::free_port();
    let gateway = Gateway::start_text(port, &two(port, ports, "100ms"), folder);
    let subscriber = Subscriber::start(port, "mqttv5", "plant7/#");
    // The retained ones come first.
    subscriber.wait("its state", |topic, _| {
        (topic == "plant7/two/$state").then_some(())
    });
    let mut last = None;
    undisturbed(&subscriber, &mut last, 5);

    gateway.reload(&two(port, ports, "sometimes"));
    gateway.process.wait_line("gateway.yaml:");
    undisturbed(&subscriber, &mut last, 10);
    servers[0].process.wait_line("connected");
    assert_eq!(
        servers[0].process.transcript().len(),
        2,
        "listing, connected"
    );

    gateway.reload(&two(port, ports, "50ms"));
    gateway.wait_notice("RELOADING=1");
    gateway.wait_notice("READY=1");
    // The changed device shows its new pace: more polls than before in the other's ten.
    let mut counts = [0, 0];
    subscriber.wait("new pace", |topic, payload| {
        counts[0] += u32::from(topic == "plant7/one/reads");
        if topic == "plant7/two/reads" {
            counts[1] += 1;
            let payload: Value = serde_json::from_str(payload).expect("JSON");
            last = payload["value"].as_u64();
        }
        if counts[1] == 10 {
            let faster = counts[0] >= 15;
            counts = [0, 0];
            return faster.then_some(());
        }
        None
    });
    undisturbed(&subscriber, &mut last, 10);
    let polls = servers[1].process.transcript();
    assert_eq!(
        polls.len(),
        2,
        "listing, connected, and nothing since: {polls:?}"
    );
}

#[test]
fn the_service_manager_is_told_of_the_status_and_that_the_process_still_works() {
    let gateway = Gateway::start("");
    gateway.wait_notice("WATCHDOG=1");
    gateway.wait_notice("WATCHDOG=1");
    gateway.process.signal("HUP");
    gateway.wait_notice("RELOADING=1");
    gateway.wait_notice("READY=1");
}

#[test]
fn its_memory_is_in_one_place_and_in_huge_pages_where_the_kernel_gives_them_to_those_who_ask() {
    let of_kernel = |name: &str| {
        let file = format!("/sys/kernel/mm/transparent_hugepage/{name}");
        fs::read_to_string(file).unwrap_or_default()
    };
    let are_given = of_kernel("enabled").contains("[madvise]")
        && of_kernel("hpage_pmd_size").trim() == "2097152";
    // An older C library overlooks the setting in some starts.
    for _ in 0..5 {
        let gateway = Gateway::start("");
        let of_process = |name: &str| {
            fs::read_to_string(format!("/proc/{}/{name}", gateway.process.id())).expect(name)
        };
        assert!(of_process("environ").contains("glibc.malloc.arena_max=1"));
        let maps = of_process("smaps");
        let mut heap = maps.split("[heap]").skip(1).filter_map(|map| {
            let flags = map.lines().find(|line| line.starts_with("VmFlags:"));
            flags.map(str::to_owned)
        });
        assert!(
            !are_given || heap.any(|flags| flags.contains(" hg")),
            "{maps}"
        );
    }
}

#[test]
fn sigterm_ends_it_in_seconds_with_success_and_an_offline_state() {
    let server = Pymodbus::counter(0);
    let port = crate::harness::free_port();
    let text = two(port, [server.port, server.port], "100ms");
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start_text(port, &text, Folder::new());
        let subscriber = Subscriber::start(port, "mqttv5", "plant7/#");
        subscriber.wait("online", |topic, payload| {
            (topic == "plant7/$state" && payload == "online").then_some(())
        });
        gateway.process.signal(signal);
        gateway.wait_notice("STOPPING=1");
        subscriber.wait("offline", |topic, payload| {
            (topic == "plant7/$state" && payload == "offline").then_some(())
        });
        let status = gateway.process.wait_exit(Duration::from_secs(5));
        assert!(status.success(), "{signal}: {status}");
    }
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_stop() {
    let mut broker = Broker::start();
    let _stuck = std::net::TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
    let process = broker.process();
    process.signal("TERM");
    assert!(process.wait_exit(Duration::from_secs(5)).success());
}

#[test]
fn after_sudden_death_the_next_start_serves_the_same_port_at_once() {
    let server = Pymodbus::counter(0);
    let port = crate::harness::free_port();
    let text = two(port, [server.port, server.port], "100ms");
    for _ in 0..2 {
        let mut gateway = Gateway::start_text(port, &text, Folder::new());
        let subscriber = Subscriber::start(port, "mqttv5", "plant7/#");
        let mut missing = vec!["plant7/$state", "plant7/one/$state", "plant7/two/$state"];
        subscriber.wait("the three states", |topic, payload| {
            missing.retain(|state| (*state, "online") != (topic, payload));
            missing.is_empty().then_some(())
        });
        // The broker dies with the gateway: nothing is left to send its will.
        gateway.process.kill();
    }
}

#[test]
fn a_device_is_tested_from_the_command_line_with_requests_words_and_values() {
    let server = Pymodbus::values();
    let folder = Folder::new();
    let rest = format!(
        "buses:
  plant: {{tcp: \"127.0.0.1:{}\", modbus: tcp}}
devices:
  plc: {{bus: plant, unit: 1, points: {{first: {{holding: 1, as: i16}}, second: {{holding: 2, as: i16}}}}}}
",
        server.port
    );
    let file = folder.write("gateway.yaml", &configuration(1883, &rest));
    let mut command = Command::new(fieldgate());
    let output = command.args(["test", "plc", "--config"]).arg(file).output();
    let output = output.expect("fieldgate");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for part in ["first", "second", "8000", "3039", "-32768", "12345"] {
        assert!(said.contains(part), "{part} in:\n{said}");
    }
}

#[test]
fn clients_that_have_sent_in_time_outlive_a_process_that_stood_still() {
    let gateway = Gateway::start("");
    let address = ([127, 0, 0, 1], gateway.port).into();
    let open = |number: usize| {
        let id = format!("client {number}");
        let connect = Connect {
            keep_alive: 1,
            ..lasting(Version::V5, &id)
        };
        Raw::connect(address, &connect, PATIENCE).unwrap().0
    };
    let mut clients: Vec<Raw> = (0..20).map(open).collect();
    gateway.process.signal("STOP");
    for client in &mut clients {
        client.send(&Packet::PingReq).unwrap();
    }
    // Twice as long as a client may be silent.
    std::thread::sleep(Duration::from_secs(3));
    gateway.process.signal("CONT");
    for client in &mut clients {
        assert_eq!(client.next(PATIENCE).unwrap(), Some(Event::PingResp));
    }
    // Those that say nothing from now on are still found out.
    for client in &mut clients {
        let end = client.next(PATIENCE).unwrap();
        assert_eq!(end, Some(Event::Disconnect(0x8D)));
    }
}
