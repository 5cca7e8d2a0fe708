//! Unit identifiers as a person writes them: `[1, 2, 5]`, `["3-10", 12]` or `3-10`.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

/// The placeholder in the name of a device that stands for several units.
pub(crate) const UNIT: &str = "{unit}";

/// A set of unit identifiers; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Units(BTreeSet<u8>);

impl Units {
    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> {
        self.0.iter().copied()
    }
}

const EXPECTED: &str = "unit numbers such as [1, 2, 5] or 3-10";

/// One element of the list: a number or a range.
struct Range(u8, u8);

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitsVisitor)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RangeVisitor)
    }
}

struct UnitsVisitor;
struct RangeVisitor;

impl<'de> Visitor<'de> for UnitsVisitor {
    type Value = Units;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Units, A::Error> {
        let mut units = BTreeSet::new();
        while let Some(Range(first, last)) = list.next_element()? {
            for unit in first..=last {
                if !units.insert(unit) {
                    return Err(de::Error::custom(format!("duplicate unit {unit}")));
                }
            }
        }
        if units.is_empty() {
            return Err(de::Error::custom("the list is empty"));
        }
        Ok(Units(units))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Units, E> {
        let Range(first, last) = RangeVisitor.visit_str(text)?;
        Ok(Units((first..=last).collect()))
    }
}

impl Visitor<'_> for RangeVisitor {
    type Value = Range;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a unit number 0..=255 or a range such as \"3-10\"")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Range, E> {
        match u8::try_from(value) {
            Ok(unit) => Ok(Range(unit, unit)),
            Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Range, E> {
        let range = text.split_once('-').and_then(|(first, last)| {
            let first: u8 = first.trim().parse().ok()?;
            let last: u8 = last.trim().parse().ok()?;
            (first <= last).then_some(Range(first, last))
        });
        range.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}
