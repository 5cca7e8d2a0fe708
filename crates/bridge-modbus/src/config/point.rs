//! One point of a device: where it is and what it means.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::{Deadband, Defaults, Heartbeat, Poll, Publish, Rule};
use fieldgate_model::{Decimal, Encoding, Labels, Point};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Unexpected, Visitor};

use super::never::{Read, Readback};
use super::{Layout, Order, Table, Type};

/// A point as written. Its own keys are checked against each other; what it leaves out comes
/// from its device type and the defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawPoint")]
pub struct PointEntry {
    table: Table,
    address: u16,
    kind: Type,
    order: Option<Order>,
    scale: Decimal,
    scale_from: Option<String>,
    offset: Decimal,
    unit: Option<String>,
    invalid: Option<Invalid>,
    labels: Option<Labels>,
    encoding: Encoding,
    poll: Option<Read>,
    publish: Option<Publish>,
    deadband: Option<Deadband>,
    heartbeat: Option<Heartbeat>,
    write: Option<WriteRule>,
    readback: Option<Duration>,
}

/// A point with everything decided.
#[derive(Clone, Debug, PartialEq)]
pub struct PointConfig {
    /// Which table it is in.
    pub table: Table,
    /// Its first register or bit, from 0 as on the wire. The last one is at most 65535.
    pub address: u16,
    /// What it holds.
    pub kind: Type,
    /// In which order its bytes arrive.
    pub order: Order,
    /// What a raw number is multiplied by; not zero.
    pub scale: Decimal,
    /// The point, by its index in the device, whose value is the power of ten that the scaled
    /// value is multiplied by.
    pub scale_from: Option<usize>,
    /// What is added after that.
    pub offset: Decimal,
    /// The unit of the scaled value.
    pub unit: Option<String>,
    /// The raw value that means that there is none.
    pub invalid: Option<Invalid>,
    /// Names for scaled values.
    pub labels: Option<Labels>,
    /// How a text is written.
    pub encoding: Encoding,
    /// When it is read; `None` for never.
    pub poll: Option<Poll>,
    /// When it is published.
    pub rule: Rule,
    /// Whether and within what limits it can be written.
    pub write: Option<WriteRule>,
    /// How long after a write it is read back; `None` for never.
    pub readback: Option<Duration>,
}

/// The limits of what may be written, in scaled values; both ends are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteRule {
    /// The least value.
    pub min: Option<Decimal>,
    /// The greatest value.
    pub max: Option<Decimal>,
}

/// The raw value by which a device says that it has no value.
///
/// An integer is compared with the raw bits after the byte order is applied; `-1` stands for all
/// bits set. For `bit(n)` they are those of the whole register. A float type also compares it,
/// or a fraction, with its unscaled value. A text is compared with the unscaled text, or the
/// hexadecimal digits of `bytes(n)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Raw bits, or the unscaled value of a float.
    Number(Decimal),
    /// The text of a `string(n)`, or the hexadecimal digits of a `bytes(n)`.
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoint {
    input: Option<u16>,
    holding: Option<u16>,
    coil: Option<u16>,
    discrete: Option<u16>,
    #[serde(rename = "as")]
    kind: Option<Type>,
    order: Option<Order>,
    scale: Option<Decimal>,
    scale_from: Option<String>,
    offset: Option<Decimal>,
    unit: Option<String>,
    invalid: Option<Invalid>,
    #[serde(rename = "enum")]
    labels: Option<Labels>,
    encoding: Option<Encoding>,
    poll: Option<Read>,
    publish: Option<Publish>,
    deadband: Option<Deadband>,
    heartbeat: Option<Heartbeat>,
    #[serde(default)]
    write: Write,
    readback: Option<Readback>,
}

/// `write: true`, `write: false`, or limits.
#[derive(Default)]
struct Write(Option<WriteRule>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    min: Option<Decimal>,
    max: Option<Decimal>,
}

/// The specification's limit for function 16.
const WRITE_MAX: u16 = 123;
const READBACK_MAX: Duration = Duration::from_secs(60);

impl TryFrom<RawPoint> for PointEntry {
    type Error = String;

