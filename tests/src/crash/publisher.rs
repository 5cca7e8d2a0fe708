//! A publisher that keeps its session in a safe place: it repeats what was not acknowledged, with DUP, in order.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{AckKind, Packet, PacketId, Publish, PublishProperties, QoS};

use super::ledger::{Kept, Publisher, Sent};
use super::{Field, KEPT, PATIENCE, TOPICS, version};
use crate::random::Random;
use fieldgate_test_client::{Event, Raw, lasting};

/// Topics of messages; the QoS of each is 1 or 2 by turns.
const TOPIC_COUNT: usize = 4;

/// Topics of retained values that change often. Every other change has a topic of its own.
const KEPT_COUNT: usize = 3;

/// One change of a retained value for so many messages.
const KEPT_SHARE: usize = 8;

/// What is underway, in the order in which it was first sent.
#[derive(Clone, Copy)]
struct Underway {
    id: u16,
    what: What,
    qos: u8,
    released: bool,
}

#[derive(Clone, Copy)]
enum What {
    Message(usize),
    Kept(usize),
}

pub(super) struct Actor<'a> {
    field: &'a Field,
    number: usize,
    random: Random,
    /// How much may be underway.
    window: usize,
    underway: VecDeque<Underway>,
    last_id: u16,
    /// The broker has acknowledged something of this session, so that it must know it for ever.
    known: bool,
    record: Publisher,
    /// The life of the broker that this connection is to.
    life: Option<u64>,
    /// The first change of a retained value that was sent to each life of the broker, by topic.
    first: HashMap<(u8, Option<u64>), usize>,
}

/// Publishes until the run drains and everything is acknowledged.
pub(super) fn publish(field: &Field, number: usize, mut random: Random) -> Publisher {
    let window = 1 + random.below(30);
    let mut actor = Actor {
        field,
        number,
        random,
        window,
        underway: VecDeque::new(),
        last_id: 0,
        known: false,
        record: Publisher::default(),
        life: None,
        first: HashMap::new(),
    };
    actor.run();
    actor.record
}

