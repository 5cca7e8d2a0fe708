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
        let Some((raw, label)) = labels.meant(value) else {
            let names: Vec<String> = labels.iter().map(|(_, label)| label.to_string()).collect();
            return Err(format!("{value} is none of {}", names.join(", ")));
        };
        let raw = own(reading, raw)?;
        return Ok((rule.send.render(&raw, numbers)?, label.clone()));
    }
    let is_number = matches!(reading.kind, Kind::Decimal | Kind::Hex)
        || rule.min.is_some()
        || rule.max.is_some();
    let set = if is_number {
        let number = value
            .to_decimal()
            .ok_or_else(|| format!("{value} is no number"))?;
        within(number, rule.min, rule.max)?;
        Value::Decimal(number)
    } else if reading.kind == Kind::Bool {
        let on = value
            .to_switch()
            .ok_or_else(|| format!("{value} is neither on nor off"))?;
        Value::Bool(on)
    } else {
        value.clone()
    };
    let raw = own(reading, &set)?;
    check_signs(&raw, &rule.signs)?;
    Ok((rule.send.render(&raw, numbers)?, set))
}

/// A text must not hold what the instrument could take for the end of the text, or for a command.
fn check_signs(value: &Value, signs: &str) -> Result<(), String> {
    if matches!(value, Value::Decimal(_)) {
        return Ok(());
    }
    let text = value.to_string();
    let is_good = |c: char| !c.is_ascii_punctuation() || signs.contains(c);
    match text.chars().find(|c| !is_good(*c)) {
        None => Ok(()),
        Some(sign) => Err(format!(
            "`{sign}` is not allowed in this text; `signs` of the point's `write` says what is"
        )),
    }
}

/// What the device calls a value: what a frame that holds it would have.
fn own(reading: &Reading, value: &Value) -> Result<Value, String> {
    match (reading.kind, value.to_decimal()) {
        (Kind::Bool, _) => match value.to_switch() {
            Some(on) => Ok(Value::Decimal(u8::from(on).into())),
            None => Ok(value.clone()),
        },
        (Kind::Hex, Some(number)) => {
            let whole = unscaled(reading, number)?.checked_div_whole(Decimal::ONE);
            let whole = whole.and_then(|whole| u64::try_from(whole).ok());
            let whole = whole.ok_or_else(|| format!("{number} is no whole number from 0"))?;
            Ok(Value::Text(format!("{whole:X}")))
        }
        (Kind::Decimal, Some(number)) => unscaled(reading, number).map(Value::Decimal),
        // Limits make a number of what has no type.
        (Kind::Own, Some(number)) if matches!(value, Value::Decimal(_)) => {
            unscaled(reading, number).map(Value::Decimal)
        }
        _ => Ok(value.clone()),
    }
}

fn within(number: Decimal, min: Option<Decimal>, max: Option<Decimal>) -> Result<(), String> {
    if min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max) {
        return Ok(());
    }
    let min = min.map(|min| min.to_string()).unwrap_or_default();
    let max = max.map(|max| format!("={max}")).unwrap_or_default();
    Err(format!("{number} is outside the limits {min}..{max}"))
}

/// A number without scale and offset.
fn unscaled(reading: &Reading, number: Decimal) -> Result<Decimal, String> {
    if reading.scale == Decimal::ONE && reading.offset == Decimal::ZERO {
        return Ok(number);
    }
    let without = number.checked_sub(reading.offset);
    let raw = without.and_then(|without| without.checked_div_whole(reading.scale));
    let raw = raw.and_then(|raw| Decimal::new(raw, 0));
    raw.ok_or_else(|| format!("{number} is between two values of the device"))
}
