//! The clients that must notice nothing: a pair that exchanges messages, a reader of all devices, and a visitor who
//! connects now and then and sends a command.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fieldgate_mqtt::{AckKind, Connect, Packet, QoS, SubscriptionOptions, Version};
use fieldgate_test_client::{Event, Raw};

use crate::attack::{brief, drain, publish};

/// Between two messages of the pair.
const PAUSE: Duration = Duration::from_millis(10);

/// How long what is underway may take after the attack.
const AFTERWARDS: Duration = Duration::from_secs(10);

const PATIENCE: Duration = Duration::from_secs(10);

/// How long a client waits for a packet before it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// The user of all good clients, where there are users.
pub const USER: &str = "good";
pub const PASSWORD: &str = "correct horse battery staple";

/// Where the good clients go, and as who.
#[derive(Clone, Copy)]
pub struct Way {
    pub address: SocketAddr,
    pub login: bool,
}

impl Way {
    fn connect(self, client_id: &str, within: Duration) -> io::Result<Raw> {
        let mut connect: Connect<'_> = brief(Version::V5, client_id);
        if self.login {
            connect.username = Some(USER);
            connect.password = Some(PASSWORD.as_bytes());
        }
        Ok(Raw::connect(self.address, &connect, within)?.0)
    }
}

/// Subscribes and waits for the answer. Retained messages that come first are not kept.
fn subscribe(client: &mut Raw, filter: &str, qos: QoS) -> io::Result<()> {
    client.put_subscribe(1, &[(filter, SubscriptionOptions::new(qos))]);
    client.flush()?;
    loop {
        match client.next(PATIENCE)? {
            Some(Event::SubAck(_, codes)) if codes.first().is_some_and(|code| *code < 0x80) => {
                return Ok(());
            }
            Some(Event::Publish(_)) => {}
            other => return Err(io::Error::other(format!("{other:?} instead of SUBACK"))),
        }
    }
}

/// All good clients of a row.
pub struct Good {
    begin: Instant,
    stop_sending: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    /// Messages that the publisher has sent, or should have.
    sent: Arc<AtomicU64>,
    /// Messages that the subscriber has.
    arrived: Arc<AtomicU64>,
    publisher: JoinHandle<io::Result<()>>,
    subscriber: JoinHandle<(Vec<Arrival>, io::Result<()>)>,
    reader: JoinHandle<(Vec<Reading>, io::Result<()>)>,
    visitor: JoinHandle<Visits>,
}

/// A message of the pair: its number and how long it took, in nanoseconds, from when it was due to be sent.
type Arrival = (u64, u64);

/// When a value came, and its topic.
type Reading = (Instant, Arc<str>);

/// Until a new client was in, and until its command was answered.
type Times = (Duration, Duration);

/// What new clients met with.
#[derive(Default)]
pub struct Visits {
    each: Vec<(Instant, Result<Times, String>)>,
}

/// The figures of the good clients during the attack.
pub struct Noticed {
    pub sent: u64,
    pub arrived: u64,
    /// Nanoseconds, one for each message that arrived.
    pub latencies: Vec<u64>,
    /// The slowest device and its pace in percent of that before.
    pub slowest: (String, f64),
    /// The longest until a new client was in, and until its command was answered.
    pub visit: Times,
    /// Visitors who came in vain, of how many.
    pub vain: (usize, usize),
    /// What went wrong, if anything did.
    pub errors: Vec<String>,
}

impl Good {
    /// Starts all of them.
    ///
    /// # Errors
    /// When one is not let in, while there is no attack.
    pub fn start(way: Way) -> io::Result<Self> {
        let begin = Instant::now();
        let mut subscriber = way.connect("good-subscriber", PATIENCE)?;
        subscribe(&mut subscriber, "pair/#", QoS::AtLeastOnce)?;
        let publisher = way.connect("good-publisher", PATIENCE)?;
        let mut reader = way.connect("good-reader", PATIENCE)?;
        subscribe(&mut reader, "demo/#", QoS::AtMostOnce)?;
        let stop_sending = Arc::<AtomicBool>::default();
        let stop = Arc::<AtomicBool>::default();
        let (sent, arrived) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        Ok(Self {
            begin,
            publisher: {
                let (stop, sent) = (Arc::clone(&stop_sending), Arc::clone(&sent));
                thread::spawn(move || send(publisher, begin, &stop, &sent))
            },
            subscriber: {
                let (stop, arrived) = (Arc::clone(&stop), Arc::clone(&arrived));
                thread::spawn(move || {
                    let mut all = vec![];
                    let result = receive(subscriber, begin, &stop, &arrived, &mut all);
                    (all, result)
                })
            },
            reader: {
                let stop = Arc::clone(&stop);
                thread::spawn(move || {
                    let mut all = vec![];
                    let result = read(reader, &stop, &mut all);
                    (all, result)
                })
            },
            visitor: {
                let stop = Arc::clone(&stop_sending);
                thread::spawn(move || visit(way, &stop))
            },
            stop_sending,
            stop,
            sent,
            arrived,
        })
    }