impl Actor<'_> {
    fn run(&mut self) {
        let name = format!("publisher-{}", self.number);
        loop {
            let connect = lasting(version(self.number), &name);
            let connected = self.field.connect_in_life(&connect);
            let Some((mut client, present, life)) = connected else {
                return;
            };
            // In doubt it could not be said which changes it was to write at once.
            if life.is_none() {
                continue;
            }
            self.life = life;
            self.resume(&mut client, present);
            // Else the broker is gone, or this client wants to be.
            if let Ok(true) = self.talk(&mut client) {
                return;
            }
        }
    }

    /// Repeats what is underway (section 4.4).
    fn resume(&mut self, client: &mut Raw, present: bool) {
        if !present {
            self.record.sessions_lost += usize::from(self.known);
            // What was released is the broker's; the rest the application publishes as if it were new.
            self.underway.retain(|one| !one.released);
        }
        let dup = present;
        for index in 0..self.underway.len() {
            let one = self.underway[index];
            if let (What::Message(index), false) = (one.what, one.released) {
                self.record.sent[index].repeated = true;
            }
            match one.released {
                true => client.put_ack(AckKind::PubRel, one.id),
                false => self.put(client, one, dup),
            }
        }
    }

    /// Returns whether all is done.
    fn talk(&mut self, client: &mut Raw) -> io::Result<bool> {
        let mut progress = Instant::now();
        // Some connections end early.
        let mut left = 50 + self.random.below(2000);
        loop {
            self.fill(client);
            client.flush()?;
            if self.underway.is_empty() && self.field.draining.load(Ordering::SeqCst) {
                return Ok(true);
            }
            if self.field.failed() {
                return Ok(true);
            }
            match client.next(Duration::from_millis(20))? {
                Some(event) => {
                    progress = Instant::now();
                    self.handle(client, &event);
                }
                // Without a budget it is the others' turn.
                None if self.underway.is_empty() => progress = Instant::now(),
                None if progress.elapsed() > PATIENCE => {
                    let number = self.number;
                    self.field
                        .fail(format!("publisher {number}: no acknowledgement"));
                }
                None => {}
            }
            left -= 1;
            if left == 0 {
                return Ok(false);
            }
        }
    }

    /// Sends new messages while there is room and budget.
    fn fill(&mut self, client: &mut Raw) {
        let sent = &self.field.sent[self.number];
        let budget = self.field.budget.load(Ordering::SeqCst);
        while self.underway.len() < self.window && sent.load(Ordering::SeqCst) < budget {
            let qos = 1 + self.random.below(2) as u8;
            let what = if self.random.one_in(KEPT_SHARE) {
                let count = self.record.kept.len();
                let often = self.random.below(KEPT_COUNT);
                let topic = match self.random.one_in(2) {
                    true => often,
                    false => KEPT_COUNT + count,
                };
                self.record.kept.push(Kept {
                    topic: u8::try_from(topic).unwrap_or(often as u8),
                    value: (!self.random.one_in(5)).then_some(count as u64),
                    acknowledged: false,
                    written: false,
                });
                What::Kept(self.record.kept.len() - 1)
            } else {
                // Topics 0 and 2 have QoS 1, topics 1 and 3 QoS 2.
                let half = self.random.below(TOPIC_COUNT / 2) as u8;
                self.record.sent.push(Sent {
                    topic: half * 2 + qos - 1,
                    qos,
                    acknowledged: false,
                    repeated: false,
                });
                sent.store(self.record.sent.len() as u64, Ordering::SeqCst);
                What::Message(self.record.sent.len() - 1)
            };
            let one = Underway {
                id: self.unused_id(),
                what,
                qos,
                released: false,
            };
            self.underway.push_back(one);
            self.put(client, one, false);
        }
    }

    fn unused_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id % 500 + 1;
            if self.underway.iter().all(|one| one.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    fn put(&mut self, client: &mut Raw, one: Underway, dup: bool) {
        if let What::Kept(index) = one.what {
            let key = (self.record.kept[index].topic, self.life);
            self.first.entry(key).or_insert(index);
        }
        let (topic, payload) = match one.what {
            What::Message(index) => {
                let topic = self.record.sent[index].topic;
                (
                    format!("{TOPICS}/{}/{topic}", self.number),
                    format!("{} {index}", self.number),
                )
            }
            What::Kept(index) => {
                let kept = self.record.kept[index];
                let value = kept.value.map(|value| value.to_string());
                (
                    format!("{KEPT}/{}/{}", self.number, kept.topic),
                    value.unwrap_or_default(),
                )
            }
        };
        client.put(&Packet::Publish(Publish {
            dup,
            qos: QoS::from_u8(one.qos).expect("1 or 2"),
            retain: matches!(one.what, What::Kept(_)),
            topic: &topic,
            packet_id: PacketId::new(one.id),
            properties: PublishProperties::default(),
            payload: payload.as_bytes(),
        }));
    }

    fn handle(&mut self, client: &mut Raw, event: &Event) {
        let Event::Ack(kind, id, reason) = *event else {
            return;
        };
        let found = self.underway.iter().position(|one| one.id == id);
        let Some(index) = found else { return };
        let one = self.underway[index];
        match (kind, one.qos) {
            (AckKind::PubAck, 1) | (AckKind::PubRec, 2) if reason >= 0x80 => {
                self.record.refused += 1;
                self.underway.remove(index);
            }
            (AckKind::PubAck, 1) => {
                self.acknowledge(one);
                self.underway.remove(index);
            }
            (AckKind::PubRec, 2) => {
                if !one.released {
                    self.acknowledge(one);
                }
                self.underway[index].released = true;
                client.put_ack(AckKind::PubRel, id);
            }
            (AckKind::PubComp, 2) if one.released => {
                self.underway.remove(index);
            }
            _ => {}
        }
    }

    fn acknowledge(&mut self, one: Underway) {
        match one.what {
            What::Message(index) => self.record.sent[index].acknowledged = true,
            What::Kept(index) => {
                let kept = &mut self.record.kept[index];
                kept.acknowledged = true;
                let first = self.first.get(&(kept.topic, self.life)) == Some(&index);
                kept.written |= self.life.is_some() && first;
            }
        }
        self.known = true;
        self.field.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}
