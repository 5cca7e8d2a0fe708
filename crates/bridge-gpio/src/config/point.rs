//! One point: what it does with its line.

use std::time::Duration;

use fieldgate_bridge::{Claim, Deadband, Defaults, Heartbeat, Misfit, Period, Publish, Rule};
use fieldgate_model::{Decimal, Labels, Value};
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::line::DEBOUNCE_MAX;
use super::{Drive, Edge, LineConfig, LineRef, Pull};

/// A point as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawPoint")]
pub struct PointEntry {
    raw: RawPoint,
}

/// A point with everything decided.
#[derive(Clone, Debug, PartialEq)]
pub struct PointConfig {
    /// What it does.
    pub kind: Kind,
    /// The unit of its value.
    pub unit: Option<String>,
    /// Names for 0 and 1, or for counts.
    pub labels: Option<Labels>,
    /// When it is published.
    pub rule: Rule,
}

/// What a point does.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Shows the level of an input.
    In(LineConfig),
    /// Counts the edges of an input.
    Count(CountConfig),
    /// Shows how fast a counter goes.
    Rate(RateConfig),
    /// Shows how many pulses of a counter, by index, are known only by their numbers.
    Lost(usize),
    /// Switches an output.
    Out(OutConfig),
    /// Sets a PWM channel.
    Pwm(PwmConfig),
}

/// A counter.
#[derive(Clone, Debug, PartialEq)]
pub struct CountConfig {
    /// Its line.
    pub line: LineConfig,
    /// Which edges count.
    pub edge: Edge,
    /// What a pulse is worth; above zero.
    pub scale: Decimal,
    /// How often a changed count is published at most.
    pub every: Duration,
    /// How often a changed count is kept; absent: it begins at zero with each start.
    pub persist: Option<Duration>,
    /// Whether it may be preset.
    pub write: bool,
}

/// The rate of a counter.
#[derive(Clone, Debug, PartialEq)]
pub struct RateConfig {
    /// The counter, by index.
    pub of: usize,
    /// What a pulse is worth.
    pub scale: Decimal,
    /// The time that the rate is about: one second for hertz.
    pub per: Duration,
    /// How often it is published at most.
    pub every: Duration,
    /// After what time without a pulse it is zero.
    pub still: Duration,
}

/// An output.
#[derive(Clone, Debug, PartialEq)]
pub struct OutConfig {
    /// Its line.
    pub line: LineConfig,
    /// How it drives.
    pub drive: Drive,
    /// Its level at the start; absent: as it is.
    pub initial: Option<bool>,
    /// Its level when the gateway no longer controls it; absent: as it is.
    pub safe: Option<bool>,
    /// The longest time that it may be on.
    pub pulse_max: Option<Duration>,
    /// Outputs, by index, none of which may be on with it.
    pub interlock: Vec<usize>,
}

/// A PWM channel. Its value is the duty in percent.
#[derive(Clone, Debug, PartialEq)]
pub struct PwmConfig {
    /// Its number, 0 to 3.
    pub channel: u8,
    /// Its frequency in hertz.
    pub frequency: u32,
    /// Its duty at the start; absent: as it is.
    pub initial: Option<Decimal>,
    /// Its duty when the gateway no longer controls it; absent: as it is.
    pub safe: Option<Decimal>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoint {
    #[serde(rename = "in")]
    input: Option<LineRef>,
    count: Option<LineRef>,
    rate: Option<String>,
    lost: Option<String>,
    out: Option<LineRef>,
    pwm: Option<u8>,
    pull: Option<Pull>,
    active_low: Option<bool>,
    debounce: Option<Period>,
    edge: Option<Edge>,
    scale: Option<Decimal>,
    every: Option<Period>,
    persist: Option<Period>,
    write: Option<bool>,
    per: Option<Period>,
    still: Option<Period>,
    drive: Option<Drive>,
    initial: Option<Level>,
    safe: Option<Level>,
    pulse_max: Option<Period>,
    interlock: Option<Vec<String>>,
    frequency: Option<u32>,
    unit: Option<String>,
    #[serde(rename = "enum")]
    labels: Option<Labels>,
    publish: Option<Publish>,
    deadband: Option<Deadband>,
    heartbeat: Option<Heartbeat>,
}

/// A level or a duty: a switch or a number.
#[derive(Clone, Debug, PartialEq)]
struct Level(Value);

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value.to_switch().is_some() || value.to_decimal().is_some() {
            true => Ok(Self(value)),
            false => Err(de::Error::custom(format!(
                "expected 0 or 1, found \"{value}\""
            ))),
        }
    }
}

