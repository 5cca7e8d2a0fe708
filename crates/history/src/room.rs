//! Which file goes to keep the bounds. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::file::Level;
use crate::folder::{DAY, Kept};

/// Roll-ups are kept for so long at least, in milliseconds: two years.
const KEEP_ROLLUPS: i64 = 2 * 366 * DAY;
/// A clock that is off by more than this has jumped, in milliseconds.
const STEP: u64 = 60_000;
/// A file whose times are later than this is from a clock that was wrong, in milliseconds.
const AHEAD: i64 = DAY;

/// What the bounds ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    /// Bytes that all files may have.
    pub(crate) room: u64,
    /// Bytes that the partition lacks.
    pub(crate) missing: u64,
    /// The time, if the clock is set: age is not told by one that may be wrong.
    pub(crate) now: Option<i64>,
    /// For how long readings are kept, in milliseconds.
    pub(crate) keep: i64,
}

/// The place of the file that is to go first: the oldest by the order in which they were written, whatever times are in
/// them. Readings go before roll-ups, and the newest file stays.
pub(crate) fn victim(files: &[Arc<Kept>], pressure: &Pressure) -> Option<usize> {
    let newest = files.len().checked_sub(1)?;
    let is_rollup = |kept: &Kept| kept.header.level == Level::Rollup;
    let others = || {
        files
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != newest)
    };
    let is_old = |kept: &Kept| {
        let keep = if is_rollup(kept) {
            pressure.keep.max(KEEP_ROLLUPS)
        } else {
            pressure.keep
        };
        pressure
            .now
            .is_some_and(|now| kept.times.1 < now.saturating_sub(keep))
    };
    if let Some((place, _)) = others().find(|(_, kept)| is_old(kept)) {
        return Some(place);
    }
    let bytes: u64 = files.iter().map(|kept| kept.bytes).sum();
    if bytes <= pressure.room && pressure.missing == 0 {
        return None;
    }
    let readings = others().find(|(_, kept)| !is_rollup(kept));
    let rollups = || others().find(|(_, kept)| is_rollup(kept));
    readings.or_else(rollups).map(|(place, _)| place)
}

/// Whether the clock has gone evenly for some time. One that jumps may be wrong, and what is removed for its age does
/// not come back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady {
    since: Instant,
    /// What the clock showed then.
    at: i64,
}

impl Steady {
    pub(crate) fn new(now: Instant, at: i64) -> Self {
        Self { since: now, at }
    }

    /// For how long it has, now that it shows `at`.
    pub(crate) fn look(&mut self, now: Instant, at: i64) -> Duration {
        let passed = now - self.since;
        let expected = self
            .at
            .saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX));
        if expected.abs_diff(at) <= STEP {
            return passed;
        }
        *self = Self::new(now, at);
        Duration::ZERO
    }
}

/// Whether times of a file are later than the clock allows.
pub(crate) fn is_from_future(kept: &Kept, now: i64) -> bool {
    kept.times.1 > now.saturating_add(AHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_not_steady() {
        let start = Instant::now();
        let mut steady = Steady::new(start, 0);
        for (second, at, want) in [
            (10, 10_000, 10),
            (20, 50_000, 20),
            (30, 900_000, 0),
            (40, 910_000, 10),
            (50, -5, 0),
            (3_650, 3_600_000, 3_600),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(steady.look(now, at).as_secs(), want, "{second}");
        }
    }
}
