//! Values of a bus's keys that have a form of their own.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::Period;
use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

/// `auto`, or a time.
#[derive(Default)]
pub(super) struct Pause(pub(super) Option<Duration>);

/// In percent.
pub(super) struct Share(pub(super) u8);

/// Which answers of a Modbus TCP server are taken although their header is not the request's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Those of any unit.
    #[serde(default, deserialize_with = "any")]
    pub unit: bool,
    /// Those with any transaction number.
    #[serde(default, deserialize_with = "any")]
    pub transaction: bool,
}

pub(super) const SHARE: u8 = 2;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Any {
    Any,
}

fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Any::deserialize(deserializer).map(|Any::Any| true)
}

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PauseVisitor)
    }
}

struct PauseVisitor;

impl Visitor<'_> for PauseVisitor {
    type Value = Pause;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto, or a time such as 100ms")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Pause, E> {
        if text == "auto" {
            return Ok(Pause(None));
        }
        Period::parse(text)
            .map(|period| Pause(Some(period.get())))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl Default for Share {
    fn default() -> Self {
        Self(SHARE)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShareVisitor)
    }
}

struct ShareVisitor;

impl Visitor<'_> for ShareVisitor {
    type Value = Share;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a percentage from \"1%\" to \"100%\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
        text.strip_suffix('%')
            .and_then(|number| number.trim_end().parse().ok())
            .filter(|percent| (1..=100).contains(percent))
            .map(Share)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}
