//! From a field of a frame to the value of a point, and back to what is sent. Pure.

use fieldgate_model::{Decimal, Value};

use crate::config::{Kind, PointConfig, Reading, Source, WriteConfig};
use crate::number::{self, NumberFormat};
use crate::parse::{Found, Record};

/// What a record says about a point: `None` if it is not about it, an error if what it says is no
/// value. The text is for people; an empty field and an invalid marker are errors, too.
pub fn read(
    point: &PointConfig,
    record: &Record<'_>,
    numbers: NumberFormat,
) -> Option<Result<Value, Unusable>> {
    match point.source.as_ref()? {
        Source::Field(field) => match record.get(field) {
            Found::Absent => None,
            found => Some(point.reading.value(found, record, numbers)),
        },
        Source::Object(fields) => {
            let mut members = Vec::with_capacity(fields.len());
            for (name, field) in fields {
                let found = record.get(field);
                if found == Found::Absent && members.is_empty() {
                    return None;
                }
                let value = point.reading.value(found, record, numbers).ok();
                if value.is_none() && members.is_empty() {
                    return Some(Err(Unusable::Nothing));
                }
                members.push((name.clone(), value));
            }
            Some(Ok(Value::Object(members)))
        }
    }
}

/// Why a field is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The device's own way to say that there is none: an empty field, its invalid marker.
    #[error("the device has no value")]
    Nothing,
    /// Something that cannot be read.
    #[error("{0}")]
    Wrong(String),
}

impl Reading {
    fn value(
        &self,
        found: Found<'_>,
        record: &Record<'_>,
        numbers: NumberFormat,
    ) -> Result<Value, Unusable> {
        let raw = match found {
            Found::Absent => return Err(Unusable::Nothing),
            // A blank may have a name: some scales say "in motion" with a letter, and "at rest"
            // with none.
            Found::Empty => {
                let blank = self
                    .labels
                    .as_ref()
                    .map(|labels| labels.label(&Value::Text(String::new())));
                return blank.flatten().cloned().ok_or(Unusable::Nothing);
            }
            Found::Wrong => return Err(Unusable::Wrong("what is there is no value".into())),
            Found::Text(text) => {
                if self.is_invalid(&Value::Text(text.clone().into_owned())) {
                    return Err(Unusable::Nothing);
                }
                self.typed(&text, numbers)?
            }
            Found::Value(value) => value,
        };
        if self.is_invalid(&raw) {
            return Err(Unusable::Nothing);
        }
        let value = self.scaled(raw, record)?;
        Ok(
            match self.labels.as_ref().and_then(|labels| labels.label(&value)) {
                Some(label) => label.clone(),
                None => value,
            },
        )
    }

    /// What an answer to a command says that the device holds.
    pub(crate) fn plain(&self, text: &str, numbers: NumberFormat) -> Option<Value> {
        let value = self.typed(text.trim(), numbers).ok()?;
        let value = self.in_own_unit(value, Decimal::ONE).ok()?;
        let label = self.labels.as_ref().and_then(|labels| labels.label(&value));
        Some(label.cloned().unwrap_or(value))
    }

    fn is_invalid(&self, raw: &Value) -> bool {
        let Some(invalid) = &self.invalid else {
            return false;
        };
        match (invalid.to_decimal(), raw.to_decimal()) {
            (Some(invalid), Some(raw)) => invalid == raw,
            _ => invalid.to_string() == raw.to_string(),
        }
    }

    fn typed(&self, text: &str, numbers: NumberFormat) -> Result<Value, Unusable> {
        let value = match self.kind {
            Kind::Text => Some(Value::Text(text.to_owned())),
            Kind::Decimal => number::parse(text, numbers).map(Value::Decimal),
            Kind::Bool => Value::Text(text.to_owned()).to_switch().map(Value::Bool),
            Kind::Hex => {
                let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let number = u64::from_str_radix(text, 16).ok().filter(|_| is_plain);
                number.map(|number| Value::Decimal(number.into()))
            }
        };
        value.ok_or_else(|| {
            let what = match self.kind {
                Kind::Decimal => "number",
                Kind::Bool => "switch",
                Kind::Hex => "hexadecimal number",
                Kind::Text => "text",
            };
            Unusable::Wrong(format!("\"{}\" is no {what}", text.escape_debug()))
        })
    }

