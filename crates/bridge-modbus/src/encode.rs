//! From values to registers. Pure.

use fieldgate_model::{Decimal, Value};

use crate::config::{PointConfig, Type, WriteRule};
use crate::data::{Data, WriteRequest};
use crate::decode::{DecodeError, decode, labelled};
use crate::f16;

/// Makes the write that sets a point to `value`, and says what the point will hold then.
///
/// A label, a number, a text that is a number, and for a switch `on` and `off` are all taken.
/// Scaling is undone exactly: a value between two raw values is refused, not rounded. Only a
/// float type takes the nearest value it has.
///
/// # Errors
///
/// The text says why it cannot be written, for the client.
pub fn encode(point: &PointConfig, value: &Value) -> Result<(WriteRequest, Value), String> {
    let Some(limits) = point.write else {
        return Err("the point is read-only".into());
    };
    let meant = point.labels.as_ref().and_then(|labels| labels.meant(value));
    let value = meant.map_or(value, |(raw, _)| raw);
    check_name(point, value)?;
    check_limits(point, limits, value)?;
    let request = request(point, value)?;
    let held = held(point, &request).map_err(|error| match error {
        DecodeError::Invalid => format!("{value} is the device's marker for an invalid value"),
        other => format!("{value} cannot be written: {other}"),
    })?;
    Ok((request, held))
}

/// Where values have names, one without is none.
fn check_name(point: &PointConfig, value: &Value) -> Result<(), String> {
    let Some(labels) = &point.labels else {
        return Ok(());
    };
    let is_switch = matches!(point.kind, Type::Switch | Type::Bit(_));
    let own = match (is_switch, value.to_switch(), value.to_decimal()) {
        (true, Some(on), _) => Value::Bool(on),
        (false, _, Some(number)) if point.kind.is_number() => Value::Decimal(number),
        _ => value.clone(),
    };
    if labels.label(&own).is_some() {
        return Ok(());
    }
    Err(format!(
        "expected {}, got `{value}`",
        accepted(point, "a name")
    ))
}

fn check_limits(point: &PointConfig, limits: WriteRule, value: &Value) -> Result<(), String> {
    if !point.kind.is_number() {
        return Ok(());
    }
    let (is_below, is_above, number) = match (value.to_decimal(), value) {
        (Some(number), _) => (
            limits.min.is_some_and(|min| number < min),
            limits.max.is_some_and(|max| number > max),
            number.to_string(),
        ),
        (None, Value::F64(number)) => (
            limits.min.is_some_and(|min| *number < min.to_f64()),
            limits.max.is_some_and(|max| *number > max.to_f64()),
            value.to_string(),
        ),
        _ => return Ok(()),
    };
    if is_below || is_above {
        let end = |end: Option<Decimal>| end.map_or_else(String::new, |end| end.to_string());
        let (min, max) = (end(limits.min), end(limits.max));
        return Err(format!("{number} is outside the limits {min}..={max}"));
    }
    Ok(())
}

fn request(point: &PointConfig, value: &Value) -> Result<WriteRequest, String> {
    let address = point.address;
    let switch = || {
        value.to_switch().ok_or_else(|| {
            format!(
                "expected {}, got `{value}`",
                accepted(point, "true or false")
            )
        })
    };
    let mask = |mask: u16, bits: u16| {
        if point.order.swaps_bytes() {
            (mask.swap_bytes(), bits.swap_bytes())
        } else {
            (mask, bits)
        }
    };
    let (mask, bits) = match point.kind {
        Type::Switch => {
            let on = switch()?;
            return Ok(WriteRequest::Coil { address, on });
        }
        Type::Bit(bit) => mask(1 << bit, u16::from(switch()?) << bit),
        Type::U8High => mask(0xFF00, (whole(point, value, 0, 0xFF)? as u16) << 8),
        Type::U8Low => mask(0x00FF, whole(point, value, 0, 0xFF)? as u16),
        _ => {
            let words = words(point, value)?;
            return Ok(WriteRequest::Registers { address, words });
        }
    };
    Ok(WriteRequest::Mask {
        address,
        mask,
        bits,
    })
}

