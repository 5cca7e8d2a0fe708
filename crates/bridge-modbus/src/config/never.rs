//! Times that can be `never`.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::{Period, Poll};
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

/// When a point is read; `None` for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read(pub(super) Option<Poll>);

/// How long after a write a point is read back; `None` for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Readback(pub(super) Option<Duration>);

struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text {
            expected: "a time such as 300ms, 1s, 5m or 12h, once or never",
            parse: |text| match text {
                "never" => Some(Self(None)),
                "once" => Some(Self(Some(Poll::Once))),
                text => Period::parse(text).map(|period| Self(Some(Poll::Every(period)))),
            },
        })
    }
}

impl<'de> Deserialize<'de> for Readback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text {
            expected: "a time such as 300ms, 1s, 5m or 12h, or never",
            parse: |text| match text {
                "never" => Some(Self(None)),
                text => Period::parse(text).map(|period| Self(Some(period.get()))),
            },
        })
    }
}
