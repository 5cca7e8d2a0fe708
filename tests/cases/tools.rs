//! The tools of a person on a ladder, with and without a running gateway, over TCP and on a line.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use fieldgate_sim::{Image, Table, Unit};

use crate::harness::{
    Folder,
    cable::Cable,
    gateway::{Gateway, configuration, fieldgate},
    modbus::{Pymodbus, Simulator},
    mqtt::wait_payload,
    process::Process,
};

/// Units 3 and 17, of which only 3 has registers.
fn image() -> Image {
    let image = Image::new();
    let mut unit = Unit::new();
    unit.set_words(Table::Holding, 0, &[0x41A4, 0, 7, 8]);
    unit.set_bits(Table::Coil, 0, &[true, false]);
    image.insert(3, unit);
    image.identify(3, ["ACME", "M1", "2.0"]);
    image.insert(17, Unit::new());
    image
}

fn rest(port: u16) -> String {
    format!(
        "buses: {{plant: {{tcp: \"127.0.0.1:{port}\", retries: 0}}}}
devices:
  meter:
    bus: plant
    unit: 3
    points:
      level: {{holding: 2, as: u16, poll: 100ms}}
"
    )
}

/// Runs a tool to its end.
fn tool(config: &Path, arguments: &str) -> (Option<i32>, String) {
    let mut command = Command::new("timeout");
    command.arg("60").arg(fieldgate());
    command.args(arguments.split_whitespace());
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .arg("--config")
        .arg(config)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    (status.code(), text.into_owned())
}

/// A tool, its arguments, how it ends, and what it says.
type Case<'c> = (&'c str, i32, &'c [&'c str]);

fn check(config: &Path, cases: &[Case]) {
    for (arguments, code, wants) in cases {
        let (got, text) = tool(config, arguments);
        assert_eq!(got, Some(*code), "{arguments}: {text}");
        for want in *wants {
            assert!(text.contains(want), "{arguments}: no {want:?} in {text}");
        }
    }
}

const UNITS: &[Case] = &[
    (
        "scan plant --units 1-20",
        0,
        &[
            "asking 20 units",
            "unit 3: holding 0 is 41A4; vendor name \"ACME\", product code \"M1\"",
            "unit 17: answers holding 0 with exception 2",
            "\n2 found",
        ],
    ),
    (
        "read plant 3 holding 0 2",
        0,
        &["41A4", "16804", "20.5", "1101266944"],
    ),
    (
        "read plant 3 holding 0 2 --as f32",
        0,
        &["41A4 0000  f32 20.5"],
    ),
    (
        "read plant 3 holding 0 2 --as f32 --order CDAB",
        0,
        &["2.3547"],
    ),
    (
        "read plant 3 coil 0 2",
        0,
        &["      0  1\n", "      1  0\n"],
    ),
    (
        "write plant 3 holding 0 21.5 --as f32",
        0,
        &[
            "write holding 0..=1 of unit 3 on bus plant",
            "before:  41A4 (16804) 0000 (0)",
            "writing: 41AC (16812) 0000 (0)",
            "now:     41AC (16812) 0000 (0)",
        ],
    ),
    (
        "write plant 3 holding 0 -1 0x10",
        0,
        &["now:     FFFF (65535) 0010 (16)"],
    ),
    (
        "write plant 3 holding 1 on --as bit(3)",
        0,
        &["before:  0010 (16)", "now:     0018 (24)"],
    ),
    (
        "write plant 3 coil 0 off on",
        0,
        &["before:  on off", "now:     off on"],
    ),
];

const MISTAKES: &[Case] = &[
    (
        "read plnt 3 holding 0",
        2,
        &["there is no bus \"plnt\"", "did you mean \"plant\"?"],
    ),
    (
        "read plant 3 holdng 0",
        2,
        &["there is no \"holdng\"", "did you mean \"holding\"?"],
    ),
    (
        "read plant 3 holding 65535 2",
        2,
        &["2 registers from 65535 on pass address 65535"],
    ),
    (
        "read plant 3 holding 0 126",
        2,
        &["126 registers are outside 1..=125"],
    ),
    (
        "write plant 17 holding 0 1",
        4,
        &[
            "before:  cannot be read",
            "write holding 0 of unit 17: exception 2",
        ],
    ),
    (
        "read plant 3 holding 900",
        4,
        &["exception 2 (ILLEGAL DATA ADDRESS)", "count from 0"],
    ),
    (
        "read plant 3 holding 0 --as u23",
        2,
        &["unknown variant `u23`"],
    ),
    (
        "read plant 3 holding 0 3 --as f32",
        2,
        &["takes 2 registers"],
    ),
    ("write plant 3 input 0 1", 2, &["input cannot be written"]),
    (
        "write plant 3 holding 0 70000",
        2,
        &["`70000` is no register"],
    ),
    ("write plant 3 coil 0 maybe", 2, &["expected on or off"]),
    (
        "scan plant --units 0-5",
        2,
        &["`0` is no unit from 1 to 247"],
    ),
    ("scan plant --baud 9600", 2, &["this bus is TCP"]),
];

