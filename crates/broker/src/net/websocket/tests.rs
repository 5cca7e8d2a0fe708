use std::io::{self, IoSlice};

use fieldgate_mqtt::{Packet, Publish, PublishProperties, QoS, Version};
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::accept;
use super::stream::WebSocket;
use crate::endpoint::Origins;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const REQUEST: &str = "GET /anything?x=1 HTTP/1.1\r\nHost: board\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, mqtt\r\n\r\n";

/// A frame as a client sends it (RFC 6455 section 5.2), written here once more by hand.
fn frame(last: bool, opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(last) << 7 | opcode];
    let masked = u8::from(mask.is_some()) << 7;
    match payload.len() {
        short @ 0..=125 => bytes.push(masked | short as u8),
        medium @ 126..=0xFFFF => {
            bytes.push(masked | 126);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(masked | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.into_iter().flatten());
    let key = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
    bytes
}

/// The opcode and the payload of a frame from the server, which is whole and not masked.
async fn read_frame(stream: &mut DuplexStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.ok()?;
    assert_eq!(head[0] & 0xF0, 0x80, "one frame a message");
    let length = match head[1] {
        126 => usize::from(stream.read_u16().await.ok()?),
        127 => stream.read_u64().await.ok()? as usize,
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[0] & 0x0F, payload))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(future)
}

/// A stretch of the byte stream: where it ends, the mask of its frame, whether it ends its
/// message, and the payload of a ping behind it.
type Stretch = (Index, [u8; 4], bool, Option<Vec<u8>>);

fn stretches() -> impl Strategy<Value = Vec<Stretch>> {
    let ping = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100));
    let stretch = (any::<Index>(), any::<[u8; 4]>(), any::<bool>(), ping);
    proptest::collection::vec(stretch, 0..30)
}

/// Valid packets one behind the other.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let publish = (
        "[a-zü/]{1,20}",
        proptest::collection::vec(any::<u8>(), 0..600),
        any::<bool>(),
    );
    proptest::collection::vec(publish, 1..20).prop_map(|publishes| {
        let mut bytes = Vec::new();
        for (topic, payload, retain) in &publishes {
            let publish = Publish {
                dup: false,
                qos: QoS::AtMostOnce,
                retain: *retain,
                topic,
                packet_id: None,
                properties: PublishProperties::default(),
                payload,
            };
            let packet = Packet::Publish(publish);
            packet.encode(Version::V5, &mut bytes).unwrap();
            Packet::PingReq.encode(Version::V5, &mut bytes).unwrap();
        }
        bytes
    })
}

