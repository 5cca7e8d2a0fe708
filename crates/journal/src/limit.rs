//! How often lines of one kind are written, so that a flood neither fills the disk nor buries what
//! else there is to read. Pure: the time is an argument.
//!
//! A kind is a place in the program, a level, and the device or bus that the line is about. What
//! clients say, such as identifiers and topics, is not part of it: they could say something else
//! each time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::Level;

/// Lines of one kind that are written at once, and then one in each interval.
struct Allowance {
    burst: u32,
    interval: Duration,
}

const USUAL: Allowance = Allowance {
    burst: 10,
    interval: Duration::from_secs(1),
};
/// Those that are there only if they were asked for.
const DETAILS: Allowance = Allowance {
    burst: 200,
    interval: Duration::from_millis(20),
};

/// What was left out is told after so long, even if more comes.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// A flood is over when nothing was left out for so long.
const OVER: Duration = Duration::from_secs(2);
/// Kinds that are told apart. Those beyond it share one for each level.
const KINDS_MAX: usize = 4_096;

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Device(String),
    Bus(String),
}

impl Subject {
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Device(_) => "DEVICE",
            Self::Bus(_) => "BUS",
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Device(name) | Self::Bus(name) => name,
        }
    }
}

/// The kind of a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) level: Level,
    /// Where in the program it is written.
    pub(crate) place: Option<(&'static str, u32)>,
    pub(crate) subject: Option<Subject>,
}

/// Lines of one kind.
#[derive(Debug)]
struct Kept {
    /// When the allowance is whole again.
    whole_at: Instant,
    /// The last line that was written.
    sample: String,
    left_out: u64,
    /// When the first of these came, and the last.
    since: Instant,
    last: Instant,
}

/// That lines were left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// Decides what is written.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    kinds: HashMap<Kind, Kept>,
    /// Kinds of which lines were left out and not told.
    owing: usize,
}

impl Limiter {
    /// Whether a line may be written. If not, it is counted.
    pub(crate) fn admits(&mut self, kind: Kind, now: Instant) -> bool {
        let allowance = allowance(kind.level);
        let kept = self.kept(kind, now);
        let whole_at = kept.whole_at.max(now);
        let ahead = whole_at.saturating_duration_since(now);
        if ahead <= allowance.interval * (allowance.burst - 1) {
            kept.whole_at = whole_at + allowance.interval;
            return true;
        }
        kept.last = now;
        kept.left_out += 1;
        if kept.left_out == 1 {
            kept.since = now;
            self.owing += 1;
        }
        false
    }

    /// A line of this kind was written.
    pub(crate) fn wrote(&mut self, kind: &Kind, text: &str) {
        let shared = kind.shared();
        let found = match self.kinds.contains_key(kind) {
            true => self.kinds.get_mut(kind),
            false => self.kinds.get_mut(&shared),
        };
        if let Some(kept) = found {
            text.clone_into(&mut kept.sample);
        }
    }

    /// Whether nothing was left out that is not told yet.
    pub(crate) fn is_quiet(&self) -> bool {
        self.owing == 0
    }

    /// What is to be told now: of floods that are over, or last for long; at the end, of all.
    pub(crate) fn due(&mut self, now: Instant, at_end: bool) -> Vec<Told> {
        let mut all = Vec::new();
        for (kind, kept) in &mut self.kinds {
            let is_over = now.saturating_duration_since(kept.last) >= OVER;
            let is_long = now.saturating_duration_since(kept.since) >= TELL_EVERY;
            if kept.left_out > 0 && (is_over || is_long || at_end) {
                let (count, sample) = (grouped(kept.left_out), &kept.sample);
                all.push(Told {
                    kind: kind.clone(),
                    text: format!("… and {count} more like it: {sample}"),
                });
                kept.left_out = 0;
                self.owing -= 1;
            }
        }
        all
    }

    /// What is kept of a kind.
    fn kept(&mut self, kind: Kind, now: Instant) -> &mut Kept {
        let mut kind = kind;
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind) {
            self.kinds
                .retain(|_, kept| kept.left_out > 0 || kept.whole_at > now);
            if self.kinds.len() >= KINDS_MAX {
                kind = kind.shared();
            }
        }
        self.kinds.entry(kind).or_insert_with(|| Kept {
            whole_at: now,
            sample: String::new(),
            left_out: 0,
            since: now,
            last: now,
        })
    }
}