    /// Ends all of them. `quiet` is the time before the attack, `attack` the attack's.
    pub fn finish(self, quiet: (Instant, Instant), attack: (Instant, Instant)) -> Noticed {
        self.stop_sending.store(true, Ordering::Relaxed);
        let mut errors = vec![];
        let mut note = |who: &str, result: io::Result<()>| {
            if let Err(error) = result {
                errors.push(format!("{who}: {error}"));
            }
        };
        note("publisher", joined(self.publisher));
        let begin = Instant::now();
        while self.arrived.load(Ordering::Relaxed) < self.sent.load(Ordering::Relaxed)
            && begin.elapsed() < AFTERWARDS
            && !self.subscriber.is_finished()
        {
            thread::sleep(LOOK);
        }
        self.stop.store(true, Ordering::Relaxed);
        let (arrivals, result) = joined(self.subscriber);
        note("subscriber", result);
        let (readings, result) = joined(self.reader);
        note("reader", result);
        let visits = joined(self.visitor);
        // By the clock that the publisher sends by.
        let number = |at: Instant| (at - self.begin).as_nanos() as u64 / PAUSE.as_nanos() as u64;
        let (first, end) = (number(attack.0), number(attack.1));
        let mut latencies: BTreeMap<u64, u64> = BTreeMap::new();
        for (number, took) in arrivals {
            if (first..end).contains(&number) {
                latencies.entry(number).or_insert(took);
            }
        }
        let (visit, vain) = visits.within(attack, &mut errors);
        Noticed {
            sent: end - first,
            arrived: latencies.len() as u64,
            latencies: latencies.into_values().collect(),
            slowest: slowest(&readings, quiet, attack),
            visit,
            vain,
            errors,
        }
    }
}

fn joined<T>(thread: JoinHandle<T>) -> T {
    let joined = thread.join();
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Each message says its number, and counts from when it was due: a publisher that cannot write is late.
fn send(mut client: Raw, begin: Instant, stop: &AtomicBool, sent: &AtomicU64) -> io::Result<()> {
    drain(&client)?; // Acknowledgements.
    let mut number = begin.elapsed().as_nanos() as u64 / PAUSE.as_nanos() as u64 + 1;
    let first = number;
    while !stop.load(Ordering::Relaxed) {
        let due = begin + PAUSE * u32::try_from(number).unwrap_or(u32::MAX);
        // A timeout of a read would be late by some milliseconds.
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let id = (number % 60_000) as u16 + 1;
        let payload = number.to_be_bytes();
        client.send(&Packet::Publish(publish("pair/value", &payload, id)))?;
        number += 1;
        sent.store(number - first, Ordering::Relaxed);
    }
    Ok(())
}

fn receive(
    mut client: Raw,
    begin: Instant,
    stop: &AtomicBool,
    arrived: &AtomicU64,
    all: &mut Vec<Arrival>,
) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let mut event = client.next(LOOK)?;
        while let Some(some) = event {
            if let Event::Publish(message) = some
                && let Ok(number) = message.payload[..].try_into().map(u64::from_be_bytes)
            {
                if message.qos == 1 {
                    client.put_ack(AckKind::PubAck, message.id);
                }
                let now = begin.elapsed().as_nanos() as u64;
                let due = number * PAUSE.as_nanos() as u64;
                all.push((number, now.saturating_sub(due)));
                if !message.dup {
                    arrived.fetch_add(1, Ordering::Relaxed);
                }
            }
            event = client.buffered()?;
        }
        client.flush()?;
    }
    Ok(())
}

fn read(mut client: Raw, stop: &AtomicBool, all: &mut Vec<Reading>) -> io::Result<()> {
    let mut topics: HashMap<String, Arc<str>> = HashMap::new();
    while !stop.load(Ordering::Relaxed) {
        let mut event = client.next(LOOK)?;
        let now = Instant::now();
        while let Some(some) = event {
            if let Event::Publish(message) = some
                && !message.topic.contains('$')
            {
                let topic = topics.entry(message.topic);
                let topic = topic.or_insert_with_key(|topic| topic.as_str().into());
                all.push((now, Arc::clone(topic)));
            }
            event = client.buffered()?;
        }
    }
    Ok(())
}

