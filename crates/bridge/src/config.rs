//! Settings that every kind of device shares, as written in the configuration.
//!
//! A value that exists is valid. Messages say what was expected; the reader of the file adds
//! where.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use fieldgate_model::Decimal;
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

/// Baud rates of a serial port. Drivers take fewer: a chip of Prolific ends at 6,000,000, one of FTDI at 12,000,000.
pub const BAUDS: RangeInclusive<u32> = 50..=12_000_000;

/// A length of time above zero: `300ms`, `1s`, `1.5s`, `5m`, `12h`, `7d`. At most 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

/// The pauses between attempts, shortest and longest: `1s..60s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

/// When a point is read: every [`Period`], or `once` after each time its device comes online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Poll {
    /// Again and again.
    Every(Period),
    /// Once: a model name, a serial number.
    Once,
}

/// After what time an unchanged value is published again: a [`Period`], or `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat(Option<Period>);

/// Which readings are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// Those that differ from the last one published, and the heartbeat.
    #[default]
    OnChange,
    /// All.
    EveryPoll,
}

/// How far a number must move to count as changed: more than `0.5`, or more than `"1%"` of the
/// last published value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadband {
    /// In the point's own unit; not negative.
    Absolute(Decimal),
    /// In percent of the magnitude of the last published value; 0 to 100.
    Percent(Decimal),
}

/// How close in time polls of different devices are begun as one: 1 ms to 1 s if it is written in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Together(Duration);

/// What holds for points that do not say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// How often a point is read.
    pub poll: Poll,
    /// Which readings are published.
    pub publish: Publish,
    /// After what time an unchanged value is published again; absent: never.
    pub heartbeat: Option<Heartbeat>,
    /// Which polls of different devices are begun in one moment; absent: it follows from the number of devices.
    pub together: Option<Together>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            poll: Poll::Every(Period(Duration::from_secs(1))),
            publish: Publish::OnChange,
            heartbeat: None,
            together: None,
        }
    }
}

const PERIOD_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
const TOGETHER_MAX: Duration = Duration::from_secs(1);
/// Devices of a moment: with more, their values wait for each other; with fewer, the processor wakes up more often.
const OF_A_MOMENT: usize = 20;
/// The fewest and the most moments that devices are spread over.
const MOMENTS: RangeInclusive<usize> = 5..=50;
const PERIOD: &str = "a time such as 300ms, 1s, 5m or 12h";
const POLL: &str = "a time such as 300ms, 1s, 5m or 12h, or once";
const TOGETHER: &str = "a time from 1ms to 1s, such as 20ms";
const HEARTBEAT: &str = "a time such as 300ms, 1s, 5m or 12h, or never";
const BACKOFF: &str = "a range of times such as 1s..60s";
const DEADBAND: &str = "a number that is not negative, or a percentage such as \"1%\"";

impl Period {
    /// From a duration above zero and of at most 30 days; `None` if it is not.
    pub fn new(length: Duration) -> Option<Self> {
        (!length.is_zero() && length <= PERIOD_MAX).then_some(Self(length))
    }

    /// Its length.
    pub fn get(self) -> Duration {
        self.0
    }

    /// From its text; `None` if that is no time within the limits.
    pub fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = text.split_at(unit_at);
        let micros = match unit {
            "ms" => 1_000i64,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        let number: Decimal = number.parse().ok()?;
        let micros = number.checked_mul(micros.into())?.to_integer()?;
        Self::new(Duration::from_micros(u64::try_from(micros).ok()?))
    }
}

impl Together {
    /// From its text; `None` if that is no time within the limits.
    fn parse(text: &str) -> Option<Self> {
        let length = Period::parse(text)?.get();
        (Duration::from_millis(1)..=TOGETHER_MAX)
            .contains(&length)
            .then_some(Self(length))
    }

    /// For one of so many devices that need not wait for each other. `shortest` is its own shortest period.
    pub fn of_many(devices: usize, shortest: Duration) -> Self {
        let moments = (devices / OF_A_MOMENT).clamp(*MOMENTS.start(), *MOMENTS.end());
        Self(shortest.min(TOGETHER_MAX) / u32::try_from(moments).unwrap_or(1))
    }

