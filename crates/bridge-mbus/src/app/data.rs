//! Data fields: numbers, texts, bytes. Exact.

use fieldgate_model::{Decimal, Value};

use super::dib::Coding;
use super::number::text;
use super::vib::Vib;
use super::vif::Kind;
use super::{Absent, Broken, Bytes, Order, date};

/// A data field as it stands, with the bytes of numbers low first.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    Nothing,
    Integer(Vec<u8>),
    Real([u8; 4]),
    Bcd { bytes: Vec<u8>, is_negative: bool },
    Text(String),
}

/// Numbers of so many bytes are kept as numbers; longer ones as bytes.
const NUMBER_MAX: usize = 15;

pub(super) fn read(bytes: &mut Bytes<'_>, coding: Coding, order: Order) -> Result<Raw, Broken> {
    let low_first = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if order == Order::HighFirst {
            bytes.reverse();
        }
        bytes
    };
    Ok(match coding {
        Coding::Nothing => Raw::Nothing,
        Coding::Integer(length) => Raw::Integer(low_first(bytes.take(length)?)),
        Coding::Bcd(length) => Raw::Bcd {
            bytes: low_first(bytes.take(length)?),
            is_negative: false,
        },
        Coding::Real => {
            let real = low_first(bytes.take(4)?);
            Raw::Real(real.try_into().map_err(|_| Broken::Cut)?)
        }
        Coding::Variable => variable(bytes, order)?,
    })
}

/// Source: EN 13757-3, 6.3: up to BFh a text, C0h and D0h decimal digits, E0h and above a number.
fn variable(bytes: &mut Bytes<'_>, order: Order) -> Result<Raw, Broken> {
    let length = bytes.byte()?;
    let count = usize::from(length & 0x0F);
    let mut taken = |count: usize| {
        let mut taken = bytes.take(count)?.to_vec();
        if order == Order::HighFirst {
            taken.reverse();
        }
        Ok(taken)
    };
    Ok(match length {
        0x00..=0xBF => Raw::Text(text(bytes.take(usize::from(length))?, order)),
        0xC0..=0xC9 => Raw::Bcd {
            bytes: taken(count)?,
            is_negative: false,
        },
        0xD0..=0xD9 => Raw::Bcd {
            bytes: taken(count)?,
            is_negative: true,
        },
        0xE0..=0xEF => Raw::Integer(taken(count)?),
        0xF0..=0xF4 => Raw::Integer(taken(4 * (count + 4))?),
        0xF5 => Raw::Integer(taken(48)?),
        0xF6 => Raw::Integer(taken(64)?),
        _ => return Err(Broken::Length),
    })
}

impl Raw {
    /// The value in the unit of its block.
    pub(super) fn value(&self, vib: &Vib) -> Result<Value, Absent> {
        match (self, vib.kind) {
            (Self::Nothing, _) => Err(Absent::Nothing),
            (Self::Text(text), _) => Ok(Value::Text(text.clone())),
            (Self::Integer(bytes), Kind::Date) => date::date(bytes),
            (Self::Integer(bytes), Kind::DateTime) => date::date_time(bytes),
            (Self::Integer(bytes), _) if bytes.len() > NUMBER_MAX => {
                Ok(Value::Bytes(bytes.iter().rev().copied().collect()))
            }
            (Self::Integer(bytes), Kind::Bits) => vib.number(unsigned(bytes)).ok_or(Absent::Range),
            (Self::Integer(bytes), Kind::Number | Kind::Digits) => {
                // The smallest number stands for none. Of one byte it is too often a real one.
                if bytes.len() >= 2 && is_smallest(bytes) {
                    return Err(Absent::Invalid);
                }
                let number = integer(bytes, Order::LowFirst);
                vib.number(number).ok_or(Absent::Range)
            }
            (Self::Real(bytes), _) => {
                let number = f32::from_le_bytes(*bytes);
                if !number.is_finite() {
                    return Err(Absent::Invalid);
                }
                let exact = Decimal::from_f32(number).ok_or(Absent::Range)?;
                vib.scale(exact).map(Value::Decimal).ok_or(Absent::Range)
            }
            (Self::Bcd { bytes, .. }, Kind::Digits) => {
                let digits = bytes.iter().rev().map(|byte| format!("{byte:02X}"));
                Ok(Value::Text(digits.collect()))
            }
            (Self::Bcd { bytes, is_negative }, _) => {
                let number = bcd(bytes, Order::LowFirst).ok_or(Absent::Invalid)?;
                let number = if *is_negative { -number } else { number };
                vib.number(number).ok_or(Absent::Range)
            }
        }
    }
}

/// A two's complement number of at most 15 bytes.
pub(super) fn integer(bytes: &[u8], order: Order) -> i128 {
    let number = match order {
        Order::LowFirst => unsigned(bytes),
        Order::HighFirst => bytes
            .iter()
            .fold(0, |number, byte| number << 8 | i128::from(*byte)),
    };
    let bits = 8 * bytes.len().min(NUMBER_MAX);
    if bits > 0 && number >> (bits - 1) & 1 == 1 {
        number - (1 << bits)
    } else {
        number
    }
}

fn unsigned(bytes: &[u8]) -> i128 {
    let high_first = bytes.iter().take(NUMBER_MAX).rev();
    high_first.fold(0, |number, byte| number << 8 | i128::from(*byte))
}

/// Whether it is the pattern 80 00 …, high byte first.
fn is_smallest(bytes: &[u8]) -> bool {
    bytes
        .split_last()
        .is_some_and(|(high, low)| *high == 0x80 && low.iter().all(|byte| *byte == 0))
}

/// Decimal digits, two a byte; an `F` in the first place is a minus. `None` if another is no
/// digit, which is how meters mark a value as invalid.
pub(super) fn bcd(bytes: &[u8], order: Order) -> Option<i128> {
    let digits: Vec<u8> = match order {
        Order::LowFirst => bytes.iter().rev().flat_map(nibbles).collect(),
        Order::HighFirst => bytes.iter().flat_map(nibbles).collect(),
    };
    let (is_negative, digits) = match digits.as_slice() {
        [0xF, digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let mut number: i128 = 0;
    for digit in digits {
        if *digit > 9 {
            return None;
        }
        number = number * 10 + i128::from(*digit);
    }
    Some(if is_negative { -number } else { number })
}

fn nibbles(byte: &u8) -> [u8; 2] {
    [byte >> 4, byte & 0xF]
}
