//! What came over a port, in numbers.

use std::sync::{Mutex, PoisonError};

use crate::frame::Rejected;

/// Counts since the start. Shared between the device's task and its readers.
#[derive(Debug, Default)]
pub struct SerialCounts {
    counts: Mutex<SerialSnapshot>,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SerialSnapshot {
    /// Bytes read.
    pub bytes: u64,
    /// Frames that were whole.
    pub frames: u64,
    /// Whole frames that do not fit `parse`.
    pub unmatched: u64,
    /// Bytes that came unasked from a device that is asked, and were dropped.
    pub unasked: u64,
    /// Answers that came after their time, or may have done so, and were not used.
    pub late: u64,
    /// Times that more came than any instrument says, and the port was closed.
    pub floods: u64,
    /// What the framing rejected.
    pub rejected: Rejected,
}

impl SerialCounts {
    /// The counts now.
    pub fn snapshot(&self) -> SerialSnapshot {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut SerialSnapshot)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl SerialSnapshot {
    /// The counts of what is as it should be, by name.
    pub fn routine(&self) -> [(&'static str, u64); 2] {
        [("bytes", self.bytes), ("frames", self.frames)]
    }

    /// The counts of what was not usable, by name.
    pub fn rejects(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let own = [
            ("unmatched", self.unmatched),
            ("unasked", self.unasked),
            ("late", self.late),
            ("floods", self.floods),
        ];
        own.into_iter().chain(self.rejected.named())
    }

    /// What was not usable, for people: `3 with a wrong check, 1 that do not fit`; empty if
    /// everything was.
    pub fn faults(&self) -> String {
        let own = [
            ("that do not fit `parse`", self.unmatched),
            ("bytes unasked", self.unasked),
            ("late answers", self.late),
            ("floods", self.floods),
        ];
        let counts = self
            .rejected
            .iter()
            .chain(own)
            .filter(|(_, count)| *count > 0);
        let texts: Vec<String> = counts
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        texts.join(", ")
    }
}
