//! The window: new messages in memory, oldest first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fieldgate_mqtt::QoS;
use fieldgate_spool::ring::{Record, fits};

use super::slots::{Place, Slots};
use crate::item::qos_of;

/// What a message takes beside its record, in bytes, about.
const HELD: usize = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// Again: it was sent over an earlier connection.
    Again,
    Sent,
    /// It was, over an earlier connection, too.
    SentAgain,
    Done,
}

#[derive(Debug)]
struct Held {
    record: Record,
    at: Instant,
    state: State,
}

/// Places are numbers that only grow, so that one names the same message as long as it is there.
#[derive(Debug, Default)]
pub(super) struct Window {
    held: VecDeque<Held>,
    /// The place of the first.
    base: u64,
    /// The first that may have to be sent.
    next: u64,
    bytes: usize,
    /// Those that are not done.
    count: usize,
}

impl Window {
    pub(super) fn push(&mut self, record: Record, now: Instant) {
        self.bytes += record.bytes.len() + HELD;
        self.count += 1;
        self.held.push_back(Held {
            record,
            at: now,
            state: State::Waiting,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        let mut left = self.held.iter().filter(|held| held.state != State::Done);
        left.next().map(|held| held.record.time)
    }

    /// How long the oldest that is not under way is here.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let is_idle = |held: &&Held| matches!(held.state, State::Waiting | State::Again);
        let oldest = self.held.iter().find(is_idle);
        oldest.map_or(Duration::ZERO, |held| {
            now.saturating_duration_since(held.at)
        })
    }

    fn index(&self, place: u64) -> Option<usize> {
        usize::try_from(place.checked_sub(self.base)?).ok()
    }

    fn at(&mut self, place: u64) -> Option<&mut Held> {
        let index = self.index(place)?;
        self.held.get_mut(index)
    }

    pub(super) fn get(&self, place: u64) -> Option<&Record> {
        let held = self.held.get(self.index(place)?)?;
        (held.state != State::Done).then_some(&held.record)
    }

    /// Whether there is one to send; with `any` false one of QoS 0.
    pub(super) fn has_next(&mut self, any: bool) -> bool {
        self.skip();
        let next = self.index(self.next).and_then(|index| self.held.get(index));
        next.is_some_and(|held| any || qos_of(&held.record.bytes) == QoS::AtMostOnce)
    }

    fn skip(&mut self) {
        self.next = self.next.max(self.base);
        while let Some(held) = self.index(self.next).and_then(|index| self.held.get(index)) {
            if matches!(held.state, State::Waiting | State::Again) {
                return;
            }
            self.next += 1;
        }
    }

    pub(super) fn find(&self, seq: u64) -> Option<u64> {
        let is_it = |held: &Held| {
            held.record.seq == seq && matches!(held.state, State::Waiting | State::Again)
        };
        let index = self.held.iter().position(is_it)?;
        Some(self.base + index as u64)
    }

    /// This message was sent before it came back here, over this connection. Returns its place; `None` if it is not here.
    pub(super) fn take_over(&mut self, seq: u64) -> Option<u64> {
        let place = self.find(seq)?;
        self.at(place)?.state = State::Sent;
        Some(place)
    }

    /// Whether the message with this number was sent and is waited for; `None` if it is not here.
    pub(super) fn is_under_way(&self, seq: u64) -> Option<bool> {
        let index = self.held.partition_point(|held| held.record.seq < seq);
        let held = self.held.get(index).filter(|held| held.record.seq == seq)?;
        match held.state {
            State::Done => None,
            State::Waiting | State::Again => Some(false),
            State::Sent | State::SentAgain => Some(true),
        }
    }

    /// Marks the next, or the one with number `only`, as sent; returns its place.
    pub(super) fn send(&mut self, only: Option<u64>) -> Option<u64> {
        self.skip();
        let place = match only {
            Some(seq) => self.find(seq)?,
            None => self.next,
        };
        let held = self.at(place)?;
        held.state = match held.state {
            State::Again => State::SentAgain,
            _ => State::Sent,
        };
        Some(place)
    }

    pub(super) fn sent(&self, place: u64) -> Option<(bool, &Record)> {
        let held = self.held.get(self.index(place)?)?;
        Some((held.state == State::SentAgain, &held.record))
    }

    /// It is sent again over this connection.
    pub(super) fn retry(&mut self, place: u64) {
        if let Some(held) = self.at(place) {
            held.state = State::Again;
            self.next = self.next.min(place);
        }
    }

    pub(super) fn done(&mut self, place: u64) -> Option<Record> {
        let held = self.at(place)?;
        if held.state == State::Done {
            return None;
        }
        held.state = State::Done;
        let record = Record {
            bytes: std::mem::take(&mut held.record.bytes),
            ..held.record
        };
        self.bytes -= record.bytes.len() + HELD;
        self.count -= 1;
        while self
            .held
            .front()
            .is_some_and(|held| held.state == State::Done)
        {
            self.held.pop_front();
            self.base += 1;
        }
        Some(record)
    }

    pub(super) fn take_out(&mut self, seq: u64) -> Option<Record> {
        let is_it = |held: &Held| held.record.seq == seq && held.state != State::Done;
        // What is taken out is nearly always among those that were sent last or are the oldest.
        let index = self.held.iter().position(is_it)?;
        self.done(self.base + index as u64)
    }

    /// The connection is gone: all wait again.
    pub(super) fn again(&mut self) {
        for held in &mut self.held {
            if matches!(held.state, State::Sent | State::SentAgain) {
                held.state = State::Again;
            }
        }
        self.next = self.base;
    }

    /// QoS 0 is not kept for another connection.
    pub(super) fn drop_qos0(&mut self) -> u64 {
        self.drop_where(|held| qos_of(&held.record.bytes) == QoS::AtMostOnce)
    }

    fn drop_where(&mut self, mut is_meant: impl FnMut(&Held) -> bool) -> u64 {
        let meant: Vec<u64> = (self.base..)
            .zip(&self.held)
            .filter(|(_, held)| held.state != State::Done && is_meant(held))
            .map(|(place, _)| place)
            .collect();
        for place in &meant {
            self.done(*place);
        }
        meant.len() as u64
    }

    /// Drops the oldest until there are no more than `bytes`.
    pub(super) fn trim(&mut self, bytes: usize, slots: &mut Slots) -> u64 {
        let mut above = self.bytes.saturating_sub(bytes);
        if above == 0 {
            return 0;
        }
        let dropped = self.drop_where(|held| {
            let is_meant = above > 0;
            above = above.saturating_sub(held.record.bytes.len() + HELD);
            is_meant
        });
        slots.forget(|place| matches!(place, Place::Window(at) if self.get(at).is_none()));
        dropped
    }

    /// One block of the oldest, with their places; with `idle` only of those that are not under way.
    pub(super) fn spill(&mut self, idle: bool) -> Vec<(u64, Record)> {
        let is_meant = |held: &&Held| match held.state {
            State::Done => false,
            State::Waiting | State::Again => qos_of(&held.record.bytes) != QoS::AtMostOnce,
            State::Sent | State::SentAgain => !idle,
        };
        let meant = self.held.iter().filter(is_meant);
        let count = fits(meant.map(|held| &held.record));
        let places: Vec<u64> = (self.base..)
            .zip(&self.held)
            .filter(|(_, held)| is_meant(held))
            .map(|(place, _)| place)
            .take(count)
            .collect();
        places
            .into_iter()
            .filter_map(|place| Some((place, self.done(place)?)))
            .collect()
    }

    pub(super) fn give_back(&mut self, records: Vec<Record>, now: Instant) {
        // Places of those that are there must not change, so the base goes down; it began at 0 and
        // has risen by at least as many.
        for record in records.into_iter().rev() {
            self.bytes += record.bytes.len() + HELD;
            self.count += 1;
            let held = Held {
                record,
                at: now,
                state: State::Again,
            };
            match self.base.checked_sub(1) {
                Some(base) => {
                    self.base = base;
                    self.held.push_front(held);
                }
                None => self.held.push_back(held),
            }
        }
        self.next = self.base;
    }
}