    fn try_from(raw: RawPoint) -> Result<Self, String> {
        let (table, address) = place(&raw)?;
        let name = table.name();
        let kind = match (table.is_bits(), raw.kind) {
            (true, None) => Type::Switch,
            (true, Some(_)) => return Err(format!("as: a {name} is one bit and has no type")),
            (false, Some(kind)) => kind,
            (false, None) => return Err(format!("{name}: a register needs its type, `as`")),
        };
        let last = u32::from(address) + u32::from(kind.registers()) - 1;
        if last > u32::from(u16::MAX) {
            return Err(format!(
                "{name}: {address} and {} registers of {kind} pass the last address, 65535",
                kind.registers()
            ));
        }
        check_number_keys(&raw, kind)?;
        if let Some(labels) = &raw.labels {
            check_labels(labels, kind, raw.write.0.is_some())
                .map_err(|why| format!("enum: {why}"))?;
        }
        if raw.write.0.is_some() && !table.is_writable() {
            return Err(format!("write: the {name} table is read-only"));
        }
        if raw.write.0.is_some() && kind.registers() > WRITE_MAX {
            return Err(format!(
                "write: {kind} needs more than the {WRITE_MAX} registers of one write"
            ));
        }
        if raw.readback.is_some() && raw.write.0.is_none() {
            return Err("readback: only a point with `write` is read back".into());
        }
        if raw.poll == Some(Read(None)) && raw.write.0.is_none() {
            return Err("poll: a point that is never read needs `write`".into());
        }
        let readback = raw.readback.map_or(Some(Duration::ZERO), |after| after.0);
        if readback.is_some_and(|after| after > READBACK_MAX) {
            return Err("readback: must be at most 60s".into());
        }
        Ok(Self {
            table,
            address,
            kind,
            order: raw.order,
            scale: raw.scale.unwrap_or(Decimal::ONE),
            scale_from: raw.scale_from,
            offset: raw.offset.unwrap_or(Decimal::ZERO),
            unit: raw.unit,
            invalid: raw.invalid,
            labels: raw.labels,
            encoding: raw.encoding.unwrap_or_default(),
            poll: raw.poll,
            publish: raw.publish,
            deadband: raw.deadband,
            heartbeat: raw.heartbeat,
            write: raw.write.0,
            readback,
        })
    }
}

impl PointEntry {
    /// Whether an answer is needed for it: the key, and what to write instead.
    pub(super) fn needs_answer(&self) -> Option<(&'static str, &'static str)> {
        if self.write.is_none() || self.poll != Some(Read(None)) {
            return Some(("poll", "write `poll: never` and `write`"));
        }
        if self.readback.is_some() {
            return Some(("readback", "write `readback: never`"));
        }
        let is_part = matches!(self.kind, Type::Bit(_) | Type::U8High | Type::U8Low);
        is_part.then_some((
            "as",
            "a part of a register cannot be written without reading the rest",
        ))
    }
}

/// The one table that is named, and the address in it.
fn place(raw: &RawPoint) -> Result<(Table, u16), String> {
    let places = [
        (Table::Input, raw.input),
        (Table::Holding, raw.holding),
        (Table::Coil, raw.coil),
        (Table::Discrete, raw.discrete),
    ];
    let mut named = places
        .into_iter()
        .filter_map(|(table, address)| Some((table, address?)));
    match (named.next(), named.next()) {
        (Some(place), None) => Ok(place),
        (Some((first, _)), Some((second, _))) => Err(format!(
            "{}: the point already has `{}`; expected one table",
            second.name(),
            first.name()
        )),
        (None, _) => Err("expected one of `input`, `holding`, `coil` or `discrete`".into()),
    }
}

/// Checks the keys that make sense for some types only.
fn check_number_keys(raw: &RawPoint, kind: Type) -> Result<(), String> {
    if raw.scale == Some(Decimal::ZERO) {
        return Err("scale: must not be 0".into());
    }
    for (key, given) in [
        ("scale", raw.scale.is_some()),
        ("offset", raw.offset.is_some()),
        ("deadband", raw.deadband.is_some()),
    ] {
        if given && !kind.is_number() {
            return Err(format!("{key}: {kind} is not a number"));
        }
    }
    if raw.scale_from.is_some() {
        if !is_integer(kind) {
            return Err(format!("scale_from: {kind} is not an integer"));
        }
        if raw.offset.is_some() || raw.labels.is_some() || raw.write.0.is_some() {
            return Err("scale_from: goes with none of `offset`, `enum` and `write`".into());
        }
    }
    if raw.encoding.is_some() && !matches!(kind, Type::String(_)) {
        return Err(format!("encoding: {kind} is no text"));
    }
    if raw.order.is_some() && kind == Type::Switch {
        return Err("order: one bit has no byte order".into());
    }
    if let Some(WriteRule { min, max }) = raw.write.0 {
        if (min.is_some() || max.is_some()) && !kind.is_number() {
            return Err(format!("write: {kind} is not a number and has no limits"));
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(format!("write: min {min} is above max {max}"));
        }
    }
    match (&raw.invalid, kind) {
        (Some(_), Type::Switch) => Err("invalid: one bit has no invalid marker".into()),
        (Some(Invalid::Text(_)), Type::String(_) | Type::Bytes(_)) => Ok(()),
        (Some(Invalid::Text(text)), _) if is_number(text) => Err(format!(
            "invalid: remove the quotes: {kind} needs the number {text}, not a text"
        )),
        (Some(Invalid::Text(_)), _) => Err(format!("invalid: expected a number for {kind}")),
        (Some(Invalid::Number(_)), Type::String(_) | Type::Bytes(_)) => {
            Err(format!("invalid: expected a text for {kind}"))
        }
        (Some(Invalid::Number(number)), _) if !kind.is_float() && !fits(*number, kind) => {
            Err(format!("invalid: {number} is no raw value of {kind}"))
        }
        _ => Ok(()),
    }
}

