//! One point: which field of a frame it shows, as what, and how it is set.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::{Deadband, Defaults, Period, Publish, Rule};
use fieldgate_model::{Decimal, Labels, Point, Value};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::names::entries;
use super::parse::{ParseConfig, Pattern};
use super::{Fault, RequestConfig};
use crate::parse::{FieldRef, NmeaField, Parser, nmea};
use crate::template::Template;

/// A point as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawPoint")]
pub struct PointEntry {
    raw: RawPoint,
}

/// A point with everything decided.
#[derive(Clone, Debug, PartialEq)]
pub struct PointConfig {
    /// The request whose answer holds it; `None` if the device streams.
    pub request: Option<usize>,
    /// What it shows; `None` if it is only written.
    pub source: Option<Source>,
    /// How a text becomes its value, what is done to it, and its names.
    pub reading: Reading,
    /// The unit of the value.
    pub unit: Option<String>,
    /// When it is published.
    pub rule: Rule,
    /// How it is set.
    pub write: Option<WriteConfig>,
}

/// What a point shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One field.
    Field(FieldRef),
    /// Several, as one object. Without the first, there is no value.
    Object(Vec<(String, FieldRef)>),
}

/// How what is in a frame becomes a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What a text is.
    pub kind: Kind,
    /// What a number is multiplied by; not zero.
    pub scale: Decimal,
    /// What is added after that.
    pub offset: Decimal,
    /// By what the value is multiplied for each unit that the frame may name.
    pub units: Option<Units>,
    /// What the device sends when it has no value: a text or a number.
    pub invalid: Option<Value>,
    /// Names for values.
    pub labels: Option<Labels>,
}

/// Units in the frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    /// Where the unit is.
    pub field: FieldRef,
    /// The units, and what makes the point's unit of each.
    pub factors: Vec<(String, Decimal)>,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A number, exact.
    Decimal,
    /// Itself, without the blanks around it.
    Text,
    /// A switch: `1`, `0`, `on`, `off`, `true`, `false`.
    Bool,
    /// A whole number in hexadecimal digits.
    Hex,
}

/// How a point is set.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteConfig {
    /// What is sent.
    pub send: Template,
    /// What answers it; absent: nothing, and it is done when it is sent. A capture `value` is
    /// compared with what was sent.
    pub answer: Option<Pattern>,
    /// What the device says when it refuses.
    pub refused: Option<Pattern>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The least value.
    pub min: Option<Decimal>,
    /// The greatest value.
    pub max: Option<Decimal>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoint {
    request: Option<String>,
    sentence: Option<String>,
    field: Option<Name>,
    fields: Option<Vec<Name>>,
    #[serde(rename = "as")]
    kind: Option<Kind>,
    #[serde(rename = "enum")]
    labels: Option<Labels>,
    scale: Option<Decimal>,
    offset: Option<Decimal>,
    unit: Option<String>,
    unit_from: Option<RawUnits>,
    invalid: Option<Value>,
    publish: Option<Publish>,
    deadband: Option<Deadband>,
    heartbeat: Option<Period>,
    write: Option<RawWrite>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnits {
    field: Name,
    #[serde(deserialize_with = "entries")]
    factors: Vec<(String, Decimal)>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWrite {
    send: Template,
    answer: Option<Pattern>,
    refused: Option<Pattern>,
    timeout: Option<Period>,
    min: Option<Decimal>,
    max: Option<Decimal>,
}

/// The name of a field, or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name(String);

const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const FIELDS_MAX: usize = 32;

impl TryFrom<RawPoint> for PointEntry {
    type Error = String;

    fn try_from(raw: RawPoint) -> Result<Self, String> {
        if raw.field.is_some() && raw.fields.is_some() {
            return Err("fields: the point already has `field`".into());
        }
        if raw
            .fields
            .as_ref()
            .is_some_and(|fields| !(1..=FIELDS_MAX).contains(&fields.len()))
        {
            return Err(format!("fields: expected 1 to {FIELDS_MAX} fields"));
        }
        if raw.scale == Some(Decimal::ZERO) {
            return Err("scale: must not be 0".into());
        }
        let numeric = raw.numeric();
        let other = raw
            .kind
            .filter(|kind| !matches!(kind, Kind::Decimal | Kind::Hex));
        if let (Some(key), Some(_)) = (numeric, other) {
            return Err(format!(
                "{key}: only a number has one; expected as: decimal"
            ));
        }
        if let (Some(key), true) = (numeric, raw.fields.is_some()) {
            return Err(format!("{key}: a point of several fields is no number"));
        }
        if raw.labels.is_some() && raw.fields.is_some() {
            return Err("enum: a point of several fields has no names".into());
        }
        if raw.fields.is_some() && raw.write.is_some() {
            return Err("write: a point of several fields cannot be set".into());
        }
        if raw
            .unit_from
            .as_ref()
            .is_some_and(|units| units.factors.is_empty())
        {
            return Err("unit_from.factors: expected at least one unit".into());
        }
        if raw.unit_from.is_some() && raw.unit.is_none() {
            return Err("unit_from: needs `unit`, which it converts to".into());
        }
        if let Some(write) = &raw.write {
            write.check()?;
        }
        Ok(Self { raw })
    }
}

impl RawPoint {
    /// The first key that only a number has.
    fn numeric(&self) -> Option<&'static str> {
        let keys = [
            ("deadband", self.deadband.is_some()),
            ("scale", self.scale.is_some()),
            ("offset", self.offset.is_some()),
            ("unit_from", self.unit_from.is_some()),
        ];
        let mut given = keys.into_iter().filter(|(_, is_given)| *is_given);
        given.next().map(|(key, _)| key)
    }

    fn kind(&self) -> Kind {
        let is_number = self.numeric().is_some() || (self.unit.is_some() && self.fields.is_none());
        self.kind
            .unwrap_or(if is_number { Kind::Decimal } else { Kind::Text })
    }
}

impl RawWrite {
    fn check(&self) -> Result<(), String> {
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Err(format!("write.min: {min} is above max {max}"));
        }
        if self
            .timeout
            .is_some_and(|timeout| timeout.get() > TIMEOUT_MAX)
        {
            return Err("write.timeout: must be at most 60s".into());
        }
        if self.refused.is_some() && self.answer.is_none() {
            return Err("write.refused: needs `answer`; without it nothing is waited for".into());
        }
        if self.timeout.is_some() && self.answer.is_none() {
            return Err("write.timeout: needs `answer`; without it nothing is waited for".into());
        }
        Ok(())
    }
}