    fn scaled(&self, raw: Value, record: &Record<'_>) -> Result<Value, Unusable> {
        let mut factor = Decimal::ONE;
        if let Some(units) = &self.units {
            let unit = match record.get(&units.field) {
                Found::Text(text) => text.into_owned(),
                Found::Value(value) => value.to_string(),
                _ => return Err(Unusable::Wrong("the frame names no unit".into())),
            };
            let known = units.factors.iter().find(|(name, _)| *name == unit);
            let Some((_, found)) = known else {
                let text = format!("the unit \"{}\" is not in unit_from", unit.escape_debug());
                return Err(Unusable::Wrong(text));
            };
            factor = *found;
        }
        self.in_own_unit(raw, factor)
    }

    fn in_own_unit(&self, raw: Value, factor: Decimal) -> Result<Value, Unusable> {
        let is_plain =
            self.scale == Decimal::ONE && self.offset == Decimal::ZERO && factor == Decimal::ONE;
        if is_plain {
            return Ok(raw);
        }
        let scaled = raw.to_decimal().and_then(|raw| {
            raw.checked_mul(self.scale)?
                .checked_add(self.offset)?
                .checked_mul(factor)
        });
        match scaled {
            Some(number) => Ok(Value::Decimal(number)),
            None => Err(Unusable::Wrong(format!("{raw} cannot be scaled"))),
        }
    }
}

/// What to send for a command, and the value that it sets.
///
/// # Errors
///
/// Why the value is refused, for the client.
pub fn write(
    point: &PointConfig,
    rule: &WriteConfig,
    value: &Value,
    numbers: NumberFormat,
) -> Result<(Vec<u8>, Value), String> {
    if !rule.send.has_value() {
        return Ok((rule.send.render(value, numbers)?, value.clone()));
    }
    let reading = &point.reading;
    if let Some(labels) = &reading.labels {
        let label = labels
            .raw(value)
            .and_then(|raw| labels.label(raw))
            .or(labels.label(value));
        let Some(label) = label.cloned() else {
            let names: Vec<String> = labels.iter().map(|(_, label)| label.to_string()).collect();
            return Err(format!("{value} is none of {}", names.join(", ")));
        };
        let raw = labels.raw(&label).unwrap_or(value);
        return Ok((rule.send.render(raw, numbers)?, label));
    }
    let is_number = reading.kind == Kind::Decimal || rule.min.is_some() || rule.max.is_some();
    if is_number {
        let number = value
            .to_decimal()
            .ok_or_else(|| format!("{value} is no number"))?;
        within(number, rule.min, rule.max)?;
        let raw = unscaled(reading, number)?;
        return Ok((
            rule.send.render(&Value::Decimal(raw), numbers)?,
            Value::Decimal(number),
        ));
    }
    if reading.kind == Kind::Bool {
        let on = value
            .to_switch()
            .ok_or_else(|| format!("{value} is neither on nor off"))?;
        let raw = Decimal::from(u8::from(on));
        return Ok((
            rule.send.render(&Value::Decimal(raw), numbers)?,
            Value::Bool(on),
        ));
    }
    Ok((rule.send.render(value, numbers)?, value.clone()))
}

fn within(number: Decimal, min: Option<Decimal>, max: Option<Decimal>) -> Result<(), String> {
    if min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max) {
        return Ok(());
    }
    let min = min.map(|min| min.to_string()).unwrap_or_default();
    let max = max.map(|max| format!("={max}")).unwrap_or_default();
    Err(format!("{number} is outside the limits {min}..{max}"))
}

/// What the device calls a value.
fn unscaled(reading: &Reading, number: Decimal) -> Result<Decimal, String> {
    if reading.scale == Decimal::ONE && reading.offset == Decimal::ZERO {
        return Ok(number);
    }
    let without = number.checked_sub(reading.offset);
    let raw = without.and_then(|without| without.checked_div_whole(reading.scale));
    let raw = raw.and_then(|raw| Decimal::new(raw, 0));
    raw.ok_or_else(|| format!("{number} is between two values of the device"))
}

#[cfg(test)]
mod tests;
