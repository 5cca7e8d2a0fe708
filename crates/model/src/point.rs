//! A point, and one reading of it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{Labels, Value};

/// What topics, payloads and discovery need to know of one point of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The last level of its topic; see [`crate::check_name`].
    pub name: String,
    /// The unit as text, for example `°C`.
    pub unit: Option<String>,
    /// Whether it takes commands.
    pub writable: bool,
    /// The texts that stand for its numbers. The driver has already applied them to a sample.
    pub labels: Option<Labels>,
}

/// How far a value can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Read from the device at the time of the sample.
    Good,
    /// The device is offline; this is its last value, with the time when it was read.
    Stale,
    /// The device answered with an invalid marker, an error, or bytes that cannot be decoded.
    Bad,
}

/// One reading of one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Index in the device's list of points.
    pub point: usize,
    /// `None` only if nothing usable was read.
    pub value: Option<Value>,
    /// How far the value can be trusted.
    pub quality: Quality,
    /// When the value was read.
    pub at: Timestamp,
    /// Why a bad one is bad, for people; shared by all points of one request.
    pub error: Option<Arc<str>>,
}

impl Sample {
    /// A good reading; one that is not a finite number becomes a bad one without a value.
    pub fn good(point: usize, value: Value, at: Timestamp) -> Self {
        if value.is_finite() {
            Self {
                point,
                value: Some(value),
                quality: Quality::Good,
                at,
                error: None,
            }
        } else {
            Self::bad(point, at).because(&"no finite number".into())
        }
    }

    /// A reading that failed: no value.
    pub fn bad(point: usize, at: Timestamp) -> Self {
        Self {
            point,
            value: None,
            quality: Quality::Bad,
            at,
            error: None,
        }
    }

    /// The same with the reason for which it is bad.
    #[must_use]
    pub fn because(mut self, error: &Arc<str>) -> Self {
        self.error = Some(Arc::clone(error));
        self
    }
}
