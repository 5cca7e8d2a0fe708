//! What a session takes in memory, and how it gives some of it back.

use fieldgate_mqtt::QoS;

use super::{Session, Tally};
use crate::journal::Journal;

impl Session {
    /// What it takes beside messages, which count themselves, in bytes, about.
    pub fn holds(&self) -> usize {
        let aliases = self.aliases.as_ref().map_or(0, |aliases| aliases.bytes());
        self.queue.list_bytes() + self.inflight.ring_bytes() + self.received.bytes() + aliases
    }

    /// What the messages take that wait for the client or for its acknowledgement, in bytes,
    /// whether others hold them too or not.
    pub fn message_bytes(&self) -> usize {
        self.queue.bytes() + self.inflight.bytes()
    }

    /// What the messages take that wait to be sent, in bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Drops the oldest messages that wait, as long as they take more than `bytes`.
    pub fn shed(&mut self, bytes: usize, tally: &mut Tally, journal: &mut Journal) {
        while self.queue.bytes() > bytes && self.drop_oldest(journal) {
            tally.dropped += 1;
        }
    }

    /// Drops the oldest message that waits. Returns false if there is none.
    pub(super) fn drop_oldest(&mut self, journal: &mut Journal) -> bool {
        let Some(dropped) = self.queue.pop() else {
            return false;
        };
        if dropped.qos > QoS::AtMostOnce {
            self.note_gone(dropped.number, journal);
        }
        true
    }
}
