//! The clients of a load, each in a thread of its own.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fieldgate_mqtt::{
    AckKind, Packet, PacketId, Publish, PublishProperties, QoS, SubscriptionOptions, Version,
};
use fieldgate_test_client::{Event, Message, Raw, lasting};
use fieldgate_tests::random::Random;

const PATIENCE: Duration = Duration::from_secs(20);

/// How long a client waits for a packet before it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Clients that run until they are stopped.
#[derive(Default)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    /// Messages that were acknowledged to a publisher, or that came where none publishes.
    pub messages: Arc<AtomicU64>,
    threads: Vec<JoinHandle<io::Result<Vec<u64>>>>,
}

/// A client whose session outlives its connection, with one subscription of QoS 1.
fn subscribed(address: SocketAddr, filter: &str) -> io::Result<Raw> {
    let connect = lasting(Version::V5, "subscriber");
    let (mut client, _) = Raw::connect(address, &connect, PATIENCE)?;
    subscribe(&mut client, filter, QoS::AtLeastOnce)?;
    Ok(client)
}

fn subscribe(client: &mut Raw, filter: &str, qos: QoS) -> io::Result<()> {
    client.put_subscribe(1, &[(filter, SubscriptionOptions::new(qos))]);
    loop {
        client.flush()?;
        match client.next(PATIENCE)? {
            Some(Event::SubAck(..)) => return Ok(()),
            // Retained messages may come first.
            Some(Event::Publish(message)) => acknowledge(client, &message),
            other => return Err(io::Error::other(format!("{other:?} instead of SUBACK"))),
        }
    }
}

fn acknowledge(client: &mut Raw, message: &Message) {
    if message.qos == 1 {
        client.put_ack(AckKind::PubAck, message.id);
    }
}

/// Leaves a session behind whose client is away.
pub fn subscribe_and_leave(address: SocketAddr, filter: &str) -> io::Result<()> {
    subscribed(address, filter)?.vanish();
    Ok(())
}

/// Has a broker write more than its log ever holds, and leaves nothing of it behind.
pub fn write_over(address: SocketAddr) -> io::Result<()> {
    let mut sender = Sender::new(clean(address, "filler")?, true);
    let mut random = Random::new(12);
    for _ in 0..80 {
        // Bytes that no compression shortens.
        let payload: Vec<u8> = (0..60_000).map(|_| random.number() as u8).collect();
        sender.exchange("wear/filler", &payload)?;
    }
    sender.exchange("wear/filler", b"")
}

fn clean(address: SocketAddr, id: &str) -> io::Result<Raw> {
    let mut connect = lasting(Version::V4, id);
    connect.clean_start = true;
    Ok(Raw::connect(address, &connect, PATIENCE)?.0)
}

impl Clients {
    fn spawn(
        &mut self,
        run: impl FnOnce(&AtomicBool, &AtomicU64) -> io::Result<Vec<u64>> + Send + 'static,
    ) {
        let (stop, messages) = (Arc::clone(&self.stop), Arc::clone(&self.messages));
        self.threads
            .push(thread::spawn(move || run(&stop, &messages)));
    }

