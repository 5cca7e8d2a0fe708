//! How often is written: at once now and then, at the configured interval under load. Pure.

use std::time::{Duration, Instant};

/// How long a change waits for others that come with it.
const QUICK: Duration = Duration::from_millis(2);

/// Commits that were not used are saved up for so long.
const SAVED: Duration = Duration::from_secs(40);

/// The right to write, which grows with time.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// When the last saved-up commit will have been used: ahead of now under load.
    used_until: Instant,
}

impl Pace {
    /// One commit in `interval`, and those of the last 40 s that were not used.
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        let used_until = now.checked_sub(SAVED).unwrap_or(now);
        Self {
            interval,
            used_until,
        }
    }

    /// When a change of `since` is due.
    pub(crate) fn due(&self, since: Instant) -> Instant {
        let quick = since + QUICK.min(self.interval);
        quick.max(self.used_until.min(since + self.interval))
    }

    /// Something was written.
    pub(crate) fn wrote(&mut self, now: Instant) {
        let oldest = now.checked_sub(SAVED).unwrap_or(now);
        self.used_until = self.used_until.max(oldest) + self.interval;
        // What was written before its time is not held against those that come later.
        self.used_until = self.used_until.min(now + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits in `seconds` of changes that come all the time.
    fn commits(interval: u64, seconds: u64) -> u32 {
        let start = Instant::now() + Duration::from_secs(1_000);
        let mut pace = Pace::new(Duration::from_millis(interval), start);
        let (mut now, mut count) = (start, 0);
        loop {
            now = pace.due(now);
            if now >= start + Duration::from_secs(seconds) {
                return count;
            }
            pace.wrote(now);
            count += 1;
        }
    }

    #[test]
    fn a_burst_is_written_at_once_and_steady_load_at_the_interval() {
        for (interval, seconds, want) in [
            (1_000, 60, 95..=105),
            (1_000, 3_600, 3_630..=3_645),
            (20, 2, 950..=1_001),
            (20, 600, 31_000..=32_010),
            (1, 1, 990..=1_001),
        ] {
            let count = commits(interval, seconds);
            assert!(want.contains(&count), "{interval} ms, {seconds} s: {count}");
        }
    }

    #[test]
    fn after_a_rest_a_change_waits_two_milliseconds() {
        let start = Instant::now() + Duration::from_secs(1_000);
        let mut pace = Pace::new(Duration::from_secs(1), start);
        for _ in 0..100 {
            let due = pace.due(start);
            pace.wrote(due);
        }
        let later = start + Duration::from_secs(200);
        assert_eq!(pace.due(later), later + QUICK);
    }
}
