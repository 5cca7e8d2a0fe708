//! A subscriber that keeps its session in a safe place: it knows which QoS 2 messages it has and not seen released.

use std::collections::HashSet;
use std::io;
use std::num::NonZeroU16;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{AckKind, Connect, Disconnect, Packet, QoS, SubscriptionOptions};

use super::ledger::{Received, Subscriber};
use super::{END, Field, PATIENCE, TOPICS, version};
use crate::random::Random;
use fieldgate_test_client::{Event, Message, Raw, lasting};

/// How one subscriber behaves.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) number: usize,
    /// Only this publisher's messages.
    pub(super) only: Option<usize>,
    pub(super) qos: u8,
    /// Unacknowledged messages that an MQTT 5.0 client accepts.
    pub(super) receive_maximum: Option<u16>,
    /// Acknowledges only when so many are due, or when nothing comes.
    pub(super) acks_at_once: usize,
    /// Comes so late that the load is underway.
    pub(super) late: bool,
    /// One connection in so many ends after a few packets; 0: stays.
    pub(super) restless: usize,
}

struct Actor<'a> {
    field: &'a Field,
    manner: Manner,
    random: Random,
    /// QoS 2 messages that were not released; survives connections.
    unreleased: HashSet<u16>,
    subscribed: bool,
    /// Acknowledgements to send, in the order in which they became due (section 4.6).
    due: Vec<(AckKind, u16)>,
    has_last: bool,
    record: Subscriber,
}