/// What the point will hold after the write.
fn held(point: &PointConfig, request: &WriteRequest) -> Result<Value, DecodeError> {
    match request {
        // Whether the register then holds a marker depends on its other bits, unknown here.
        WriteRequest::Mask { bits, .. } if matches!(point.kind, Type::Bit(_)) => {
            Ok(labelled(point, Value::Bool(*bits != 0)))
        }
        WriteRequest::Mask { bits, .. } => decode(point, &Data::Words(vec![*bits])),
        WriteRequest::Coil { on, .. } => decode(point, &Data::Bits(vec![*on])),
        WriteRequest::Coils { bits, .. } => decode(point, &Data::Bits(bits.clone())),
        WriteRequest::Registers { words, .. } | WriteRequest::Exchange { words, .. } => {
            decode(point, &Data::Words(words.clone()))
        }
    }
}

fn words(point: &PointConfig, value: &Value) -> Result<Vec<u16>, String> {
    let bits = match point.kind {
        Type::I16 => whole(point, value, i16::MIN.into(), i16::MAX.into())? as u64,
        Type::U16 => whole(point, value, 0, u16::MAX.into())? as u64,
        Type::I24 => whole(point, value, -0x80_0000, 0x7F_FFFF)? as u64,
        Type::U24 => whole(point, value, 0, 0xFF_FFFF)? as u64,
        Type::I32 => whole(point, value, i32::MIN.into(), i32::MAX.into())? as u64,
        Type::U32 => whole(point, value, 0, u32::MAX.into())? as u64,
        Type::I64 => whole(point, value, i64::MIN.into(), i64::MAX.into())? as u64,
        Type::U64 => whole(point, value, 0, u64::MAX.into())? as u64,
        Type::Bcd16 => bcd(whole(point, value, 0, 9_999)?),
        Type::Bcd32 => bcd(whole(point, value, 0, 99_999_999)?),
        Type::F16 => f16::from_f64(float(point, value)?)
            .map(u64::from)
            .ok_or_else(|| format!("{value} is too large for f16"))?,
        Type::F32 => single(point, value)?,
        Type::F64 => float(point, value)?.to_bits(),
        Type::String(length) => return text(point, value, length),
        Type::Bytes(length) => return bytes(point, value, length),
        Type::Switch | Type::Bit(_) | Type::U8High | Type::U8Low => {
            return Err(format!("{} is not written as registers", point.kind));
        }
    };
    let count = usize::from(point.kind.registers());
    let mut words: Vec<u16> = (0..count)
        .rev()
        .map(|word| (bits >> (16 * word)) as u16)
        .collect();
    if point.order.swaps_bytes() {
        words.iter_mut().for_each(|word| *word = word.swap_bytes());
    }
    if point.order.swaps_words() {
        words.reverse();
    }
    Ok(words)
}

/// What a point takes, for an error message.
fn accepted(point: &PointConfig, otherwise: &str) -> String {
    let labels = point.labels.iter().flat_map(|labels| labels.iter());
    let names: Vec<_> = labels.map(|(_, label)| format!("`{label}`")).collect();
    if names.is_empty() {
        otherwise.to_owned()
    } else {
        format!("one of {}", names.join(", "))
    }
}

fn number(point: &PointConfig, value: &Value) -> Result<Decimal, String> {
    value.to_decimal().ok_or_else(|| match value {
        Value::F64(_) => format!("{value} does not fit {}", point.kind),
        _ => format!("expected {}, got `{value}`", accepted(point, "a number")),
    })
}

/// A number with more digits than a decimal holds: floats have such.
fn large(value: &Value) -> Option<f64> {
    let large = match value {
        Value::F64(large) => *large,
        Value::Text(text) => text.parse().ok()?,
        _ => return None,
    };
    (value.to_decimal().is_none() && large.is_finite()).then_some(large)
}