#[test]
fn without_a_gateway_the_tools_work_alone() {
    let server = Simulator::start(image());
    let folder = Folder::new();
    let config = folder.write("gateway.yaml", &configuration(1, &rest(server.port)));
    check(&config, UNITS);
    check(&config, MISTAKES);
    let (code, text) = tool(&config, "read plant 3 holding 2");
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("through the running gateway"), "{text}");
}

#[test]
fn with_a_gateway_the_tools_use_its_bus_while_it_polls() {
    let server = Simulator::start(image());
    let gateway = Gateway::start(&rest(server.port));
    let config = gateway.folder.path().join("gateway.yaml");
    wait_payload(gateway.port, "plant7/meter/level", |payload| {
        payload.contains("\"value\":7")
    });
    check(&config, UNITS);
    check(&config, MISTAKES);
    check(
        &config,
        &[
            (
                "write plant 3 holding 2 4711",
                0,
                &["through the running gateway", "now:     1267 (4711)"],
            ),
            ("scan plant --units 3", 0, &["through the running gateway"]),
            ("test meter", 0, &["through the running gateway", "4711"]),
        ],
    );
    wait_payload(gateway.port, "plant7/meter/level", |payload| {
        payload.contains("\"value\":4711")
    });
}

#[test]
fn the_control_socket_is_for_its_group_and_goes_with_the_gateway() {
    let server = Simulator::start(image());
    let mut gateway = Gateway::start(&rest(server.port));
    let own = gateway.folder.path().canonicalize().unwrap();
    let file = own.join("gateway.yaml").display().to_string();
    let hash = file.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, Into::into);
    let socket = base.join(format!("fieldgate-{hash:016x}/control.sock"));
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    for line in ["nonsense".to_owned(), "x".repeat(100_000)] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        // It may hang up before all of it is sent.
        let _ = writeln!(stream, "{line}");
    }
    let named = format!("read plant 3 holding 2 --control {}", socket.display());
    let config = own.join("gateway.yaml");
    check(&config, &[(&named, 0, &["through the running gateway"])]);
    let other = gateway
        .folder
        .write("other.yaml", &fs::read_to_string(&config).unwrap());
    check(
        &other,
        &[(&named, 5, &["the gateway runs with", "gateway.yaml"])],
    );
    gateway.process.signal("TERM");
    gateway.process.wait_exit(crate::harness::PATIENCE);
    assert!(!socket.exists());
}

/// Two ends of a line, of which a process lets bytes through in both directions.
fn line(folder: &Folder) -> (Process, String, String) {
    let ends = ["near", "far"].map(|name| folder.path().join(name).display().to_string());
    let pty = |end: &str| format!("pty,raw,echo=0,link={end}");
    let mut command = Command::new("socat");
    command.args(["-d", "-d", &pty(&ends[0]), &pty(&ends[1])]);
    let socat = Process::spawn("socat", &mut command);
    socat.wait_line("starting data transfer loop");
    let [near, far] = ends;
    (socat, near, far)
}

#[test]
fn on_a_simulated_line_scan_finds_exactly_its_units() {
    let folder = Folder::new();
    let rest = "buses:
  line: {serial: {port: /dev/ttyX, baud: 115200}, simulated: true}
devices:
  m-{unit}:
    bus: line
    units: [2, 5]
    points:
      level: {holding: 0, as: u16}
";
    let config = folder.write("gateway.yaml", &configuration(1, rest));
    for (scan, found) in [
        ("scan line --units 1-6 --timeout 100", 2),
        // A line without a cable has no speed, so that all of them find all.
        (
            "scan line --units 1-6 --timeout 100 --baud 9600,19200 --parity none,even",
            8,
        ),
    ] {
        let (code, text) = tool(&config, scan);
        assert_eq!(code, Some(0), "{text}");
        let all: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("unit "))
            .collect();
        assert_eq!(all.len(), found, "{text}");
        let is_one = |line: &&str| line.starts_with("unit 2:") || line.starts_with("unit 5:");
        assert!(all.iter().all(is_one), "{text}");
    }
}

#[test]
fn a_test_says_how_much_of_a_line_the_devices_ask_for_and_warns_of_too_much() {
    let folder = Folder::new();
    for (poll, percent, warns) in [("1s", "2 %", false), ("10ms", "161 %", true)] {
        let rest = format!(
            "defaults: {{poll: {poll}}}
buses:
  line: {{serial: {{port: /dev/ttyX, baud: 115200}}, simulated: true}}
devices:
  m-{{unit}}: {{bus: line, units: [2, 5], points: {{level: {{holding: 0, as: u16}}}}}}
"
        );
        let config = folder.write("gateway.yaml", &configuration(1, &rest));
        let (code, text) = tool(&config, "test m-2");
        assert_eq!(code, Some(0), "{text}");
        let all = format!("all 2 devices of the bus: 16 ms a round, {percent} of its time");
        assert!(text.contains("8 ms a round of 1 request, "), "{text}");
        assert!(text.contains(&all), "{text}");
        assert_eq!(
            text.contains("WARNING: the bus cannot keep"),
            warns,
            "{text}"
        );
    }
}

