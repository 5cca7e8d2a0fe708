//! The load generator: MQTT 3.1.1 clients as tasks of one thread, and the measurement of one flow of messages.
//!
//! The pattern, the same for every broker:
//! - One thread drives all clients, so that the broker has the other core. Every read takes up to 64 KiB, every packet
//!   of it is handled, and all acknowledgements and new messages that follow from it leave in one write.
//! - [`Pace::Lead`] (QoS 0): writes of up to `write_bytes` for as long as the socket takes them. The publishers together stay
//!   at most `lead` messages ahead of what each one's slowest subscriber has seen: without that bound a broker that
//!   swallows into memory what it does not deliver would be measured on a queue that only grows. When nothing arrives
//!   for 20 ms, what is on the way counts as lost, and the publisher goes on.
//! - [`Pace::Window`]: as many new messages as were acknowledged (PUBACK or PUBCOMP) by the last read.
//! - [`Pace::PerSecond`]: a thread of its own keeps the time and spreads the publishers evenly over the millisecond.
//!   A message carries the time just before its write; latency ends when the subscriber's read returns.
//!
//! Each message carries its publisher and a sequence number, so that loss and repetition are counted and never assumed.

mod figures;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::client::Client;
use super::load::{Pace, Shape};
use super::process::{Process, cpu_of};
use super::stats::percentile;
use super::wire::{self, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Stamp, Template};

pub use figures::{Measured, Options};

const READ_BYTES: usize = 64 * 1024;
const STALL: Duration = Duration::from_millis(20);
/// After this long without a delivery, what has not arrived is lost.
const DRAINED: Duration = Duration::from_millis(300);
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Runs one load to its end, and measures between the warm-up and the drain.
///
/// # Errors
/// When the broker refuses a client, closes a connection or answers with something that is not MQTT.
pub fn run(
    process: &Process,
    qos: u8,
    shape: Shape,
    pace: Pace,
    options: Options,
) -> io::Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, measure(process, qos, shape, pace, options))
}

/// What the clients of one flow share. One thread, so cells.
struct Shared {
    begin: Instant,
    stop: Cell<bool>,
    recording: Cell<bool>,
    failure: RefCell<Option<String>>,
    delivered: Cell<u64>,
    gaps: Cell<u64>,
    repeated: Cell<u64>,
    latencies_ns: RefCell<Vec<u64>>,
    publishers: Vec<Publisher>,
}

struct Publisher {
    topic: String,
    sent: Cell<u64>,
    /// The last sequence number that each of its subscribers has seen.
    seen: Vec<Cell<u64>>,
    waits: Cell<bool>,
    progress: Notify,
}

/// For each subscriber its filter and, by publisher, which cell of `seen` is its own.
struct Subscriber {
    filter: String,
    slots: Vec<Option<usize>>,
}

fn cast(shape: Shape) -> (Vec<Publisher>, Vec<Subscriber>) {
    let publisher = |topic, subscribers| Publisher {
        topic,
        sent: Cell::new(0),
        seen: vec![Cell::new(0); subscribers],
        waits: Cell::new(false),
        progress: Notify::new(),
    };
    let topic = |i| format!("bench/{i}");
    let (count, fan) = match shape {
        Shape::Pairs(n) => (n, 1),
        Shape::FanOut(n) => (1, n),
        Shape::FanIn(n) => (n, 1),
    };
    let publishers = (0..count).map(|i| publisher(topic(i), fan)).collect();
    let subscribers = match shape {
        Shape::Pairs(n) => (0..n)
            .map(|i| Subscriber {
                filter: topic(i),
                slots: (0..n).map(|j| (i == j).then_some(0)).collect(),
            })
            .collect(),
        Shape::FanOut(n) => (0..n)
            .map(|i| Subscriber {
                filter: topic(0),
                slots: vec![Some(i)],
            })
            .collect(),
        Shape::FanIn(n) => vec![Subscriber {
            filter: "bench/+".to_owned(),
            slots: vec![Some(0); n],
        }],
    };
    (publishers, subscribers)
}

