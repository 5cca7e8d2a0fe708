//! Which changes in the log still say something: the last one of each key. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use foldhash::fast;

use super::ops::{Malformed, Op, Reader};
use super::record::topic_of;

/// Where a change stands, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot {
    frame: u64,
    /// Its place among the changes of the frame.
    at: u32,
    /// Bytes, its message included.
    bytes: u32,
}

type Spots<K> = HashMap<K, Spot, fast::RandomState>;

#[derive(Debug, Default)]
struct SessionSpots {
    record: Option<Spot>,
    subscriptions: Spots<Box<str>>,
    queue: Spots<u64>,
    received: Spots<u16>,
}

/// The last change of each key.
#[derive(Debug, Default)]
pub(crate) struct Index {
    sessions: HashMap<u64, SessionSpots, fast::RandomState>,
    /// By a digest of the topic, which no client can foresee: a gateway may have a hundred thousand topics. Of so many,
    /// two are alike once in four billion starts.
    retained: Spots<u64>,
    digest: RandomState,
    /// Bytes of all of them.
    live: u64,
    /// A log is being read, in which a session's record may come behind the rest of it.
    is_reading: bool,
}

impl Index {
    /// For a log that is going to be read.
    pub(crate) fn reading() -> Self {
        Self {
            is_reading: true,
            ..Self::default()
        }
    }

    /// The log has been read. What is left without its session's record is of one that has ended.
    pub(crate) fn has_read(&mut self) {
        self.is_reading = false;
        let live = &mut self.live;
        self.sessions.retain(|_, spots| {
            if spots.record.is_none() {
                *live -= spots.bytes();
            }
            spots.record.is_some()
        });
    }

    /// Bytes of all changes that still say something.
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.retained.is_empty()
    }

    /// Takes in the frame `number`, newer than all before.
    pub(crate) fn apply(&mut self, number: u64, payload: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(payload);
        let mut at = 0;
        while let Some(op) = reader.next()? {
            let spot = Spot {
                frame: number,
                at,
                bytes: size_of(&op),
            };
            self.put(&op, spot)?;
            at += 1;
        }
        Ok(())
    }

    fn digest(&self, topic: &str) -> u64 {
        self.digest.hash_one(topic)
    }

    fn put(&mut self, op: &Op<'_>, spot: Spot) -> Result<(), Malformed> {
        match *op {
            Op::Session { session, .. } => {
                let spots = self.sessions.entry(session).or_default();
                change(&mut self.live, spots.record.replace(spot), Some(spot));
            }
            Op::Ended { session } => {
                if let Some(spots) = self.sessions.remove(&session) {
                    self.live -= spots.bytes();
                }
            }
            Op::Retained { message, .. } => {
                let topic = self.digest(topic_of(message.bytes)?);
                let old = self.retained.insert(topic, spot);
                change(&mut self.live, old, Some(spot));
            }
            Op::Cleared { topic } => {
                let old = self.retained.remove(&self.digest(topic));
                change(&mut self.live, old, None);
            }
            _ => self.put_part(op, spot),
        }
        Ok(())
    }

    /// A change within a session. Of one that has ended nothing counts.
    fn put_part(&mut self, op: &Op<'_>, spot: Spot) {
        let Some(session) = session_of(op) else {
            return;
        };
        if self.is_reading {
            self.sessions.entry(session).or_default();
        }
        let Some(spots) = self.sessions.get_mut(&session) else {
            return;
        };
        let (old, new) = match *op {
            Op::Subscribed { filter, .. } => {
                (spots.subscriptions.insert(filter.into(), spot), Some(spot))
            }
            Op::Unsubscribed { filter, .. } => (spots.subscriptions.remove(filter), None),
            Op::Queued { number, .. } | Op::Released { number, .. } => {
                (spots.queue.insert(number, spot), Some(spot))
            }
            Op::Gone { number, .. } => (spots.queue.remove(&number), None),
            Op::Received { id, .. } => (spots.received.insert(id, spot), Some(spot)),
            Op::Completed { id, .. } => (spots.received.remove(&id), None),
            _ => return,
        };
        change(&mut self.live, old, new);
    }

    /// Calls `found` with the changes of frame `number` that still say something.
    pub(crate) fn living<'a>(
        &self,
        number: u64,
        payload: &'a [u8],
        mut found: impl FnMut(&Op<'a>),
    ) -> Result<(), Malformed> {
        let mut reader = Reader::new(payload);
        let mut at = 0;
        while let Some(op) = reader.next()? {
            let spot = self.spot(&op)?;
            if spot.is_some_and(|spot| (spot.frame, spot.at) == (number, at)) {
                found(&op);
            }
            at += 1;
        }
        Ok(())
    }

    /// Where the last change of the same key stands.
    fn spot(&self, op: &Op<'_>) -> Result<Option<Spot>, Malformed> {
        if let Op::Retained { message, .. } = *op {
            let topic = self.digest(topic_of(message.bytes)?);
            return Ok(self.retained.get(&topic).copied());
        }
        let session = session_of(op).and_then(|session| self.sessions.get(&session));
        let Some(spots) = session else {
            return Ok(None);
        };
        Ok(match *op {
            Op::Session { .. } => spots.record,
            Op::Subscribed { filter, .. } => spots.subscriptions.get(filter).copied(),
            Op::Queued { number, .. } | Op::Released { number, .. } => {
                spots.queue.get(&number).copied()
            }
            Op::Received { id, .. } => spots.received.get(&id).copied(),
            _ => None,
        })
    }
}

impl SessionSpots {
    fn bytes(&self) -> u64 {
        let parts = self.record.iter().chain(self.subscriptions.values());
        let parts = parts.chain(self.queue.values());
        let parts = parts.chain(self.received.values());
        parts.map(|spot| u64::from(spot.bytes)).sum()
    }
}

fn change(live: &mut u64, old: Option<Spot>, new: Option<Spot>) {
    let bytes = |spot: Option<Spot>| spot.map_or(0, |spot| spot.bytes.into());
    *live = *live - bytes(old) + bytes(new);
}

/// The session that a change is about.
fn session_of(op: &Op<'_>) -> Option<u64> {
    match *op {
        Op::Session { session, .. }
        | Op::Ended { session }
        | Op::Subscribed { session, .. }
        | Op::Unsubscribed { session, .. }
        | Op::Queued { session, .. }
        | Op::Released { session, .. }
        | Op::Gone { session, .. }
        | Op::Received { session, .. }
        | Op::Completed { session, .. } => Some(session),
        Op::Retained { .. } | Op::Cleared { .. } => None,
    }
}

fn size_of(op: &Op<'_>) -> u32 {
    /// Tag, numbers, lengths.
    const HEAD: usize = 16;
    let bytes = match *op {
        Op::Session { record, .. } => record.len(),
        Op::Subscribed { filter, .. } => filter.len(),
        Op::Queued { ids, message, .. } => ids.len() + message.bytes.len(),
        Op::Retained { publisher, message } => publisher.len() + message.bytes.len(),
        _ => 0,
    };
    u32::try_from(HEAD + bytes).unwrap_or(u32::MAX)
}
