//! How long messages gather before they go up. Pure.

use std::time::{Duration, Instant};

/// Messages that come within this time go up together: one of them wakes this task, and one write takes them. Their
/// acknowledgements are read together, too. A message costs less than a wake-up.
const TOGETHER: Duration = Duration::from_millis(40);
/// The same for `A_WHILE` after a message of a client that sent one only: it may wait for each acknowledgement.
const WAITED_FOR: Duration = Duration::from_millis(10);
const A_WHILE: Duration = Duration::from_secs(1);

/// Messages that gather.
pub(super) struct Gather {
    /// They are taken at this time, and nothing of them before.
    pub(super) take_at: Instant,
    time: Duration,
    /// They gather no longer than `WAITED_FOR` until then.
    short_until: Instant,
}

impl Gather {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            take_at: now,
            time: WAITED_FOR,
            short_until: now,
        }
    }

    /// How long.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// Messages were taken, those of clients that wait for an acknowledgement with these numbers of their sessions.
    pub(super) fn took(&mut self, publishers: impl Iterator<Item = u64>, now: Instant) {
        if may_wait(publishers) {
            self.short_until = now + A_WHILE;
        }
        self.time = match now < self.short_until {
            true => WAITED_FOR,
            false => TOGETHER,
        };
        self.take_at = now + self.time;
    }
}

/// Whether one of these messages may be all that its client sends until that is acknowledged.
fn may_wait(publishers: impl Iterator<Item = u64>) -> bool {
    let mut publishers: Vec<u64> = publishers.collect();
    publishers.sort_unstable();
    publishers
        .chunk_by(|one, next| one == next)
        .any(|chunk| chunk.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_sent_one_message_may_wait_for_its_acknowledgement() {
        for (publishers, want) in [
            (&[][..], false),
            (&[1], true),
            (&[1, 2, 1], true),
            (&[2, 1, 2, 1], false),
        ] {
            assert_eq!(may_wait(publishers.iter().copied()), want, "{publishers:?}");
        }
    }

    #[test]
    fn messages_gather_for_long_when_no_client_waited_for_a_while() {
        let start = Instant::now();
        let mut gather = Gather::new(start);
        for (at, publishers, want) in [
            (0, &[1, 1][..], TOGETHER),
            (100, &[1], WAITED_FOR),
            (900, &[1, 1], WAITED_FOR),
            (1_100, &[1, 1], TOGETHER),
            (1_200, &[], TOGETHER),
        ] {
            let now = start + Duration::from_millis(at);
            gather.took(publishers.iter().copied(), now);
            assert_eq!((gather.time(), gather.take_at), (want, now + want), "{at}");
        }
    }
}
