//! Events on their way to the card, and those that the keeper notices itself. Pure: times are arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::budget::Budget;
use super::{Event, Kind};

/// Events that wait for the card at most; past it the oldest goes.
const PENDING_MAX: usize = 8_192;
/// A clock that differs by so much from what has passed was set. The kernel's corrections are far smaller.
const STEP: Duration = Duration::from_secs(2);

/// What came in and is in no file yet.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    budget: Budget,
    /// The oldest first.
    pub(crate) pending: VecDeque<Event>,
    /// Events that came in and were kept.
    pub(crate) kept: u64,
    /// Events that there was no room for in memory.
    dropped: u64,
}

impl Intake {
    pub(crate) fn take(&mut self, event: Event, now: Instant) {
        self.keep(|budget, out| budget.take(event, now, out));
    }

    /// Takes what was left out before, as far as there is room for it by now.
    pub(crate) fn due(&mut self, now: Instant) {
        self.keep(|budget, out| budget.due(now, out));
    }

    /// Takes all that was left out last.
    pub(crate) fn end(&mut self) {
        self.keep(|budget, out| budget.end(out));
    }

    fn keep(&mut self, from: impl FnOnce(&mut Budget, &mut VecDeque<Event>)) {
        let before = self.pending.len();
        from(&mut self.budget, &mut self.pending);
        self.kept += (self.pending.len() - before) as u64;
        let surplus = self.pending.len().saturating_sub(PENDING_MAX);
        self.pending.drain(..surplus);
        self.dropped += surplus as u64;
    }

    /// Forgets so many of the oldest: a file has them.
    pub(crate) fn written(&mut self, count: usize) {
        self.pending.drain(..count.min(self.pending.len()));
    }

    /// Events that were left out for good.
    pub(crate) fn left_out(&self) -> u64 {
        self.budget.left_out + self.dropped
    }
}

/// Notices that the clock was set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockWatch {
    looked: Instant,
    /// What it showed then, in milliseconds since 1970.
    at: i64,
    is_set: bool,
}

impl ClockWatch {
    pub(crate) fn new(now: Instant, at: i64, is_set: bool) -> Self {
        Self {
            looked: now,
            at,
            is_set,
        }
    }

    /// When it was looked at the last time.
    pub(crate) fn looked(&self) -> Instant {
        self.looked
    }

    /// What has happened, now that the clock shows `at`.
    pub(crate) fn look(&mut self, now: Instant, at: i64, is_set: bool) -> Vec<Event> {
        let passed = now.saturating_duration_since(self.looked).as_millis();
        let expected = self
            .at
            .saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        let by = at.saturating_sub(expected);
        let was_set = self.is_set;
        *self = Self::new(now, at, is_set);
        let time = Timestamp::from_millisecond(at).unwrap_or_default();
        let mut seen = Vec::new();
        if u128::from(by.unsigned_abs()) >= STEP.as_millis() {
            let by = by as f64 / 1_000.0;
            seen.push(Event::new(Kind::ClockStep, time).with(&format!("{by:+.1}")));
        }
        if is_set && !was_set {
            seen.push(Event::new(Kind::ClockSet, time));
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_the_card_takes_nothing_for_long() {
        let now = Instant::now();
        let mut intake = Intake::default();
        for hour in 0..5_u32 {
            let now = now + Duration::from_secs(u64::from(hour) * 10_000);
            for number in 0..3_000_u32 {
                let at = i64::from(hour * 3_000 + number);
                let event = Event::new(Kind::Offline, Timestamp::from_microsecond(at).unwrap());
                intake.take(event.of(&format!("d{number}")), now);
            }
        }
        assert_eq!(intake.pending.len(), PENDING_MAX);
        assert_eq!(intake.pending.back().map(|event| event.at), Some(14_999));
        assert_eq!(
            (intake.kept, intake.left_out()),
            (15_000, 15_000 - PENDING_MAX as u64)
        );
    }

    #[test]
    fn a_clock_that_is_set_is_told_with_how_far() {
        let start = Instant::now();
        let mut watch = ClockWatch::new(start, 0, false);
        for (second, at, is_set, want) in [
            (10, 10_000, false, &[][..]),
            (20, 21_500, false, &[]),
            (30, 91_500, false, &["clock_step+60.0"]),
            (40, 3_701_500, true, &["clock_step+3600.0", "clock_set"]),
            (50, 3_711_000, true, &[]),
            (60, 711_000, true, &["clock_step-3010.0"]),
            (660, 1_311_000, true, &[]),
            (670, i64::MAX, true, &["clock_step+9223372036853454.0"]),
        ] {
            let now = start + Duration::from_secs(second);
            let seen = watch.look(now, at, is_set).into_iter();
            let seen: Vec<_> = seen
                .map(|event| format!("{}{}", event.kind.name(), event.value))
                .collect();
            assert_eq!(seen, want, "{second}");
        }
    }
}
