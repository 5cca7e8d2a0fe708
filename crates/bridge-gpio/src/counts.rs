//! What happened on the lines of a device, in numbers.

use std::sync::{Mutex, PoisonError};

/// Counts since the start. Shared between the device's task and its readers.
#[derive(Debug, Default)]
pub struct GpioCounts {
    counts: Mutex<GpioSnapshot>,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpioSnapshot {
    /// Edges that were taken.
    pub edges: u64,
    /// Outputs, channels and counters that were set.
    pub commands: u64,
    /// Edges that are known only by their numbers: they came faster than they could be taken.
    pub lost_edges: u64,
    /// Commands that were refused, such as for an interlock.
    pub refused: u64,
    /// Times that counts could not be kept.
    pub failed_saves: u64,
}

impl GpioCounts {
    /// The counts now.
    pub fn snapshot(&self) -> GpioSnapshot {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut GpioSnapshot)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl GpioSnapshot {
    /// The counts of what is as it should be, by name.
    pub fn routine(&self) -> [(&'static str, u64); 2] {
        [("edges", self.edges), ("commands", self.commands)]
    }

    /// The counts that say that something is wrong, by name.
    pub fn faults(&self) -> [(&'static str, u64); 3] {
        [
            ("lost_edges", self.lost_edges),
            ("refused", self.refused),
            ("failed_saves", self.failed_saves),
        ]
    }
}