    /// How much earlier than those of others the periods of a device begin. The devices of a gateway are spread over
    /// a second, in moments that are this far from each other; `seed` chooses one.
    pub fn phase(self, seed: u64) -> Duration {
        let moments = TOGETHER_MAX.as_micros() / self.0.as_micros().max(1);
        let moment = u128::from(seed) % moments.max(1);
        self.0 * u32::try_from(moment).unwrap_or_default()
    }
}

impl Default for Together {
    /// 20 ms.
    fn default() -> Self {
        Self(Duration::from_millis(20))
    }
}

impl Heartbeat {
    /// Of a point that says `own`, where all say `usual`.
    pub fn of(own: Option<Self>, usual: Option<Self>) -> Option<Duration> {
        own.or(usual)?.0.map(Period::get)
    }
}

impl Backoff {
    /// From the shortest and the longest pause; `None` if the longest is shorter.
    pub fn new(min: Period, max: Period) -> Option<Self> {
        (min <= max).then_some(Self {
            min: min.0,
            max: max.0,
        })
    }

    /// The shortest pause.
    pub fn min(self) -> Duration {
        self.min
    }

    /// The longest pause.
    pub fn max(self) -> Duration {
        self.max
    }
}

impl Default for Backoff {
    /// 1 s to 60 s.
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
        }
    }
}

struct TextVisitor<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor {
            expected: PERIOD,
            parse: Self::parse,
        })
    }
}

impl<'de> Deserialize<'de> for Poll {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor {
            expected: POLL,
            parse: |text| match text {
                "once" => Some(Self::Once),
                text => Period::parse(text).map(Self::Every),
            },
        })
    }
}

impl<'de> Deserialize<'de> for Together {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor {
            expected: TOGETHER,
            parse: Self::parse,
        })
    }
}

impl<'de> Deserialize<'de> for Heartbeat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor {
            expected: HEARTBEAT,
            parse: |text| match text {
                "never" => Some(Self(None)),
                text => Period::parse(text).map(|period| Self(Some(period))),
            },
        })
    }
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor {
            expected: BACKOFF,
            parse: |text| {
                let (min, max) = text.split_once("..")?;
                Self::new(Period::parse(min)?, Period::parse(max)?)
            },
        })
    }
}

impl<'de> Deserialize<'de> for Deadband {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DeadbandVisitor)
    }
}

struct DeadbandVisitor;

impl DeadbandVisitor {
    fn absolute<E: de::Error>(self, number: Decimal, found: Unexpected<'_>) -> Result<Deadband, E> {
        if number < Decimal::ZERO {
            return Err(E::invalid_value(found, &self));
        }
        Ok(Deadband::Absolute(number))
    }
}

