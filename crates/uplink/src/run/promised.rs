//! Messages that are to be safe soon.

use std::time::Instant;

use fieldgate_spool::ring::Record;

use super::Uplink;
use crate::promises::{Due, Place};

impl Uplink {
    /// Lets clients go on whose messages are safe.
    pub(super) fn settle(&mut self) {
        let (lanes, writing) = (&self.lanes, self.writing);
        self.promises
            .settle(|seq| place(lanes.place(seq), writing, seq));
    }

    fn due(&self, now: Instant) -> Option<Due> {
        let place = |seq| place(self.lanes.place(seq), self.writing, seq);
        self.promises.due(place, now)
    }

    /// When something that was promised has to go to the card.
    pub(super) fn promised_until(&self) -> Option<Instant> {
        match self.due(Instant::now())? {
            Due::At(at) => Some(at),
            // As soon as the card takes it.
            Due::Idle | Due::All => None,
        }
    }

    /// One block of what has to go to the card now, as it was promised.
    pub(super) fn spill_promised(&mut self, now: Instant) -> Vec<Record> {
        let under_way = match self.due(now) {
            Some(Due::Idle) => false,
            Some(Due::All) => true,
            Some(Due::At(_)) | None => return Vec::new(),
        };
        self.lanes.spill_promised(under_way)
    }

    /// Lets all clients go on whose turn it is if the card cannot be used: a plant must not stand still for it.
    pub(super) fn give_up_promises(&mut self, now: Instant) {
        if self.disk.trouble().is_some() && matches!(self.due(now), Some(Due::Idle | Due::All)) {
            let count = self.promises.give_up() as u64;
            if self.status.not_durable == 0 {
                log::error!(
                    "uplink {}: clients are told that their messages are safe, which they are not, as the card cannot \
                     be used",
                    self.config.name
                );
            }
            self.status.not_durable += count;
        }
    }
}

fn place(in_memory: Option<Place>, writing: Option<(u64, u64)>, seq: u64) -> Place {
    let is_written = writing.is_some_and(|(first, last)| (first..=last).contains(&seq));
    let elsewhere = match is_written {
        true => Place::Written,
        false => Place::Gone,
    };
    in_memory.unwrap_or(elsewhere)
}
