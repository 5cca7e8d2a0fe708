//! What a point can hold.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::Decimal;

/// The value of a point, as published.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A coil, a bit, a switch.
    Bool(bool),
    /// A whole or scaled number, exact.
    Decimal(Decimal),
    /// A single-precision float; prints its shortest text, `0.1` and not `0.10000000149`.
    F32(f32),
    /// A double; prints its shortest text.
    F64(f64),
    /// A text or a label.
    Text(String),
    /// Opaque bytes; printed in lower-case hexadecimal.
    Bytes(Vec<u8>),
    /// Several values that were read at once, by name and in order; `None` where the device had
    /// none. Prints as a JSON object.
    Object(Vec<(String, Option<Value>)>),
}

impl Value {
    /// The nearest double of a number; `None` for what is not a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Decimal(value) => Some(value.to_f64()),
            Self::F32(value) => Some(f64::from(*value)),
            Self::F64(value) => Some(*value),
            Self::Bool(_) | Self::Text(_) | Self::Bytes(_) | Self::Object(_) => None,
        }
    }

    /// False for NaN and the infinities only.
    #[inline]
    pub fn is_finite(&self) -> bool {
        match self {
            Self::F32(value) => value.is_finite(),
            Self::F64(value) => value.is_finite(),
            Self::Bool(_) | Self::Decimal(_) | Self::Text(_) | Self::Bytes(_) => true,
            Self::Object(members) => are_finite(members),
        }
    }

    /// The exact number that a client or a label means: a number, or a text that is one.
    /// A float counts as its shortest text. `None` if it is no finite number in range.
    pub fn to_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Decimal(value) => Some(*value),
            Self::F32(value) => Decimal::from_f32(*value),
            Self::F64(value) => Decimal::from_f64(*value),
            Self::Text(text) => text.parse().ok(),
            Self::Bool(_) | Self::Bytes(_) | Self::Object(_) => None,
        }
    }

    /// What a client means for a switch: a boolean, 0 or 1, or `on`, `off`, `true`, `false` in
    /// any case. `None` for the rest.
    pub fn to_switch(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Text(text) if text.eq_ignore_ascii_case("on") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("off") => Some(false),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            other => match other.to_decimal()? {
                Decimal::ZERO => Some(false),
                Decimal::ONE => Some(true),
                _ => None,
            },
        }
    }
}

fn are_finite(members: &[(String, Option<Value>)]) -> bool {
    let mut values = members.iter().filter_map(|(_, value)| value.as_ref());
    values.all(Value::is_finite)
}

impl fmt::Display for Value {
    /// The bare text: what a raw payload holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Decimal(value) => write!(f, "{value}"),
            // `Display` of a float never uses an exponent: 1e38 would print 39 digits.
            Self::F32(value) if plain(f64::from(*value)) => write!(f, "{value}"),
            Self::F32(value) => write!(f, "{value:e}"),
            Self::F64(value) if plain(*value) => write!(f, "{value}"),
            Self::F64(value) => write!(f, "{value:e}"),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Object(_) => f.write_str(&crate::payload::value(Some(self))),
        }
    }
}

/// Whether a float reads better without an exponent.
fn plain(value: f64) -> bool {
    value == 0.0 || !value.is_finite() || (1e-5..1e16).contains(&value.abs())
}

impl<'de> Deserialize<'de> for Value {
    /// From a boolean, a number (kept exactly, see [`Decimal`]) or a text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a boolean")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Decimal(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Decimal(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Decimal::from_f64(value)
            .map(Value::Decimal)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_text_is_the_shortest_that_reads_back() {
        for (value, want) in [
            (Value::Bool(true), "true"),
            (
                Value::Decimal(Decimal::from(u64::MAX)),
                "18446744073709551615",
            ),
            (Value::F32(21.5), "21.5"),
            (Value::F32(0.1), "0.1"),
            (Value::F32(123_456.0), "123456"),
            (Value::F32(0.0), "0"),
            (Value::F32(f32::MAX), "3.4028235e38"),
            (Value::F32(-1.5e-9), "-1.5e-9"),
            (Value::F64(0.1 + 0.2), "0.30000000000000004"),
            (Value::F64(1e300), "1e300"),
            (Value::Text("day".into()), "day"),
            (Value::Bytes(vec![0x0A, 0xFF]), "0aff"),
            (
                Value::Object(vec![
                    ("lat".into(), Some(Value::Decimal("47.25".parse().unwrap()))),
                    ("alt".into(), None),
                    ("at \"x\"".into(), Some(Value::Text("a".into()))),
                ]),
                r#"{"lat":47.25,"alt":null,"at \"x\"":"a"}"#,
            ),
        ] {
            assert_eq!(value.to_string(), want);
        }
    }

    #[test]
    fn a_switch_is_read_from_what_clients_send() {
        let text = |text: &str| Value::Text(text.into());
        for (value, want) in [
            (Value::Bool(false), Some(false)),
            (Value::Decimal(Decimal::ONE), Some(true)),
            (Value::Decimal(2.into()), None),
            (text("ON"), Some(true)),
            (text("Off"), Some(false)),
            (text("true"), Some(true)),
            (text("0"), Some(false)),
            (text("yes"), None),
            (Value::F32(1.0), Some(true)),
            (Value::Bytes(vec![1]), None),
        ] {
            assert_eq!(value.to_switch(), want, "{value:?}");
        }
    }
}