    /// Stops all. Returns the nanoseconds that each PUBACK to a publisher took.
    ///
    /// # Errors
    /// The first of a client, whose load was not what it should be.
    pub fn stop(self) -> io::Result<Vec<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = vec![];
        for thread in self.threads {
            let joined = thread.join();
            times.extend(joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(times)
    }

    /// Subscribes persistently and acknowledges what comes, at once.
    pub fn subscribe(&mut self, address: SocketAddr, filter: &str) -> io::Result<()> {
        let client = subscribed(address, filter)?;
        self.receive(client);
        Ok(())
    }

    /// Subscribes to everything without a session and with QoS 0.
    pub fn count(&mut self, address: SocketAddr) -> io::Result<()> {
        let mut client = clean(address, "counter")?;
        subscribe(&mut client, "#", QoS::AtMostOnce)?;
        self.receive(client);
        Ok(())
    }

    fn receive(&mut self, mut client: Raw) {
        // Where there is a publisher, it counts.
        let counts = self.threads.is_empty();
        self.spawn(move |stop, messages| {
            let mut pings = Pings::default();
            while !stop.load(Ordering::Relaxed) {
                let mut event = client.next(LOOK)?;
                while let Some(some) = event {
                    if let Event::Publish(message) = some {
                        acknowledge(&mut client, &message);
                        messages.fetch_add(u64::from(counts), Ordering::Relaxed);
                    }
                    event = client.buffered()?;
                }
                pings.put(&mut client);
                client.flush()?;
            }
            Ok(vec![])
        });
    }

    /// Publishes `rate` messages of QoS 1 a second, to `topics` topics in turn.
    pub fn publish(&mut self, address: SocketAddr, topics: u64, rate: u32, retain: bool) {
        self.messages = Arc::default();
        self.spawn(move |stop, messages| {
            let mut sender = Sender::new(clean(address, "publisher")?, retain);
            let (begin, pause) = (Instant::now(), Duration::from_secs(1) / rate);
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                while begin.elapsed() >= pause * number {
                    let topic = format!("wear/{}/value", u64::from(number) % topics);
                    let payload = format!(
                        r#"{{"value":{number}.25,"unit":"kW","ts":"2026-01-01T00:00:00.123Z","quality":"good"}}"#
                    );
                    sender.put(&topic, payload.as_bytes());
                    number += 1;
                }
                let next = begin + pause * number;
                sender.turn(next.saturating_duration_since(Instant::now()), messages)?;
            }
            Ok(sender.times)
        });
    }

    /// Publishes to `to` with QoS 1 what a client without a session gets from `from`.
    pub fn forward(&mut self, from: SocketAddr, to: SocketAddr) {
        self.spawn(move |stop, messages| {
            let mut source = clean(from, "source")?;
            subscribe(&mut source, "#", QoS::AtMostOnce)?;
            let mut sender = Sender::new(clean(to, "publisher")?, true);
            let mut pings = Pings::default();
            while !stop.load(Ordering::Relaxed) {
                let mut event = source.next(Duration::from_millis(5))?;
                while let Some(some) = event {
                    if let Event::Publish(message) = some
                        && !message.topic.starts_with('$')
                    {
                        sender.put(&message.topic, &message.payload);
                    }
                    event = source.buffered()?;
                }
                // It sends nothing else, and would be taken for dead.
                pings.put(&mut source);
                source.flush()?;
                sender.turn(Duration::from_millis(1), messages)?;
            }
            Ok(vec![])
        });
    }
}

/// Keeps a connection alive whose client only listens.
struct Pings(Instant);

impl Default for Pings {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Pings {
    /// Puts a ping if it is time.
    fn put(&mut self, client: &mut Raw) {
        if self.0.elapsed() > Duration::from_secs(20) {
            self.0 = Instant::now();
            client.put(&Packet::PingReq);
        }
    }
}

/// A publisher's connection, which times its acknowledgements.
struct Sender {
    client: Raw,
    retain: bool,
    id: u16,
    underway: HashMap<u16, Instant>,
    times: Vec<u64>,
}

impl Sender {
    fn new(client: Raw, retain: bool) -> Self {
        Self {
            client,
            retain,
            id: 0,
            underway: HashMap::new(),
            times: vec![],
        }
    }

    fn put(&mut self, topic: &str, payload: &[u8]) {
        self.id = self.id % u16::MAX + 1;
        self.client.put(&Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: self.retain,
            topic,
            packet_id: PacketId::new(self.id),
            properties: PublishProperties::default(),
            payload,
        }));
        self.underway.insert(self.id, Instant::now());
    }

    /// Puts a message and waits for its acknowledgement.
    fn exchange(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        self.put(topic, payload);
        let begin = Instant::now();
        while !self.underway.is_empty() {
            self.turn(LOOK, &AtomicU64::new(0))?;
            if begin.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Sends what was put, and takes what comes within the time.
    fn turn(&mut self, within: Duration, messages: &AtomicU64) -> io::Result<()> {
        self.client.flush()?;
        let mut event = self.client.next(within)?;
        while let Some(some) = event {
            if let Event::Ack(AckKind::PubAck, id, _) = some
                && let Some(sent) = self.underway.remove(&id)
            {
                self.times.push(sent.elapsed().as_nanos() as u64);
                messages.fetch_add(1, Ordering::Relaxed);
            }
            event = self.client.buffered()?;
        }
        Ok(())
    }
}
