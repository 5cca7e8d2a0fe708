//! Fields of a binary frame: where they are, of what type, in which byte order.

use std::fmt;

use fieldgate_model::{Decimal, Encoding, Value};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::bytes::padded;
use crate::check::ByteOrder;

/// Where a field of a binary frame is and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryField {
    /// Its first byte, from 0.
    pub at: usize,
    /// What it holds.
    pub kind: BinaryKind,
    /// Which of its bytes comes first.
    pub order: ByteOrder,
}

/// What a field of a binary frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryKind {
    /// An unsigned integer of so many bytes, 1 to 8.
    Unsigned(usize),
    /// A signed one (two's complement).
    Signed(usize),
    /// IEEE 754, 4 or 8 bytes.
    Float(usize),
    /// Two decimal digits in each of so many bytes, 1 to 8.
    Bcd(usize),
    /// One bit of a byte; 0 is the least significant.
    Bit(u8),
    /// Text of so many bytes; see [`padded`].
    Text(usize),
    /// Opaque bytes.
    Bytes(usize),
}

/// Longest text or block of bytes.
const LENGTH_MAX: usize = 1024;

impl BinaryField {
    /// The byte behind its last one.
    pub fn end(&self) -> usize {
        self.at
            + match self.kind {
                BinaryKind::Unsigned(bytes)
                | BinaryKind::Signed(bytes)
                | BinaryKind::Float(bytes)
                | BinaryKind::Bcd(bytes)
                | BinaryKind::Text(bytes)
                | BinaryKind::Bytes(bytes) => bytes,
                BinaryKind::Bit(_) => 1,
            }
    }

    /// What a frame holds there; `None` if the frame is too short or holds no such value.
    pub fn read(&self, frame: &[u8], encoding: Option<Encoding>) -> Option<Value> {
        let bytes = frame.get(self.at..self.end())?;
        let mut ordered = bytes.to_vec();
        if self.order == ByteOrder::Little {
            ordered.reverse();
        }
        let bits = ordered
            .iter()
            .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        match self.kind {
            BinaryKind::Unsigned(_) => Some(Value::Decimal(bits.into())),
            BinaryKind::Signed(width) => {
                let unused = 64 - 8 * u32::try_from(width).ok()?;
                let signed = i64::from_be_bytes((bits << unused).to_be_bytes()) >> unused;
                Some(Value::Decimal(signed.into()))
            }
            BinaryKind::Float(4) => Some(Value::F32(f32::from_bits(u32::try_from(bits).ok()?))),
            BinaryKind::Float(_) => Some(Value::F64(f64::from_bits(bits))),
            BinaryKind::Bcd(_) => bcd(&ordered),
            BinaryKind::Bit(bit) => Some(Value::Bool(bits >> bit & 1 == 1)),
            BinaryKind::Text(_) => padded(bytes, encoding).map(Value::Text),
            BinaryKind::Bytes(_) => Some(Value::Bytes(bytes.to_vec())),
        }
    }
}

fn bcd(bytes: &[u8]) -> Option<Value> {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
    let number = digits.map(u64::from).try_fold(0u64, |number, digit| {
        number
            .checked_mul(10)?
            .checked_add(Some(digit).filter(|digit| *digit < 10)?)
    })?;
    Some(Value::Decimal(Decimal::from(number)))
}

impl BinaryKind {
    fn parse(text: &str) -> Option<Self> {
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(')')?.parse::<usize>().ok()?)),
            None => (text, None),
        };
        Some(match (name, argument) {
            ("u8", None) => Self::Unsigned(1),
            ("u16", None) => Self::Unsigned(2),
            ("u24", None) => Self::Unsigned(3),
            ("u32", None) => Self::Unsigned(4),
            ("u64", None) => Self::Unsigned(8),
            ("i8", None) => Self::Signed(1),
            ("i16", None) => Self::Signed(2),
            ("i24", None) => Self::Signed(3),
            ("i32", None) => Self::Signed(4),
            ("i64", None) => Self::Signed(8),
            ("f32", None) => Self::Float(4),
            ("f64", None) => Self::Float(8),
            ("bcd", Some(bytes @ 1..=8)) => Self::Bcd(bytes),
            ("bit", Some(bit @ 0..=7)) => Self::Bit(u8::try_from(bit).ok()?),
            ("string", Some(bytes @ 1..=LENGTH_MAX)) => Self::Text(bytes),
            ("bytes", Some(bytes @ 1..=LENGTH_MAX)) => Self::Bytes(bytes),
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for BinaryKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KindVisitor)
    }
}

struct KindVisitor;

impl Visitor<'_> for KindVisitor {
    type Value = BinaryKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a type: u8 u16 u24 u32 u64 i8 i16 i24 i32 i64 f32 f64 bcd(n) bit(n) string(n) bytes(n)",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<BinaryKind, E> {
        BinaryKind::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_in_both_orders_and_a_short_frame_is_none() {
        let number = |text: &str| Some(Value::Decimal(text.parse().unwrap()));
        let frame =
            b"\x01\x02\xFF\xFE\x41\xC8\x00\x00\x12\x34AB\0 \xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
        for (at, kind, order, want) in [
            (0, "u8", ByteOrder::Big, number("1")),
            (0, "u16", ByteOrder::Big, number("258")),
            (0, "u16", ByteOrder::Little, number("513")),
            (2, "i8", ByteOrder::Big, number("-1")),
            (2, "i16", ByteOrder::Big, number("-2")),
            (2, "i16", ByteOrder::Little, number("-257")),
            (1, "u24", ByteOrder::Big, number("196606")),
            (2, "i24", ByteOrder::Big, number("-447")),
            (4, "f32", ByteOrder::Big, Some(Value::F32(25.0))),
            (8, "bcd(2)", ByteOrder::Big, number("1234")),
            (8, "bcd(2)", ByteOrder::Little, number("3412")),
            (2, "bcd(1)", ByteOrder::Big, None),
            (1, "bit(1)", ByteOrder::Big, Some(Value::Bool(true))),
            (1, "bit(0)", ByteOrder::Big, Some(Value::Bool(false))),
            (
                10,
                "string(4)",
                ByteOrder::Big,
                Some(Value::Text("AB".into())),
            ),
            (
                0,
                "bytes(2)",
                ByteOrder::Big,
                Some(Value::Bytes(vec![1, 2])),
            ),
            (14, "u64", ByteOrder::Big, number("18446744073709551615")),
            (14, "i64", ByteOrder::Little, number("-1")),
            (21, "u16", ByteOrder::Big, None),
        ] {
            let kind = BinaryKind::parse(kind).unwrap();
            let field = BinaryField { at, kind, order };
            assert_eq!(field.read(frame, None), want, "{field:?}");
        }
    }
}
