//! One point: which field of a frame it shows, as what, and how it is set.

use fieldgate_bridge::names::entries;
use fieldgate_bridge::{Deadband, Defaults, Heartbeat, Misfit, Publish, Rule};
use fieldgate_model::{Decimal, Labels, Point, Value};
use serde::Deserialize;

use super::RequestConfig;
use super::absence::Absence;
use super::finder::{Finder, Name, Source};
use super::parse::ParseConfig;
use super::write::{RawWrite, WriteConfig};
use crate::parse::{BinaryKind, FieldRef, Parser};

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
    /// What it means that a frame does not hold it; absent: nothing, the value stays.
    pub absent: Option<Absence>,
    /// The unit of the value.
    pub unit: Option<String>,
    /// When it is published.
    pub rule: Rule,
    /// How it is set.
    pub write: Option<WriteConfig>,
}

/// How what is in a frame becomes a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What a field is taken as.
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

/// What a field is taken as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What it is in the frame: a text, or a number, switch or bytes of a frame that has types.
    #[serde(skip)]
    Own,
    /// A number, exact.
    Decimal,
    /// Its text, without the blanks around it.
    Text,
    /// A switch: `1`, `0`, `on`, `off`, `true`, `false`.
    Bool,
    /// A whole number in hexadecimal digits.
    Hex,
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
    absent: Option<Absence>,
    publish: Option<Publish>,
    deadband: Option<Deadband>,
    heartbeat: Option<Heartbeat>,
    write: Option<RawWrite>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnits {
    field: Name,
    #[serde(deserialize_with = "entries")]
    factors: Vec<(String, Decimal)>,
}

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
        if let (Some(Absence::Value(_)), true) = (&raw.absent, raw.fields.is_some()) {
            return Err("absent: a point of several fields can only be bad".into());
        }
        if let Some(write) = &raw.write {
            write.check()?;
        }
        if let Some(labels) = &raw.labels {
            let is_number = raw.kind() == Kind::Decimal;
            let numbers = if is_number {
                labels.check_numbers()
            } else {
                Ok(())
            };
            let commands = raw
                .write
                .as_ref()
                .map_or(Ok(()), |_| labels.check_commands());
            numbers
                .and(commands)
                .map_err(|why| format!("enum: {why}"))?;
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
            .unwrap_or(if is_number { Kind::Decimal } else { Kind::Own })
    }
}

impl RawPoint {
    /// A field that has a type cannot be taken as any other.
    fn check_types(
        &self,
        name: &str,
        source: Option<&Source>,
        misfits: &mut Vec<Misfit>,
    ) -> Option<()> {
        let fields: Vec<&FieldRef> = match source {
            None => Vec::new(),
            Some(Source::Field(field)) => vec![field],
            Some(Source::Object(fields)) => fields.iter().map(|(_, field)| field).collect(),
        };
        for field in fields {
            let FieldRef::Binary(field) = field else {
                continue;
            };
            if let Some(wrong) = mismatch(self.kind(), field.kind) {
                let key = match (self.kind, self.numeric()) {
                    (Some(_), _) => "as",
                    (None, Some(key)) => key,
                    (None, None) => "unit",
                };
                misfits.push(Misfit::new(&["points", name, key], wrong));
                return None;
            }
        }
        Some(())
    }

    fn check_absence(
        &self,
        name: &str,
        source: Option<&Source>,
        parser: &Parser,
        misfits: &mut Vec<Misfit>,
    ) -> Option<()> {
        if self.absent.is_none() {
            return Some(());
        }
        let message = if source.is_none() {
            "needs `field`: a point that is only written is in no frame"
        } else if *parser == Parser::Nmea {
            "not with `parse: nmea`: each sentence holds other points"
        } else {
            return Some(());
        };
        misfits.push(Misfit::new(&["points", name, "absent"], message));
        None
    }
}

/// Why a field of a binary frame can never be what the point takes it as.
fn mismatch(kind: Kind, field: BinaryKind) -> Option<&'static str> {
    match (kind, field) {
        (Kind::Own | Kind::Text, _) | (_, BinaryKind::Text(_)) => None,
        (Kind::Decimal, BinaryKind::Bit(_)) => Some("the field is a bit, not a number"),
        (_, BinaryKind::Bytes(_)) => Some("the field is bytes; expected a number such as u16"),
        (Kind::Bool, BinaryKind::Float(_)) => Some("the field is a float, not a switch"),
        (Kind::Hex, _) => Some("`hex` reads a text in hexadecimal digits; the field is none"),
        (Kind::Decimal | Kind::Bool, _) => None,
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
        misfits: &mut Vec<Misfit>,
    ) -> Option<PointConfig> {
        let raw = &self.raw;
        let request = self.request(name, requests, misfits)?;
        let parse = request
            .and_then(|at| requests.get(at))
            .map_or(parse, |request| &request.parse);
        let mut finder = Finder {
            point: name,
            sentence: raw.sentence.as_deref(),
            parse,
            misfits,
        };
        finder.check_sentence()?;
        let source = finder.source(
            raw.field.as_ref(),
            raw.fields.as_deref(),
            raw.write.is_some(),
        )?;
        raw.check_types(name, source.as_ref(), finder.misfits)?;
        raw.check_absence(name, source.as_ref(), &parse.parser, finder.misfits)?;
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
            absent: raw.absent.clone(),
            unit: raw.unit.clone(),
            rule: Rule {
                publish: raw.publish.unwrap_or(defaults.publish),
                deadband: raw.deadband,
                heartbeat: Heartbeat::of(raw.heartbeat, defaults.heartbeat),
            },
            write: raw.write.as_ref().map(RawWrite::resolve),
        })
    }

    /// The request that it belongs to; `Some(None)` for a streaming device.
    fn request(
        &self,
        name: &str,
        requests: &[RequestConfig],
        misfits: &mut Vec<Misfit>,
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
                misfits.push(Misfit::new(&["points", name], message));
                None
            }
            (Some(wanted), requests) => {
                let found = requests.iter().position(|request| request.name == *wanted);
                if found.is_none() {
                    misfits.push(Misfit::unknown(&path, "request", wanted, names()));
                }
                found.map(Some)
            }
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
