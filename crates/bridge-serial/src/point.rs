//! From a field of a frame to the value of a point, and back to what is sent. Pure.

mod typed;
mod write;

use fieldgate_model::{Decimal, Value};

use crate::config::{Absence, PointConfig, Reading, Source};
use crate::number::NumberFormat;
use crate::parse::{Found, Record};
pub use write::write;

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

/// What it says about a point that a frame does not hold it: `None` if that means nothing.
pub fn absence(point: &PointConfig) -> Option<Result<Value, Unusable>> {
    Some(match point.absent.as_ref()? {
        Absence::Bad => Err(Unusable::Absent),
        Absence::Value(value) => Ok(value.clone()),
    })
}

/// Why a field is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The device's own way to say that there is none: an empty field, its invalid marker.
    #[error("the device has no value")]
    Nothing,
    /// The frame does not hold it, and that means that it has no value.
    #[error("not in the frame")]
    Absent,
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
                typed::text(self.kind, &text, numbers)?
            }
            Found::Value(value) if self.is_invalid(&value) => return Err(Unusable::Nothing),
            Found::Value(value) => typed::value(self.kind, value)?,
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
        let value = typed::text(self.kind, text.trim(), numbers).ok()?;
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

    fn scaled(&self, raw: Value, record: &Record<'_>) -> Result<Value, Unusable> {
        let mut factor = Decimal::ONE;
        if let Some(units) = &self.units {
            let unit = match record.get(&units.field) {
                Found::Text(text) => text.into_owned(),
                Found::Value(value) => value.to_string(),
                // Some instruments leave the name of their usual unit out.
                Found::Empty | Found::Absent
                    if units.factors.iter().any(|(name, _)| name.is_empty()) =>
                {
                    String::new()
                }
                _ => return Err(Unusable::Wrong("the frame names no unit".into())),
            };
            let known = units.factors.iter().find(|(name, _)| *name == unit);
            let Some((_, found)) = known else {
                let text = format!("the unit \"{}\" is not in unit_from", typed::shown(&unit));
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
            None => Err(Unusable::Wrong(format!(
                "{} cannot be scaled",
                typed::shown(&raw.to_string())
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
