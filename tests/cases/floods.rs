//! Others that say too much: devices that send without end, clients whose names are long and full
//! of control characters, programs that call themselves so.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::gateway::{Gateway, fieldgate};
use crate::harness::mqtt::{Subscriber, wait_payload};
use crate::harness::process::Process;
use crate::harness::pty::Pty;
use crate::harness::{Folder, PATIENCE, free_port};

/// What a server does after its first right answer.
#[derive(Clone, Copy, Debug)]
enum Flood {
    /// Whole frames that answer nothing.
    Frames,
    /// Bytes that are no frames.
    Noise,
}

/// A Modbus server that answers right once on each connection, and then sends without end. Without
/// a flood it answers every request. Returns its address.
fn server(is_rtu: bool, flood: Option<Flood>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || serve(stream, is_rtu, flood));
        }
    });
    address
}

fn serve(mut stream: TcpStream, is_rtu: bool, flood: Option<Flood>) {
    // Register 0 of unit 1 holds 7; the other frame is of unit 9, or of a transaction that was never begun.
    let (length, other): (usize, &[u8]) = match is_rtu {
        true => (8, &[9, 3, 2, 0, 7, 0x18, 0x47]),
        false => (12, &[0xFF, 0xFE, 0, 0, 0, 5, 1, 3, 2, 0, 7]),
    };
    let mut request = vec![0; length];
    while stream.read_exact(&mut request).is_ok() {
        let answer = match is_rtu {
            true => vec![1, 3, 2, 0, 7, 0xF9, 0x86],
            false => [&request[..5], &[5, 1, 3, 2, 0, 7]].concat(),
        };
        if stream.write_all(&answer).is_err() {
            return;
        }
        let block = match flood {
            None => continue,
            Some(Flood::Frames) => other.repeat(1_000),
            Some(Flood::Noise) => vec![0x55; 10_000],
        };
        while stream.write_all(&block).is_ok() {}
        return;
    }
}

fn resident_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    words.and_then(|kib| kib.parse().ok()).expect("a number")
}

