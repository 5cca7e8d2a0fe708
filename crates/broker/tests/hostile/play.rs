//! A real broker, four hostile connections that do what an input says, and two clients that must not notice.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fieldgate_broker::{Broker, Config, Endpoint, Limits, Listener};
use fieldgate_mqtt::Version;

use crate::packets::{Bytes, connect, other};

const SLOTS: usize = 4;

/// What takes longer never happens.
const PATIENCE: Duration = Duration::from_secs(10);

/// The broker and its good clients. They go on from one input to the next.
pub(crate) struct Stage {
    broker: Broker,
    folder: PathBuf,
    subscriber: UnixStream,
    publisher: UnixStream,
    count: u64,
}

/// A hostile connection.
struct Slot {
    stream: UnixStream,
    version: Version,
}

/// So small that an input of some hundred bytes reaches each of them.
fn limits() -> Limits {
    Limits {
        connections: 16,
        sessions: 8,
        packet_size: 4_096,
        receive_maximum: 4,
        inflight: 3,
        queued: 12,
        queued_bytes: 6_000,
        outbox_bytes: 8_000,
        memory: 400_000,
        sessions_per_user: 7,
        connections_per_address: 12,
        subscriptions: 4,
        topic_aliases: 3,
        connect_timeout: Duration::from_secs(5),
        backpressure: Duration::from_millis(2),
        session_expiry: Some(Duration::from_secs(2)),
        ..Limits::default()
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("fieldgate-hostile-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let broker = Broker::start(Config {
            listeners: vec![Listener {
                endpoint: Endpoint::Unix(path.clone()),
                tls: None,
                websocket: false,
                origins: Default::default(),
                allow_anonymous: None,
            }],
            workers: 2,
            sys_interval: Duration::ZERO,
            limits: limits(),
            ..Config::default()
        })
        .unwrap();
        let subscriber = good(&path, "witness that subscribes");
        let publisher = good(&path, "witness that publishes");
        let mut stage = Self {
            broker,
            folder,
            subscriber,
            publisher,
            count: 0,
        };
        // SUBSCRIBE to `witness` with QoS 1, and its SUBACK.
        let filter = [&[0x82, 12, 0, 1, 0, 7][..], b"witness", &[1]].concat();
        stage.subscriber.write_all(&filter).unwrap();
        let mut answer = [0; 5];
        stage.subscriber.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x90, 3, 0, 1, 1]);
        stage
    }

    /// Does what the input says, then sees that all is well.
    pub(crate) fn play(&mut self, input: &[u8]) {
        let mut input = Bytes(input);
        let mut slots: [Option<Slot>; SLOTS] = Default::default();
        while !input.0.is_empty() {
            let (what, number) = (input.next(), usize::from(input.next()) % SLOTS);
            self.act(what, &mut slots[number], number, &mut input);
        }
        for slot in slots.into_iter().flatten() {
            end(slot);
        }
        self.check();
    }

    fn act(&self, what: u8, slot: &mut Option<Slot>, number: usize, input: &mut Bytes<'_>) {
        let mut bytes = Vec::new();
        match what % 16 {
            0 => return end_maybe(slot.take()),
            // Closed while there may be something to read: a reset.
            1 => return drop(slot.take()),
            2 => return slot.iter_mut().for_each(|slot| drain(&mut slot.stream)),
            3 => {
                let raw = usize::from(input.next() % 64).min(input.0.len());
                let (now, rest) = input.0.split_at(raw);
                bytes.extend_from_slice(now);
                input.0 = rest;
            }
            4..7 => {
                let version = connect(input, number, &mut bytes);
                end_maybe(slot.take());
                *slot = Some(self.open(version));
            }
            kind => {
                let version = slot.as_ref().map_or(Version::V5, |slot| slot.version);
                other(input, version, &mut bytes);
                // One packet of nine is spoilt.
                if kind == 7 && !bytes.is_empty() {
                    let at = usize::from(input.next()) % bytes.len();
                    bytes[at] ^= input.next();
                }
            }
        }
        let slot = slot.get_or_insert_with(|| self.open(Version::V5));
        // Neither an end nor a full socket is of interest here.
        let _ = slot.stream.write(&bytes);
    }

    fn open(&self, version: Version) -> Slot {
        let stream = UnixStream::connect(self.folder.join("socket")).unwrap();
        stream.set_nonblocking(true).unwrap();
        Slot { stream, version }
    }

    /// The good clients' message arrives, and no other client is connected any more.
    fn check(&mut self) {
        self.count += 1;
        let payload = self.count.to_be_bytes();
        // PUBLISH to `witness` with QoS 1, and its PUBACK.
        let publish = [&[0x32, 19, 0, 7][..], b"witness", &[0, 9], &payload].concat();
        self.publisher.write_all(&publish).unwrap();
        let mut answer = [0; 4];
        self.publisher.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x40, 2, 0, 9]);
        loop {
            let mut head = [0; 2];
            self.subscriber.read_exact(&mut head).unwrap();
            let mut length = usize::from(head[1] & 0x7F);
            if head[1] & 0x80 != 0 {
                let mut second = [0];
                self.subscriber.read_exact(&mut second).unwrap();
                length |= usize::from(second[0]) << 7;
            }
            let mut body = vec![0; length];
            self.subscriber.read_exact(&mut body).unwrap();
            // Hostile clients may publish here too, with any QoS that comes as 0 or 1.
            if head[0] & 0x06 != 0 {
                let id = [body[9], body[10]];
                let ack = [0x40, 2, id[0], id[1]];
                self.subscriber.write_all(&ack).unwrap();
            }
            if body.ends_with(&payload) {
                break;
            }
        }
        let until = Instant::now() + PATIENCE;
        while self.broker.connected() != 2 {
            assert!(Instant::now() < until, "connections are left over");
            std::thread::yield_now();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An MQTT 3.1.1 client that is connected, without a keep-alive.
fn good(path: &Path, name: &str) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let length = 12 + name.len() as u8;
    let head = [0x10, length, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
    let connect = [&head[..], &[0, name.len() as u8], name.as_bytes()].concat();
    stream.write_all(&connect).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0], "{name}");
    stream
}

fn drain(stream: &mut UnixStream) {
    let mut some = [0; 4096];
    while matches!(stream.read(&mut some), Ok(1..)) {}
}

fn end_maybe(slot: Option<Slot>) {
    if let Some(slot) = slot {
        end(slot);
    }
}

/// Nothing more is said, and the broker must end the connection, whatever came before.
fn end(mut slot: Slot) {
    let _ = slot.stream.shutdown(Shutdown::Write);
    slot.stream.set_nonblocking(false).unwrap();
    slot.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut some = [0; 4096];
    loop {
        match slot.stream.read(&mut some) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            // The fuzzer's own clock.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("the broker does not end a connection: {error}"),
        }
    }
}