impl Visitor<'_> for DeadbandVisitor {
    type Value = Deadband;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DEADBAND)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Deadband, E> {
        self.absolute(value.into(), Unexpected::Signed(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Deadband, E> {
        self.absolute(value.into(), Unexpected::Unsigned(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Deadband, E> {
        let found = Unexpected::Float(value);
        match Decimal::from_f64(value) {
            Some(number) => self.absolute(number, found),
            None => Err(E::invalid_value(found, &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Deadband, E> {
        text.strip_suffix('%')
            .and_then(|number| number.trim_end().parse().ok())
            .filter(|percent| (Decimal::ZERO..=Decimal::from(100)).contains(percent))
            .map(Deadband::Percent)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: de::DeserializeOwned>(json: &str) -> Result<T, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn times_are_read_with_their_unit() {
        for (json, want_ms) in [
            ("\"300ms\"", Some(300)),
            ("\"1s\"", Some(1_000)),
            ("\"1.5s\"", Some(1_500)),
            ("\"5m\"", Some(300_000)),
            ("\"12h\"", Some(43_200_000)),
            ("\"720h\"", Some(2_592_000_000)),
            ("\"721h\"", None),
            ("\"0s\"", None),
            ("\"-1s\"", None),
            ("\"1 s\"", None),
            ("\"s\"", None),
            ("\"1\"", None),
            ("\"30d\"", Some(2_592_000_000)),
            ("\"1w\"", None),
            ("\"0.0001ms\"", None),
            ("\"99999999999999999999999999999999999999h\"", None),
            ("1", None),
        ] {
            let got = read::<Period>(json);
            let want = want_ms.map(|ms| Period(Duration::from_millis(ms)));
            assert_eq!(got.clone().ok(), want, "{json}");
            if let Err(error) = got {
                assert!(error.contains("expected a time such as 300ms"), "{error}");
            }
        }
    }

    #[test]
    fn a_poll_is_a_time_or_once() {
        assert_eq!(read("\"once\""), Ok(Poll::Once));
        assert_eq!(
            read("\"2s\""),
            Ok(Poll::Every(Period(Duration::from_secs(2))))
        );
        assert!(read::<Poll>("\"twice\"").unwrap_err().contains("or once"));
    }

    #[test]
    fn a_range_of_pauses_has_its_shorter_end_first() {
        let range: Backoff = read("\"500ms..2m\"").unwrap();
        assert_eq!(range.min(), Duration::from_millis(500));
        assert_eq!(range.max(), Duration::from_secs(120));
        for json in [
            "\"2s..1s\"",
            "\"1s\"",
            "\"..1s\"",
            "\"0s..1s\"",
            "\"1s...2s\"",
            "5",
        ] {
            assert!(read::<Backoff>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_deadband_is_a_number_or_a_percentage() {
        let exact = |text: &str| text.parse::<Decimal>().unwrap();
        for (json, want) in [
            ("0.5", Some(Deadband::Absolute(exact("0.5")))),
            ("0", Some(Deadband::Absolute(Decimal::ZERO))),
            ("5", Some(Deadband::Absolute(exact("5")))),
            ("\"1%\"", Some(Deadband::Percent(Decimal::ONE))),
            ("\"0.1 %\"", Some(Deadband::Percent(exact("0.1")))),
            ("\"101%\"", None),
            ("\"-1%\"", None),
            ("-1", None),
            ("-0.5", None),
            ("\"1\"", None),
            ("true", None),
        ] {
            assert_eq!(read(json).ok(), want, "{json}");
        }
    }

    #[test]
    fn devices_that_wait_for_nothing_are_spread_over_as_many_moments_as_they_need() {
        for (devices, shortest_ms, step_ms, moments) in [
            (1, 1_000, 200, 5),
            (100, 1_000, 200, 5),
            (300, 60_000, 66, 15),
            (1_000, 1_000, 20, 50),
            (100_000, 1_000, 20, 50),
            // They are spread over their own period, not five together.
            (100, 100, 20, 5),
            (1_000, 1, 0, 50),
        ] {
            let shortest = Duration::from_millis(shortest_ms);
            let together = Together::of_many(devices, shortest);
            assert_eq!(together.0.as_millis(), step_ms, "{devices} {shortest:?}");
            let within = shortest.min(TOGETHER_MAX).as_nanos();
            let phases = (0..1_000).map(|seed| together.phase(seed).as_nanos() % within);
            let mut phases: Vec<u128> = phases.collect();
            phases.sort_unstable();
            // Where a step is no whole number of nanoseconds.
            phases.dedup_by_key(|phase| *phase / 1_000);
            assert_eq!(phases.len(), moments, "{devices} {shortest:?}");
        }
    }

    #[test]
    fn defaults_may_be_given_in_part() {
        let defaults: Defaults = read(r#"{"heartbeat": "60s"}"#).unwrap();
        let heartbeat = Some(Heartbeat(Period::new(Duration::from_secs(60))));
        assert_eq!(
            defaults,
            Defaults {
                heartbeat,
                ..Defaults::default()
            }
        );
        assert!(read::<Defaults>(r#"{"hartbeat": "60s"}"#).is_err());
        assert!(read::<Defaults>(r#"{"heartbeat": "nver"}"#).is_err());
        for (own, usual, want) in [
            (None, None, None),
            (None, Some("60s"), Some(60)),
            (Some("5s"), Some("60s"), Some(5)),
            (Some("never"), Some("60s"), None),
            (Some("5s"), Some("never"), Some(5)),
        ] {
            let heartbeat = |text: &str| read::<Heartbeat>(&format!("\"{text}\"")).unwrap();
            let found = Heartbeat::of(own.map(heartbeat), usual.map(heartbeat));
            assert_eq!(found.map(|time| time.as_secs()), want, "{own:?} {usual:?}");
        }
        assert!(read::<Defaults>(r#"{"publish": "always"}"#).is_err());
    }
}
