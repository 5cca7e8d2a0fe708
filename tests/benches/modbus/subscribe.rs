//! Subscribers to everything: the first one looks at each value, the others only take them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::serve::{Shared, lock};

/// How long it is waited for the broker, of which a gateway of before may not know the configuration.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts `count` subscribers of the broker at `port`, which may not listen yet. Tells whether all have subscribed.
pub fn start(port: u16, count: usize, changing: u16, shared: &Shared) -> bool {
    for index in 0..count {
        let Some(stream) = connect(port, index) else {
            return false;
        };
        let shared = (index == 0).then(|| Arc::clone(shared));
        thread::spawn(move || take(stream, changing, shared));
    }
    true
}

fn connect(port: u16, index: usize) -> Option<TcpStream> {
    let end = Instant::now() + PATIENCE;
    let mut stream = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => break stream,
            Err(_) if Instant::now() > end => return None,
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    };
    let name = format!("s{index}");
    let mut connect = vec![
        0x10,
        12 + name.len() as u8,
        0,
        4,
        b'M',
        b'Q',
        b'T',
        b'T',
        4,
        2,
        0,
        0,
        0,
    ];
    connect.push(name.len() as u8);
    connect.extend(name.as_bytes());
    stream
        .write_all(&connect)
        .expect("the broker takes CONNECT");
    let mut ack = [0; 4];
    stream.read_exact(&mut ack).expect("a CONNACK");
    // SUBSCRIBE to `#` with QoS 0.
    let subscribe = [0x82, 6, 0, 1, 0, 1, b'#', 0];
    stream
        .write_all(&subscribe)
        .expect("the broker takes SUBSCRIBE");
    Some(stream)
}

fn take(mut stream: TcpStream, changing: u16, shared: Option<Shared>) {
    let mut buffer = vec![0; 1 << 20];
    let mut len = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer[len..]) {
        let now = Instant::now();
        len += count;
        let Some(shared) = &shared else {
            len = 0;
            continue;
        };
        let mut at = 0;
        let mut seen = lock(shared);
        while let Some((head, packet, rest)) = split(&buffer[at..len]) {
            // A PUBLISH of QoS 0 that was not retained.
            if head & 0xF1 == 0x30 && packet.len() > 2 {
                let topic_len = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
                let (topic, payload) = packet[2..].split_at(topic_len.min(packet.len() - 2));
                seen.messages += 1;
                values(topic, payload, &mut |device, tag, value| {
                    if tag % 100 < changing {
                        seen.arrived(device, tag, value, now);
                    }
                });
            }
            at = len - rest;
        }
        drop(seen);
        buffer.copy_within(at..len, 0);
        len -= at;
    }
}

/// The first byte of a packet, what follows its length, and how many bytes come after it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (mut len, mut used) = (0, 1);
    loop {
        let byte = *bytes.get(used)?;
        len |= usize::from(byte & 0x7F) << (7 * (used - 1));
        used += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let packet = bytes.get(used..used + len)?;
    Some((bytes[0], packet, bytes.len() - used - len))
}

/// The values of `bench/dN/pM`, or of `bench/dN` with all its points.
fn values(topic: &[u8], payload: &[u8], found: &mut impl FnMut(usize, u16, u16)) {
    let mut levels = topic.split(|byte| *byte == b'/').skip(1);
    let device = levels
        .next()
        .and_then(|level| number(level.strip_prefix(b"d")?));
    let point = levels.next();
    let Some((device, _)) = device else { return };
    if let Some(point) = point {
        let tag = point.strip_prefix(b"p").and_then(number);
        let value = payload.strip_prefix(b"{\"value\":").and_then(number);
        if let (Some((tag, _)), Some((value, _))) = (tag, value) {
            found(device, tag as u16, value as u16);
        }
        return;
    }
    for (at, _) in payload
        .windows(2)
        .enumerate()
        .filter(|(_, two)| two == b"\"p")
    {
        let tag = number(&payload[at + 2..]);
        let value = tag.and_then(|(_, rest)| number(rest.strip_prefix(b"\":")?));
        if let (Some((tag, _)), Some((value, _))) = (tag, value) {
            found(device, tag as u16, value as u16);
        }
    }
}

/// The number at the beginning, and what follows.
fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = std::str::from_utf8(&text[..len]).ok()?;
    Some((digits.parse().ok()?, &text[len..]))
}