/// The raw integer, if there is one within `min..=max`.
fn whole(point: &PointConfig, value: &Value, min: i128, max: i128) -> Result<i128, String> {
    let number = number(point, value)?;
    let raw = number
        .checked_sub(point.offset)
        .and_then(|number| number.checked_div_whole(point.scale))
        .ok_or_else(|| {
            if point.offset == Decimal::ZERO {
                format!("{number} is not a multiple of {}", point.scale)
            } else {
                format!(
                    "{number} is not {} plus a multiple of {}",
                    point.offset, point.scale
                )
            }
        })?;
    if (min..=max).contains(&raw) {
        return Ok(raw);
    }
    let kind = point.kind;
    if point.scale == Decimal::ONE && point.offset == Decimal::ZERO {
        Err(format!("{number} is outside {min}..={max} of {kind}"))
    } else {
        Err(format!(
            "{number} has the raw value {raw}, outside {min}..={max} of {kind}"
        ))
    }
}

fn is_scaled(point: &PointConfig) -> bool {
    point.scale != Decimal::ONE || point.offset != Decimal::ZERO
}

/// The unscaled double.
fn float(point: &PointConfig, value: &Value) -> Result<f64, String> {
    if let Some(large) = large(value) {
        let raw = (large - point.offset.to_f64()) / point.scale.to_f64();
        return match raw.is_finite() {
            true => Ok(raw),
            false => Err(format!("{value} is too large for {}", point.kind)),
        };
    }
    let number = number(point, value)?;
    if !is_scaled(point) {
        return Ok(number.to_f64());
    }
    let without_offset = number.checked_sub(point.offset);
    let whole = without_offset.and_then(|number| number.checked_div_whole(point.scale));
    let raw = match (
        whole.and_then(|whole| Decimal::new(whole, 0)),
        without_offset,
    ) {
        (Some(whole), _) => whole.to_f64(),
        (None, Some(number)) => number.to_f64() / point.scale.to_f64(),
        (None, None) => (number.to_f64() - point.offset.to_f64()) / point.scale.to_f64(),
    };
    if raw.is_finite() {
        Ok(raw)
    } else {
        Err(format!("{number} is too large for {}", point.kind))
    }
}

/// The bits of the nearest single-precision float.
fn single(point: &PointConfig, value: &Value) -> Result<u64, String> {
    let float = if is_scaled(point) || large(value).is_some() {
        float(point, value)? as f32
    } else {
        // From the text: going through a double could round twice.
        let text = number(point, value)?.to_string();
        text.parse::<f32>().unwrap_or(f32::NAN)
    };
    if float.is_finite() {
        Ok(float.to_bits().into())
    } else {
        Err(format!("{value} is too large for f32"))
    }
}

fn bcd(mut number: i128) -> u64 {
    let mut bits = 0;
    let mut shift = 0;
    while number > 0 {
        bits |= ((number % 10) as u64) << shift;
        number /= 10;
        shift += 4;
    }
    bits
}

fn text(point: &PointConfig, value: &Value, length: u8) -> Result<Vec<u16>, String> {
    if matches!(value, Value::Bytes(_)) {
        return Err(format!("expected a text, got `{value}`"));
    }
    let text = point.encoding.encode(&value.to_string());
    let text = text.map_err(|error| error.to_string())?;
    if text.len() > usize::from(length) {
        let got = text.len();
        return Err(format!(
            "the text has {got} bytes, more than {} holds",
            point.kind
        ));
    }
    Ok(pack(point, text))
}

fn bytes(point: &PointConfig, value: &Value, length: u8) -> Result<Vec<u16>, String> {
    let bytes = match value {
        Value::Bytes(bytes) => bytes.clone(),
        other => hexadecimal(&other.to_string())
            .ok_or_else(|| format!("expected hexadecimal digits, got `{other}`"))?,
    };
    if bytes.len() != usize::from(length) {
        let got = bytes.len();
        return Err(format!("expected {length} bytes, got {got}"));
    }
    Ok(pack(point, bytes))
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Fills the point's registers, with NUL after the last byte.
fn pack(point: &PointConfig, mut bytes: Vec<u8>) -> Vec<u16> {
    bytes.resize(usize::from(point.kind.registers()) * 2, 0);
    let word = |pair: &[u8]| match pair {
        [first, second] if point.order.swaps_bytes() => u16::from_le_bytes([*first, *second]),
        [first, second] => u16::from_be_bytes([*first, *second]),
        _ => 0,
    };
    bytes.chunks(2).map(word).collect()
}

#[cfg(test)]
mod tests;
