//! Bytes that no client should send: the broker lives on, and its other clients notice nothing.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{
    PATIENCE,
    mqtt::{Broker, Paho},
};

/// xorshift64*: the same bytes in every run, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 40) as u8
    }
}

/// A control packet: type and flags, remaining length, body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// CONNECT with will, user and password; `level` 3, 4 or 5.
fn connect(level: u8, client: &str) -> Vec<u8> {
    let mut body = text(if level == 3 { "MQIsdp" } else { "MQTT" });
    body.extend([level, 0b1100_0110, 0, 60]);
    if level == 5 {
        // Session expiry, receive maximum, user property.
        body.extend([
            17, 17, 0, 0, 0, 9, 33, 0, 20, 38, 0, 2, b'k', b'1', 0, 2, b'v', b'1',
        ]);
    }
    body.extend(text(client));
    if level == 5 {
        body.extend([5, 24, 0, 0, 0, 1]); // Will delay.
    }
    for field in ["garbage/will", "gone", "user", "secret"] {
        body.extend(text(field));
    }
    packet(0x10, &body)
}

/// A proper packet of every kind, those included that only a server sends.
fn proper(level: u8) -> Vec<Vec<u8>> {
    let five = level == 5;
    let with = |first: u8, parts: &[&[u8]], properties: &[u8], rest: &[&[u8]]| {
        let mut body = parts.concat();
        if five {
            body.push(properties.len() as u8);
            body.extend_from_slice(properties);
        }
        body.extend(rest.concat());
        packet(first, &body)
    };
    let (topic, filter, id) = (text("garbage/a"), text("garbage/+/#"), [0, 7]);
    let expiry = [2, 0, 0, 0, 60, 35, 0, 3]; // Message expiry, topic alias.
    let mut packets = vec![
        connect(level, "late"),
        with(0x20, &[&[0, 0]], &[], &[]),
        with(0x30, &[&topic], &[], &[b"payload"]),
        with(0x33, &[&topic, &id], &expiry, &[b"payload"]),
        with(0x35, &[&topic, &id], &[], &[&[0xAA; 300]]),
        with(0x82, &[&id], &[11, 5], &[&filter, &[1]]),
        with(
            0x82,
            &[&id],
            &[],
            &[&text("$share/g/garbage/#"), &[2], &topic, &[0]],
        ),
        with(0xA2, &[&id], &[], &[&filter]),
        with(0x90, &[&id], &[], &[&[1]]),
        with(0xB0, &[&id], &[], &[]),
        packet(0xC0, &[]),
        packet(0xD0, &[]),
        packet(0xE0, &[]),
    ];
    for (first, reason) in [(0x40, 0x10), (0x50, 0), (0x62, 0x92), (0x70, 0)] {
        packets.push(packet(first, &id));
        if five {
            packets.push(packet(first, &[0, 7, reason, 0]));
        }
    }
    if five {
        packets.push(packet(0xE0, &[4, 0]));
        packets.push(packet(0xF0, &[0x18, 7, 21, 0, 4, b'n', b'o', b'n', b'e']));
    }
    packets
}

/// Spoils a packet in one of several ways.
fn mutate(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.byte(),
            2 => bytes[at] = [0x00, 0x7F, 0x80, 0xFF][random.below(4)],
            3 => bytes.insert(at, random.byte()),
            4 if bytes.len() > 1 => drop(bytes.remove(at)),
            5 if at > 0 => bytes.truncate(at),
            // Another type with the same body.
            6 => bytes[0] = random.byte(),
            // A length that promises more, up to what four bytes can say.
            _ => drop(bytes.splice(1..2.min(bytes.len()), [0xFF, 0xFF, 0xFF, 0x7F])),
        }
    }
    bytes
}

/// Sends bytes on a connection of their own and waits until the broker has closed it; returns what
/// it answered. The broker may hang up in the middle of it: that is its right.
fn throw(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker still listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    if stream.write_all(bytes).is_ok() {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut back = Vec::new();
    match stream.read_to_end(&mut back) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            panic!("the broker neither answers nor hangs up: {error}")
        }
        _ => back,
    }
}

/// Everything that is thrown: `count` spoilt packets, half of them behind a proper CONNECT.
fn throw_all(port: u16, seed: u64, count: usize) {
    let mut random = Random(seed);
    let kinds: Vec<(u8, Vec<Vec<u8>>)> = [3, 4, 5].map(|level| (level, proper(level))).into();
    for n in 0..count {
        let (level, packets) = &kinds[random.below(kinds.len())];
        let chosen = packets[random.below(packets.len())].clone();
        let spoilt = mutate(&mut random, chosen);
        let mut bytes = Vec::new();
        if n % 2 == 0 {
            bytes = connect(*level, &format!("garbage{}", n % 50));
        }
        bytes.extend(spoilt);
        throw(port, &bytes);
    }
    for length in [1, 2, 7, 100, 5000] {
        let noise: Vec<u8> = (0..length).map(|_| random.byte()).collect();
        throw(port, &noise);
    }
}

