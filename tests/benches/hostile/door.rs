//! Before and at the door: CONNECTs that do not end, wrong passwords, names that fill a log, connections without end.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;

use fieldgate_mqtt::{Packet, Version};

use crate::attack::{Attack, PATIENCE, brief};
use crate::memory::pairs;

/// Connections that are kept open, the newest.
struct Kept {
    max: usize,
    streams: Mutex<VecDeque<TcpStream>>,
}

impl Kept {
    fn new(max: usize) -> Self {
        Self {
            max,
            streams: Mutex::default(),
        }
    }

    fn push(&self, stream: TcpStream) {
        if let Ok(mut streams) = self.streams.lock() {
            streams.push_back(stream);
            if streams.len() > self.max {
                streams.pop_front();
            }
        }
    }
}

/// What a CONNECT of 1.8 MB begins with.
fn head_of_connect() -> Vec<u8> {
    let pairs = pairs();
    let mut connect = brief(Version::V5, "unfinished");
    connect.properties.user_properties = pairs.as_properties();
    let mut bytes = vec![];
    let encoded = Packet::Connect(Box::new(connect)).encode(Version::V5, &mut bytes);
    encoded.expect("1.8 MB fit");
    bytes.truncate(bytes.len() - 100);
    bytes
}

/// Connections with 1.8 MB of a CONNECT, which stay.
pub fn unfinished(attack: &Attack) {
    let (head, kept) = (head_of_connect(), Kept::new(1_000));
    attack.repeat(8, |_, _| {
        let mut stream = attack.stream(attack.from)?;
        let written = stream.write_all(&head);
        kept.push(stream);
        written
    });
}

/// The same in a WebSocket message.
pub fn websockets(attack: &Attack) {
    let head = head_of_connect();
    let mut frame = vec![0x82, 0x80 | 127];
    frame.extend((head.len() as u64 + 100).to_be_bytes());
    frame.extend([0; 4]); // The mask.
    frame.extend(head);
    let kept = Kept::new(1_000);
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n",
        attack.websocket
    );
    attack.repeat(8, |_, _| {
        let mut stream = attack.stream_to(attack.from, attack.websocket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = vec![];
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.extend(byte);
        }
        let written = stream.write_all(&frame);
        kept.push(stream);
        written
    });
}

/// Wrong passwords, half of them of a user that there is, from all addresses of one /24.
pub fn wrong_logins(attack: &Attack) {
    let kept = Kept::new(1_500);
    attack.repeat(4, |thread, number| {
        let count = number * 4 + thread;
        let from = Ipv4Addr::new(127, 0, 1, (2 + count % 250) as u8);
        let (id, other) = (format!("login-{count}"), format!("stranger-{count}"));
        let mut connect = brief(Version::V5, &id);
        connect.username = Some(match count % 2 {
            0 => crate::good::USER,
            _ => &other,
        });
        connect.password = Some(b"wrong");
        let mut bytes = vec![];
        let encoded = Packet::Connect(Box::new(connect)).encode(Version::V5, &mut bytes);
        encoded.map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut stream = attack.stream(from)?;
        stream.write_all(&bytes)?;
        // The answer takes a second, and is not waited for.
        kept.push(stream);
        Ok(())
    });
}

/// Client identifiers of 65,000 control characters and then no MQTT, or a version that there is not.
pub fn control_characters(attack: &Attack) {
    let name: String = (0..65_000_u32)
        .map(|number| char::from((number % 31) as u8 + 1))
        .collect();
    let mut bytes = vec![];
    let connect = brief(Version::V5, &name);
    let encoded = Packet::Connect(Box::new(connect)).encode(Version::V5, &mut bytes);
    encoded.expect("65,000 characters fit");
    let mut refused = bytes.clone();
    bytes.extend([0x00, 0x00]);
    // Behind the header of four bytes: the length and name of the protocol, then its version.
    refused[4 + 2 + 4] = 77;
    attack.repeat(4, |_, number| {
        let mut stream = attack.stream(attack.from)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let bytes = match number % 2 {
            0 => &bytes,
            _ => &refused,
        };
        stream.write_all(bytes)?;
        // Until the broker ends the connection.
        io::copy(&mut stream, &mut io::sink())?;
        Ok(())
    });
}

/// As many connections as there can be, from one address, and none says anything.
pub fn connections(attack: &Attack) {
    let kept = Kept::new(2_000);
    attack.repeat(4, |_, _| {
        let stream = attack.stream(Ipv4Addr::new(127, 0, 0, 2))?;
        kept.push(stream);
        Ok(())
    });
}
