//! How long a client's packets take, and where clients are served whose packets take long.
//!
//! Nearly all packets take microseconds, whatever they ask for. A few may take milliseconds: a topic that thousands of
//! subscriptions match, a subscription that a hundred thousand retained messages match. A client that sends such
//! packets again and again is served by a thread of its own kind, where such clients wait for each other and for
//! no one else's.

use std::future::Future;
use std::pin::pin;
use std::task::Context;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A turn ends after this time, when the packet that is in hand is done.
pub(super) const TURN: Duration = Duration::from_millis(1);

/// Processor time beyond `TURN` that a client may take, all its turns together.
const ALLOWANCE: Duration = Duration::from_millis(20);

/// The part of the time that passes which is forgiven.
const FORGIVEN: u32 = 20;

/// One client's record.
#[derive(Debug)]
pub(super) struct Effort {
    /// One of its turns took long. Perhaps only because the thread had to wait for a processor: until this time the
    /// thread's own time is looked at, which costs a system call. After it, that turn would be forgiven in any case.
    suspect_until: Instant,
    /// Processor time beyond what is allowed.
    excess: Duration,
    /// When that was.
    at: Instant,
}

/// A turn that is going on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) at: Instant,
    processor: Option<Duration>,
}

impl Effort {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            suspect_until: now,
            excess: Duration::ZERO,
            at: now,
        }
    }

    pub(super) fn begin(&self) -> Begun {
        let at = Instant::now();
        Begun {
            at,
            processor: (at < self.suspect_until).then(processor_time),
        }
    }

    /// Returns whether the client should go to the slow ones.
    pub(super) fn end(&mut self, begun: &Begun) -> bool {
        let now = Instant::now();
        let length = now.saturating_duration_since(begun.at);
        if length <= TURN {
            return false;
        }
        self.suspect(length, now);
        let Some(before) = begun.processor else {
            return false;
        };
        let taken = processor_time().saturating_sub(before);
        self.add(taken, now)
    }

    /// A turn took so long.
    fn suspect(&mut self, length: Duration, now: Instant) {
        self.suspect_until = self.suspect_until.max(now + length * FORGIVEN);
    }

    fn add(&mut self, taken: Duration, now: Instant) -> bool {
        let forgiven = now.saturating_duration_since(self.at) / FORGIVEN;
        self.at = now;
        self.excess = self.excess.saturating_sub(forgiven) + taken.saturating_sub(TURN);
        self.excess > ALLOWANCE
    }
}

impl Begun {
    pub(super) fn is_over(&self) -> bool {
        self.at.elapsed() > TURN
    }
}

/// Has the task polled again, after all others that are ready, and after the thread has looked at its sockets: a task that
/// wakes itself would keep it from looking for sixty turns.
pub(super) fn yield_turn(cx: &mut Context<'_>) {
    // What it says is that the task has to wait.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

/// What this thread has had of the processors.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_turns_add_up_and_are_forgiven_with_time() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut effort = Effort::new(start);
        for (at, taken, is_slow) in [
            (0, 11, false),
            (0, 11, false),
            (1, 11, true),
            (1_000, 1, false),
            (1_001, 11, false),
            (1_002, 11, false),
            (1_003, 11, true),
        ] {
            assert_eq!(effort.add(ms(taken), start + ms(at)), is_slow, "{at}");
        }
    }

    #[test]
    fn a_long_turn_is_looked_into_until_it_would_be_forgiven() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut effort = Effort::new(start);
        effort.suspect(ms(100), start);
        effort.suspect(ms(2), start + ms(1_000));
        assert_eq!(effort.suspect_until, start + ms(2_000));
        effort.suspect(ms(2), start + ms(3_000));
        assert_eq!(effort.suspect_until, start + ms(3_040));
    }
}
