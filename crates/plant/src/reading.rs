//! The last reading of a point, in little room.

use std::sync::Arc;

use fieldgate_bridge::Compact;
use fieldgate_model::{Quality, Sample, Value};
use jiff::Timestamp;

/// The last reading of a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// `None` only if nothing usable was read.
    pub value: Option<Value>,
    /// How far the value can be trusted.
    pub quality: Quality,
    /// When the value was read, to the microsecond.
    pub at: Timestamp,
    /// Why a bad one is bad, for people.
    pub error: Option<Arc<str>>,
    /// The number of the change that brought it.
    pub change: u64,
}

/// A reading in 40 bytes, and more only for what is no number of up to 64 bits.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    value: Compact,
    quality: Quality,
    /// In microseconds.
    at: i64,
    change: u64,
}

impl Kept {
    pub(crate) fn new(sample: &Sample, change: u64) -> Self {
        Self {
            value: Compact::new(sample.value.as_ref(), sample.error.as_ref()),
            quality: sample.quality,
            at: sample.at.as_microsecond(),
            change,
        }
    }

    /// Calls it stale if it was good; what it was otherwise, it still is.
    pub(crate) fn age(&mut self, change: u64) {
        if self.quality == Quality::Good {
            self.quality = Quality::Stale;
            self.change = change;
        }
    }

    pub(crate) fn change(&self) -> u64 {
        self.change
    }

    pub(crate) fn reading(&self) -> Reading {
        let (value, error) = self.value.parts();
        Reading {
            value,
            quality: self.quality,
            // It was one before.
            at: Timestamp::from_microsecond(self.at).unwrap_or_default(),
            error,
            change: self.change,
        }
    }
}
