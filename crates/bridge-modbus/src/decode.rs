//! From registers to values. Pure.

use fieldgate_model::{Decimal, TextError, Value};

use crate::config::{DeviceConfig, Invalid, PointConfig, Type};
use crate::data::{Data, ReadRequest};
use crate::f16;

/// Why registers hold no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They hold the device's invalid marker.
    #[error("the invalid marker")]
    Invalid,
    /// They hold NaN or an infinity, or become one when scaled.
    #[error("not a finite number")]
    NotFinite,
    /// A nibble of a BCD number is above 9.
    #[error("{0:#x} is not a BCD number")]
    Bcd(u32),
    /// Bytes that are no text.
    #[error(transparent)]
    Text(TextError),
    /// The scaled number needs more digits than there are.
    #[error("the scaled number has too many digits")]
    Overflow,
    /// The register that scales it holds no power of ten that can be meant.
    #[error("its scale factor is not from -10 to 10")]
    Factor,
    /// The register that scales it has not been read yet.
    #[error("its scale factor has not been read yet")]
    Unscaled,
    /// There are not as many registers as the type has.
    #[error("not as many registers as the type has")]
    Length,
}

/// Decodes one point from exactly its own registers or its own bit.
///
/// Scaling is decimal and exact. A float is scaled from its shortest text, so that `0.1` as `f32`
/// times 10 is 1 and not 1.0000000149; if that needs too many digits, as a double. An integer
/// that does, is an error. What a text's bytes mean is the model's business.
///
/// # Errors
///
/// See [`DecodeError`]; all of them become a sample of bad quality.
pub fn decode(point: &PointConfig, data: &Data) -> Result<Value, DecodeError> {
    if data.len() == usize::from(point.kind.registers()) {
        decode_at(point, data, 0)
    } else {
        Err(DecodeError::Length)
    }
}

/// Decodes one point from the answer to a request in which it begins at `start`.
pub(crate) fn decode_at(
    point: &PointConfig,
    data: &Data,
    start: usize,
) -> Result<Value, DecodeError> {
    let own = start..start.saturating_add(usize::from(point.kind.registers()));
    let value = match (data, point.kind) {
        (Data::Bits(bits), Type::Switch) => bits.get(start).copied().map(Value::Bool),
        (Data::Bits(_), _) | (Data::Words(_), Type::Switch) => None,
        (Data::Words(words), _) => match words.get(own) {
            Some(words) => Some(decode_words(point, words)?),
            None => None,
        },
    };
    value
        .map(|value| labelled(point, value))
        .ok_or(DecodeError::Length)
}

/// The label of a value, or else the value.
pub(crate) fn labelled(point: &PointConfig, value: Value) -> Value {
    let labels = point.labels.as_ref();
    let label = labels.and_then(|labels| labels.label(&value)).cloned();
    label.unwrap_or(value)
}

fn decode_words(point: &PointConfig, words: &[u16]) -> Result<Value, DecodeError> {
    match point.kind {
        Type::String(bytes) => {
            let value = Value::Text(text(point, &opaque(point, words, bytes))?);
            reject_text(point, &value)?;
            Ok(value)
        }
        Type::Bytes(bytes) => {
            let value = Value::Bytes(opaque(point, words, bytes));
            reject_text(point, &value)?;
            Ok(value)
        }
        kind => {
            let bits = raw_bits(point, words);
            reject_number(point, bits)?;
            match kind {
                Type::F16 | Type::F32 | Type::F64 => decode_float(point, bits),
                Type::Bit(bit) => Ok(Value::Bool(bits >> bit & 1 == 1)),
                kind => integer(kind, bits)
                    .and_then(|raw| scale(point, raw).ok_or(DecodeError::Overflow))
                    .map(Value::Decimal),
            }
        }
    }
}

/// The bytes of a text in the order in which they are read.
fn opaque(point: &PointConfig, words: &[u16], length: u8) -> Vec<u8> {
    let bytes = words.iter().flat_map(|word| {
        if point.order.swaps_bytes() {
            word.to_le_bytes()
        } else {
            word.to_be_bytes()
        }
    });
    bytes.take(usize::from(length)).collect()
}

fn text(point: &PointConfig, bytes: &[u8]) -> Result<String, DecodeError> {
    point.encoding.decode(bytes).map_err(DecodeError::Text)
}

