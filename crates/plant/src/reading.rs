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

/// A reading in 32 bytes, and more only for what is no number of up to 64 bits.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    value: Compact,
    /// In microseconds.
    at: i64,
    /// The number of the change; in the lowest two bits how good the value is.
    mark: u64,
}

const _: () = assert!(size_of::<Option<Kept>>() <= 32);

fn mark(change: u64, quality: Quality) -> u64 {
    let quality = match quality {
        Quality::Good => 0,
        Quality::Stale => 1,
        Quality::Bad => 2,
    };
    change << 2 | quality
}

impl Kept {
    pub(crate) fn new(sample: &Sample, change: u64) -> Self {
        Self {
            value: Compact::new(sample.value.as_ref(), sample.error.as_ref()),
            at: sample.at.as_microsecond(),
            mark: mark(change, sample.quality),
        }
    }

    fn quality(&self) -> Quality {
        match self.mark & 0b11 {
            0 => Quality::Good,
            1 => Quality::Stale,
            _ => Quality::Bad,
        }
    }

    /// Calls it stale if it was good; what it was otherwise, it still is.
    pub(crate) fn age(&mut self, change: u64) {
        if self.quality() == Quality::Good {
            self.mark = mark(change, Quality::Stale);
        }
    }

    pub(crate) fn change(&self) -> u64 {
        self.mark >> 2
    }

    pub(crate) fn reading(&self) -> Reading {
        let (value, error) = self.value.parts();
        Reading {
            value,
            quality: self.quality(),
            // It was one before.
            at: Timestamp::from_microsecond(self.at).unwrap_or_default(),
            error,
            change: self.change(),
        }
    }
}