impl Shared {
    /// Books one message that came to the subscriber with these slots, and its latency when `now_ns` is given.
    fn note(
        &self,
        slots: &[Option<usize>],
        stamp: Stamp,
        now_ns: Option<u64>,
    ) -> Result<(), String> {
        let index = stamp.publisher as usize;
        let slot = slots.get(index).copied().flatten();
        let publisher = self.publishers.get(index);
        let (Some(slot), Some(publisher)) = (slot, publisher) else {
            return Err(format!(
                "a message of publisher {index} came to the wrong subscriber"
            ));
        };
        let seen = &publisher.seen[slot];
        match stamp.sequence.checked_sub(seen.get() + 1) {
            None => self.repeated.set(self.repeated.get() + 1),
            Some(gap) => {
                seen.set(stamp.sequence);
                self.gaps.set(self.gaps.get() + gap);
                self.delivered.set(self.delivered.get() + 1);
            }
        }
        if let Some(now_ns) = now_ns {
            let age = now_ns.saturating_sub(stamp.sent_ns);
            self.latencies_ns.borrow_mut().push(age);
        }
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Wakes the publishers that wait for their subscribers.
    fn progress(&self) {
        for publisher in &self.publishers {
            if publisher.waits.take() {
                publisher.progress.notify_one();
            }
        }
    }

    fn fail(&self, error: String) {
        self.stop.set(true);
        self.failure.borrow_mut().get_or_insert(error);
    }

    fn check(&self) -> io::Result<()> {
        match self.failure.borrow().as_ref() {
            Some(error) => Err(io::Error::other(error.clone())),
            None => Ok(()),
        }
    }

    /// Sent but not seen, over all subscribers.
    fn missing(&self) -> u64 {
        let missing = |publisher: &Publisher| -> u64 {
            let sent = publisher.sent.get();
            publisher.seen.iter().map(|seen| sent - seen.get()).sum()
        };
        self.publishers.iter().map(missing).sum()
    }
}

impl Publisher {
    fn slowest(&self) -> u64 {
        self.seen.iter().map(Cell::get).min().unwrap_or(0)
    }

    /// Appends the next message.
    fn next(&self, out: &mut Vec<u8>, template: &Template, id: u16, index: usize, sent_ns: u64) {
        let sequence = self.sent.get() + 1;
        self.sent.set(sequence);
        let stamp = Stamp {
            publisher: index as u32,
            sequence,
            sent_ns,
        };
        template.write(out, id, stamp);
    }
}

async fn measure(
    process: &Process,
    qos: u8,
    shape: Shape,
    pace: Pace,
    options: Options,
) -> io::Result<Measured> {
    let (publishers, subscribers) = cast(shape);
    let shared = Rc::new(Shared {
        begin: Instant::now(),
        stop: Cell::new(false),
        recording: Cell::new(false),
        failure: RefCell::new(None),
        delivered: Cell::new(0),
        gaps: Cell::new(0),
        repeated: Cell::new(0),
        latencies_ns: RefCell::new(vec![]),
        publishers,
    });
    for (i, subscriber) in subscribers.into_iter().enumerate() {
        let mut client = Client::open(process.address, &format!("sub-{i}"), READ_BYTES).await?;
        client.subscribe(&subscriber.filter, qos).await?;
        spawn(&shared, |shared| receive(client, shared, subscriber.slots));
    }
    let mut clocks = vec![];
    for index in 0..shared.publishers.len() {
        let client = Client::open(process.address, &format!("pub-{index}"), READ_BYTES).await?;
        match pace {
            Pace::Lead => {
                let share = (options.lead / shared.publishers.len() as u64).max(1);
                let write_bytes = options.write_bytes;
                spawn(&shared, |shared| {
                    publish_ahead(client, shared, index, share, write_bytes)
                });
            }
            Pace::Window(window) => {
                spawn(&shared, |shared| {
                    publish_window(client, shared, index, qos, window)
                });
            }
            Pace::PerSecond(_) => {
                let (clock, due) = mpsc::unbounded_channel();
                clocks.push(clock);
                spawn(&shared, |shared| {
                    publish_paced(client, shared, index, qos, due)
                });
            }
        }
    }
    if let Pace::PerSecond(rate) = pace {
        std::thread::spawn(move || keep_time(&clocks, rate));
    }

    sleep(options.warm_up).await;
    shared.recording.set(matches!(pace, Pace::PerSecond(_)));
    let before = Snapshot::take(process, &shared)?;
    sleep(options.measure).await;
    let after = Snapshot::take(process, &shared)?;
    shared.recording.set(false);
    drain(&shared).await;
    shared.check()?;
    after.since(&before, &shared)
}

/// Starts one client. Clients never end by themselves: they end with the runtime, when all is measured.
fn spawn<F>(shared: &Rc<Shared>, client: impl FnOnce(Rc<Shared>) -> F)
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let task = client(shared.clone());
    let shared = shared.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = task.await {
            shared.fail(error.to_string());
        }
    });
}

