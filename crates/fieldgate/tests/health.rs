//! `fieldgate health`: which answers of a broker it takes for a yes.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

/// Runs the check against a listener that reads a CONNECT and says `answer`; without one, against
/// a port on which nothing listens.
fn health(name: &str, answer: Option<&'static [u8]>, listen: &str) -> i32 {
    let folder =
        std::env::temp_dir().join(format!("fieldgate-health-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("gateway.yaml");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let text = format!(
        "version: 1\nbroker: {}\n",
        listen.replace("ADDRESS", &address)
    );
    fs::write(&file, text).unwrap();
    let broker = answer.map(|answer| {
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut connect = [0; 14];
            stream.read_exact(&mut connect).unwrap();
            assert_eq!(&connect[..9], b"\x10\x0c\x00\x04MQTT\x04");
            stream.write_all(answer).unwrap();
        })
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
    let code = command
        .arg("health")
        .arg(&file)
        .output()
        .unwrap()
        .status
        .code();
    if let Some(broker) = broker {
        broker.join().unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
    code.unwrap()
}

#[test]
fn a_broker_that_refuses_a_stranger_is_there_and_one_that_is_too_busy_is_not() {
    let listen = "{listen: {tcp: \"ADDRESS\"}}";
    for (name, answer, want) in [
        ("accepted", Some(b"\x20\x02\x00\x00".as_slice()), 0),
        ("stranger", Some(b"\x20\x02\x00\x05"), 0),
        ("busy", Some(b"\x20\x02\x00\x03"), 4),
        ("other", Some(b"HTTP"), 4),
        ("cut", Some(b"\x20\x02"), 4),
        ("nobody", None, 4),
    ] {
        assert_eq!(health(name, answer, listen), want, "{name}");
    }
}

#[test]
fn a_configuration_that_is_wrong_or_has_no_listener_cannot_be_healthy() {
    for (name, listen, want) in [
        ("wrong", "{lisen: {tcp: \"ADDRESS\"}}", 1),
        ("none", "{listen: {}}", 2),
    ] {
        assert_eq!(health(name, None, listen), want, "{name}");
    }
}
