//! The plot of a run: load, kill at a random moment, start again, and at last let everything arrive.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{Packet, PacketId, Publish, PublishProperties, QoS, SubscriptionOptions};

use super::ledger::{Found, Publisher, Subscriber, Verdict, verify};
use super::subscriber::{Manner, subscribe};
use super::{END, Field, KEPT, PATIENCE, publisher, version};
use crate::random::Random;
use fieldgate_test_client::{Event, Raw, lasting};

const PUBLISHERS: usize = 4;
const SUBSCRIBERS: usize = 8;

/// Messages of each publisher between two kills. What a subscriber may miss in a whole run stays far below what a
/// queue holds, as an overflowing queue may lose messages.
const SHARE: u64 = 200;

/// The broker's process.
pub trait Daemon {
    /// Starts it on the same port and state; returns without waiting until it serves.
    fn start(&mut self);
    /// Kills it, as `kill -9` does, and waits until it is gone.
    fn kill(&mut self);
    /// Why it has ended, if it has ended by itself.
    fn ended(&mut self) -> Option<String>;
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Kills under load. At the end there is one more.
    pub kills: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub verdict: Verdict,
    /// Kills, those during a recovery and at the end included.
    pub kills: usize,
}

/// Runs one plan on a broker without sessions. That it does not come to its end, because nothing moves any more or the
/// broker has ended by itself, is a fault among the others.
pub fn run(daemon: &mut dyn Daemon, address: SocketAddr, plan: Plan) -> Outcome {
    let mut random = Random::new(plan.seed);
    let field = Field {
        address,
        sent: (0..PUBLISHERS).map(|_| AtomicU64::new(0)).collect(),
        budget: AtomicU64::new(0),
        acknowledged: AtomicU64::new(0),
        received: AtomicU64::new(0),
        subscribed: AtomicU64::new(0),
        kills: AtomicU64::new(0),
        draining: AtomicBool::new(false),
        failed: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    daemon.start();
    thread::scope(|scope| {
        let manners = manners(&mut random);
        let early = manners.iter().filter(|manner| !manner.late).count() as u64;
        let subscribers: Vec<_> = manners
            .into_iter()
            .map(|manner| {
                let (field, random) = (&field, random.fork());
                scope.spawn(move || subscribe(field, manner, random))
            })
            .collect();
        let all_there = || field.subscribed.load(Ordering::SeqCst) >= early;
        let mut play = Play {
            field: &field,
            daemon,
            kills: 0,
        };
        play.wait("all subscriptions", all_there);
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|number| {
                let (field, random) = (&field, random.fork());
                scope.spawn(move || publisher::publish(field, number, random))
            })
            .collect();
        for _ in 0..plan.kills {
            play.kill_under_load(&mut random);
        }
        field.draining.store(true, Ordering::SeqCst);
        let published: Vec<Publisher> = publishers.into_iter().map(join).collect();
        // All is acknowledged now, and none of it may be in memory alone.
        play.kill();
        play.daemon.start();
        publish_last(&field);
        let received: Vec<Subscriber> = subscribers.into_iter().map(join).collect();
        let found = find_retained(&field);
        let kills = play.kills;
        let mut verdict = verify(&published, &received, &found);
        let failure = field
            .failure
            .lock()
            .expect("no thread panics with it")
            .take();
        verdict.others.extend(failure);
        Outcome { verdict, kills }
    })
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    match handle.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Subscribers of all kinds: patient and restless, quick and slow, of one publisher and of all.
fn manners(random: &mut Random) -> Vec<Manner> {
    let manner = |number| Manner {
        number,
        only: (number % 3 == 2).then(|| random.below(PUBLISHERS)),
        qos: if number % 4 == 3 { 1 } else { 2 },
        receive_maximum: random.one_in(2).then(|| 8 + random.below(40) as u16),
        acks_at_once: *random.pick(&[1, 1, 5, 30]),
        late: number + 1 == SUBSCRIBERS,
        restless: *random.pick(&[0, 1, 3]),
    };
    (0..SUBSCRIBERS).map(manner).collect()
}

struct Play<'a> {
    field: &'a Field,
    daemon: &'a mut dyn Daemon,
    kills: usize,
}