const KINDS: [&str; 6] = ["in", "count", "rate", "lost", "out", "pwm"];
const EVERY: Duration = Duration::from_secs(1);
const STILL: Duration = Duration::from_secs(10);
/// More often than this wears out a card.
const PERSIST_MIN: Duration = Duration::from_secs(1);
/// Less would flood clients.
const EVERY_MIN: Duration = Duration::from_millis(50);

impl TryFrom<RawPoint> for PointEntry {
    type Error = String;

    fn try_from(raw: RawPoint) -> Result<Self, String> {
        let given: Vec<&str> = raw.kinds().collect();
        let kind = match given.as_slice() {
            [kind] => *kind,
            [] => return Err(format!("expected one of {}", KINDS.join(", "))),
            [first, second, ..] => {
                return Err(format!("{second}: the point already has `{first}`"));
            }
        };
        if let Some((key, kinds)) = raw.misplaced(kind) {
            return Err(format!(
                "{key}: only a point with {kinds} has it, this one has `{kind}`"
            ));
        }
        let too_long =
            |period: Option<Period>| period.is_some_and(|time| time.get() > DEBOUNCE_MAX);
        if too_long(raw.debounce) {
            return Err("debounce: must be at most 60s".into());
        }
        if raw.scale.is_some_and(|scale| scale <= Decimal::ZERO) {
            return Err("scale: must be above 0".into());
        }
        if raw.persist.is_some_and(|time| time.get() < PERSIST_MIN) {
            return Err("persist: must be at least 1s".into());
        }
        if raw.every.is_some_and(|time| time.get() < EVERY_MIN) {
            return Err("every: must be at least 50ms".into());
        }
        for (key, level) in [("initial", &raw.initial), ("safe", &raw.safe)] {
            let Some(Level(value)) = level else { continue };
            if kind == "out" && value.to_switch().is_none() {
                return Err(format!("{key}: expected 0 or 1, found {value}"));
            }
            let limits = Decimal::ZERO..=Decimal::from(100);
            if kind == "pwm"
                && !value
                    .to_decimal()
                    .is_some_and(|duty| limits.contains(&duty))
            {
                return Err(format!(
                    "{key}: expected a duty of 0 to 100 percent, found {value}"
                ));
            }
        }
        if raw.pulse_max.is_some() && raw.level(&raw.safe) == Some(true) {
            return Err("safe: an output with `pulse_max` cannot stay on".into());
        }
        if kind == "pwm" {
            if raw.pwm > Some(3) {
                return Err("pwm: expected a channel, 0 to 3".into());
            }
            if !raw
                .frequency
                .is_some_and(|hertz| (1..=10_000_000).contains(&hertz))
            {
                return Err("frequency: expected 1 to 10000000 (hertz)".into());
            }
        }
        Ok(Self { raw })
    }
}

