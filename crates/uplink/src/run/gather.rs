//! How long messages gather before they go up. Pure.
//!
//! Some clients wait until messages are acknowledged before they send more, and are slow if these gather for long. Which
//! clients these are is found by a trial: for a second messages gather for a short time, for another one for long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Messages that come within this time go up together: one of them wakes this task, and one write takes them. Their
/// acknowledgements are read together, too. A message costs less than a wake-up.
const LONG: Duration = Duration::from_millis(40);
/// The same while a client waits for its acknowledgements, and in the first part of a trial.
const SHORT: Duration = Duration::from_millis(10);
/// How long each part of a trial takes.
const PART: Duration = Duration::from_secs(1);
/// How long what it has found is believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// Clients at most of which messages are counted. With more, others share the time that those need.
const CLIENTS_MAX: usize = 1_000;

/// Messages of a client in the two parts of the trial.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    short: u32,
    long: u32,
}

impl Counts {
    /// Whether it sends less if its messages gather for long, by more than chance makes it.
    fn waits(self) -> bool {
        self.long + self.long / 3 + 2 < self.short
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Short,
    Long,
    /// Until the next trial.
    Found,
}

/// Messages that gather.
#[derive(Debug)]
pub(super) struct Gather {
    /// They are taken at this time, and nothing of them before.
    pub(super) take_at: Instant,
    time: Duration,
    phase: Phase,
    until: Instant,
    clients: BTreeMap<u64, Counts>,
}

impl Gather {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            take_at: now,
            time: LONG,
            phase: Phase::Found,
            until: now,
            clients: BTreeMap::new(),
        }
    }

    /// When answers are read again that were read now: with the next messages, unless a client waits for them.
    pub(super) fn read_at(&self, now: Instant) -> Instant {
        match self.time == LONG && self.take_at > now {
            true => self.take_at,
            false => now + self.time,
        }
    }

    /// Messages were taken, those of clients that are told when they are safe with the numbers of their sessions.
    pub(super) fn took(&mut self, clients: impl Iterator<Item = u64>, now: Instant) {
        self.go_on(now);
        for client in clients {
            if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&client) {
                continue;
            }
            let is_new = !self.clients.contains_key(&client);
            let counts = self.clients.entry(client).or_default();
            match self.phase {
                Phase::Short => counts.short += 1,
                Phase::Long => counts.long += 1,
                // What is not known of one is tried with all.
                Phase::Found if is_new => self.start(now),
                Phase::Found => {}
            }
        }
        self.take_at = now + self.time;
    }

    fn start(&mut self, now: Instant) {
        (self.phase, self.until, self.time) = (Phase::Short, now + PART, SHORT);
        self.clients
            .values_mut()
            .for_each(|counts| *counts = Counts::default());
    }

    fn go_on(&mut self, now: Instant) {
        if now < self.until {
            return;
        }
        match self.phase {
            Phase::Short => (self.phase, self.until, self.time) = (Phase::Long, now + PART, LONG),
            Phase::Long => {
                let waits = self.clients.values().any(|counts| counts.waits());
                self.time = if waits { SHORT } else { LONG };
                (self.phase, self.until) = (Phase::Found, now + BELIEVED);
            }
            // The next message of a client is that of a new one.
            Phase::Found => {
                self.clients.clear();
                self.time = LONG;
                self.until = now + BELIEVED;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For how many seconds of the first 62 messages gather for a short time, and of the minute after, if clients send so
    /// many messages in a second of short and of long gathering.
    fn short_seconds(clients: &[(u32, u32)]) -> [usize; 2] {
        let start = Instant::now();
        let mut gather = Gather::new(start);
        let mut seconds = [0, 0];
        for second in 0..124 {
            // A little more, so that the last part is over.
            let at = start + Duration::from_millis(second * 1_010);
            let mut take = |client: u64, count: u32| {
                gather.took(std::iter::repeat_n(client, count as usize), at);
                gather.time == SHORT
            };
            for (client, (short, long)) in (1..).zip(clients) {
                // The first message may start the trial.
                let is_short = take(client, 1);
                take(client, if is_short { *short } else { *long });
            }
            let is_short = take(0, 0);
            seconds[usize::from(second >= 62)] += usize::from(is_short);
        }
        seconds
    }

    #[test]
    fn messages_gather_for_long_unless_a_client_then_sends_less() {
        for (clients, want) in [
            // None is told when its messages are safe.
            (&[][..], [0, 0]),
            // They send as they like.
            (&[(500, 500)], [1, 1]),
            (&[(500, 460), (3, 2), (1, 0)], [1, 1]),
            // It waits for each acknowledgement, or for that of its twentieth message.
            (&[(90, 25)], [60, 60]),
            (&[(1_000, 500)], [60, 60]),
            (&[(500, 500), (90, 25), (0, 3)], [60, 60]),
        ] {
            let [first, second] = short_seconds(clients);
            let near = |found: usize, want: usize| found.abs_diff(want) <= 2;
            assert!(
                near(first, want[0]) && near(second, want[1]),
                "{clients:?} {first} {second}"
            );
        }
    }

    #[test]
    fn many_clients_take_no_more_memory_than_some() {
        let start = Instant::now();
        let mut gather = Gather::new(start);
        gather.took(0..5_000, start);
        assert_eq!(gather.clients.len(), CLIENTS_MAX);
        assert_eq!((gather.time, gather.take_at), (SHORT, start + SHORT));
    }
}