/// The memory that a process holds, in KiB.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    words.and_then(|kib| kib.parse().ok()).expect("a number")
}

#[test]
fn the_packets_that_are_spoilt_are_proper_before() {
    let broker = Broker::start();
    for level in [3, 4, 5] {
        for whole in proper(level) {
            // What a broker answers: CONNACK, then what belongs to the packet, if anything.
            let want = match whole[0] {
                0x33 => Some(0x40),
                0x35 => Some(0x50),
                0x82 => Some(0x90),
                0xA2 => Some(0xB0),
                0xC0 => Some(0xD0),
                0x30 | 0xE0 => None,
                // Not for a client to send, not now, or brokers differ.
                _ => continue,
            };
            let bytes = [connect(level, "proper"), whole.clone()].concat();
            let back = throw(broker.port(), &bytes);
            let kinds = kinds(&back);
            assert_eq!(
                kinds.first(),
                Some(&0x20),
                "{level} {whole:02x?}: {back:02x?}"
            );
            // QoS 2 messages of an earlier connection may be delivered in between.
            assert_eq!(
                kinds.get(1).copied(),
                want,
                "{level} {whole:02x?}: {back:02x?}"
            );
        }
    }
}

/// The types of a chain of packets.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [first, rest @ ..] = bytes {
        kinds.push(first & 0xF0);
        let digits = rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let length = rest[..digits].iter().rev();
        let length = length.fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7F));
        bytes = &rest[digits + length..];
    }
    kinds
}

#[test]
fn thousands_of_spoilt_packets_stop_neither_the_process_nor_a_well_behaved_client() {
    let mut broker = Broker::start();
    let port = broker.port();
    let (mut reader, _) = Paho::connect(port, "good-reader", "5", Value::Null);
    let (mut writer, _) = Paho::connect(port, "good-writer", "3.1.1", Value::Null);
    reader.subscribe("good/#", 2);
    let done = AtomicBool::new(false);
    let exchanged = thread::scope(|scope| {
        let done = &done;
        let good = scope.spawn(move || {
            let mut rounds = 0;
            while rounds < 3 || !done.load(Ordering::Relaxed) {
                let qos = rounds % 3;
                writer.publish("good/a", "N", qos, json!({"count": 20}));
                let want: Vec<String> = (0..20).map(|n| n.to_string()).collect();
                assert_eq!(reader.payloads(20), want, "round {rounds} at QoS {qos}");
                rounds += 1;
            }
            rounds
        });
        let throwers = [1, 2].map(|seed| scope.spawn(move || throw_all(port, seed, 5000)));
        let thrown = throwers.map(|thrower| thrower.join());
        done.store(true, Ordering::Relaxed);
        let exchanged = good.join();
        for thrown in thrown {
            thrown.expect("every connection was closed in time");
        }
        exchanged.expect("no message was lost")
    });
    assert!(exchanged >= 3);
    assert_well(&mut broker);
}

#[test]
fn truncations_of_every_packet_at_every_byte_are_survived() {
    let mut broker = Broker::start();
    for level in [3, 4, 5] {
        for whole in proper(level) {
            // Cutting a long payload byte by byte says nothing new.
            for cut in 0..whole.len().min(80) {
                let mut bytes = connect(level, "cut");
                bytes.extend_from_slice(&whole[..cut]);
                throw(broker.port(), &bytes);
            }
        }
        let whole = connect(level, "cut");
        for cut in 0..whole.len() {
            throw(broker.port(), &whole[..cut]);
        }
    }
    assert_well(&mut broker);
}

#[test]
fn oversized_packets_are_refused_without_taking_the_memory_that_they_ask_for() {
    let mut broker = Broker::start();
    let port = broker.port();
    // Forty clients promise 256 MiB each, and send half a MiB of it.
    let streams: Vec<TcpStream> = (0..40)
        .map(|n| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let mut bytes = connect(4, &format!("big{n}"));
            bytes.extend([0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
            bytes.extend(text("garbage/big"));
            bytes.resize(bytes.len() + 512 * 1024, b'x');
            let _ = stream.write_all(&bytes);
            stream
        })
        .collect();
    // Served while they are open.
    let (mut client, _) = Paho::connect(port, "good", "5", Value::Null);
    client.subscribe("good/#", 1);
    client.publish("good/b", "served", 1, Value::Null);
    assert_eq!(client.payloads(1), ["served"]);
    let kib = resident(broker.process().id());
    assert!(kib < 256 * 1024, "{kib} KiB are resident");
    drop(streams);
    assert_well(&mut broker);
}

/// The broker runs, has not panicked anywhere, and serves a new client.
fn assert_well(broker: &mut Broker) {
    broker.process().assert_alive();
    let transcript = broker.process().transcript();
    let panicked = transcript.iter().find(|line| line.contains("panicked"));
    assert_eq!(panicked, None);
    let (mut client, _) = Paho::connect(broker.port(), "afterwards", "5", Value::Null);
    client.subscribe("after", 2);
    client.publish("after", "well", 2, Value::Null);
    assert_eq!(client.payloads(1), ["well"]);
}