impl RawPoint {
    fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            self.input.is_some(),
            self.count.is_some(),
            self.rate.is_some(),
            self.lost.is_some(),
            self.out.is_some(),
            self.pwm.is_some(),
        ];
        let kinds = KINDS.into_iter().zip(given);
        kinds
            .filter(|(_, is_given)| *is_given)
            .map(|(kind, _)| kind)
    }

    /// The first key that a point of this kind does not have, and which kinds do.
    fn misplaced(&self, kind: &str) -> Option<(&'static str, &'static str)> {
        let keys = [
            ("pull", self.pull.is_some(), "in, count, out"),
            ("active_low", self.active_low.is_some(), "in, count, out"),
            ("debounce", self.debounce.is_some(), "in, count"),
            ("edge", self.edge.is_some(), "count"),
            ("scale", self.scale.is_some(), "count, rate"),
            ("every", self.every.is_some(), "count, rate"),
            ("persist", self.persist.is_some(), "count"),
            ("write", self.write.is_some(), "count"),
            ("per", self.per.is_some(), "rate"),
            ("still", self.still.is_some(), "rate"),
            ("drive", self.drive.is_some(), "out"),
            ("initial", self.initial.is_some(), "out, pwm"),
            ("safe", self.safe.is_some(), "out, pwm"),
            ("pulse_max", self.pulse_max.is_some(), "out"),
            ("interlock", self.interlock.is_some(), "out"),
            ("frequency", self.frequency.is_some(), "pwm"),
            ("enum", self.labels.is_some(), "in, out"),
            (
                "deadband",
                self.deadband.is_some(),
                "count, rate, lost, pwm",
            ),
        ];
        let has = |kinds: &str| kinds.split(", ").any(|other| other == kind);
        let mut wrong = keys
            .into_iter()
            .filter(|(_, is_given, kinds)| *is_given && !has(kinds));
        wrong.next().map(|(key, _, kinds)| (key, kinds))
    }

    fn level(&self, level: &Option<Level>) -> Option<bool> {
        level.as_ref().and_then(|Level(value)| value.to_switch())
    }

    fn duty(&self, level: &Option<Level>) -> Option<Decimal> {
        level.as_ref().and_then(|Level(value)| value.to_decimal())
    }

    fn line(&self, line: &LineRef) -> LineConfig {
        LineConfig {
            line: line.clone(),
            pull: self.pull,
            active_low: self.active_low.unwrap_or(false),
            debounce: self.debounce.map(Period::get),
        }
    }

    fn every(&self) -> Duration {
        self.every.map_or(EVERY, Period::get)
    }
}

impl PointEntry {
    /// The line or the channel that no other point can have. `name` is the point's.
    pub(super) fn claim(&self, name: &str, chip: Option<&str>, simulated: bool) -> Option<Claim> {
        let raw = &self.raw;
        let lines = [("in", &raw.input), ("count", &raw.count), ("out", &raw.out)];
        let mut lines = lines.into_iter();
        if let Some((key, line)) = lines.find_map(|(key, line)| Some((key, line.as_ref()?))) {
            let what = if simulated { "simulated line" } else { "line" };
            // A name may look like a number.
            let line = match line {
                LineRef::Name(name) => name.clone(),
                LineRef::Offset(offset) => format!("number {offset}"),
            };
            return Some(Claim {
                within: chip.map(str::to_owned),
                ..Claim::new(&["points", name, key], what, line)
            });
        }
        let what = if simulated {
            "simulated PWM channel"
        } else {
            "PWM channel"
        };
        raw.pwm
            .map(|channel| Claim::new(&["points", name, "pwm"], what, channel.to_string()))
    }

    /// Decides everything; other points are found by name among `points`.
    pub(super) fn resolve(
        &self,
        name: &str,
        points: &[(String, Self)],
        defaults: &Defaults,
        misfits: &mut Vec<Misfit>,
    ) -> Option<PointConfig> {
        let raw = &self.raw;
        let mut finder = Finder {
            point: name,
            points,
            misfits,
        };
        Some(PointConfig {
            kind: raw.kind(&mut finder)?,
            unit: raw.unit.clone(),
            labels: raw.labels.clone(),
            rule: Rule {
                publish: raw.publish.unwrap_or(defaults.publish),
                deadband: raw.deadband,
                heartbeat: Heartbeat::of(raw.heartbeat, defaults.heartbeat),
            },
        })
    }
}