/// The bits of a number, the byte order undone: at most 64, and only those of the type.
fn raw_bits(point: &PointConfig, words: &[u16]) -> u64 {
    let join = |bits: u64, word: &u16| {
        let word = if point.order.swaps_bytes() {
            word.swap_bytes()
        } else {
            *word
        };
        bits << 16 | u64::from(word)
    };
    let bits = if point.order.swaps_words() {
        words.iter().rev().fold(0, join)
    } else {
        words.iter().fold(0, join)
    };
    match point.kind {
        Type::U8High => bits >> 8 & 0xFF,
        Type::U8Low => bits & 0xFF,
        Type::I24 | Type::U24 => bits & 0xFF_FFFF,
        _ => bits,
    }
}

fn reject_number(point: &PointConfig, bits: u64) -> Result<(), DecodeError> {
    let Some(Invalid::Number(marker)) = &point.invalid else {
        return Ok(());
    };
    let is_marker = match point.kind {
        Type::F16 => f16::to_f64(bits as u16) == marker.to_f64(),
        Type::F32 => f32::from_bits(bits as u32) == marker.to_f64() as f32,
        Type::F64 => f64::from_bits(bits) == marker.to_f64(),
        _ => false,
    };
    let width = match point.kind {
        Type::U8High | Type::U8Low => 8,
        Type::I24 | Type::U24 => 24,
        kind => u32::from(kind.registers()) * 16,
    };
    let mask = u64::MAX >> 64u32.saturating_sub(width).min(63);
    let is_pattern = marker
        .to_integer()
        .is_some_and(|marker| marker as u64 & mask == bits);
    if is_marker || is_pattern {
        return Err(DecodeError::Invalid);
    }
    Ok(())
}

fn reject_text(point: &PointConfig, value: &Value) -> Result<(), DecodeError> {
    match &point.invalid {
        Some(Invalid::Text(marker)) if *marker == value.to_string() => Err(DecodeError::Invalid),
        _ => Ok(()),
    }
}

/// The raw number of an integer type.
fn integer(kind: Type, bits: u64) -> Result<Decimal, DecodeError> {
    Ok(match kind {
        Type::I16 => (bits as i16).into(),
        // The sign is in bit 23: it is moved to bit 31 and back.
        Type::I24 => ((bits as i32) << 8 >> 8).into(),
        Type::I32 => (bits as i32).into(),
        Type::I64 => (bits as i64).into(),
        Type::Bcd16 => bcd(bits, 4)?.into(),
        Type::Bcd32 => bcd(bits, 8)?.into(),
        _ => bits.into(),
    })
}

fn bcd(bits: u64, digits: u32) -> Result<u32, DecodeError> {
    (0..digits).rev().try_fold(0u32, |number, digit| {
        match (bits >> (4 * digit) & 0xF) as u32 {
            nibble @ 0..=9 => Ok(number * 10 + nibble),
            _ => Err(DecodeError::Bcd(bits as u32)),
        }
    })
}

fn scale(point: &PointConfig, raw: Decimal) -> Option<Decimal> {
    raw.checked_mul(point.scale)?.checked_add(point.offset)
}

fn decode_float(point: &PointConfig, bits: u64) -> Result<Value, DecodeError> {
    let (exact, double, plain) = match point.kind {
        Type::F16 => {
            let bits = bits as u16;
            let exact = f16::shortest(bits);
            (exact, f16::to_f64(bits), exact.map(Value::Decimal))
        }
        Type::F32 => {
            let float = f32::from_bits(bits as u32);
            // Adding zero turns a negative zero into a positive one.
            let plain = Value::F32(float + 0.0);
            (Decimal::from_f32(float), f64::from(float), Some(plain))
        }
        _ => {
            let float = f64::from_bits(bits);
            (
                Decimal::from_f64(float),
                float,
                Some(Value::F64(float + 0.0)),
            )
        }
    };
    let is_scaled = point.scale != Decimal::ONE || point.offset != Decimal::ZERO;
    let value = if is_scaled {
        exact
            .and_then(|exact| scale(point, exact))
            .map(Value::Decimal)
            .unwrap_or(Value::F64(
                double * point.scale.to_f64() + point.offset.to_f64(),
            ))
    } else {
        plain.ok_or(DecodeError::NotFinite)?
    };
    if double.is_finite() && value.is_finite() {
        Ok(value)
    } else {
        Err(DecodeError::NotFinite)
    }
}

/// What the points of a request decode to, each by itself.
pub(crate) fn values<'a>(
    device: &'a DeviceConfig,
    request: &'a ReadRequest,
    data: &'a Data,
) -> impl Iterator<Item = (usize, Result<Value, DecodeError>)> + 'a {
    request.points.iter().filter_map(move |index| {
        let (_, point) = device.points.get(*index)?;
        let start = usize::from(point.address.checked_sub(request.address)?);
        Some((*index, decode_at(point, data, start)))
    })
}

#[cfg(test)]
pub(crate) mod tests;