impl Kind {
    /// The one that all share for which there is no room.
    fn shared(&self) -> Self {
        Self {
            level: self.level,
            place: None,
            subject: None,
        }
    }
}

fn allowance(level: Level) -> Allowance {
    match level {
        Level::Error | Level::Warn | Level::Info => USUAL,
        Level::Debug | Level::Trace => DETAILS,
    }
}

/// `1532` as `1,532`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: u32, device: &str) -> Kind {
        Kind {
            level: Level::Warn,
            place: Some(("file.rs", line)),
            subject: Some(Subject::Device(device.to_owned())),
        }
    }

    fn texts(told: Vec<Told>) -> Vec<String> {
        told.into_iter().map(|told| told.text).collect()
    }

    #[test]
    fn ten_lines_are_written_at_once_and_then_one_a_second_and_the_rest_is_counted() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        let mut written = 0;
        // A thousand a second for 20 seconds.
        for step in 0..20_000 {
            let now = start + Duration::from_millis(step);
            if limiter.admits(kind(1, "plc"), now) {
                written += 1;
                limiter.wrote(&kind(1, "plc"), "no answer");
            }
        }
        assert_eq!(written, 10 + 19);
        let now = start + Duration::from_secs(20);
        let want = format!("… and {} more like it: no answer", grouped(20_000 - 29));
        assert_eq!(texts(limiter.due(now, false)), [want]);
        assert!(limiter.is_quiet() && limiter.due(now, true).is_empty());
    }

    #[test]
    fn what_was_left_out_is_told_when_the_flood_is_over_or_every_ten_seconds_or_at_the_end() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let flood = |limiter: &mut Limiter, millis| {
            for _ in 0..20 {
                limiter.admits(kind(1, "plc"), at(millis));
            }
        };
        flood(&mut limiter, 0);
        assert!(limiter.due(at(1_999), false).is_empty(), "it may go on");
        assert_eq!(texts(limiter.due(at(2_000), false)).len(), 1, "it is over");
        for second in 20..30 {
            flood(&mut limiter, second * 1_000);
            assert!(limiter.due(at(second * 1_000 + 999), false).is_empty());
        }
        assert_eq!(texts(limiter.due(at(30_000), false)).len(), 1, "it is long");
        flood(&mut limiter, 30_001);
        assert_eq!(texts(limiter.due(at(30_001), true)).len(), 1, "the end");
    }

    #[test]
    fn a_flood_hides_no_other_line_of_another_device_level_or_place() {
        let (mut limiter, now) = (Limiter::default(), Instant::now());
        for _ in 0..100 {
            limiter.admits(kind(1, "plc"), now);
        }
        assert!(!limiter.admits(kind(1, "plc"), now));
        let bus = Kind {
            subject: Some(Subject::Bus("plc".to_owned())),
            ..kind(1, "plc")
        };
        let error = Kind {
            level: Level::Error,
            ..kind(1, "plc")
        };
        for other in [kind(1, "meter"), kind(2, "plc"), bus, error] {
            assert!(limiter.admits(other.clone(), now), "{other:?}");
        }
    }

    #[test]
    fn kinds_have_a_bound_and_those_beyond_it_are_limited_all_the_same() {
        let (mut limiter, now) = (Limiter::default(), Instant::now());
        let count = KINDS_MAX as u32 + 100;
        let admitted = (0..count).filter(|line| limiter.admits(kind(*line, "plc"), now));
        assert_eq!(admitted.count(), KINDS_MAX + 10);
        assert_eq!(limiter.kinds.len(), KINDS_MAX + 1);
        // What has rested makes room.
        let later = now + Duration::from_secs(60);
        assert!(!limiter.due(later, false).is_empty());
        assert!(limiter.admits(kind(count, "plc"), later));
        assert_eq!(limiter.kinds.len(), 1);
    }

    #[test]
    fn counts_are_grouped() {
        for (count, want) in [
            (7, "7"),
            (999, "999"),
            (1_532, "1,532"),
            (1_000_000, "1,000,000"),
        ] {
            assert_eq!(grouped(count), want);
        }
    }
}