/// The device whose values came least often during the attack, in percent of what was due.
///
/// What is due follows from the values that came at a steady pace before: the median of the time between two.
fn slowest(
    readings: &[Reading],
    quiet: (Instant, Instant),
    attack: (Instant, Instant),
) -> (String, f64) {
    let mut topics: BTreeMap<&str, (Vec<Instant>, f64)> = BTreeMap::new();
    for (at, topic) in readings {
        let entry = topics.entry(topic).or_default();
        if (quiet.0..quiet.1).contains(at) {
            entry.0.push(*at);
        } else if (attack.0..attack.1).contains(at) {
            entry.1 += 1.0;
        }
    }
    let mut devices: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (topic, (times, came)) in &topics {
        // The visitor's answers come when the visitor does.
        if times.len() < 3 || topic.ends_with("/result") || topic.ends_with("/set") {
            continue;
        }
        let mut gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort();
        let period = gaps[gaps.len() / 2].as_secs_f64().max(0.001);
        let due = ((attack.1 - attack.0).as_secs_f64() / period).floor();
        let device = topic.split('/').nth(1).unwrap_or_default();
        let entry = devices.entry(device).or_default();
        entry.0 += came.min(due);
        entry.1 += due;
    }
    let paces = devices.into_iter().map(|(device, (came, due))| {
        let percent = if due > 0.0 { came / due * 100.0 } else { 100.0 };
        (device.to_owned(), percent)
    });
    let slowest = paces.min_by(|one, other| one.1.total_cmp(&other.1));
    slowest.unwrap_or(("no device".into(), 0.0))
}

/// One new client a second, which sends a command and waits for its answer.
fn visit(way: Way, stop: &AtomicBool) -> Visits {
    let mut visits = Visits::default();
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let at = Instant::now();
        let met = call(way, number).map_err(|error| error.to_string());
        visits.each.push((at, met));
        thread::sleep(Duration::from_secs(1).saturating_sub(at.elapsed()));
    }
    visits
}

fn call(way: Way, number: u32) -> io::Result<Times> {
    let failed = |what: &str, error: io::Error| io::Error::other(format!("{what}: {error}"));
    let begin = Instant::now();
    let mut client = way
        .connect(&format!("visitor-{number}"), Duration::from_secs(5))
        .map_err(|error| failed("connect", error))?;
    let took = begin.elapsed();
    subscribe(&mut client, "demo/plc/valve/result", QoS::AtMostOnce)
        .map_err(|error| failed("subscribe", error))?;
    let begin = Instant::now();
    let value: &[u8] = if number.is_multiple_of(2) { b"1" } else { b"0" };
    client.send(&Packet::Publish(publish("demo/plc/valve/set", value, 1)))?;
    while begin.elapsed() < Duration::from_secs(5) {
        let event = client
            .next(LOOK)
            .map_err(|error| failed("command", error))?;
        if let Some(Event::Publish(_)) = event {
            return Ok((took, begin.elapsed()));
        }
    }
    Err(io::Error::other("command: no answer within 5 s"))
}

impl Visits {
    fn within(
        self,
        (begin, end): (Instant, Instant),
        errors: &mut Vec<String>,
    ) -> (Times, (usize, usize)) {
        let (mut longest, mut vain) = ((Duration::ZERO, Duration::ZERO), (0, 0));
        let mut last = None;
        for (at, met) in self.each {
            if !(begin..end).contains(&at) {
                continue;
            }
            vain.1 += 1;
            match met {
                Ok((connect, command)) => {
                    longest = (longest.0.max(connect), longest.1.max(command));
                }
                Err(error) => {
                    vain.0 += 1;
                    last = Some(error);
                }
            }
        }
        errors.extend(last.map(|error| format!("visitor: {error}")));
        (longest, vain)
    }
}

/// Whether a new client is let in and gets a value that a device has published since.
///
/// # Errors
/// Why not, within 10 s.
pub fn serves(way: Way) -> io::Result<()> {
    let begin = Instant::now();
    let mut client = way.connect("good-again", PATIENCE)?;
    subscribe(&mut client, "demo/plc/level", QoS::AtMostOnce)?;
    while begin.elapsed() < PATIENCE {
        if let Some(Event::Publish(message)) = client.next(LOOK)?
            && !message.retain
        {
            return Ok(());
        }
    }
    Err(io::Error::other("no reading within 10 s"))
}
