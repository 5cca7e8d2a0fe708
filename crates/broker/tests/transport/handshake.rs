//! Who gets through the handshakes, and in which time.

use std::time::Duration;

use fieldgate_broker::{Broker, Limits, Listener, Origins};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::rustls::ALL_VERSIONS;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::authority::Authority;
use crate::{Folder, PATIENCE, any_port, config, start};

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_clients_are_asked_for_and_checked_as_configured() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    for (required, shown, want) in [
        (Some(true), None, false),
        (Some(true), Some(&ours), true),
        (Some(true), Some(&foreign), false),
        (Some(false), None, true),
        (Some(false), Some(&ours), true),
        (Some(false), Some(&foreign), false),
        (None, None, true),
        // It is not asked for, so it is not sent.
        (None, Some(&foreign), true),
    ] {
        let folder = Folder::new();
        let broker = start(vec![Listener {
            tls: Some(ours.settings(&folder, required)),
            ..Listener::tcp(any_port())
        }]);
        let identity = shown.map(|authority| authority.issue("panel"));
        let connector = ours.connector(ALL_VERSIONS, identity.as_ref());
        let stream = TcpStream::connect(broker.local_addrs()[0]).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        // A client of TLS 1.3 is done before the server has seen its certificate.
        let is_in = match connector.connect(name, stream).await {
            Err(_) => false,
            Ok(mut stream) => {
                let connect = b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a";
                let mut answer = [0; 4];
                stream.write_all(connect).await.is_ok()
                    && stream.read_exact(&mut answer).await.is_ok()
            }
        };
        assert_eq!(
            is_in,
            want,
            "required {required:?}, shown {}",
            shown.is_some()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handshake_ends_with_the_time_for_connect() {
    let folder = Folder::new();
    let tls = Authority::new().settings(&folder, None);
    let limit = Duration::from_millis(300);
    let mut config = config(vec![
        Listener::tcp(any_port()),
        Listener {
            tls: Some(tls),
            ..Listener::tcp(any_port())
        },
        Listener {
            websocket: true,
            ..Listener::tcp(any_port())
        },
    ]);
    config.limits = Limits {
        connect_timeout: limit,
        ..Limits::default()
    };
    let broker = Broker::start(config).unwrap();
    let addresses = broker.local_addrs();
    for (count, (address, bytes)) in [
        (addresses[0], &b""[..]),
        (addresses[0], b"\x10"),
        (addresses[1], b""),
        (addresses[1], b"\x16\x03\x01\x02\x00"),
        (addresses[2], b""),
        (addresses[2], b"GET / HTTP/1.1\r\n"),
        // The WebSocket is open, and nothing comes.
        (addresses[2], b"GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let begin = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{bytes:?}");
        assert!(begin.elapsed() >= limit, "{bytes:?}");
        // It is counted after the connection has been closed.
        let counted = async {
            while broker.totals().timeouts != count as u64 + 1 {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, counted).await.is_ok(), "{bytes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_asks_for_a_page_is_told_what_this_is() {
    let broker = start(vec![Listener {
        websocket: true,
        ..Listener::tcp(any_port())
    }]);
    let mut stream = TcpStream::connect(broker.local_addrs()[0]).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: board\r\nConnection: keep-alive\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    assert!(matches!(read, Ok(Ok(_))), "{read:?}");
    assert!(
        answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("MQTT over WebSocket\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_of_another_host_is_refused_and_counted_unless_the_listener_names_it() {
    let listener = |origins| Listener {
        websocket: true,
        origins,
        ..Listener::tcp(any_port())
    };
    let named = Origins::These(vec!["http://panel.example".to_owned()]);
    let broker = start(vec![
        listener(Origins::SameHost),
        listener(named),
        listener(Origins::Any),
    ]);
    let mut refused = 0;
    for (origin, want) in [
        ("X: y", [true, true, true]),
        ("Origin: http://127.0.0.1", [true, false, true]),
        ("Origin: http://panel.example", [false, true, true]),
        ("Origin: http://evil.example", [false, false, true]),
    ] {
        for (address, is_let_in) in broker.local_addrs().iter().zip(want) {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!(
                "GET / HTTP/1.1\r\nHost: {address}\r\n{origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Protocol: mqtt\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut status = [0; 12];
            let read = timeout(PATIENCE, stream.read_exact(&mut status)).await;
            assert!(matches!(read, Ok(Ok(_))), "{read:?}");
            let want: &[u8] = match is_let_in {
                true => b"HTTP/1.1 101",
                false => b"HTTP/1.1 403",
            };
            assert_eq!(status, want, "{origin} at {address}");
            refused += u64::from(!is_let_in);
        }
    }
    let counted = async {
        while broker.totals().connections_refused != refused {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, counted).await.is_ok());
}
