//! Builds what the store holds from its frames, read once, oldest first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use fieldgate_mqtt::PacketId;
use foldhash::fast::RandomState;

use super::clock::Clock;
use super::ops::{Body, Malformed, Op, Reader};
use super::record::{decode_grant, decode_message, decode_session, entry};
use fieldgate_broker_core::budget::Pot;
use fieldgate_broker_core::journal::{Change, Entry};
use fieldgate_broker_core::message::Message;
use fieldgate_broker_core::record::SessionRecord;
use fieldgate_broker_core::router::{Grant, Kept};

/// Everything that was in a store when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// By their numbers.
    pub sessions: Vec<RecoveredSession>,
    /// In no order.
    pub retained: Vec<Kept>,
}

/// A session that was in a store.
#[derive(Debug)]
pub struct RecoveredSession {
    /// Its number.
    pub number: u64,
    /// How it stood.
    pub record: SessionRecord,
    /// Its filters.
    pub subscriptions: Vec<(Box<str>, Grant)>,
    /// By their numbers; `None` is one that was released.
    pub queue: Vec<(u64, Option<Entry>)>,
    /// Messages of QoS 2 from its client that wait for their PUBREL.
    pub received: Vec<PacketId>,
}

impl Recovered {
    /// All of it as changes.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for session in &self.sessions {
            session.put(&mut changes);
        }
        let topics = self.retained.iter().map(|kept| kept.message.topic().into());
        changes.extend(topics.map(|topic| Change::Retained { topic }));
        changes
    }
}

impl RecoveredSession {
    fn put(&self, changes: &mut Vec<Change>) {
        let session = self.number;
        changes.push(Change::Session {
            session,
            record: Box::new(self.record.clone()),
        });
        for (filter, grant) in &self.subscriptions {
            changes.push(Change::Subscribed {
                session,
                filter: filter.clone(),
                grant: *grant,
            });
        }
        for (number, entry) in &self.queue {
            let number = *number;
            changes.push(match entry {
                None => Change::Released { session, number },
                Some(entry) => Change::Queued {
                    session,
                    number,
                    entry: entry.clone(),
                    patience: None,
                },
            });
        }
        let received = self.received.iter();
        changes.extend(received.map(|&id| Change::Received { session, id }));
    }
}

/// What the frames so far come to.
#[derive(Debug)]
pub(crate) struct Loading {
    clock: Clock,
    pot: Arc<Pot>,
    sessions: BTreeMap<u64, Session>,
    retained: HashMap<Box<str>, Kept, RandomState>,
}

#[derive(Debug, Default)]
struct Session {
    /// What is copied out of the log's oldest part may come behind the rest of its session. Without it in the end
    /// the session had been over.
    record: Option<SessionRecord>,
    subscriptions: BTreeMap<Box<str>, Grant>,
    queue: BTreeMap<u64, Option<Entry>>,
    received: BTreeSet<PacketId>,
}

/// The messages of one frame, each of which is in memory once, however many sessions wait for it.
#[derive(Default)]
struct Messages(Vec<Option<Message>>);

impl Messages {
    fn get(&mut self, body: Body<'_>, clock: &Clock, pot: &Arc<Pot>) -> Result<Message, Malformed> {
        if self.0.len() <= body.index {
            self.0.resize(body.index + 1, None);
        }
        match self.0.get_mut(body.index) {
            Some(Some(known)) => Ok(known.clone()),
            Some(slot) => Ok(slot
                .insert(decode_message(body.bytes, clock, pot)?.0)
                .clone()),
            None => Err(Malformed),
        }
    }
}

impl Loading {
    /// Messages are counted in `pot`.
    pub(crate) fn new(clock: Clock, pot: &Arc<Pot>) -> Self {
        Self {
            clock,
            pot: Arc::clone(pot),
            sessions: BTreeMap::new(),
            retained: HashMap::default(),
        }
    }

    /// Takes in the next frame.
    pub(crate) fn apply(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(payload);
        let mut messages = Messages::default();
        while let Some(op) = reader.next()? {
            self.put(&op, &mut messages)?;
        }
        Ok(())
    }

    fn put(&mut self, op: &Op<'_>, messages: &mut Messages) -> Result<(), Malformed> {
        let (clock, pot) = (self.clock, &self.pot);
        match *op {
            Op::Session { session, record } => {
                let record = decode_session(record, &clock, pot)?;
                self.sessions.entry(session).or_default().record = Some(record);
            }
            Op::Ended { session } => drop(self.sessions.remove(&session)),
            Op::Retained { publisher, message } => {
                let message = messages.get(message, &clock, pot)?;
                let topic = message.topic().into();
                let publisher = Arc::new(publisher.into());
                self.retained.insert(topic, Kept { message, publisher });
            }
            Op::Cleared { topic } => drop(self.retained.remove(topic)),
            Op::Subscribed { session, .. }
            | Op::Unsubscribed { session, .. }
            | Op::Queued { session, .. }
            | Op::Released { session, .. }
            | Op::Gone { session, .. }
            | Op::Received { session, .. }
            | Op::Completed { session, .. } => {
                let session = self.sessions.entry(session).or_default();
                session.put(op, messages, (&clock, pot))?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Recovered {
        let session = |(number, session): (u64, Session)| {
            Some(RecoveredSession {
                number,
                record: session.record?,
                subscriptions: session.subscriptions.into_iter().collect(),
                queue: session.queue.into_iter().collect(),
                received: session.received.into_iter().collect(),
            })
        };
        Recovered {
            sessions: self.sessions.into_iter().filter_map(session).collect(),
            retained: self.retained.into_values().collect(),
        }
    }
}

impl Session {
    fn put(
        &mut self,
        op: &Op<'_>,
        messages: &mut Messages,
        (clock, pot): (&Clock, &Arc<Pot>),
    ) -> Result<(), Malformed> {
        match *op {
            Op::Subscribed { filter, grant, .. } => {
                self.subscriptions
                    .insert(filter.into(), decode_grant(grant)?);
            }
            Op::Unsubscribed { filter, .. } => drop(self.subscriptions.remove(filter)),
            Op::Queued {
                number,
                flags,
                ids,
                message,
                ..
            } => {
                let message = messages.get(message, clock, pot)?;
                self.queue.insert(number, Some(entry(message, flags, ids)?));
            }
            Op::Released { number, .. } => drop(self.queue.insert(number, None)),
            Op::Gone { number, .. } => drop(self.queue.remove(&number)),
            Op::Received { id, .. } => self.received.extend(PacketId::new(id)),
            Op::Completed { id, .. } => {
                PacketId::new(id).map(|id| self.received.remove(&id));
            }
            _ => {}
        }
        Ok(())
    }
}
