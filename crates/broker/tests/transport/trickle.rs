//! Clients that send a byte now and then: no byte buys them time.

use std::time::Duration;

use fieldgate_broker::{Broker, Limits, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::authority::Authority;
use crate::client::Client;
use crate::{Folder, PATIENCE, any_port, config};

/// Between two bytes. All of them together take far longer than there is time.
const PACE: Duration = Duration::from_millis(25);

/// Writes `bytes` one by one, and then zeros, until the broker has had enough; returns how long it took.
async fn trickle(stream: TcpStream, bytes: &[u8]) -> Duration {
    let begin = Instant::now();
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        for &byte in bytes.iter().chain(std::iter::repeat(&0)) {
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(PACE).await;
        }
    };
    let read = async {
        let mut some = [0; 1024];
        while matches!(reader.read(&mut some).await, Ok(1..)) {}
    };
    // Whichever side notices first.
    let either = async {
        tokio::select! {
            () = write => {}
            () = read => {}
        }
    };
    timeout(PATIENCE, either).await.unwrap();
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_trickles_in_ends_with_the_time_for_connect() {
    let folder = Folder::new();
    let tls = Authority::new().settings(&folder, None);
    let over_tcp = |tls, websocket| Listener {
        tls,
        websocket,
        ..Listener::tcp(any_port())
    };
    let mut config = config(vec![
        over_tcp(None, false),
        over_tcp(Some(tls), false),
        over_tcp(None, true),
    ]);
    let limit = Duration::from_millis(400);
    config.limits = Limits {
        connect_timeout: limit,
        ..Limits::default()
    };
    let broker = Broker::start(config).unwrap();
    let addresses = broker.local_addrs();
    let good = TcpStream::connect(addresses[0]).await.unwrap();
    let (mut good, _) = Client::connect(Box::new(good), "good").await;
    // The beginnings of a long CONNECT, a long ClientHello and a long request.
    let beginnings: [&[u8]; 3] = [
        b"\x10\xFF\xFF\x01\0\x04MQTT\x05\x02\0\x3C\0",
        b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03",
        b"GET /mqtt HTTP/1.1\r\nHost: board\r\nX: ",
    ];
    for (address, bytes) in addresses.iter().zip(beginnings) {
        let stream = TcpStream::connect(address).await.unwrap();
        let took = trickle(stream, bytes).await;
        assert!(took >= limit, "{bytes:?}: {took:?}");
        assert!(took < 5 * limit, "{bytes:?}: {took:?}");
    }
    good.publish("good/a", b"still here", fieldgate_broker::QoS::AtLeastOnce)
        .await;
}