/// Receives until the last message of the run has come and nothing is underway.
pub(super) fn subscribe(field: &Field, manner: Manner, random: Random) -> Subscriber {
    let record = Subscriber {
        name: format!("subscriber-{}", manner.number),
        qos: manner.qos,
        ..Subscriber::default()
    };
    let mut actor = Actor {
        field,
        manner,
        random,
        unreleased: HashSet::new(),
        subscribed: false,
        due: Vec::new(),
        has_last: false,
        record,
    };
    if actor.manner.late {
        while field.kills.load(Ordering::SeqCst) == 0 && !field.failed() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    actor.run();
    actor.record
}

impl Actor<'_> {
    fn run(&mut self) {
        let name = self.record.name.clone();
        loop {
            let mut connect: Connect<'_> = lasting(version(self.manner.number), &name);
            let maximum = self.manner.receive_maximum.and_then(NonZeroU16::new);
            connect.properties.receive_maximum = maximum;
            let Some((mut client, present)) = self.field.connect(&connect) else {
                return;
            };
            if !present {
                self.record.sessions_lost += usize::from(self.subscribed);
                self.subscribed = false;
                self.unreleased.clear();
            }
            self.due.clear();
            match self.talk(&mut client) {
                Ok(true) => return,
                Ok(false) => self.stay_away(client),
                Err(_) => {}
            }
        }
    }

    /// Returns whether all is done.
    fn talk(&mut self, client: &mut Raw) -> io::Result<bool> {
        if !self.subscribed {
            self.put_subscribe(client);
            client.flush()?;
        }
        let mut progress = Instant::now();
        let restless = self.manner.restless > 0 && self.random.one_in(self.manner.restless);
        let mut left = if restless { self.random.below(600) } else { 0 };
        let (mut asked, mut quiet) = (false, false);
        loop {
            if self.field.failed() {
                return Ok(true);
            }
            match client.next(Duration::from_millis(2))? {
                Some(Event::PingResp) => {
                    asked = false;
                    if quiet && self.has_last && self.unreleased.is_empty() {
                        return Ok(true);
                    }
                }
                Some(event) => {
                    progress = Instant::now();
                    quiet = false;
                    self.handle(client, event);
                    left = left.saturating_sub(1);
                    if restless && left == 0 {
                        return Ok(false);
                    }
                }
                None => {
                    self.flush_due(client);
                    // Pongs and silence behind the last message: nothing more is underway.
                    if self.has_last && !asked {
                        client.put(&Packet::PingReq);
                        (asked, quiet) = (true, true);
                    }
                    if self.field.draining.load(Ordering::SeqCst) && progress.elapsed() > PATIENCE {
                        let name = &self.record.name;
                        self.field
                            .fail(format!("{name}: the last message is missing"));
                    }
                }
            }
            if self.due.len() >= self.manner.acks_at_once {
                self.flush_due(client);
            }
            client.flush()?;
        }
    }

    fn put_subscribe(&self, client: &mut Raw) {
        let options = SubscriptionOptions::new(QoS::from_u8(self.manner.qos).expect("1 or 2"));
        let filter = match self.manner.only {
            Some(publisher) => format!("{TOPICS}/{publisher}/+"),
            None => format!("{TOPICS}/#"),
        };
        client.put_subscribe(1, &[(filter.as_str(), options), (END, options)]);
    }

    fn flush_due(&mut self, client: &mut Raw) {
        for (kind, id) in self.due.drain(..) {
            client.put_ack(kind, id);
        }
    }

    fn handle(&mut self, client: &mut Raw, event: Event) {
        match event {
            Event::SubAck(_, codes) => {
                if codes != [self.manner.qos; 2] {
                    self.record.strange.push(format!("granted {codes:?}"));
                }
                self.subscribed = true;
                self.field.subscribed.fetch_add(1, Ordering::SeqCst);
                for (publisher, sent) in self.field.sent.iter().enumerate() {
                    if self.manner.only.is_none_or(|only| only == publisher) {
                        let from = sent.load(Ordering::SeqCst);
                        self.record.from.entry(publisher).or_insert(from);
                    }
                }
            }
            Event::Publish(message) => self.publish(&message),
            Event::Ack(AckKind::PubRel, id, _) => {
                self.unreleased.remove(&id);
                self.due.push((AckKind::PubComp, id));
            }
            // Something that ends the connection comes as an error behind it.
            Event::Disconnect(reason) => {
                // A broker that is killed says nothing, so this one had a reason.
                self.record
                    .strange
                    .push(format!("disconnected: {reason:#04x}"));
                client.forget();
            }
            other => self.record.strange.push(format!("{other:?}")),
        }
    }

    fn publish(&mut self, message: &Message) {
        match message.qos {
            1 => self.due.push((AckKind::PubAck, message.id)),
            2 => {
                self.due.push((AckKind::PubRec, message.id));
                if !self.unreleased.insert(message.id) {
                    return;
                }
            }
            _ => {}
        }
        if message.topic == END {
            self.has_last = true;
            return;
        }
        let Some(received) = read(message) else {
            let text = String::from_utf8_lossy(&message.payload);
            let topic = &message.topic;
            self.record.strange.push(format!("{topic}: {text:?}"));
            return;
        };
        self.record.received.push(received);
        self.field.received.fetch_add(1, Ordering::SeqCst);
    }

    /// Leaves, with or without a word, and comes back at once, a little later, or after the next crash.
    fn stay_away(&mut self, mut client: Raw) {
        match self.random.below(3) {
            0 => {
                let _ = client.send(&Packet::Disconnect(Disconnect::default()));
            }
            1 => client.vanish(),
            _ => drop(client),
        }
        match self.random.below(4) {
            0 => {
                let kills = self.field.kills.load(Ordering::SeqCst);
                let is_over = || {
                    self.field.kills.load(Ordering::SeqCst) > kills
                        || self.field.draining.load(Ordering::SeqCst)
                        || self.field.failed()
                };
                while !is_over() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            1 => std::thread::sleep(self.random.time(Duration::from_millis(60))),
            _ => {}
        }
    }
}

/// `crash/m/PUBLISHER/TOPIC`, `PUBLISHER NUMBER`.
fn read(message: &Message) -> Option<Received> {
    let (publisher, topic) = message
        .topic
        .strip_prefix(TOPICS)?
        .strip_prefix('/')?
        .split_once('/')?;
    let text = std::str::from_utf8(&message.payload).ok()?;
    let (again, number) = text.split_once(' ')?;
    (again == publisher).then_some(())?;
    Some(Received {
        publisher: publisher.parse().ok()?,
        number: number.parse().ok()?,
        topic: topic.parse().ok()?,
        qos: message.qos,
    })
}