/// Cuts a stream into frames; returns them, and the payloads of the pings.
fn framed(stream: &[u8], mut stretches: Vec<Stretch>) -> (Vec<u8>, Vec<Vec<u8>>) {
    stretches.sort_by_key(|(end, ..)| end.index(stream.len()));
    let (mut frames, mut pings) = (Vec::new(), Vec::new());
    let (mut at, mut opcode) = (0, BINARY);
    for (end, mask, last, ping) in stretches {
        let end = end.index(stream.len());
        frames.extend(frame(last, opcode, Some(mask), &stream[at..end]));
        at = end;
        opcode = if last { BINARY } else { CONTINUATION };
        // Control frames may come between the frames of a message.
        if let Some(ping) = ping {
            frames.extend(frame(true, PING, Some(mask), &ping));
            pings.push(ping);
        }
    }
    frames.extend(frame(true, opcode, Some([7; 4]), &stream[at..]));
    (frames, pings)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_framing_of_a_stream_of_packets_is_read_as_the_plain_stream(
        stream in packets(),
        stretches in stretches(),
        pipe in 1..3000_usize,
        room in 1..3000_usize,
        early in any::<Index>(),
    ) {
        let (frames, pings) = framed(&stream, stretches);
        // Some of it may have come together with the request.
        let (early, later) = frames.split_at(early.index(frames.len()));
        let (client, server) = duplex(pipe);
        let (got, pongs) = block_on(async {
            let (early, later) = (early.to_vec(), later.to_vec());
            let mut socket = WebSocket::new(server, early, 1 << 20).await;
            let (mut reading, mut writing) = tokio::io::split(client);
            let writer = tokio::spawn(async move { writing.write_all(&later).await });
            let reader = tokio::spawn(async move {
                let mut all = Vec::new();
                reading.read_to_end(&mut all).await.map(|_| all)
            });
            let mut got = Vec::new();
            while got.len() < stream.len() {
                let mut buffer = vec![0; room];
                let count = socket.read(&mut buffer).await.unwrap();
                assert_ne!(count, 0, "the end after {} bytes", got.len());
                got.extend_from_slice(&buffer[..count]);
            }
            writer.await.unwrap().unwrap();
            socket.flush().await.unwrap();
            drop(socket);
            let sent = reader.await.unwrap().unwrap();
            let (mut replay, mut to) = duplex(sent.len() + 1);
            to.write_all(&sent).await.unwrap();
            drop(to);
            let mut pongs = Vec::new();
            while let Some(pong) = read_frame(&mut replay).await {
                pongs.push(pong);
            }
            (got, pongs)
        });
        prop_assert_eq!(got, stream);
        // Only the last of several pings has to be answered (RFC 6455 section 5.5.3).
        for (opcode, payload) in &pongs {
            prop_assert_eq!(*opcode, PONG);
            prop_assert!(pings.contains(payload));
        }
        prop_assert_eq!(pongs.is_empty(), pings.is_empty());
    }

    #[test]
    fn what_is_written_comes_out_of_the_binary_messages(
        stream in packets(),
        cuts in proptest::collection::vec(1..9000_usize, 1..20),
        pipe in 1..3000_usize,
    ) {
        let (mut client, server) = duplex(pipe);
        let want = stream.clone();
        let got = block_on(async move {
            let writer = tokio::spawn(async move {
                let mut socket = WebSocket::new(server, Vec::new(), 1 << 20).await;
                let mut rest = &stream[..];
                for cut in cuts.iter().cycle() {
                    let part = &rest[..rest.len().min(*cut)];
                    let (a, b) = part.split_at(part.len() / 2);
                    let count = socket.write_vectored(&[IoSlice::new(a), IoSlice::new(b)]).await;
                    rest = &rest[count.unwrap()..];
                    if rest.is_empty() {
                        break;
                    }
                }
                socket.flush().await.unwrap();
                socket.shutdown().await.unwrap();
                socket
            });
            let mut got = Vec::new();
            let mut closed = false;
            while let Some((opcode, payload)) = read_frame(&mut client).await {
                match opcode {
                    BINARY => got.extend(payload),
                    CLOSE => closed = true,
                    other => panic!("opcode {other}"),
                }
            }
            drop(writer.await.unwrap());
            assert!(closed, "with a close frame at the end");
            got
        });
        prop_assert_eq!(got, want);
    }
}

#[test]
fn what_mqtt_forbids_closes_the_websocket_with_its_code() {
    let mask = Some([1, 2, 3, 4]);
    let long = vec![0; 70_000];
    for (bytes, want) in [
        (frame(true, TEXT, mask, b"hello"), 1003),
        (frame(true, TEXT, mask, &[0xFF]), 1003),
        (frame(true, BINARY, mask, &long), 1009),
        (
            [
                frame(false, BINARY, mask, &long[..40_000]),
                frame(true, CONTINUATION, mask, &long[..40_000]),
            ]
            .concat(),
            1009,
        ),
        (frame(true, BINARY, None, b"not masked"), 1002),
        (frame(true, CONTINUATION, mask, b"of nothing"), 1002),
        (frame(true, 3, mask, b"reserved"), 1002),
    ] {
        let (mut client, server) = duplex(1 << 20);
        block_on(async {
            let mut socket = WebSocket::new(server, Vec::new(), 1000).await;
            let good = frame(true, BINARY, mask, b"good");
            client.write_all(&[good, bytes].concat()).await.unwrap();
            let mut got = Vec::new();
            // The client does not close, so that this ends by the time limit.
            socket.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"good");
            // Messages that are still on their way are no error.
            socket.write_all(b"late").await.unwrap();
            let (opcode, payload) = read_frame(&mut client).await.unwrap();
            assert_eq!(opcode, CLOSE);
            assert_eq!(payload[..2], u16::to_be_bytes(want));
            assert!(read_frame(&mut client).await.is_none(), "nothing follows");
        });
    }
}

