//! How much of a bus's time its silent units may take. Pure.
//!
//! A unit that fails is asked when the line has nothing better to do; one that has failed too
//! often in a row is given up, and is asked again only when its share of the time has grown to
//! the cost of a try. Both hold for as long as another unit answers: alone on a bus, a silent
//! unit takes no time from another.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long after its last answer a unit counts as one that could have used the time.
const ALIVE: Duration = Duration::from_secs(60);

/// When a unit is given up, and what it may take of the time then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// After how many failures in a row; at least 1.
    pub after: u32,
    /// How much of the time silent units may take from the others, in percent, 1 to 100.
    pub share: u8,
    /// Whether all silent units have that share together, and not each.
    pub together: bool,
    /// What a try costs of a unit that has not failed yet.
    pub timeout: Duration,
}

/// What is known of the units of one bus.
#[derive(Debug)]
pub(crate) struct Breaker<U> {
    tolerance: Tolerance,
    /// Boxed, as a map has room for eleven from the start, and most buses have one unit.
    units: BTreeMap<U, Box<Unit>>,
    /// What the last try of any silent unit cost, and when it was over.
    last: Option<(Duration, Instant)>,
}

#[derive(Debug, Default)]
struct Unit {
    /// In a row.
    failures: u32,
    /// What the last failure cost, and when it was over.
    failed: Option<(Duration, Instant)>,
    answered: Option<Instant>,
}

impl<U: Ord + Copy> Breaker<U> {
    /// No unit is known yet.
    pub(crate) fn new(tolerance: Tolerance) -> Self {
        Self {
            tolerance,
            units: BTreeMap::new(),
            last: None,
        }
    }

    /// The unit has answered.
    pub(crate) fn answered(&mut self, unit: U, now: Instant) {
        let unit = self.units.entry(unit).or_default();
        unit.failures = 0;
        unit.answered = Some(now);
    }

    /// There was no usable answer, and waiting for it took `cost` of the bus's time. True if the
    /// unit is given up by that.
    pub(crate) fn failed(&mut self, unit: U, cost: Duration, now: Instant) -> bool {
        let unit = self.units.entry(unit).or_default();
        unit.failures = unit.failures.saturating_add(1);
        unit.failed = Some((cost, now));
        if unit.failures >= self.tolerance.after {
            self.last = Some((cost, now));
        }
        unit.failures == self.tolerance.after
    }

    /// Forgets all failures: they were the fault of the line, which is back.
    pub(crate) fn reset(&mut self) {
        for unit in self.units.values_mut() {
            unit.failures = 0;
            unit.failed = None;
        }
        self.last = None;
    }

    /// In which order a poll that is due at `due` gets its turn: by the earliest first. That of a
    /// unit which fails, or has never answered, comes after all others for as long as it takes
    /// its share to grow to the cost of a try.
    pub(crate) fn turn(&self, unit: U, due: Instant) -> Instant {
        match self.units.get(&unit).map(|unit| &**unit) {
            Some(Unit {
                failures: 0 | 1,
                answered: Some(_),
                ..
            }) => due,
            known => {
                let failed = known.and_then(|unit| unit.failed);
                let cost = failed.map_or(self.tolerance.timeout, |(cost, _)| cost);
                due + self.grown(cost)
            }
        }
    }

    /// When a unit that was given up may be asked again; `None` for at any time.
    pub(crate) fn probe_at(&self, unit: U, now: Instant) -> Option<Instant> {
        let known = self.units.get(&unit)?;
        let (cost, ended) = match self.tolerance.together {
            true => self.last?,
            false => known.failed?,
        };
        let others = self.units.iter().filter(|(other, _)| **other != unit);
        let is_alone = !others
            .filter_map(|(_, other)| other.answered)
            .any(|at| now.saturating_duration_since(at) < ALIVE);
        if known.failures < self.tolerance.after || is_alone {
            return None;
        }
        Some(ended + self.grown(cost).saturating_sub(cost))
    }

    /// How long it takes until a cost is no more than the share.
    fn grown(&self, cost: Duration) -> Duration {
        cost * 100 / u32::from(self.tolerance.share.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Duration = Duration::from_millis(300);

    fn breaker(together: bool) -> Breaker<u8> {
        Breaker::new(Tolerance {
            after: 3,
            share: 2,
            together,
            timeout: COST,
        })
    }

    #[test]
    fn a_unit_is_given_up_once_and_probed_within_its_share() {
        let (mut breaker, start) = (breaker(false), Instant::now());
        breaker.answered(1, start);
        for (failure, opens) in [(1, false), (2, false), (3, true)] {
            assert_eq!(breaker.probe_at(2, start), None, "{failure}");
            assert_eq!(breaker.failed(2, COST, start), opens, "{failure}");
        }
        // 300 ms are 2 % of 15 s.
        let wait = Duration::from_millis(14_700);
        assert_eq!(breaker.probe_at(2, start), Some(start + wait));
        assert!(!breaker.failed(2, COST, start), "it is open already");
        // No other unit has answered for a minute: the time belongs to none.
        assert_eq!(breaker.probe_at(2, start + ALIVE), None);
        assert!(breaker.probe_at(2, start + ALIVE / 2).is_some());
        breaker.reset();
        assert_eq!(breaker.probe_at(2, start), None);
    }

    #[test]
    fn failing_units_wait_for_healthy_ones_but_not_for_ever() {
        let (mut breaker, start) = (breaker(false), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(breaker.turn(1, start), later(15), "it never answered");
        breaker.answered(1, start);
        assert_eq!(breaker.turn(1, start), start);
        breaker.failed(1, COST, start);
        assert_eq!(breaker.turn(1, start), start, "once is no habit");
        breaker.failed(1, COST, start);
        assert_eq!(breaker.turn(1, start), later(15));
        breaker.answered(1, start);
        assert_eq!(breaker.turn(1, start), start);
    }

    #[test]
    fn silent_units_that_share_their_time_wait_for_each_other() {
        let (mut breaker, start) = (breaker(true), Instant::now());
        breaker.answered(1, start);
        for unit in [2, 3] {
            for _ in 0..3 {
                breaker.failed(unit, COST, start);
            }
        }
        let wait = Duration::from_millis(14_700);
        assert_eq!(breaker.probe_at(2, start), Some(start + wait));
        breaker.failed(2, COST, start + wait);
        assert_eq!(breaker.probe_at(3, start + wait), Some(start + wait * 2));
        assert_eq!(breaker.probe_at(1, start), None);
    }
}
