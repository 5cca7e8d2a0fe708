//! How long messages gather before they go up. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Messages that come within this time go up together: one of them wakes this task, and one write takes them. Their
/// acknowledgements are read together, too. A message costs less than a wake-up.
const TOGETHER: Duration = Duration::from_millis(40);
/// The same for `A_WHILE` after a message of a client that sent one only: it may wait for each acknowledgement.
const WAITED_FOR: Duration = Duration::from_millis(10);
const A_WHILE: Duration = Duration::from_secs(1);
/// What clients do is forgotten after this time, or when there are so many.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const KNOWN_MAX: usize = 1_000;

/// Messages that gather.
pub(super) struct Gather {
    /// They are taken at this time, and nothing of them before.
    pub(super) take_at: Instant,
    time: Duration,
    /// They gather no longer than `WAITED_FOR` until then.
    short_until: Instant,
    /// Clients that sent another message before the first was acknowledged, since when.
    ahead: BTreeSet<u64>,
    ahead_since: Instant,
}

impl Gather {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            take_at: now,
            time: WAITED_FOR,
            short_until: now,
            ahead: BTreeSet::new(),
            ahead_since: now,
        }
    }

    /// How long.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// Messages were taken, those of clients that wait for an acknowledgement with these numbers of their sessions.
    pub(super) fn took(&mut self, publishers: impl Iterator<Item = u64>, now: Instant) {
        let is_old = now.saturating_duration_since(self.ahead_since) >= KNOWN_FOR;
        if is_old || self.ahead.len() > KNOWN_MAX {
            self.ahead.clear();
            self.ahead_since = now;
        }
        if self.may_wait(publishers.collect()) {
            self.short_until = now + A_WHILE;
        }
        self.time = match now < self.short_until {
            true => WAITED_FOR,
            false => TOGETHER,
        };
        self.take_at = now + self.time;
    }

    /// Whether one of these messages may be all that its client sends until that is acknowledged.
    fn may_wait(&mut self, mut publishers: Vec<u64>) -> bool {
        publishers.sort_unstable();
        let mut may_wait = false;
        for alike in publishers.chunk_by(|one, next| one == next) {
            match alike {
                [one] => may_wait |= !self.ahead.contains(one),
                [one, ..] => {
                    self.ahead.insert(*one);
                }
                [] => {}
            }
        }
        may_wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_gather_for_long_unless_a_client_may_wait_for_each_acknowledgement() {
        let start = Instant::now();
        let mut gather = Gather::new(start);
        for (at, publishers, want) in [
            (0, &[1, 2, 1, 2][..], TOGETHER),
            (100, &[1, 2], TOGETHER),
            (200, &[1, 3, 1], WAITED_FOR),
            (1_100, &[1, 1], WAITED_FOR),
            (1_300, &[1, 1], TOGETHER),
            (1_400, &[], TOGETHER),
            // It is not known for ever what a client does.
            (60_500, &[1], WAITED_FOR),
        ] {
            let now = start + Duration::from_millis(at);
            gather.took(publishers.iter().copied(), now);
            assert_eq!((gather.time(), gather.take_at), (want, now + want), "{at}");
        }
    }
}
