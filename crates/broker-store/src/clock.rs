//! The store's time, which no step of the calendar moves.
//!
//! Expiry is a span of time that passes. A board without a clock begins in 1970 until it hears the
//! time, so calendar times say little about spans. The store's time runs with the kernel's time since the
//! boot; across a boot, and only there, the calendar says how long the machine was off.

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fieldgate_spool::STAMP;
use rustix::time::{ClockId, clock_gettime};

/// A calendar before this, in milliseconds since 1970, was never set: 2024-01-01.
const PLAUSIBLE: u64 = 1_704_067_200_000;

/// Steps of the calendar that are noted, in milliseconds: smaller ones are its steering.
const STEP: u64 = 2_000;

/// All clocks at one time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Which boot of the machine this is.
    boot: u64,
    /// Since that boot.
    uptime: u64,
    /// Since 1970.
    calendar: u64,
}

impl Reading {
    pub(crate) fn now(boot: u64) -> Self {
        let uptime = clock_gettime(ClockId::Boottime);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = u64::try_from(uptime.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(uptime.tv_nsec).unwrap_or(0);
        Self {
            boot,
            uptime: seconds * 1_000 + nanos / 1_000_000,
            calendar: since.map_or(0, millis),
        }
    }

    /// How long after `before` this is.
    fn since(&self, before: &Self) -> u64 {
        if self.boot == before.boot {
            return self.uptime.saturating_sub(before.uptime);
        }
        match before.calendar.min(self.calendar) >= PLAUSIBLE {
            true => self.calendar.saturating_sub(before.calendar),
            false => 0,
        }
    }
}

/// Which boot of the machine this is, as a number.
fn boot() -> u64 {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = id
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(16)
        .collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}

/// The store's time of this process.
#[derive(Clone, Copy, Debug)]
pub struct StoreTime {
    began: Reading,
    /// The store's time then; never 0.
    at: u64,
}

impl StoreTime {
    /// Goes on from what stood beside the newest entry of the store.
    pub fn resume(stamp: Option<[u8; STAMP]>) -> Self {
        Self::resume_at(Reading::now(boot()), stamp)
    }

    fn resume_at(began: Reading, stamp: Option<[u8; STAMP]>) -> Self {
        let at = stamp.map_or(1, |stamp| {
            let (before, at) = unstamp(stamp);
            at.saturating_add(began.since(&before)).max(1)
        });
        Self { began, at }
    }

    fn reading(&self) -> Reading {
        Reading::now(self.began.boot)
    }

    fn at(&self, reading: &Reading) -> u64 {
        self.at.saturating_add(reading.since(&self.began))
    }

    /// The time now.
    pub fn now(&self) -> Clock {
        Clock {
            instant: tokio::time::Instant::now().into_std(),
            millis: self.at(&self.reading()),
        }
    }

    /// What to write beside an entry.
    pub fn stamp(&self) -> [u8; STAMP] {
        let reading = self.reading();
        let fields = [
            reading.boot,
            reading.uptime,
            reading.calendar,
            self.at(&reading),
        ];
        let mut stamp = [0; STAMP];
        for (to, field) in stamp.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        stamp
    }

    /// Whether the calendar was set since `stamp`: then a new stamp must be written, or a boot would
    /// take the step for time that passed.
    pub fn has_stepped(&self, stamp: [u8; STAMP]) -> bool {
        let ((before, at), reading) = (unstamp(stamp), self.reading());
        let passed = self.at(&reading).saturating_sub(at);
        let seen = reading.calendar.saturating_sub(before.calendar);
        passed.abs_diff(seen) > STEP || reading.calendar + STEP < before.calendar
    }
}

/// The reading of a stamp, and the store's time.
fn unstamp(stamp: [u8; STAMP]) -> (Reading, u64) {
    let mut fields = stamp.chunks_exact(8).map(|bytes| {
        let bytes = bytes.try_into().unwrap_or_default();
        u64::from_le_bytes(bytes)
    });
    let mut next = || fields.next().unwrap_or(0);
    let (boot, uptime, calendar) = (next(), next(), next());
    let reading = Reading {
        boot,
        uptime,
        calendar,
    };
    (reading, next())
}

/// Relates the steady clock of the process to the store's time, which a restart does not reset.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    instant: Instant,
    millis: u64,
}

impl Clock {
    /// For times that are written as those of the calendar.
    pub fn calendar() -> Self {
        Self {
            instant: tokio::time::Instant::now().into_std(),
            millis: Reading::now(0).calendar,
        }
    }

    /// Milliseconds of the store's time.
    pub fn millis(&self) -> u64 {
        self.millis
    }

    /// What is left of `span` that began at the time `since`.
    pub fn left_of(&self, span: Duration, since: u64) -> Duration {
        span.saturating_sub(Duration::from_millis(self.millis.saturating_sub(since)))
    }

    pub(crate) fn at(&self, instant: Instant) -> u64 {
        let ahead = instant.saturating_duration_since(self.instant);
        self.millis.saturating_add(millis(ahead)).max(1)
    }

    pub(crate) fn instant(&self, millis: u64) -> Instant {
        let ahead = Duration::from_millis(millis.saturating_sub(self.millis));
        self.instant + ahead.min(SPAN_MAX)
    }
}

/// No span of MQTT is longer: four bytes of seconds.
pub(crate) const SPAN_MAX: Duration = Duration::from_secs(u32::MAX as u64);

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;
    const NOW: u64 = PLAUSIBLE + 1_000 * DAY;

    fn reading(boot: u64, uptime: u64, calendar: u64) -> Reading {
        Reading {
            boot,
            uptime,
            calendar,
        }
    }

    #[test]
    fn only_time_that_passed_counts_however_the_calendar_was_set() {
        for (before, after, want) in [
            // One boot: the kernel knows.
            ((7, 1_000, 0), (7, 61_000, NOW), 60_000),
            ((7, 1_000, NOW), (7, 61_000, NOW + 3 * DAY), 60_000),
            ((7, 1_000, NOW), (7, 61_000, 0), 60_000),
            // Another boot: the calendar knows, if it was set on both sides.
            ((7, 90_000, NOW), (8, 5_000, NOW + DAY), DAY),
            ((7, 90_000, NOW), (8, 5_000, NOW - DAY), 0),
            ((7, 90_000, 5_000), (8, 5_000, NOW), 0),
            ((7, 90_000, NOW), (8, 5_000, 5_000), 0),
        ] {
            let (before, after) = (
                reading(before.0, before.1, before.2),
                reading(after.0, after.1, after.2),
            );
            let began = StoreTime {
                began: before,
                at: 500,
            };
            let mut stamp = [0; STAMP];
            let fields = [
                before.boot,
                before.uptime,
                before.calendar,
                began.at(&before),
            ];
            for (to, field) in stamp.chunks_exact_mut(8).zip(fields) {
                to.copy_from_slice(&field.to_le_bytes());
            }
            assert_eq!(unstamp(stamp), (before, 500));
            let resumed = StoreTime::resume_at(after, Some(stamp));
            assert_eq!(resumed.at, 500 + want, "{before:?} {after:?}");
        }
        assert_eq!(StoreTime::resume_at(reading(1, 2, 3), None).at, 1);
    }

    #[test]
    fn a_stamp_that_was_just_made_holds_no_step() {
        let time = StoreTime::resume(None);
        assert!(!time.has_stepped(time.stamp()));
        let mut stamp = time.stamp();
        stamp[16..24].copy_from_slice(&5_000_u64.to_le_bytes());
        assert!(time.has_stepped(stamp));
        stamp[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(StoreTime::resume(None).has_stepped(stamp));
    }
}
