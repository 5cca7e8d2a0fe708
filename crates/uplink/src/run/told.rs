//! What is told of an uplink: counters, and messages that are not sent any more.

use std::sync::PoisonError;

use fieldgate_spool::ring::Record;

use super::{Uplink, unix_ms};
use crate::item::Item;
use crate::marks;
use crate::status::Rejected;

impl Uplink {
    pub(super) fn count_full(&mut self, dropped: u64) {
        self.status.dropped.full += dropped;
        self.tell_full(dropped > 0);
    }

    /// Says it once.
    fn tell_full(&mut self, is_full: bool) {
        if is_full && !std::mem::replace(&mut self.is_full_told, true) {
            let name = &self.config.name;
            log::error!(
                "uplink {name}: there is no room for messages that wait; from now on some are dropped, as \
                 `spool.when_full` says; `fieldgate uplink status {name}` counts them"
            );
        }
    }

    pub(super) fn reject_now(&mut self, topic: &str, reason: String, payload: &[u8]) {
        let id = marks::id(&self.config.gateway, self.epoch, self.seq);
        self.note_rejected(Rejected::new(unix_ms(), topic, reason, id, payload));
    }

    pub(super) fn note_rejected(&mut self, rejected: Rejected) {
        self.status.dropped.rejected += 1;
        let (name, count) = (&self.config.name, self.status.dropped.rejected);
        if count == 1 || count.is_power_of_two() {
            let (topic, reason) = (&rejected.topic, &rejected.reason);
            log::warn!(
                "uplink {name}: {topic:?} is not sent: {reason}; {count} messages so far; `fieldgate uplink rejected {name}` lists them"
            );
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.rejected.push(rejected);
    }

    pub(super) fn reject_record(&mut self, epoch: u32, record: &Record, reason: String) {
        let id = marks::id(&self.config.gateway, epoch, record.seq);
        let item = Item::decode(&record.bytes);
        let (topic, payload) =
            item.map_or(("?", &record.bytes[..]), |item| (item.topic, item.payload));
        self.note_rejected(Rejected::new(unix_ms(), topic, reason, id, payload));
    }

    pub(super) fn publish_status(&mut self) {
        let figures = self.disk.figures();
        self.tell_full(figures.full > 0);
        let status = &mut self.status;
        let dropped_inbox = self.forwarder.dropped() - self.dropped_before;
        status.spool_messages = figures.records;
        status.spool_bytes = figures.bytes;
        status.oldest = figures.oldest;
        status.bytes_written = figures.written;
        status.damaged = figures.damaged;
        status.lost = figures.lost;
        status.cramped = figures.is_cramped;
        status.spool_error = self.disk.trouble().map(str::to_owned);
        status.window_messages = self.lanes.waiting().0;
        status.promised = self.promises.len();
        status.lag = self
            .lanes
            .oldest_live()
            .map_or(0, |oldest| unix_ms().saturating_sub(oldest));
        status.rate_limit = self.lanes.rate();
        let mut told = status.clone();
        told.dropped.full += figures.full + dropped_inbox;
        told.dropped.age += figures.aged;
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.status = told;
    }
}