#[test]
fn a_close_is_answered_and_ends_the_stream() {
    let (mut client, server) = duplex(1 << 16);
    block_on(async {
        let mut socket = WebSocket::new(server, Vec::new(), 1000).await;
        let code = 1000_u16.to_be_bytes();
        let close = frame(true, CLOSE, Some([9; 4]), &code);
        client.write_all(&close).await.unwrap();
        let mut got = Vec::new();
        socket.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"");
        let answer = read_frame(&mut client).await.unwrap();
        assert_eq!(answer, (CLOSE, code.to_vec()));
    });
}

#[test]
fn a_request_is_answered_with_an_upgrade_or_with_the_reason() {
    let without = |line: &str| REQUEST.replace(line, "X: y");
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000));
    let post = format!("POST{}hello", &REQUEST[3..]);
    for (request, want) in [
        (REQUEST.to_owned(), "101 Switching Protocols"),
        (REQUEST.replace("chat, mqtt", "mqttv3.1"), "101 "),
        (
            REQUEST.replace("Host: board", "Host: board\r\nOrigin: http://board:80"),
            "101 ",
        ),
        (
            REQUEST.replace("Host: board", "Host: board\r\nOrigin: http://elsewhere"),
            "403 Forbidden",
        ),
        (
            REQUEST.replace(
                "Host: board",
                "Host: board\r\nOrigin: http://board\r\nOrigin: null",
            ),
            "403 Forbidden",
        ),
        (
            without("Connection: keep-alive, Upgrade"),
            "426 Upgrade Required",
        ),
        (without("Upgrade: websocket"), "426 Upgrade Required"),
        (REQUEST.replace("13", "8"), "426 Upgrade Required"),
        (
            without("Sec-WebSocket-Protocol: chat, mqtt"),
            "400 Bad Request",
        ),
        (REQUEST.replace("chat, mqtt", "chat"), "400 Bad Request"),
        (REQUEST.replace("dGhl", "dG"), "400 Bad Request"),
        (REQUEST.replace("Host:", "Ho st:"), "400 Bad Request"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "400 Bad Request"),
        (post, "405 Method Not Allowed"),
        ("\x10\x0C\0\x04MQTT".to_owned(), "400 Bad Request"),
        ("\x16\x03\x01 TLS".to_owned(), "400 Bad Request"),
        (long, "431 Request Header Fields Too Large"),
    ] {
        let (mut client, server) = duplex(1 << 16);
        block_on(async {
            client.write_all(request.as_bytes()).await.unwrap();
            let accepted = accept(server, 1000, &Origins::SameHost).await;
            let is_upgrade = want.starts_with("101");
            assert_eq!(accepted.is_ok(), is_upgrade, "{request}");
            drop(accepted);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {want}")),
                "{request}: {answer}"
            );
            if is_upgrade {
                // The example of RFC 6455 section 1.3.
                assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
                assert!(answer.contains("sec-websocket-protocol: mqtt"), "{answer}");
            } else {
                assert!(answer.contains("Connection: close"), "{answer}");
            }
        });
    }
}

#[test]
fn the_newer_name_of_the_subprotocol_wins_whatever_the_order() {
    for (offer, want) in [
        ("mqttv3.1, mqtt", "mqtt\r\n"),
        ("mqtt, mqttv3.1", "mqtt\r\n"),
        ("chat,mqttv3.1", "mqttv3.1\r\n"),
    ] {
        let (mut client, server) = duplex(1 << 16);
        block_on(async {
            let request = REQUEST.replace("chat, mqtt", offer);
            client.write_all(request.as_bytes()).await.unwrap();
            drop(accept(server, 1000, &Origins::SameHost).await.unwrap());
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            let want = format!("sec-websocket-protocol: {want}");
            assert!(answer.contains(&want), "{offer}: {answer}");
        });
    }
}

#[test]
fn a_client_that_leaves_during_the_request_is_an_error() {
    let (mut client, server) = duplex(100);
    block_on(async {
        client.write_all(b"GET / HT").await.unwrap();
        drop(client);
        let error = accept(server, 1000, &Origins::SameHost)
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}