impl RawPoint {
    fn kind(&self, finder: &mut Finder<'_>) -> Option<Kind> {
        if let Some(line) = &self.input {
            return Some(Kind::In(self.line(line)));
        }
        if let Some(line) = &self.count {
            return Some(Kind::Count(CountConfig {
                line: self.line(line),
                edge: self.edge.unwrap_or_default(),
                scale: self.scale.unwrap_or(Decimal::ONE),
                every: self.every(),
                persist: self.persist.map(Period::get),
                write: self.write.unwrap_or(false),
            }));
        }
        if let Some(counter) = &self.rate {
            let (of, counter) = finder.counter("rate", counter)?;
            return Some(Kind::Rate(RateConfig {
                of,
                scale: self.scale.or(counter.scale).unwrap_or(Decimal::ONE),
                per: self.per.map_or(Duration::from_secs(1), Period::get),
                every: self.every(),
                still: self.still.map_or(STILL, Period::get),
            }));
        }
        if let Some(counter) = &self.lost {
            return Some(Kind::Lost(finder.counter("lost", counter)?.0));
        }
        if let Some(channel) = self.pwm {
            return Some(Kind::Pwm(PwmConfig {
                channel,
                frequency: self.frequency.unwrap_or(1),
                initial: self.duty(&self.initial),
                safe: self.duty(&self.safe),
            }));
        }
        let line = self.out.as_ref()?;
        Some(Kind::Out(OutConfig {
            line: self.line(line),
            drive: self.drive.unwrap_or_default(),
            initial: self.level(&self.initial),
            safe: self.level(&self.safe),
            pulse_max: self.pulse_max.map(Period::get),
            interlock: finder.interlocks(self.interlock.as_deref().unwrap_or_default())?,
        }))
    }
}

/// Finds the other points that a point names.
struct Finder<'a> {
    point: &'a str,
    points: &'a [(String, PointEntry)],
    misfits: &'a mut Vec<Misfit>,
}

impl<'a> Finder<'a> {
    fn find(
        &mut self,
        key: &str,
        name: &str,
        what: &str,
        fits: fn(&RawPoint) -> bool,
    ) -> Option<(usize, &'a RawPoint)> {
        let points = self.points;
        let mut fitting = points
            .iter()
            .enumerate()
            .filter(|(_, (own, entry))| own != self.point && fits(&entry.raw));
        let found = fitting.clone().find(|(_, (other, _))| other == name);
        if let Some((index, (_, entry))) = found {
            return Some((index, &entry.raw));
        }
        let known: Vec<String> = fitting
            .by_ref()
            .map(|(_, (name, _))| name.clone())
            .collect();
        let path = ["points", self.point, key];
        self.misfits.push(Misfit::unknown(&path, what, name, known));
        None
    }

    fn counter(&mut self, key: &str, name: &str) -> Option<(usize, &'a RawPoint)> {
        self.find(key, name, "counter", |point| point.count.is_some())
    }

    /// Those that the point names and those that name it: an interlock holds both ways.
    fn interlocks(&mut self, names: &[String]) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        for name in names {
            let (index, _) = self.find("interlock", name, "output", |point| point.out.is_some())?;
            found.push(index);
        }
        for (index, (name, entry)) in self.points.iter().enumerate() {
            let named = entry.raw.interlock.as_deref().unwrap_or_default();
            if name != self.point && named.iter().any(|other| other == self.point) {
                found.push(index);
            }
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

impl Kind {
    /// The key that it is written with.
    pub fn key(&self) -> &'static str {
        match self {
            Self::In(_) => "in",
            Self::Count(_) => "count",
            Self::Rate(_) => "rate",
            Self::Lost(_) => "lost",
            Self::Out(_) => "out",
            Self::Pwm(_) => "pwm",
        }
    }

    /// Its line, if it has one of its own.
    pub fn line(&self) -> Option<&LineConfig> {
        match self {
            Self::In(line) => Some(line),
            Self::Count(count) => Some(&count.line),
            Self::Out(out) => Some(&out.line),
            Self::Rate(_) | Self::Lost(_) | Self::Pwm(_) => None,
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        match self {
            Self::Out(_) | Self::Pwm(_) => true,
            Self::Count(count) => count.write,
            Self::In(_) | Self::Rate(_) | Self::Lost(_) => false,
        }
    }
}
