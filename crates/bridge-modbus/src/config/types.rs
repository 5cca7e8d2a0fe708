//! Tables, types and byte orders.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

/// What the registers of a point hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A coil or a discrete input.
    Switch,
    /// `bit(n)`: one bit of a register, 0 (least significant) to 15.
    Bit(u8),
    /// The high byte of a register, unsigned.
    U8High,
    /// The low byte of a register, unsigned.
    U8Low,
    /// 16 bits, signed.
    I16,
    /// 16 bits, unsigned.
    U16,
    /// The low 24 bits of two registers, signed; the top byte is ignored.
    I24,
    /// The low 24 bits of two registers, unsigned; the top byte is ignored.
    U24,
    /// 32 bits, signed.
    I32,
    /// 32 bits, unsigned.
    U32,
    /// 64 bits, signed.
    I64,
    /// 64 bits, unsigned.
    U64,
    /// Half precision, IEEE 754.
    F16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Four decimal digits, one in each nibble.
    Bcd16,
    /// Eight decimal digits.
    Bcd32,
    /// `string(n)`: text of at most n bytes, 1 to 250.
    String(u8),
    /// `bytes(n)`: n opaque bytes, 1 to 250.
    Bytes(u8),
}

const NAMES: &[&str] = &[
    "bit(n)",
    "u8_high",
    "u8_low",
    "i16",
    "u16",
    "i24",
    "u24",
    "i32",
    "u32",
    "i64",
    "u64",
    "f16",
    "f32",
    "f64",
    "bcd16",
    "bcd32",
    "string(n)",
    "bytes(n)",
];
/// 125 registers, the most that one request reads.
const LENGTH_MAX: u8 = 250;

impl Type {
    /// How many registers, or bits of a bit table, it takes.
    pub fn registers(self) -> u16 {
        match self {
            Self::Switch
            | Self::Bit(_)
            | Self::U8High
            | Self::U8Low
            | Self::I16
            | Self::U16
            | Self::F16
            | Self::Bcd16 => 1,
            Self::I24 | Self::U24 | Self::I32 | Self::U32 | Self::F32 | Self::Bcd32 => 2,
            Self::I64 | Self::U64 | Self::F64 => 4,
            Self::String(bytes) | Self::Bytes(bytes) => u16::from(bytes).div_ceil(2),
        }
    }

    /// Whether it is a number that can be scaled.
    pub fn is_number(self) -> bool {
        !matches!(
            self,
            Self::Switch | Self::Bit(_) | Self::String(_) | Self::Bytes(_)
        )
    }

    /// Whether it is a floating-point number.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        Ok(match text {
            "u8_high" => Self::U8High,
            "u8_low" => Self::U8Low,
            "i16" => Self::I16,
            "u16" => Self::U16,
            "i24" => Self::I24,
            "u24" => Self::U24,
            "i32" => Self::I32,
            "u32" => Self::U32,
            "i64" => Self::I64,
            "u64" => Self::U64,
            "f16" => Self::F16,
            "f32" => Self::F32,
            "f64" => Self::F64,
            "bcd16" => Self::Bcd16,
            "bcd32" => Self::Bcd32,
            text => {
                let (name, argument) = text
                    .strip_suffix(')')
                    .and_then(|text| text.split_once('('))
                    .ok_or(Fault::Unknown)?;
                let argument = argument.parse::<u8>().ok();
                match (name, argument) {
                    ("bit", Some(bit @ 0..=15)) => Self::Bit(bit),
                    ("bit", _) => return Err(Fault::Range("a bit from bit(0) to bit(15)")),
                    ("string", Some(bytes @ 1..=LENGTH_MAX)) => Self::String(bytes),
                    ("string", _) => {
                        return Err(Fault::Range("a length from string(1) to string(250)"));
                    }
                    ("bytes", Some(bytes @ 1..=LENGTH_MAX)) => Self::Bytes(bytes),
                    ("bytes", _) => {
                        return Err(Fault::Range("a length from bytes(1) to bytes(250)"));
                    }
                    _ => return Err(Fault::Unknown),
                }
            }
        })
    }
}

enum Fault {
    Unknown,
    Range(&'static str),
}

impl fmt::Display for Type {
    /// As written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Bit(bit) => return write!(f, "bit({bit})"),
            Self::String(bytes) => return write!(f, "string({bytes})"),
            Self::Bytes(bytes) => return write!(f, "bytes({bytes})"),
            Self::Switch => "bool",
            Self::U8High => "u8_high",
            Self::U8Low => "u8_low",
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::I24 => "i24",
            Self::U24 => "u24",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
            Self::U64 => "u64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Bcd16 => "bcd16",
            Self::Bcd32 => "bcd32",
        };
        f.write_str(name)
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TypeVisitor)
    }
}

struct TypeVisitor;

impl Visitor<'_> for TypeVisitor {
    type Value = Type;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type such as u16, f32, bit(3) or string(12)")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Type, E> {
        Type::parse(text).map_err(|fault| match fault {
            Fault::Unknown => E::unknown_variant(text, NAMES),
            Fault::Range(expected) => E::invalid_value(Unexpected::Str(text), &expected),
        })
    }
}

/// In which order the bytes of a number arrive, `A` being the most significant of the four of a
/// 32-bit number.
///
/// Numbers of 64 bits extend it: `CDAB` has its words in reverse, `BADC` the bytes of each word
/// swapped, `DCBA` both. Numbers of one register have only the bytes of the word to swap, so
/// `CDAB` is `ABCD` to them and `DCBA` is `BADC`. For texts and bytes, `ABCD` and `CDAB` take the
/// high byte of each register first, `BADC` and `DCBA` the low one; registers are never reversed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Order {
    /// High word first, high byte first: as the specification has it.
    #[default]
    #[serde(rename = "ABCD")]
    Abcd,
    /// Low word first, high byte first.
    #[serde(rename = "CDAB")]
    Cdab,
    /// High word first, low byte first.
    #[serde(rename = "BADC")]
    Badc,
    /// Low word first, low byte first.
    #[serde(rename = "DCBA")]
    Dcba,
}

impl Order {
    /// Whether the low word comes first.
    pub fn swaps_words(self) -> bool {
        matches!(self, Self::Cdab | Self::Dcba)
    }

    /// Whether the low byte of each word comes first.
    pub fn swaps_bytes(self) -> bool {
        matches!(self, Self::Badc | Self::Dcba)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_from_its_own_text() {
        for text in NAMES {
            for n in [0u8, 1, 12, 15] {
                let text = text.replace("(n)", &format!("({n})"));
                if text == "string(0)" || text == "bytes(0)" {
                    continue;
                }
                let Ok(parsed) = Type::parse(&text) else {
                    panic!("{text}");
                };
                assert_eq!(parsed.to_string(), text);
            }
        }
    }

    #[test]
    fn a_wrong_type_is_told_what_is_right() {
        for (text, want) in [
            (
                "u23",
                "unknown variant `u23`, expected one of `bit(n)`, `u8_high`",
            ),
            ("bit(16)", "a bit from bit(0) to bit(15)"),
            ("bit()", "a bit from"),
            ("string(0)", "a length from string(1)"),
            ("string(251)", "a length from"),
            ("bytes(-1)", "a length from bytes(1)"),
            ("text(3)", "unknown variant"),
            ("bit(3", "unknown variant"),
            ("U16", "unknown variant"),
        ] {
            let error = serde_json::from_value::<Type>(text.into()).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        }
        let error = serde_json::from_str::<Type>("16").unwrap_err();
        assert!(error.to_string().contains("a type such as u16"), "{error}");
    }
}
