//! `absent:` of a point: `bad`, or `{value: none}`.

use std::fmt;

use fieldgate_model::Value;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// What it means that a frame does not hold a point.
#[derive(Clone, Debug, PartialEq)]
pub enum Absence {
    /// That it has no value.
    Bad,
    /// This value.
    Value(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    value: Value,
}

impl<'de> Deserialize<'de> for Absence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AbsenceVisitor)
    }
}

struct AbsenceVisitor;

impl<'de> Visitor<'de> for AbsenceVisitor {
    type Value = Absence;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bad, or a value such as {value: none}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Absence, E> {
        match text {
            "bad" => Ok(Absence::Bad),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Absence, A::Error> {
        let raw = Raw::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Absence::Value(raw.value))
    }
}
