//! How long publishers wait for a subscriber that takes messages more slowly than they come.
//!
//! They wait as long as it gets on, within a bound; one that stands still they wait for much less. Time that others
//! have waited is forgiven slowly, so that a client that stands still again and again does not hold them up each time.

use std::task::Waker;
use std::time::{Duration, Instant};

/// Publishers woken at once when a subscriber has room again, so that they do not overwhelm it.
const WAKE_AT_ONCE: usize = 8;

/// Bytes that a subscriber must take to count as getting on.
const STEP: u64 = 4 * 1024;

/// Of what publishers wait at most at a time, this part they wait for one that stands still, in `SPAN`.
const STILL: u32 = 5;

/// Of what publishers wait at most at a time, so many times they wait for one that gets on, in `SPAN`.
const GETTING_ON: u32 = 5;

/// The time in which everything is forgiven.
const SPAN: Duration = Duration::from_secs(60);

/// While a publisher waits it looks this often whether the subscriber gets on.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// A subscriber that takes messages more slowly than they come.
#[derive(Debug, Default)]
pub(crate) struct Congestion {
    since: Option<Instant>,
    /// Publishers waited in vain: until it has caught up, they do not wait for this subscriber.
    slow: bool,
    waiting: Vec<Waker>,
    /// What it had taken when it last got on.
    taken: u64,
    /// Until when the waiting below is counted.
    counted: Option<Instant>,
    /// Waiting while it stood still, and all waiting.
    still: Duration,
    all: Duration,
}

/// Whether a publisher may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    None,
    /// Wait until the subscriber has caught up, but no longer than the limit from this time on.
    Since(Instant),
}

impl Congestion {
    /// There is too much for the subscriber now.
    pub(crate) fn begin(&mut self, now: Instant) -> Pressure {
        if self.slow {
            return Pressure::None;
        }
        Pressure::Since(*self.since.get_or_insert(now))
    }

    pub(crate) fn is_known(&self) -> bool {
        self.since.is_some() || !self.waiting.is_empty()
    }

    /// The subscriber has caught up, or `is_empty`. Returns the publishers to wake.
    pub(crate) fn end(&mut self, is_empty: bool) -> Vec<Waker> {
        self.since = None;
        self.slow = false;
        let count = match is_empty {
            true => self.waiting.len(),
            false => self.waiting.len().min(WAKE_AT_ONCE),
        };
        self.waiting.drain(..count).collect()
    }

    /// A publisher asks whether it must still wait. If so `waker` is woken when it need not.
    pub(crate) fn wait(&mut self, waker: &Waker) -> Pressure {
        let Some(since) = self.since.filter(|_| !self.slow) else {
            return Pressure::None;
        };
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
        Pressure::Since(since)
    }

    /// Counts the waiting up to `now`. `taken` is what the subscriber has taken altogether, `limit` what publishers
    /// wait at a time. Returns whether they have waited long enough.
    pub(crate) fn count(&mut self, taken: u64, now: Instant, limit: Duration) -> bool {
        let Some(since) = self.since else {
            return false;
        };
        let counted = self.counted.replace(now).unwrap_or(since);
        let calm = since.saturating_duration_since(counted);
        let waited = now.saturating_duration_since(counted.max(since));
        let (still_max, all_max) = (limit / STILL, limit * GETTING_ON);
        let share = calm.as_secs_f64() / SPAN.as_secs_f64();
        self.still = self.still.saturating_sub(still_max.mul_f64(share)) + waited;
        self.all = self.all.saturating_sub(all_max.mul_f64(share)) + waited;
        if taken.wrapping_sub(self.taken) >= STEP {
            self.taken = taken;
            self.still -= waited;
        }
        let at_a_time = now.saturating_duration_since(since);
        at_a_time >= limit || self.still >= still_max || self.all >= all_max
    }

    /// Publishers have waited long enough. Returns those to wake, and whether that is news.
    pub(crate) fn give_up(&mut self) -> (bool, Vec<Waker>) {
        let is_news = !std::mem::replace(&mut self.slow, true);
        (is_news, std::mem::take(&mut self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    /// Lets publishers wait for as long as they would, looking every 20 ms. `takes` is what the
    /// subscriber takes in that time.
    fn wait(congestion: &mut Congestion, taken: &mut u64, from: Instant, takes: u64) -> Duration {
        let mut now = from;
        if congestion.begin(now) == Pressure::None {
            return Duration::ZERO;
        }
        while !congestion.count(*taken, now, LIMIT) {
            now += LOOK;
            *taken += takes;
        }
        congestion.give_up();
        now - from
    }

    #[test]
    fn a_subscriber_that_gets_on_is_waited_for_longer_than_one_that_stands_still() {
        for (takes, want) in [(0, 400), (100, 400), (STEP, 2_000), (10 * STEP, 2_000)] {
            let mut congestion = Congestion::default();
            let waited = wait(&mut congestion, &mut 0, Instant::now(), takes);
            let want = Duration::from_millis(want);
            assert!(
                waited >= want && waited <= want + LOOK * 25,
                "{takes}: {waited:?}"
            );
        }
    }

    #[test]
    fn who_stands_still_again_and_again_is_hardly_waited_for() {
        let (mut congestion, mut taken) = (Congestion::default(), 0);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..30 {
            waits.push(wait(&mut congestion, &mut taken, now, 0));
            now += Duration::from_millis(2_200);
            congestion.end(true);
        }
        assert!(waits[0] >= Duration::from_millis(400), "{waits:?}");
        let again = &waits[1..];
        assert!(again.iter().all(|waited| *waited <= 2 * LOOK), "{waits:?}");
        now += SPAN;
        let later = wait(&mut congestion, &mut taken, now, 0);
        assert!(later >= Duration::from_millis(380), "{later:?}");
    }

    #[test]
    fn publishers_wake_a_few_at_a_time_and_all_when_nothing_is_left() {
        let mut congestion = Congestion::default();
        let now = Instant::now();
        assert_eq!(congestion.begin(now), Pressure::Since(now));
        for _ in 0..20 {
            congestion.waiting.push(Waker::noop().clone());
        }
        assert_eq!(congestion.wait(Waker::noop()), Pressure::Since(now));
        assert_eq!(congestion.end(false).len(), WAKE_AT_ONCE);
        assert_eq!(congestion.end(true).len(), 20 - WAKE_AT_ONCE);
        assert!(!congestion.is_known());
    }
}