fn check_labels(labels: &Labels, kind: Type, is_writable: bool) -> Result<(), String> {
    if kind.is_number() || kind == Type::Switch {
        labels.check_numbers()?;
    }
    if is_writable {
        labels.check_commands()?;
    }
    Ok(())
}

/// Whether a text is what a number looks like in the file.
fn is_number(text: &str) -> bool {
    let hex = text.strip_prefix("0x");
    hex.is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok())
        || text.parse::<Decimal>().is_ok()
}

fn is_integer(kind: Type) -> bool {
    kind.is_number() && !kind.is_float()
}

/// Whether an integer can be the raw bits of a type, read as unsigned or as signed.
fn fits(number: Decimal, kind: Type) -> bool {
    let bits = match kind {
        Type::U8High | Type::U8Low => 8,
        Type::I24 | Type::U24 => 24,
        other => u32::from(other.registers()) * 16,
    };
    let range = -(1i128 << (bits - 1))..(1i128 << bits);
    number
        .to_integer()
        .is_some_and(|number| range.contains(&number))
}

impl PointEntry {
    /// The name of the point whose value scales this one.
    pub(crate) fn scale_from(&self) -> Option<&str> {
        self.scale_from.as_deref()
    }

    /// Whether the point can scale others: an integer that is not scaled by another one itself.
    pub(crate) fn can_scale(&self) -> bool {
        is_integer(self.kind) && self.labels.is_none() && self.scale_from.is_none()
    }

    /// Decides what the entry leaves open, but for what it takes from other points.
    pub fn resolve(&self, layout: &Layout, defaults: &Defaults) -> PointConfig {
        PointConfig {
            table: self.table,
            address: self.address,
            kind: self.kind,
            order: self.order.or(layout.order).unwrap_or_default(),
            scale: self.scale,
            // What it is depends on the other points of the device.
            scale_from: None,
            offset: self.offset,
            unit: self.unit.clone(),
            invalid: self.invalid.clone(),
            labels: self.labels.clone(),
            encoding: self.encoding,
            poll: self.poll.map_or(Some(defaults.poll), |read| read.0),
            rule: Rule {
                publish: self.publish.unwrap_or(defaults.publish),
                deadband: self.deadband,
                heartbeat: Heartbeat::of(self.heartbeat, defaults.heartbeat),
            },
            write: self.write,
            readback: self.readback,
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
            labels: self.labels.clone(),
        }
    }

    /// The address behind its last register or bit, at most 65536.
    pub fn end(&self) -> u32 {
        u32::from(self.address) + u32::from(self.kind.registers())
    }
}

impl<'de> Deserialize<'de> for Invalid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InvalidVisitor)
    }
}

struct InvalidVisitor;

impl Visitor<'_> for InvalidVisitor {
    type Value = Invalid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a raw value such as 0x7FFF, or a text")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Invalid, E> {
        Ok(Invalid::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Invalid, E> {
        Ok(Invalid::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Invalid, E> {
        Decimal::from_f64(value)
            .map(Invalid::Number)
            .ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Invalid, E> {
        Ok(Invalid::Text(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Write {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WriteVisitor)
    }
}

struct WriteVisitor;

impl<'de> Visitor<'de> for WriteVisitor {
    type Value = Write;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or limits such as {min: 0, max: 80}")
    }

    fn visit_bool<E: de::Error>(self, allowed: bool) -> Result<Write, E> {
        Ok(Write(allowed.then(WriteRule::default)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Write, A::Error> {
        let limits = RawLimits::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Write(Some(WriteRule {
            min: limits.min,
            max: limits.max,
        })))
    }
}

#[cfg(test)]
mod tests;
