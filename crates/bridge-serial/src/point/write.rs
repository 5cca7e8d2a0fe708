//! From the value of a command to what is sent. Pure.

use fieldgate_model::{Decimal, Value};

use crate::config::{Kind, PointConfig, Reading, WriteConfig};
use crate::number::NumberFormat;

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