impl PointEntry {
    /// Decides everything, and finds its fields.
    pub(super) fn resolve(
        &self,
        name: &str,
        requests: &[RequestConfig],
        parse: &ParseConfig,
        defaults: &Defaults,
        faults: &mut Vec<Fault>,
    ) -> Option<PointConfig> {
        let raw = &self.raw;
        let request = self.request(name, requests, faults)?;
        let parse = request
            .and_then(|at| requests.get(at))
            .map_or(parse, |request| &request.parse);
        let mut finder = Finder {
            point: name,
            sentence: raw.sentence.as_deref(),
            parse,
            faults,
        };
        finder.check_sentence()?;
        let source = finder.source(raw)?;
        let units = match &raw.unit_from {
            None => None,
            Some(units) => Some(Units {
                field: finder.find(&["unit_from", "field"], &units.field.0)?,
                factors: units.factors.clone(),
            }),
        };
        Some(PointConfig {
            request: request.filter(|_| source.is_some()),
            source,
            reading: Reading {
                kind: raw.kind(),
                scale: raw.scale.unwrap_or(Decimal::ONE),
                offset: raw.offset.unwrap_or(Decimal::ZERO),
                units,
                invalid: raw.invalid.clone(),
                labels: raw.labels.clone(),
            },
            unit: raw.unit.clone(),
            rule: Rule {
                publish: raw.publish.unwrap_or(defaults.publish),
                deadband: raw.deadband,
                heartbeat: raw.heartbeat.or(defaults.heartbeat).map(Period::get),
            },
            write: raw.write.as_ref().map(|write| WriteConfig {
                send: write.send.clone(),
                answer: write.answer.clone(),
                refused: write.refused.clone(),
                timeout: write.timeout.map_or(WRITE_TIMEOUT, Period::get),
                min: write.min,
                max: write.max,
            }),
        })
    }

