//! Which line, and how it is set up.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

/// A line, by what does not change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineRef {
    /// Its name, such as `GPIO17`.
    Name(String),
    /// Its number on its chip.
    Offset(u32),
}

/// How a line is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineConfig {
    /// Which line.
    pub line: LineRef,
    /// Its resistor; absent: as it is.
    pub pull: Option<Pull>,
    /// Whether a low voltage is 1.
    pub active_low: bool,
    /// How long a level has to last to count; done by the kernel.
    pub debounce: Option<Duration>,
}

/// The resistor of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// To the supply.
    Up,
    /// To ground.
    Down,
    /// None.
    None,
}

/// Which edges count, after `active_low`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// From 0 to 1.
    #[default]
    Rising,
    /// From 1 to 0.
    Falling,
    /// Both.
    Both,
}

/// How an output drives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drive {
    /// Both levels.
    #[default]
    PushPull,
    /// Low only.
    OpenDrain,
    /// High only.
    OpenSource,
}

/// As long as the kernel's field for it can say, in microseconds.
pub(super) const DEBOUNCE_MAX: Duration = Duration::from_secs(60);

impl fmt::Display for LineRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{}", name.escape_debug()),
            Self::Offset(offset) => write!(f, "{offset}"),
        }
    }
}

impl<'de> Deserialize<'de> for LineRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LineVisitor)
    }
}

struct LineVisitor;

impl Visitor<'_> for LineVisitor {
    type Value = LineRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a line, such as GPIO17, or its number on its chip")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<LineRef, E> {
        u32::try_from(number)
            .map(LineRef::Offset)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<LineRef, E> {
        u64::try_from(number)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            .and_then(|number| self.visit_u64(number))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<LineRef, E> {
        // The kernel's names have 31 bytes at most.
        if name.is_empty() || name.len() > 31 {
            return Err(E::invalid_value(Unexpected::Str(name), &self));
        }
        Ok(LineRef::Name(name.to_owned()))
    }
}