#[test]
fn a_port_that_another_has_is_called_so() {
    let folder = Folder::new();
    let (_socat, near, _far) = line(&folder);
    let rest = format!("buses: {{line: {{serial: {{port: {near}}}}}}}\n");
    let config = folder.write("gateway.yaml", &configuration(1, &rest));
    let mut command = Command::new(fieldgate());
    let holder = Process::spawn("monitor", command.args(["monitor", &near, "--modbus"]));
    holder.wait_line("listening on");
    // socat has it open as well, and may be the one that is named.
    let want: &[&str] = &["is in use by ", "(process "];
    check(
        &config,
        &[
            ("scan line --units 1", 4, want),
            ("read line 1 holding 0", 4, want),
        ],
    );
}

#[test]
fn on_a_full_line_the_tools_share_the_port_with_the_gateway_that_has_it() {
    let cable = Cable::new();
    let _server = Pymodbus::exceptions(&cable.device().display().to_string());
    let gateway = Gateway::start(&format!(
        "buses:
  line: {{serial: {{port: {}, baud: 115200}}, timeout: 2s}}
defaults: {{poll: 100ms, publish: every_poll}}
devices:
  d{{unit}}: {{bus: line, units: [1, 2, 3], points: {{a: {{input: 0, as: u16}}}}}}
",
        cable.gateway().display()
    ));
    wait_payload(gateway.port, "plant7/d3/a", |payload| {
        payload.contains("1111")
    });
    let config = gateway.folder.path().join("gateway.yaml");
    let (code, text) = tool(&config, "scan line --units 1-8");
    assert_eq!(code, Some(0), "{text}");
    let found = text.lines().filter(|line| line.starts_with("unit "));
    assert_eq!(found.count(), 8, "{text}");
    assert!(text.contains("through the running gateway"), "{text}");
    let ways: &[&str] = &["through the running gateway"];
    check(
        &config,
        &[
            (
                "read line 5 input 0",
                0,
                &["through the running gateway", "1111"],
            ),
            (
                "write line 8 holding 0 7",
                0,
                &["through the running gateway", "now:     0007 (7)"],
            ),
            ("test d1", 0, ways),
        ],
    );
    // Unit 8 was told to fail twice, which is no matter of the others.
    for device in ["d1", "d2", "d3"] {
        wait_payload(gateway.port, &format!("plant7/{device}/a"), |payload| {
            assert!(
                payload.contains("1111") && payload.contains("good"),
                "{payload}"
            );
            true
        });
        gateway.wait_online(&format!("plant7/{device}/$state"));
    }
}

#[test]
fn a_gateway_whose_port_another_has_names_it_and_goes_on_when_it_is_free() {
    let cable = Cable::new();
    let _server = Pymodbus::exceptions(&cable.device().display().to_string());
    let port = cable.gateway().display();
    let mut command = Command::new(fieldgate());
    let mut holder = Process::spawn(
        "monitor",
        command.arg("monitor").arg(cable.gateway()).arg("--modbus"),
    );
    holder.wait_line("listening on");
    let gateway = Gateway::start(&format!(
        "buses:
  line: {{serial: {{port: {port}, baud: 115200}}, offline: {{after: 1, backoff: 100ms..200ms}}}}
devices:
  d: {{bus: line, unit: 1, points: {{a: {{input: 0, as: u16}}}}}}
"
    ));
    // This test has it open as well, to keep it in being, and may be the one that is named.
    wait_payload(gateway.port, "plant7/d/$state", |payload| {
        payload.contains("is in use by ") && payload.contains("(process ")
    });
    holder.kill();
    gateway.wait_online("plant7/d/$state");
}

#[test]
fn monitor_decodes_what_mbpoll_asks() {
    let folder = Folder::new();
    let (_socat, near, far) = line(&folder);
    let mut command = Command::new(fieldgate());
    let monitor = Process::spawn("monitor", command.args(["monitor", &near, "--modbus"]));
    monitor.wait_line("listening on");
    let mut command = Command::new("mbpoll");
    let options = [
        "-m", "rtu", "-b", "9600", "-P", "none", "-a", "7", "-t", "4", "-0",
    ];
    command
        .args(options)
        .args(["-r", "10", "-c", "2", "-1", "-o", "0.2", &far]);
    let _mbpoll = Process::spawn("mbpoll", &mut command);
    monitor.wait_line("> read holding 10..=11 of unit 7");
    // What mbpoll waits for in vain; and then something broken.
    let mut port = fs::OpenOptions::new().write(true).open(&far).unwrap();
    port.write_all(&[7, 3, 2, 0, 9, 1, 1]).unwrap();
    monitor.wait_line("! WRONG CRC: 07 03 02 00 09 01 01");
    monitor.signal("INT");
    monitor.wait_line("1 requests, 0 answers (0 exceptions), 0 unanswered, 0 answers without a request, 1 wrong CRCs");
}
