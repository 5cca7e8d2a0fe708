//! Any bytes as what a server of NATS says, in pieces: no panic, and no more is taken than there is.

#![no_main]

use std::time::{Duration, Instant};

use fieldgate_uplink::nats::login::Login;
use fieldgate_uplink::nats::{Client, Memory, Settings, Wanted, incoming};

/// What lets the client in, so that the rest is about messages.
const GREETING: &[u8] = b"INFO {\"headers\":true,\"max_payload\":1000,\"nonce\":\"x\"}\r\nPONG\r\n";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let now = Instant::now();
    let settings = Settings {
        most: 4_000,
        keep_alive: Duration::from_secs(30),
        secret: "s".into(),
        wanted: vec![Wanted {
            subject: "a.>".into(),
            needs_stream: false,
        }],
        has_old: first & 1 == 1,
        ..Settings::default()
    };
    let mut client = Client::new(settings, Login::default(), Memory::default(), now);
    let mut input = match first & 2 {
        0 => Vec::new(),
        _ => GREETING.to_vec(),
    };
    let mut out = Vec::new();
    for piece in data.chunks(usize::from(*first).max(1)) {
        input.extend_from_slice(piece);
        loop {
            match client.take(&input, now, &mut out) {
                Ok(Some((_, len))) => {
                    assert!(0 < len && len <= input.len());
                    let message = incoming(&input[..len]);
                    let topic = message.as_ref().map(|message| message.publish().topic.len());
                    assert!(topic.is_none_or(|topic| topic <= len));
                    input.drain(..len);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(out.len() < 1 << 20);
        out.clear();
    }
});
