//! Changes to what outlives the process, on their way to the store.

use std::sync::Arc;
use std::time::Duration;

use fieldgate_mqtt::{PacketId, QoS};

use crate::message::Message;
use crate::router::{Grant, Ids};
use crate::session_slot::SessionSlot;
use crate::store::{Part, SessionRecord};

/// One change. Sessions go by the numbers of their cells.
#[derive(Debug)]
pub(crate) enum Change {
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
    Released {
        session: u64,
        number: u64,
    },
    /// Acknowledged, expired or dropped.
    Gone {
        session: u64,
        number: u64,
    },
    /// A QoS 2 message from the client was taken over.
    Received {
        session: u64,
        id: PacketId,
    },
    /// Its PUBREL came.
    Completed {
        session: u64,
        id: PacketId,
    },
    Session {
        session: u64,
        record: Box<SessionRecord>,
    },
    Ended {
        session: u64,
    },
    Subscribed {
        session: u64,
        filter: Box<str>,
        grant: Grant,
    },
    Unsubscribed {
        session: u64,
        filter: Box<str>,
    },
    /// The topic's retained message is another, or none. The newest is written.
    Retained {
        topic: Box<str>,
    },
}

/// What a topic takes in a batch beside its name, in bytes, about.
const RETAINED: usize = 96;

impl Change {
    /// What it holds in memory until it is written, in bytes, about. What may become nothing before that is not counted.
    pub(crate) fn weight(&self) -> usize {
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
pub(crate) struct Entry {
    pub(crate) message: Message,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) ids: Ids,
}

/// Changes that are kept together or not at all.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) changes: Vec<Change>,
    /// Messages that may be sent only once they are on disk, and whose they are.
    pub(crate) awaited: Vec<(Arc<SessionSlot>, u64)>,
    /// Those that may be sent at once, and were handed over already.
    pub(crate) sent: Sent,
    /// An answer waits for these changes, or, if there are none, for those before.
    pub(crate) is_awaited: bool,
    /// What they hold beside their own weight, in bytes.
    pub(crate) bytes: usize,
    /// They are everything that the broker holds.
    pub(crate) is_all: bool,
    /// Nothing waits for the messages among them, which will soon be out of date: they are written
    /// late, if they are not acknowledged by then.
    pub(crate) is_late: bool,
}

/// Messages on their way to clients that were handed over to the store.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The last batch that one of them is in.
    pub(crate) batch: u64,
    /// Those that may be acknowledged before they are written.
    pub(crate) part: Option<Arc<Part>>,
}

impl Journal {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.is_awaited
    }

    /// Notes which of the changes after the first `before`, all messages for the session of `cell`,
    /// it has to hear of.
    pub(crate) fn await_those_after(&mut self, before: usize, cell: &Arc<SessionSlot>) {
        for change in &self.changes[before..] {
            if let Change::Queued { number, entry, .. } = change
                && entry.qos == QoS::ExactlyOnce
            {
                self.awaited.push((Arc::clone(cell), *number));
            }
        }
    }
}