/// Stops the publishers and waits for what is on the way.
async fn drain(shared: &Shared) {
    shared.stop.set(true);
    let begin = Instant::now();
    let mut last = (Instant::now(), shared.delivered.get());
    while shared.missing() > 0 && last.0.elapsed() < DRAINED && begin.elapsed() < DRAIN_MAX {
        sleep(Duration::from_millis(10)).await;
        if shared.delivered.get() != last.1 {
            last = (Instant::now(), shared.delivered.get());
        }
    }
}

struct Snapshot {
    at: Instant,
    delivered: u64,
    broker: Duration,
    generator: Duration,
}

impl Snapshot {
    fn take(process: &Process, shared: &Shared) -> io::Result<Self> {
        shared.check()?;
        Ok(Self {
            at: Instant::now(),
            delivered: shared.delivered.get(),
            broker: process.cpu()?,
            generator: cpu_of("/proc/self")?,
        })
    }

    fn since(&self, before: &Self, shared: &Shared) -> io::Result<Measured> {
        let delivered = self.delivered - before.delivered;
        if delivered == 0 {
            return Err(io::Error::other("no message was delivered"));
        }
        let seconds = (self.at - before.at).as_secs_f64();
        let broker = (self.broker - before.broker).as_secs_f64();
        let generator = (self.generator - before.generator).as_secs_f64();
        let p99_ns = percentile(&mut shared.latencies_ns.borrow_mut(), 99.0);
        Ok(Measured {
            cpu_us: broker * 1e6 / delivered as f64,
            p99_ms: p99_ns.map(|ns| ns as f64 / 1e6),
            delivered_per_s: delivered as f64 / seconds,
            broker_cores: broker / seconds,
            generator_cores: generator / seconds,
            lost: shared.gaps.get() + shared.missing(),
            repeated: shared.repeated.get(),
        })
    }
}

async fn receive(
    mut client: Client,
    shared: Rc<Shared>,
    slots: Vec<Option<usize>>,
) -> io::Result<()> {
    let mut out = vec![];
    loop {
        client.read().await?;
        let now_ns = shared.recording.get().then(|| shared.now_ns());
        client.packets(|packet| {
            let id = packet.id().unwrap_or(0);
            match packet.kind() {
                PUBLISH => {
                    let stamp = packet.stamp().ok_or("a PUBLISH that is not ours")?;
                    shared.note(&slots, stamp, now_ns)?;
                    match packet.qos() {
                        1 => wire::ack(&mut out, PUBACK, id),
                        2 => wire::ack(&mut out, PUBREC, id),
                        _ => {}
                    }
                }
                _ if packet.first == PUBREL => wire::ack(&mut out, PUBCOMP, id),
                _ => return Err(format!("a subscriber got {:#04x}", packet.first)),
            }
            Ok(())
        })?;
        shared.progress();
        if !out.is_empty() {
            client.write(&out).await?;
            out.clear();
        }
    }
}

