//! Changes to what outlives the process, on their way to the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_mqtt::{PacketId, QoS};

use crate::message::Message;
use crate::record::SessionRecord;
use crate::router::{Grant, Ids};
use crate::ticket::Part;

/// One change. `session` is the number of a session, `number` that of a message in it.
#[derive(Debug)]
#[allow(missing_docs)] // Of the fields, which mean the same in all of them.
pub enum Change {
    /// A message for the session, as it is to be sent.
    Queued {
        session: u64,
        number: u64,
        entry: Entry,
        /// How long its client's acknowledgement may be waited for before it is written; `None` if
        /// none is to be expected.
        patience: Option<Duration>,
    },
    /// The client has the message, and will get its PUBREL.
    Released { session: u64, number: u64 },
    /// Acknowledged, expired or dropped.
    Gone { session: u64, number: u64 },
    /// A QoS 2 message from the client was taken over.
    Received { session: u64, id: PacketId },
    /// Its PUBREL came.
    Completed { session: u64, id: PacketId },
    /// A session as it stands now.
    Session {
        session: u64,
        record: Box<SessionRecord>,
    },
    /// A session is no more.
    Ended { session: u64 },
    /// A subscription is new, or another.
    Subscribed {
        session: u64,
        filter: Box<str>,
        grant: Grant,
    },
    /// A subscription is no more.
    Unsubscribed { session: u64, filter: Box<str> },
    /// The topic's retained message is another, or none. The newest is written.
    Retained { topic: Box<str> },
}

/// What a topic takes in a batch beside its name, in bytes, about.
const RETAINED: usize = 96;

impl Change {
    /// What it holds in memory until it is written, in bytes, about. What may become nothing before that is not counted.
    pub fn weight(&self) -> usize {
        match self {
            Self::Queued {
                entry,
                patience: None,
                ..
            } => entry.message.weight(),
            Self::Session { record, .. } => {
                let will = record.will.as_ref().map_or(0, |will| will.message.weight());
                record.client_id.len() + will
            }
            Self::Subscribed { filter, .. } | Self::Unsubscribed { filter, .. } => filter.len(),
            Self::Retained { topic } => topic.len() + RETAINED,
            _ => 0,
        }
    }
}

/// A message in a session's queue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What is sent.
    pub message: Message,
    /// The quality of service that it is sent with.
    pub qos: QoS,
    /// Its retain flag as it is sent.
    pub retain: bool,
    /// The subscription identifiers that it is sent with.
    pub ids: Ids,
}

/// A session that sends a message only once that is on disk.
pub trait Awaiting: fmt::Debug + Send + Sync {
    /// Its number.
    fn number(&self) -> u64;
    /// Message `number` is on disk.
    fn is_kept(&self, number: u64);
    /// Message `number` could not be kept: it is forgotten, and its publisher is told so.
    fn is_lost(&self, number: u64);
}

/// Changes that are kept together or not at all.
#[derive(Debug, Default)]
pub struct Journal {
    /// In the order in which they happened.
    pub changes: Vec<Change>,
    /// Messages that may be sent only once they are on disk, and whose they are.
    pub awaited: Vec<(Arc<dyn Awaiting>, u64)>,
    /// Those that may be sent at once, and were handed over already.
    pub sent: Sent,
    /// An answer waits for these changes, or, if there are none, for those before.
    pub is_awaited: bool,
    /// What they hold beside their own weight, in bytes.
    pub bytes: usize,
    /// They are everything that the broker holds.
    pub is_all: bool,
    /// Nothing waits for the messages among them, which will soon be out of date: they are written
    /// late, if they are not acknowledged by then.
    pub is_late: bool,
}

/// Messages on their way to clients that were handed over to the store.
#[derive(Debug, Default)]
pub struct Sent {
    /// The last batch that one of them is in.
    pub batch: u64,
    /// Those that may be acknowledged before they are written.
    pub part: Option<Arc<Part>>,
}

impl Journal {
    /// Whether there is nothing to hand over, and no answer waits for what was.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.is_awaited
    }

    /// Notes which of the changes after the first `before`, all messages for one session, it has to hear of.
    pub fn await_those_after<S: Awaiting + 'static>(&mut self, before: usize, session: &Arc<S>) {
        for change in &self.changes[before..] {
            if let Change::Queued { number, entry, .. } = change
                && entry.qos == QoS::ExactlyOnce
            {
                let session: Arc<dyn Awaiting> = Arc::<S>::clone(session);
                self.awaited.push((session, *number));
            }
        }
    }
}
