//! What a store holds of a session.

use std::collections::BTreeMap;

use super::number_in;
use crate::journal::{Change, Entry, Journal};

/// What a store makes of a session's changes.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) queue: BTreeMap<u64, Option<Entry>>,
}

impl Disk {
    /// Returns the messages that are new.
    pub(super) fn take(&mut self, journal: &mut Journal) -> Vec<u64> {
        let mut new = Vec::new();
        for change in journal.changes.drain(..) {
            match change {
                Change::Queued { number, entry, .. } => {
                    new.push(number);
                    self.queue.insert(number, Some(entry));
                }
                Change::Released { number, .. } => {
                    self.queue.insert(number, None);
                }
                Change::Gone { number, .. } => {
                    self.queue.remove(&number);
                }
                other => panic!("{other:?}"),
            }
        }
        new
    }

    /// Forgets what it has not taken yet. Returns which of the publisher's messages were among it
    /// that are nowhere else.
    pub(super) fn lose(&self, journal: &mut Journal) -> Vec<usize> {
        let mut lost = BTreeMap::new();
        for change in journal.changes.drain(..) {
            match change {
                Change::Queued { number, entry, .. } => {
                    lost.insert(number, number_in(entry.message.payload()));
                }
                Change::Gone { number, .. } => {
                    lost.remove(&number);
                }
                _ => {}
            }
        }
        lost.into_values().collect()
    }
}