/// [`Pace::Lead`] for one publisher, whose share of the lead this is.
async fn publish_ahead(
    mut client: Client,
    shared: Rc<Shared>,
    index: usize,
    share: u64,
    write_bytes: usize,
) -> io::Result<()> {
    let publisher = &shared.publishers[index];
    let template = Template::new(&publisher.topic, 0);
    let batch = (write_bytes / template.packet_bytes()).max(1) as u64;
    let room_min = batch.min(share.div_ceil(2));
    let mut given_up = 0;
    let mut out = vec![];
    while !shared.stop.get() {
        let arrived = publisher.slowest().max(given_up);
        let room = share.saturating_sub(publisher.sent.get() - arrived);
        if room < room_min {
            publisher.waits.set(true);
            if timeout(STALL, publisher.progress.notified()).await.is_err() {
                given_up = publisher.sent.get();
            }
            continue;
        }
        let sent_ns = shared.now_ns();
        for _ in 0..room.min(batch) {
            publisher.next(&mut out, &template, 0, index, sent_ns);
        }
        client.write(&out).await?;
        out.clear();
        // A socket that always takes more must not keep the thread from the subscribers.
        tokio::task::yield_now().await;
    }
    // Stays connected until the load is over.
    client.read().await
}

/// [`Pace::Window`] for one publisher, at QoS 1 or 2.
async fn publish_window(
    mut client: Client,
    shared: Rc<Shared>,
    index: usize,
    qos: u8,
    window: u16,
) -> io::Result<()> {
    let publisher = &shared.publishers[index];
    let template = Template::new(&publisher.topic, qos);
    let mut free: Vec<u16> = (1..=window).collect();
    let mut out = vec![];
    loop {
        if !shared.stop.get() {
            let sent_ns = shared.now_ns();
            for id in free.drain(..) {
                publisher.next(&mut out, &template, id, index, sent_ns);
            }
        }
        if !out.is_empty() {
            client.write(&out).await?;
            out.clear();
        }
        client.read().await?;
        client.packets(|packet| {
            let id = packet.id().ok_or("an ack without an identifier")?;
            match packet.kind() {
                PUBACK | PUBCOMP => free.push(id),
                PUBREC => wire::ack(&mut out, PUBREL, id),
                _ => return Err(format!("a publisher got {:#04x}", packet.first)),
            }
            Ok(())
        })?;
    }
}

/// [`Pace::PerSecond`] for one publisher at QoS 1: one message for each `due`, acks are read and not waited for.
async fn publish_paced(
    mut client: Client,
    shared: Rc<Shared>,
    index: usize,
    qos: u8,
    mut due: mpsc::UnboundedReceiver<()>,
) -> io::Result<()> {
    let publisher = &shared.publishers[index];
    let template = Template::new(&publisher.topic, qos);
    let mut id: u16 = 0;
    let mut out = vec![];
    loop {
        tokio::select! {
            Some(()) = due.recv() => {
                if !shared.stop.get() {
                    // 65,535 messages are more than a minute: no identifier is in use again so early.
                    id = id.checked_add(1).unwrap_or(1);
                    publisher.next(&mut out, &template, id, index, shared.now_ns());
                    client.write(&out).await?;
                    out.clear();
                }
            }
            read = client.read() => {
                read?;
                client.packets(|_| Ok(()))?;
            }
        }
    }
}

/// Says each publisher in turn that its next message is due, until they are gone.
fn keep_time(clocks: &[mpsc::UnboundedSender<()>], rate: u32) {
    let step = Duration::from_secs(1) / rate / clocks.len() as u32;
    let begin = Instant::now();
    for (turn, clock) in (1..).zip(clocks.iter().cycle()) {
        std::thread::sleep((step * turn).saturating_sub(begin.elapsed()));
        if clock.send(()).is_err() {
            return;
        }
    }
}
