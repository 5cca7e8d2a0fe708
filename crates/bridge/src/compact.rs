//! A value in little room. Pure.

use std::sync::Arc;

use fieldgate_model::{Decimal, Value};

/// A value, or why there is none. Numbers of up to 64 bits, which nearly all are, take 16 bytes in
/// all; anything else is on the heap.
#[derive(Clone, Debug, PartialEq)]
pub enum Compact {
    /// No value, and nothing to say about it.
    Nothing,
    /// A switch.
    Bool(bool),
    /// `mantissa` / 10^`digits`.
    Number {
        /// By which power of ten.
        digits: u8,
        /// Without trailing zeros in the fraction.
        mantissa: i64,
    },
    /// A float.
    F32(f32),
    /// A double.
    F64(f64),
    /// Anything else, or a value with a reason.
    Other(Box<Large>),
}

/// What needs more room.
#[derive(Clone, Debug, PartialEq)]
pub struct Large {
    value: Option<Value>,
    error: Option<Arc<str>>,
}

impl Large {
    /// The value and the reason, as they were.
    pub fn parts(&self) -> (Option<Value>, Option<Arc<str>>) {
        (self.value.clone(), self.error.clone())
    }
}

impl Compact {
    /// From a value and why it is bad.
    pub fn new(value: Option<&Value>, error: Option<&Arc<str>>) -> Self {
        let small = match value {
            None => Some(Self::Nothing),
            Some(Value::Bool(value)) => Some(Self::Bool(*value)),
            Some(Value::F32(value)) => Some(Self::F32(*value)),
            Some(Value::F64(value)) => Some(Self::F64(*value)),
            Some(Value::Decimal(value)) => number(*value),
            Some(Value::Text(_) | Value::Bytes(_) | Value::Object(_)) => None,
        };
        small.filter(|_| error.is_none()).unwrap_or_else(|| {
            Self::Other(Box::new(Large {
                value: value.cloned(),
                error: error.cloned(),
            }))
        })
    }

    /// The value and the reason, as they were.
    pub fn parts(&self) -> (Option<Value>, Option<Arc<str>>) {
        let value = match self {
            Self::Nothing => None,
            Self::Bool(value) => Some(Value::Bool(*value)),
            Self::F32(value) => Some(Value::F32(*value)),
            Self::F64(value) => Some(Value::F64(*value)),
            Self::Number { digits, mantissa } => {
                Decimal::new(i128::from(*mantissa), *digits).map(Value::Decimal)
            }
            Self::Other(large) => return large.parts(),
        };
        (value, None)
    }
}

fn number(value: Decimal) -> Option<Compact> {
    let (mantissa, digits) = value.parts();
    let mantissa = i64::try_from(mantissa).ok()?;
    Some(Compact::Number { digits, mantissa })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_as_it_was_and_most_take_sixteen_bytes() {
        let number = |text: &str| Some(Value::Decimal(text.parse().unwrap()));
        let error: Arc<str> = "why".into();
        for (value, error, is_small) in [
            (None, None, true),
            (None, Some(&error), false),
            (Some(Value::Bool(true)), None, true),
            (Some(Value::F32(0.1)), None, true),
            (Some(Value::F64(-1e-300)), None, true),
            (number("0"), None, true),
            (number("-27.7"), None, true),
            (number("9223372036854775807"), None, true),
            (number("18446744073709551615"), None, false),
            (number("0.000000000000000000000000000000000001"), None, true),
            (Some(Value::Text("a".into())), None, false),
            (Some(Value::Bytes(vec![1])), None, false),
        ] {
            let kept = Compact::new(value.as_ref(), error);
            assert_eq!(!matches!(kept, Compact::Other(_)), is_small, "{value:?}");
            assert_eq!(kept.parts(), (value, error.cloned()));
        }
        assert_eq!(size_of::<Compact>(), 16);
    }
}