    /// The request that it belongs to; `Some(None)` for a streaming device.
    fn request(
        &self,
        name: &str,
        requests: &[RequestConfig],
        faults: &mut Vec<Fault>,
    ) -> Option<Option<usize>> {
        let path = ["points", name, "request"];
        let names = || {
            requests
                .iter()
                .map(|request| request.name.clone())
                .collect()
        };
        let is_read = self.raw.field.is_some() || self.raw.fields.is_some();
        match (&self.raw.request, requests) {
            (None, []) => Some(None),
            (None, [_]) => Some(Some(0)),
            (None, _) if self.raw.write.is_some() && !is_read => Some(None),
            (None, _) => {
                let names: Vec<String> = names();
                let message = format!("expected `request`, one of {}", names.join(", "));
                faults.push(Fault::new(&["points", name], message));
                None
            }
            (Some(wanted), requests) => {
                let found = requests.iter().position(|request| request.name == *wanted);
                if found.is_none() {
                    faults.push(Fault::unknown(&path, "request", wanted, names()));
                }
                found.map(Some)
            }
        }
    }
}

/// Finds the fields of one point.
struct Finder<'a> {
    point: &'a str,
    sentence: Option<&'a str>,
    parse: &'a ParseConfig,
    faults: &'a mut Vec<Fault>,
}

impl Finder<'_> {
    fn check_sentence(&mut self) -> Option<()> {
        let path = ["points", self.point, "sentence"];
        let message = match (&self.parse.parser, self.sentence) {
            (Parser::Nmea, None) => {
                let text = "expected `sentence`, such as GGA, or GNGGA for one talker only";
                self.faults.push(Fault::new(&["points", self.point], text));
                return None;
            }
            (Parser::Nmea, Some(sentence)) => {
                let is_plain = sentence
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
                if is_plain && (3..=8).contains(&sentence.len()) {
                    return Some(());
                }
                "expected three capital letters such as GGA, or talker and type such as GNGGA"
            }
            (_, Some(_)) => "only with `parse: nmea`",
            (_, None) => return Some(()),
        };
        self.faults.push(Fault::new(&path, message));
        None
    }

    fn find(&mut self, key: &[&str], name: &str) -> Option<FieldRef> {
        let found = match (&self.parse.parser, self.sentence) {
            (Parser::Nmea, Some(sentence)) => match name.parse::<usize>() {
                Ok(index) if (1..=80).contains(&index) => Some(NmeaField::at(sentence, index)),
                _ => NmeaField::named(sentence, name),
            }
            .map(FieldRef::Nmea),
            (parser, _) => parser.field(name),
        };
        if found.is_none() {
            let path: Vec<&str> = ["points", self.point].iter().chain(key).copied().collect();
            self.faults
                .push(Fault::unknown(&path, "field", name, self.known()));
        }
        found
    }

    /// What the point shows; `Some(None)` if it is only written.
    fn source(&mut self, raw: &RawPoint) -> Option<Option<Source>> {
        let source = match (&raw.field, &raw.fields) {
            (Some(Name(field)), _) => Some(Source::Field(self.find(&["field"], field)?)),
            (None, Some(fields)) => Some(Source::Object(self.object(fields)?)),
            (None, None) if self.parse.parser == Parser::Text && raw.write.is_none() => {
                Some(Source::Field(FieldRef::Whole))
            }
            (None, None) if raw.write.is_some() => None,
            (None, None) => {
                let known = self.known().join(", ");
                let message = match known.as_str() {
                    "" => "expected `field`".to_owned(),
                    known => format!("expected `field`, one of {known}"),
                };
                self.faults
                    .push(Fault::new(&["points", self.point], message));
                return None;
            }
        };
        Some(source)
    }

    fn object(&mut self, names: &[Name]) -> Option<Vec<(String, FieldRef)>> {
        let found = names
            .iter()
            .map(|Name(name)| Some((name.clone(), self.find(&["fields"], name)?)));
        // All are looked for, so that every wrong one is told.
        let found: Vec<_> = found.collect();
        found.into_iter().collect()
    }

    fn known(&self) -> Vec<String> {
        match (&self.parse.parser, self.sentence) {
            (Parser::Nmea, Some(sentence)) => {
                let mut names: Vec<String> = nmea::names(sentence)
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect();
                names.push("a number from 1".to_owned());
                names
            }
            (parser, _) => parser.names(),
        }
    }
}

impl PointConfig {
    /// What topics and payloads need to know of it.
    pub fn to_model(&self, name: &str) -> Point {
        Point {
            name: name.to_owned(),
            unit: self.unit.clone(),
            writable: self.write.is_some(),
            labels: self.reading.labels.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field, or its number from 1")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Name, E> {
        Ok(Name(number.to_string()))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(Name(name.to_owned()))
    }
}
