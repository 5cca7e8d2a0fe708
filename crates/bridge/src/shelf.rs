//! The last readings of many points, in little room: a gateway has a hundred thousand points, and keeps two readings of
//! each. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use fieldgate_model::Value;
use jiff::Timestamp;

use crate::compact::{Compact, Large};

/// Readings in sixteen bytes each, and more only for what is no number of up to 64 bits. Times are kept to the
/// microsecond, and between the years 829 and 3111.
#[derive(Debug, Default)]
pub struct Shelf {
    slots: Box<[Slot]>,
    large: BTreeMap<usize, Box<Large>>,
}

/// A value that is a number of up to 64 bits, or a note that it is elsewhere.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Microseconds since 1970, and in the lowest byte the kind.
    head: i64,
    value: u64,
}

const _: () = assert!(size_of::<Slot>() == 16);

/// Kinds of slots. From [`NUMBER`] on it is a number with so many digits less.
const EMPTY: u8 = 0;
const NOTHING: u8 = 1;
const BOOL: u8 = 2;
const F32: u8 = 3;
const F64: u8 = 4;
const LARGE: u8 = 5;
const NUMBER: u8 = 16;

/// The first and the last microsecond that a slot has room for.
const AT_MAX: i64 = (1 << 55) - 1;

impl Slot {
    fn new(kind: u8, value: u64, at: i64) -> Self {
        Self {
            head: at.clamp(-AT_MAX, AT_MAX) << 8 | i64::from(kind),
            value,
        }
    }

    fn kind(&self) -> u8 {
        self.head as u8
    }

    fn at(&self) -> i64 {
        self.head >> 8
    }

    /// The value, if it is here.
    fn small(&self) -> Option<Compact> {
        let bits = self.value;
        Some(match self.kind() {
            EMPTY | LARGE => return None,
            BOOL => Compact::Bool(bits != 0),
            F32 => Compact::F32(f32::from_bits(bits as u32)),
            F64 => Compact::F64(f64::from_bits(bits)),
            kind => match kind.checked_sub(NUMBER) {
                None => Compact::Nothing,
                Some(digits) => Compact::Number {
                    digits,
                    mantissa: bits as i64,
                },
            },
        })
    }
}

/// A reading as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Shelved {
    /// The value; `None` if nothing usable was read.
    pub value: Option<Value>,
    /// Why, for people.
    pub error: Option<Arc<str>>,
    /// When it was read, to the microsecond.
    pub at: Timestamp,
}

impl Shelf {
    /// An empty one for so many points.
    pub fn new(points: usize) -> Self {
        Self {
            slots: vec![Slot::default(); points].into(),
            large: BTreeMap::new(),
        }
    }

    /// Puts a reading in the place of the one before. One of a point that there is not is left out.
    pub fn put(&mut self, point: usize, value: Compact, at: Timestamp) {
        let Some(slot) = self.slots.get_mut(point) else {
            return;
        };
        let was_large = slot.kind() == LARGE;
        let (kind, bits) = match value {
            Compact::Nothing => (NOTHING, 0),
            Compact::Bool(value) => (BOOL, value.into()),
            Compact::F32(value) => (F32, value.to_bits().into()),
            Compact::F64(value) => (F64, value.to_bits()),
            Compact::Number { digits, mantissa } => {
                // No decimal has so many digits that there is no room for them.
                (NUMBER.saturating_add(digits), mantissa as u64)
            }
            Compact::Other(large) => {
                self.large.insert(point, large);
                (LARGE, 0)
            }
        };
        if was_large && kind != LARGE {
            self.large.remove(&point);
        }
        *slot = Slot::new(kind, bits, at.as_microsecond());
    }

    /// Whether the last reading of a point is the same; its time may be another.
    pub fn holds(&self, point: usize, value: &Compact) -> bool {
        let Some(slot) = self.slots.get(point) else {
            return false;
        };
        match (value, slot.kind()) {
            (Compact::Other(value), LARGE) => self.large.get(&point) == Some(value),
            _ => slot.small().is_some_and(|small| small == *value),
        }
    }

    /// The last reading of a point, if there was one.
    pub fn get(&self, point: usize) -> Option<Shelved> {
        let slot = self.slots.get(point)?;
        let (value, error) = match slot.small() {
            Some(small) => small.parts(),
            None => self.large.get(&point)?.parts(),
        };
        Some(Shelved {
            value,
            error,
            // It was one before.
            at: Timestamp::from_microsecond(slot.at()).unwrap_or_default(),
        })
    }

    /// Takes all readings away, with the indexes of their points.
    pub fn take(&mut self) -> Vec<(usize, Shelved)> {
        let points = 0..self.slots.len();
        let all = points.filter_map(|point| Some((point, self.get(point)?)));
        let all = all.collect();
        self.slots.fill(Slot::default());
        self.large.clear();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reading_comes_back_as_it_was_with_its_time() {
        let number = |text: &str| Some(Value::Decimal(text.parse().unwrap()));
        let why: Arc<str> = "why".into();
        let values = [
            (None, None),
            (None, Some(&why)),
            (Some(Value::Bool(false)), None),
            (Some(Value::Bool(true)), None),
            (Some(Value::F32(-0.1)), None),
            (Some(Value::F64(-1e-300)), None),
            (number("0"), None),
            (number("-27.7"), None),
            (number("-9223372036854775808"), None),
            (number("18446744073709551615"), None),
            (number("0.000000000000000000000000000000000001"), None),
            (Some(Value::Text("a".into())), None),
            (Some(Value::Bytes(vec![1])), Some(&why)),
        ];
        let mut shelf = Shelf::new(2);
        assert_eq!(shelf.get(0), None);
        for at in [-AT_MAX, -1, 0, 1, 1_796_000_000_123_456, AT_MAX] {
            let at = Timestamp::from_microsecond(at).unwrap();
            // Each in the place of each other.
            for (before, later) in values
                .iter()
                .flat_map(|before| values.iter().map(move |later| (before, later)))
            {
                for (value, error) in [before, later] {
                    let compact = Compact::new(value.as_ref(), *error);
                    shelf.put(1, compact.clone(), at);
                    let want = Shelved {
                        value: value.clone(),
                        error: error.cloned(),
                        at,
                    };
                    assert_eq!(shelf.get(1), Some(want));
                    assert!(shelf.holds(1, &compact));
                }
                let other = Compact::new(before.0.as_ref(), before.1);
                assert_eq!(
                    shelf.holds(1, &other),
                    before == later,
                    "{before:?} {later:?}"
                );
            }
        }
        assert_eq!(shelf.get(0), None);
        assert_eq!(shelf.take().len(), 1);
        assert!(shelf.get(1).is_none() && shelf.large.is_empty());
    }

    #[test]
    fn a_time_without_room_is_the_nearest_one() {
        let mut shelf = Shelf::new(1);
        for (at, want) in [(Timestamp::MIN, -AT_MAX), (Timestamp::MAX, AT_MAX)] {
            shelf.put(0, Compact::Bool(true), at);
            assert_eq!(shelf.get(0).unwrap().at.as_microsecond(), want);
        }
    }

    #[test]
    fn what_is_no_number_is_never_the_same_and_there_is_no_other_point() {
        let mut shelf = Shelf::new(1);
        let nan = Compact::F64(f64::NAN);
        shelf.put(0, nan.clone(), Timestamp::UNIX_EPOCH);
        assert!(!shelf.holds(0, &nan));
        shelf.put(1, nan, Timestamp::UNIX_EPOCH);
        assert_eq!(shelf.get(1), None);
    }
}