#[test]
fn a_modbus_server_that_sends_without_end_costs_no_other_device_its_pace_and_no_memory() {
    for (is_rtu, flood) in [
        (false, Flood::Frames),
        (false, Flood::Noise),
        (true, Flood::Frames),
        (true, Flood::Noise),
    ] {
        let (loud, calm) = (server(is_rtu, Some(flood)), server(false, None));
        let modbus = if is_rtu { "rtu" } else { "tcp" };
        let points = "points: {x: {holding: 0, as: u16, poll: 100ms, publish: every_poll}}";
        let gateway = Gateway::start(&format!(
            "buses:
  loud: {{tcp: \"{loud}\", modbus: {modbus}, timeout: 500ms}}
  calm: {{tcp: \"{calm}\", modbus: tcp}}
devices:
  shouter: {{bus: loud, unit: 1, {points}}}
  meter: {{bus: calm, unit: 1, {points}}}
"
        ));
        gateway.keep_listening();
        let what = format!("{modbus} {flood:?}");
        gateway
            .process
            .wait_line("without end; the connection is closed");
        let before = resident_kib(gateway.process.id());
        let seen = Subscriber::start(gateway.port, "mqttv5", "plant7/meter/x");
        let begun = Instant::now();
        for _ in 0..50 {
            assert_eq!(seen.json("plant7/meter/x")["value"], 7, "{what}");
        }
        // 50 polls in 100 ms each take 5 s.
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(6_500), "{what}: {took:?}");
        let grown = resident_kib(gateway.process.id()).saturating_sub(before);
        assert!(grown < 8 * 1024, "{what}: {grown} KiB more");
        let told = gateway.process.transcript();
        let told = told.iter().filter(|line| line.contains("without end; "));
        assert_eq!(told.count(), 1, "{what}: it is told once");
        wait_payload(gateway.port, "plant7/$bus/loud", |payload| {
            let stats: serde_json::Value = serde_json::from_str(payload).expect("JSON");
            stats["floods"].as_u64() > Some(0)
        });
    }
}

/// CONNECT of MQTT 5 with this client identifier, and then a packet that cannot be.
fn bad_client(name: &[u8]) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x05\x02\0\x3c\0".to_vec();
    body.extend((name.len() as u16).to_be_bytes());
    body.extend_from_slice(name);
    let (low, middle, high) = (
        body.len() % 128,
        body.len() / 128 % 128,
        body.len() / 16_384,
    );
    let mut bytes = vec![0x10, low as u8 | 0x80, middle as u8 | 0x80, high as u8];
    bytes.extend(body);
    bytes.extend([0x00, 0x00]);
    bytes
}

/// PUBLISH of MQTT 5 with QoS 0 and RETAIN: 1,000 bytes for a topic of its own.
fn retained(number: usize) -> Vec<u8> {
    let topic = format!("flood/{number:08}");
    let body = [
        &[0, topic.len() as u8][..],
        topic.as_bytes(),
        &[0],
        &[b'x'; 1_000],
    ]
    .concat();
    let (low, high) = (body.len() % 128, body.len() / 128);
    [&[0x31, low as u8 | 0x80, high as u8][..], &body].concat()
}

#[test]
fn retained_messages_that_wait_for_no_answer_come_no_faster_than_the_disk_takes_them() {
    const BUDGET_MIB: u64 = 16;
    const MESSAGES: usize = 120_000;
    let (port, folder) = (free_port(), Folder::new());
    let text = format!(
        "version: 1
broker:
  listen: {{tcp: \"127.0.0.1:{port}\"}}
  allow_anonymous: true
  limits: {{memory: {BUDGET_MIB}M}}
"
    );
    let file = folder.write("gateway.yaml", &text);
    let mut command = Command::new(fieldgate());
    command.arg("run").arg(&file).arg("--state");
    let process = Process::spawn("fieldgate", command.arg(folder.path().join("state")));
    process.wait_line("subscribe with: ");
    let before = resident_kib(process.id());
    let mut flood = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let connect = b"\x10\x12\0\x04MQTT\x05\x02\0\0\0\0\x05flood";
    flood.write_all(connect).expect("it reads");
    let mut answer = [0; 2];
    flood.read_exact(&mut answer).expect("CONNACK");
    let flooding = thread::spawn(move || {
        for number in 0..MESSAGES {
            flood
                .write_all(&retained(number))
                .expect("it goes on reading");
        }
        // PINGREQ: its answer comes behind all of them.
        flood.write_all(&[0xC0, 0]).expect("it reads");
        flood.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let mut rest = Vec::new();
        while !rest.ends_with(&[0xD0, 0]) {
            let mut some = [0; 64];
            let length = flood.read(&mut some).expect("PINGRESP");
            assert_ne!(length, 0, "the connection stays");
            rest.extend_from_slice(&some[..length]);
        }
    });
    let mut most = 0;
    while !flooding.is_finished() {
        most = most.max(resident_kib(process.id()));
        thread::yield_now();
    }
    flooding.join().expect("the flood ends well");
    let grown = most.saturating_sub(before) / 1024;
    assert!(grown < BUDGET_MIB + 12, "{grown} MiB more");
}

#[test]
fn clients_with_endless_names_of_control_characters_write_little_into_the_log() {
    const CLIENTS: usize = 200;
    let mut gateway = Gateway::start("");
    for number in 0..CLIENTS {
        let mut name = "\u{1b}[31m\u{7}".repeat(10_000).into_bytes();
        name.extend(number.to_string().bytes());
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).expect("it listens");
        stream.write_all(&bad_client(&name)).expect("it reads");
        // Until it is thrown out.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    gateway.process.signal("TERM");
    gateway.process.wait_exit(PATIENCE);
    let lines = gateway.process.transcript();
    let bytes: usize = lines.iter().map(String::len).sum();
    assert!(bytes < 32 * 1024, "{bytes} bytes in {} lines", lines.len());
    for line in &lines {
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.chars().count() < 600, "{line}");
    }
    let told = lines.iter().find(|line| line.contains("more like it: "));
    assert!(told.is_some(), "{lines:#?}");
}

#[test]
fn a_program_that_calls_itself_by_control_characters_colours_no_terminal() {
    let (program, folder) = (fieldgate(), Folder::new());
    let link = folder.path().join("port");
    let pty = Pty::at(&link);
    let holder = folder.path().join("\u{1b}[31mred");
    fs::copy("/bin/sleep", &holder).expect("a copy of sleep");
    let near = File::options().read(true).write(true).open(&link);
    let mut held = Command::new(&holder)
        .arg("600")
        .stdin(near.expect("the port opens"))
        .spawn()
        .expect("the copy runs");
    let mut monitor = Command::new(program);
    let monitor = Process::spawn("monitor", monitor.arg("monitor").arg(&link));
    let line = monitor.wait_line("is also open in");
    let _ = held.kill();
    let _ = held.wait();
    drop(pty);
    assert!(line.contains("\\u{1b}[31mred (process "), "{line}");
    assert!(!line.contains('\u{1b}'), "{line}");
}
