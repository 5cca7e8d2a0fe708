//! Clients that hold a connection without using it.

use std::io::Write;
use std::time::{Duration, Instant};

use fieldgate_mqtt::Connect;

use crate::support::*;

#[test]
fn a_packet_that_never_ends_does_not_keep_a_client_alive() {
    let broker = broker();
    let mut client = Client::open(
        &broker,
        &Connect {
            keep_alive: 1,
            ..connect(Version::V5, "trickle")
        },
    );
    // A PUBLISH of a megabyte, one byte now and then: not one control packet (MQTT-3.1.2-22).
    client.send_bytes(&[0x30, 0x80, 0x80, 0x40, 0, 1, b'a']);
    let begin = Instant::now();
    let mut stream = client.stream().try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        while begin.elapsed() < Duration::from_secs(6) && stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    client.disconnected_with(ReasonCode::KEEP_ALIVE_TIMEOUT);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(client);
    writer.join().unwrap();
}
