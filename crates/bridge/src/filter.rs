//! The change filter: which readings are worth publishing. Pure; the caller says what time it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldgate_model::{Decimal, Quality, Sample, Value};

use crate::compact::Compact;
use crate::{Deadband, Publish, Shelf, Shelved};

/// When the readings of one point are published.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rule {
    /// All, or changes only.
    pub publish: Publish,
    /// How far a number must move; absent: any change counts. Texts, switches and bytes change
    /// when they are not equal.
    pub deadband: Option<Deadband>,
    /// After what time the first unchanged reading is published again; absent: never.
    pub heartbeat: Option<Duration>,
}

/// The change filter of one device. What few rules need is kept beside the points, and only if one of them needs it: a
/// gateway has a hundred thousand.
#[derive(Debug)]
pub struct Filter {
    rules: Arc<[Rule]>,
    /// All rules are the usual one, so that they need not be looked up.
    are_usual: bool,
    /// The newest reading of each point, published or not.
    newest: Shelf,
    /// How good the published one was, if there is one.
    published: Vec<Option<Quality>>,
    /// What was published last, if a deadband is measured from there. Without one it is what was read last.
    held: Box<[Compact]>,
    /// When that was, in microseconds since the origin, if a heartbeat is counted from there.
    told_at: Box<[u64]>,
    /// Times are counted from the first reading.
    origin: Option<Instant>,
}

/// One for each rule if one of them needs it.
fn room<T: Clone>(rules: &[Rule], needs: impl Fn(&Rule) -> bool, empty: T) -> Box<[T]> {
    let count = if rules.iter().any(needs) {
        rules.len()
    } else {
        0
    };
    vec![empty; count].into()
}

impl Filter {
    /// A filter that has seen nothing: the first reading of each point passes.
    pub fn new(rules: impl Into<Arc<[Rule]>>) -> Self {
        let rules = rules.into();
        Self {
            newest: Shelf::new(rules.len()),
            published: vec![None; rules.len()],
            held: room(&rules, |rule| rule.deadband.is_some(), Compact::Nothing),
            told_at: room(&rules, |rule| rule.heartbeat.is_some(), 0),
            are_usual: rules.iter().all(|rule| *rule == Rule::default()),
            rules,
            origin: None,
        }
    }

    /// Whether a reading is to be published. If so, the next one is compared with it.
    ///
    /// The first reading and every change of quality, or of the reason for a bad one, pass. A
    /// number passes when it has moved by more than the deadband since the last *published* one,
    /// so that a slow drift is not lost. A reading of a point that has no rule passes.
    pub fn pass(&mut self, sample: &Sample, now: Instant) -> bool {
        let origin = *self.origin.get_or_insert(now);
        let place = sample.point;
        let Some(published) = self.published.get_mut(place) else {
            return true;
        };
        let is_other = *published != Some(sample.quality);
        *published = Some(sample.quality);
        let kept = Compact::new(sample.value.as_ref(), sample.error.as_ref());
        if self.are_usual {
            let passes = is_other || !self.newest.holds(place, &kept);
            self.newest.put(place, kept, sample.at);
            return passes;
        }
        let rule = &self.rules[place];
        let now = || micros(now.saturating_duration_since(origin));
        let passes =
            is_other || self.is_due(rule, place, now) || self.has_changed(rule, sample, &kept);
        if passes {
            if let Some(held) = self.held.get_mut(place) {
                *held = kept.clone();
            }
            if let Some(told_at) = self.told_at.get_mut(place) {
                *told_at = now();
            }
        }
        self.newest.put(place, kept, sample.at);
        passes
    }

    fn is_due(&self, rule: &Rule, place: usize, now: impl Fn() -> u64) -> bool {
        let told_at = self.told_at.get(place).copied().unwrap_or_default();
        let heartbeat = rule
            .heartbeat
            .is_some_and(|period| now().saturating_sub(told_at) >= micros(period));
        rule.publish == Publish::EveryPoll || heartbeat
    }