impl Play<'_> {
    /// Waits for something that the clients bring about. Fails the run when the broker ends by itself meanwhile.
    fn wait(&mut self, what: &str, mut happened: impl FnMut() -> bool) {
        let mut progress = Instant::now();
        let done = || {
            let field = self.field;
            let counts = [&field.acknowledged, &field.received, &field.subscribed];
            counts
                .map(|count| count.load(Ordering::SeqCst))
                .iter()
                .sum::<u64>()
        };
        let mut before = done();
        while !happened() && !self.field.failed() {
            if let Some(why) = self.daemon.ended() {
                self.field
                    .fail(format!("the broker has ended by itself: {why}"));
            }
            if done() != before {
                (before, progress) = (done(), Instant::now());
            }
            if progress.elapsed() > PATIENCE {
                self.field.fail(format!("never: {what}"));
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn kill(&mut self) {
        self.daemon.kill();
        self.kills += 1;
        self.field.kills.fetch_add(1, Ordering::SeqCst);
    }

    /// Lets every publisher go on for its share, and kills the broker in the middle of that.
    fn kill_under_load(&mut self, random: &mut Random) {
        let field = self.field;
        let begin = field.acknowledged.load(Ordering::SeqCst);
        let room = field.budget.fetch_add(SHARE, Ordering::SeqCst) + SHARE;
        // Publishers finish in their own time, so the last part of a share may belong to few of them.
        let total = room * PUBLISHERS as u64;
        let some = random.below((SHARE * PUBLISHERS as u64 * 8 / 10) as usize) as u64;
        let target = (begin + 1 + some).min(total);
        self.wait("enough acknowledgements", || {
            field.acknowledged.load(Ordering::SeqCst) >= target
        });
        // Anywhere between two steps of the broker, not only behind an acknowledgement.
        thread::sleep(random.time(Duration::from_millis(3)));
        self.kill();
        self.daemon.start();
        while random.one_in(4) && !field.failed() {
            // In the middle of the recovery, or as soon as the clients are back.
            thread::sleep(random.time(Duration::from_millis(80)));
            self.kill();
            self.daemon.start();
        }
    }
}

/// The message behind which nothing else comes. It may go out twice.
fn publish_last(field: &Field) {
    let connect = lasting(version(0), "last");
    while let Some((mut client, _)) = field.connect(&connect) {
        let sent = client.send(&Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: END,
            packet_id: PacketId::new(1),
            properties: PublishProperties::default(),
            payload: b"end",
        }));
        let answer = sent.and_then(|()| client.next(PATIENCE));
        if matches!(answer, Ok(Some(Event::Ack(..)))) {
            return;
        }
    }
}

/// What a client finds that comes when all is over.
fn find_retained(field: &Field) -> Found {
    let mut found = Found::new();
    let connect = lasting(version(0), "finder");
    let Some((mut client, _)) = field.connect(&connect) else {
        return found;
    };
    let filter = format!("{KEPT}/#");
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    client.put_subscribe(1, &[(&filter, options)]);
    let outcome = collect(&mut client, &mut found);
    if let Err(error) = outcome {
        field.fail(format!("no retained values: {error}"));
    }
    found
}

/// Retained messages come before the answer to a PINGREQ behind their SUBSCRIBE.
fn collect(client: &mut Raw, found: &mut Found) -> std::io::Result<()> {
    client.send(&Packet::PingReq)?;
    loop {
        match client.next(PATIENCE)? {
            Some(Event::Publish(message)) => {
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                let place = message.topic.strip_prefix(KEPT).unwrap_or_default();
                let mut levels = place.split('/').skip(1).map(str::parse::<usize>);
                let read = (levels.next(), levels.next(), text.parse());
                let (Some(Ok(publisher)), Some(Ok(topic)), Ok(value)) = read else {
                    return Err(std::io::Error::other(format!("{}: {text}", message.topic)));
                };
                found.insert((publisher, topic as u8), value);
            }
            Some(Event::PingResp) => return Ok(()),
            Some(_) => {}
            None => return Err(std::io::ErrorKind::TimedOut.into()),
        }
    }
}
