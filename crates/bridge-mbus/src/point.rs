//! From the records of a meter to the value of a point. Pure.

use fieldgate_model::plain::Plain;
use fieldgate_model::{Decimal, Value};

use crate::app::{Absent, Record, unit};
use crate::config::{PointConfig, Selector, Source, What};
use crate::exchange::Readout;

/// Why a point has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The meter sends no such record.
    #[error("the meter sends no such record")]
    NotThere,
    /// There are several, and nothing says which is meant.
    #[error("records {0} and {1} are both like this; say which by `record`, `vif` or `qualifier`")]
    Several(usize, usize),
    /// The record has no value.
    #[error("{0}")]
    Absent(#[from] Absent),
    /// The unit of the record is another kind of unit.
    #[error("the meter sends `{found}`, which cannot be given in `{wanted}`")]
    Unit {
        /// The unit of the record.
        found: String,
        /// The unit of the point.
        wanted: String,
    },
    /// A unit, a scale or an offset with something that is no number.
    #[error("the meter sends no number")]
    NoNumber,
    /// The number has more digits than are kept exactly.
    #[error("the number has too many digits")]
    Range,
}

/// What a readout says about a point.
///
/// # Errors
///
/// Why it says nothing.
pub fn value(point: &PointConfig, readout: &Readout) -> Result<Value, Unusable> {
    let (value, unit) = match &point.source {
        Source::Header(field) => {
            let header = readout.header.as_ref();
            let value = header.and_then(|header| header.get(*field));
            (value.ok_or(Unusable::NotThere)?, None)
        }
        Source::Record(number) => {
            let record = readout.records.get(*number).ok_or(Unusable::NotThere)?;
            (record.value.clone()?, record.meaning.unit.as_deref())
        }
        Source::Like(selector) => {
            let record = find(selector, &readout.records)?;
            (record.value.clone()?, record.meaning.unit.as_deref())
        }
    };
    let value = converted(point, value, unit)?;
    let is_plain = point.scale == Decimal::ONE && point.offset == Decimal::ZERO;
    if is_plain {
        return Ok(point.labelled(value));
    }
    let number = value.to_decimal().ok_or(Unusable::NoNumber)?;
    let number = point.in_own_unit(number).ok_or(Unusable::Range)?;
    Ok(point.labelled(Value::Decimal(number)))
}

/// The number in the unit of the point. A point may also name the unit of what has none.
fn converted(point: &PointConfig, value: Value, unit: Option<&str>) -> Result<Value, Unusable> {
    let (Some(wanted), Some(found)) = (point.unit.as_deref(), unit) else {
        return Ok(value);
    };
    // A scale says what the meter does not: the unit is that of the result.
    if found.is_empty() || wanted == found || point.scale != Decimal::ONE {
        return Ok(value);
    }
    let Value::Decimal(number) = value else {
        return Err(Unusable::NoNumber);
    };
    if !unit::converts(found, wanted) {
        return Err(Unusable::Unit {
            found: Plain(found).to_string(),
            wanted: wanted.to_owned(),
        });
    }
    let number = unit::convert(number, found, wanted).ok_or(Unusable::Range)?;
    Ok(Value::Decimal(number))
}

/// The only record that is like this.
fn find<'r>(selector: &Selector, records: &'r [Record]) -> Result<&'r Record, Unusable> {
    let mut found = records
        .iter()
        .enumerate()
        .filter(|(_, record)| selector.fits(record));
    let (first, record) = found.next().ok_or(Unusable::NotThere)?;
    match found.next() {
        None => Ok(record),
        Some((second, _)) => Err(Unusable::Several(first, second)),
    }
}

impl Selector {
    /// Whether a record is like this.
    pub fn fits(&self, record: &Record) -> bool {
        let meaning = &record.meaning;
        let is_what = match &self.what {
            What::Quantity(quantity) => meaning.quantity == *quantity,
            What::Text(text) => {
                meaning.quantity == "plain_text" && meaning.unit.as_deref() == Some(text)
            }
            What::Vif(bytes) => record.vib == *bytes,
        };
        let is_qualified = match (&self.what, &self.qualifier) {
            (What::Vif(_), _) => true,
            (_, None) => meaning.qualifiers.is_empty(),
            (_, Some(wanted)) => meaning.qualifiers.iter().any(|own| own == wanted),
        };
        is_what
            && is_qualified
            && record.storage == self.storage
            && record.tariff == self.tariff
            && record.subunit == self.subunit
            && record.function == self.function
    }
}

#[cfg(test)]
mod tests;
