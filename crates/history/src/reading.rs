//! A reading as history keeps it: exact, in little room.

use fieldgate_model::{Decimal, Quality, Sample, Value};

use crate::layout::Series;

/// Digits behind the point that a decimal number has at most.
const DIGITS_MAX: u8 = 36;

/// A number that comes out as it came in. 16 bytes.
#[derive(Clone, Debug)]
pub enum Number {
    /// A switch.
    Bool(bool),
    /// `mantissa` / 10^`digits`, without trailing zeros in the fraction.
    Decimal {
        /// Without the decimal point.
        mantissa: i64,
        /// By which power of ten it is divided; at most 36.
        digits: u8,
    },
    /// A decimal number of more than 64 bits.
    Wide(Box<Decimal>),
    /// A float.
    F32(f32),
    /// A double.
    F64(f64),
}

impl PartialEq for Number {
    /// Floats are equal if their bits are.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (
                Self::Decimal { mantissa, digits },
                Self::Decimal {
                    mantissa: other,
                    digits: others,
                },
            ) => (mantissa, digits) == (other, others),
            (Self::Wide(a), Self::Wide(b)) => a == b,
            (Self::F32(a), Self::F32(b)) => a.to_bits() == b.to_bits(),
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

impl Number {
    /// The number of a value; `None` for texts, bytes and objects.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(on) => Some(Self::Bool(*on)),
            Value::Decimal(number) => Some(Self::decimal(*number)),
            Value::F32(number) => Some(Self::F32(*number)),
            Value::F64(number) => Some(Self::F64(*number)),
            Value::Text(_) | Value::Bytes(_) | Value::Object(_) => None,
        }
    }

    /// A decimal number in the least room.
    pub(crate) fn decimal(number: Decimal) -> Self {
        let (mantissa, digits) = number.parts();
        match i64::try_from(mantissa) {
            Ok(mantissa) => Self::Decimal { mantissa, digits },
            Err(_) => Self::Wide(Box::new(number)),
        }
    }

    /// `mantissa` / 10^`digits`. A chart takes apart many thousands, so that this stays with 64 bits.
    pub(crate) fn whole(mut mantissa: i64, mut digits: u8) -> Option<Self> {
        if mantissa == 0 {
            digits = 0;
        }
        while digits > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            digits -= 1;
        }
        (digits <= DIGITS_MAX).then_some(Self::Decimal { mantissa, digits })
    }

    /// As the gateway publishes it.
    pub fn value(&self) -> Value {
        match self {
            Self::Bool(on) => Value::Bool(*on),
            Self::Decimal { mantissa, digits } => {
                let number = Decimal::new(i128::from(*mantissa), *digits);
                Value::Decimal(number.unwrap_or(Decimal::ZERO))
            }
            Self::Wide(number) => Value::Decimal(**number),
            Self::F32(number) => Value::F32(*number),
            Self::F64(number) => Value::F64(*number),
        }
    }

    /// False for NaN and the infinities only.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Bool(_) | Self::Decimal { .. } | Self::Wide(_) => true,
            Self::F32(number) => number.is_finite(),
            Self::F64(number) => number.is_finite(),
        }
    }

    /// The nearest double, for drawing; a switch is 0 or 1.
    pub fn to_f64(&self) -> f64 {
        match self {
            Self::Bool(on) => f64::from(u8::from(*on)),
            // Both are exact doubles, so that the one division rounds correctly.
            Self::Decimal { mantissa, digits }
                if *digits <= 22 && mantissa.unsigned_abs() <= 1 << 53 =>
            {
                *mantissa as f64 / 10_f64.powi(i32::from(*digits))
            }
            other => other.value().as_f64().unwrap_or(f64::NAN),
        }
    }
}

/// A reading of one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When, in milliseconds since 1970, as it is published.
    pub at: i64,
    /// `None` if nothing usable was read.
    pub number: Option<Number>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// Whether the clock of the machine was set by then.
    pub is_clock_set: bool,
}

/// A reading, and of what it is.
pub(crate) struct Row<'r> {
    pub(crate) series: &'r Series,
    /// Empty for none.
    pub(crate) unit: &'r str,
    pub(crate) reading: &'r Reading,
}

/// A word for whether a time can be trusted.
pub(crate) fn clock_name(is_set: bool) -> &'static str {
    match is_set {
        true => "set",
        false => "unsynchronised",
    }
}

const NO_NUMBER: u8 = 4;
const NO_CLOCK: u8 = 8;

impl Reading {
    /// What history keeps of a sample; `None` if its value is no number.
    pub fn of(sample: &Sample, is_clock_set: bool) -> Option<Self> {
        let number = match &sample.value {
            None => None,
            Some(value) => Some(Number::of(value)?),
        };
        Some(Self {
            at: sample.at.as_millisecond(),
            number,
            quality: sample.quality,
            is_clock_set,
        })
    }

    /// A word for how far it can be trusted.
    pub fn quality_name(&self) -> &'static str {
        match self.quality {
            Quality::Good => "good",
            Quality::Stale => "stale",
            Quality::Bad => "bad",
        }
    }

    /// A word for whether its time can be trusted.
    pub(crate) fn clock_name(&self) -> &'static str {
        clock_name(self.is_clock_set)
    }

    /// All but time and number, in four bits.
    pub(crate) fn state(&self) -> u8 {
        let clock = if self.is_clock_set { 0 } else { NO_CLOCK };
        let number = if self.number.is_some() { 0 } else { NO_NUMBER };
        rank(self.quality) | number | clock
    }

    /// From its state; `None` if there is no such state, or a number is missing.
    pub(crate) fn with(
        state: u8,
        at: i64,
        number: impl FnOnce() -> Option<Number>,
    ) -> Option<Self> {
        let number = match state & NO_NUMBER {
            0 => Some(number()?),
            _ => None,
        };
        (state <= NO_CLOCK | NO_NUMBER | 2).then_some(())?;
        Some(Self {
            at,
            number,
            quality: quality(state & 3)?,
            is_clock_set: state & NO_CLOCK == 0,
        })
    }
}

/// Whether a state has a number.
pub(crate) fn has_number(state: u8) -> bool {
    state & NO_NUMBER == 0
}

/// The greater, the worse.
pub(crate) fn rank(quality: Quality) -> u8 {
    match quality {
        Quality::Good => 0,
        Quality::Stale => 1,
        Quality::Bad => 2,
    }
}

pub(crate) fn quality(rank: u8) -> Option<Quality> {
    match rank {
        0 => Some(Quality::Good),
        1 => Some(Quality::Stale),
        2 => Some(Quality::Bad),
        _ => None,
    }
}