    fn has_changed(&self, rule: &Rule, sample: &Sample, kept: &Compact) -> bool {
        let Some(held) = self.held.get(sample.point) else {
            return !self.newest.holds(sample.point, kept);
        };
        match (rule.deadband, held.parts().0, &sample.value) {
            (Some(deadband), Some(old), Some(new)) => moved(deadband, &old, new),
            _ => held != kept,
        }
    }

    /// The newest reading of each point as a stale one, with the time when it was read, to the
    /// microsecond. After that the next reading of each passes.
    pub fn stale(&mut self) -> Vec<Sample> {
        self.published.fill(None);
        let newest = self.newest.take().into_iter();
        let newest = newest.map(|(point, Shelved { value, error, at })| Sample {
            point,
            value,
            quality: Quality::Stale,
            at,
            error,
        });
        newest.collect()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Exact for exact numbers. Whatever cannot be compared, such as NaN, has moved.
fn moved(deadband: Deadband, old: &Value, new: &Value) -> bool {
    if let (Value::Decimal(old), Value::Decimal(new)) = (old, new)
        && let Some((distance, limit)) = exact(deadband, *old, *new)
    {
        return distance > limit;
    }
    let (Some(from), Some(to)) = (old.as_f64(), new.as_f64()) else {
        return old != new;
    };
    let limit = match deadband {
        Deadband::Absolute(limit) => limit.to_f64(),
        Deadband::Percent(percent) => from.abs() * percent.to_f64() / 100.0,
    };
    let is_within = (to - from).abs() <= limit;
    !is_within
}

/// The distance and its limit; `None` if they have too many digits.
fn exact(deadband: Deadband, old: Decimal, new: Decimal) -> Option<(Decimal, Decimal)> {
    let distance = new.checked_sub(old)?.checked_abs()?;
    Some(match deadband {
        Deadband::Absolute(limit) => (distance, limit),
        Deadband::Percent(percent) => (
            distance.checked_mul(100.into())?,
            old.checked_abs()?.checked_mul(percent)?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn good(value: Value) -> Sample {
        Sample {
            point: 0,
            value: Some(value),
            quality: Quality::Good,
            at: Timestamp::UNIX_EPOCH,
            error: None,
        }
    }

    fn number(text: &str) -> Value {
        Value::Decimal(text.parse().unwrap())
    }

    fn filter(deadband: Option<&str>) -> Filter {
        Filter::new(vec![Rule {
            deadband: deadband.map(|json| serde_json::from_str(json).unwrap()),
            ..Rule::default()
        }])
    }

    #[test]
    fn a_value_passes_when_it_has_moved_by_more_than_the_deadband() {
        let text = |text: &str| Value::Text(text.into());
        for (deadband, values) in [
            (
                None,
                vec![
                    (number("1"), true),
                    (number("1"), false),
                    (number("1.001"), true),
                ],
            ),
            (
                Some("0.5"),
                vec![
                    (number("20"), true),
                    (number("20.5"), false),
                    (number("19.5"), false),
                    (number("20.51"), true),
                    (number("20"), true),
                ],
            ),
            // A drift in small steps is measured from the last published value.
            (
                Some("1"),
                vec![
                    (Value::F32(10.0), true),
                    (Value::F32(10.6), false),
                    (Value::F32(11.2), true),
                    (Value::F32(10.3), false),
                ],
            ),
            (
                Some("\"10%\""),
                vec![
                    (number("-200"), true),
                    (number("-220"), false),
                    (number("-221"), true),
                    (number("0"), true),
                    (number("0"), false),
                    (number("0.001"), true),
                ],
            ),
            (
                Some("1000"),
                vec![
                    (number("18446744073709550615"), true),
                    (number("18446744073709551615"), false),
                    (number("18446744073709551616"), true),
                ],
            ),
            (
                Some("5"),
                vec![
                    (Value::F64(1.0), true),
                    (Value::F64(f64::NAN), true),
                    (Value::F64(f64::NAN), true),
                    (Value::F64(1.0), true),
                    (Value::F64(f64::INFINITY), true),
                    (Value::F64(2.0), true),
                ],
            ),
            (
                Some("5"),
                vec![(text("a"), true), (text("a"), false), (text("b"), true)],
            ),
            (
                None,
                vec![
                    (Value::Bool(false), true),
                    (Value::Bool(false), false),
                    (Value::Bool(true), true),
                ],
            ),
        ] {
            let mut filter = filter(deadband);
            let now = Instant::now();
            for (value, want) in values {
                let got = filter.pass(&good(value.clone()), now);
                assert_eq!(got, want, "{deadband:?}: {value}");
            }
        }
    }

    #[test]
    fn a_change_of_quality_or_of_its_reason_always_passes() {
        let mut filter = filter(Some("100"));
        let now = Instant::now();
        let bad = Sample::bad(0, Timestamp::UNIX_EPOCH);
        let because = |text: &str| bad.clone().because(&text.into());
        for (sample, want) in [
            (&good(number("1")), true),
            (&bad, true),
            (&bad, false),
            (&because("busy"), true),
            (&because("busy"), false),
            (&because("broken"), true),
            (&good(number("1")), true),
        ] {
            assert_eq!(filter.pass(sample, now), want);
        }
    }

    #[test]
    fn the_heartbeat_repeats_an_unchanged_value_and_a_change_restarts_it() {
        let mut filter = Filter::new(vec![Rule {
            heartbeat: Some(Duration::from_secs(60)),
            ..Rule::default()
        }]);
        let start = Instant::now();
        for (seconds, value, want) in [
            (0, "1", true),
            (59, "1", false),
            (60, "1", true),
            (100, "2", true),
            (120, "2", false),
            (159, "2", false),
            (161, "2", true),
        ] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(filter.pass(&good(number(value)), now), want, "{seconds} s");
        }
    }

    #[test]
    fn every_poll_passes_if_the_rule_says_so() {
        let mut filter = Filter::new(vec![Rule {
            publish: Publish::EveryPoll,
            deadband: Some(Deadband::Absolute(9.into())),
            heartbeat: None,
        }]);
        let now = Instant::now();
        assert!((0..3).all(|_| filter.pass(&good(number("1")), now)));
    }

    #[test]
    fn going_stale_gives_the_newest_reading_and_lets_the_next_one_pass() {
        let mut filter = filter(Some("10"));
        let now = Instant::now();
        assert_eq!(filter.stale(), vec![]);
        assert!(filter.pass(&good(number("1")), now));
        assert!(!filter.pass(&good(number("2")), now));
        let want = Sample {
            quality: Quality::Stale,
            ..good(number("2"))
        };
        assert_eq!(filter.stale(), vec![want]);
        assert_eq!(filter.stale(), vec![]);
        assert!(filter.pass(&good(number("2")), now));
    }

    proptest! {
        #[test]
        fn what_subscribers_hold_is_never_further_off_than_the_deadband(
            limit in 0i64..50,
            values in proptest::collection::vec(-1000i64..1000, 1..60),
        ) {
            let mut filter = filter(Some(&limit.to_string()));
            let now = Instant::now();
            let mut held = None;
            for value in values {
                if filter.pass(&good(Value::Decimal(value.into())), now) {
                    prop_assert!(held.is_none_or(|held: i64| (held - value).abs() > limit));
                    held = Some(value);
                }
                prop_assert!(held.is_some_and(|held| (held - value).abs() <= limit));
            }
        }

        #[test]
        fn no_float_is_held_back_that_moved_further_than_the_deadband(
            old in any::<f64>(),
            new in any::<f64>(),
        ) {
            let mut filter = filter(Some("1.5"));
            let now = Instant::now();
            filter.pass(&good(Value::F64(old)), now);
            if !filter.pass(&good(Value::F64(new)), now) {
                prop_assert!((new - old).abs() <= 1.5);
            }
        }
    }
}
