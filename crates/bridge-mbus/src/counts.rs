//! What came over a bus, in numbers.

use std::time::Duration;

use fieldgate_field_line as field_line;

use crate::address::Address;
use crate::link::Rejected;

/// The counts of a bus, and of each of its meters, at one moment.
pub type MbusCounters = field_line::Counters<Address, MbusSnapshot>;

/// Where the bus writes and others look.
pub(crate) type Ledger = field_line::Ledger<Address, MbusSnapshot>;

/// Counts since the start of a bus, of all of it or of one meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MbusSnapshot {
    /// Requests that were sent, repetitions included.
    pub requests: u64,
    /// Answers that fitted their request.
    pub answers: u64,
    /// How long the line was taken.
    pub busy: Duration,
    /// Requests without a usable answer in time.
    pub timeouts: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Answers that came after their time. None of them was used.
    pub late: u64,
    /// Answers of meters that were not asked.
    pub foreign: u64,
    /// Requests that came back, as some level converters do it.
    pub echoes: u64,
    /// Times that a meter had no readings to give.
    pub empty: u64,
    /// Answers that are no readings, or only in part.
    pub unreadable: u64,
    /// Times that more came than could have been asked for, and the line was closed.
    pub floods: u64,
    /// What was rejected on the line.
    pub rejected: Rejected,
    /// Times the port or the connection was lost, or could not be opened.
    pub lost: u64,
}

impl MbusSnapshot {
    /// The counts of what is as it should be, by name. `busy_ms` is in milliseconds.
    pub fn routine(&self) -> [(&'static str, u64); 3] {
        let busy = u64::try_from(self.busy.as_millis()).unwrap_or(u64::MAX);
        [
            ("requests", self.requests),
            ("answers", self.answers),
            ("busy_ms", busy),
        ]
    }

    /// The counts that say that something is wrong, by name.
    pub fn faults(&self) -> [(&'static str, u64); 13] {
        [
            ("timeouts", self.timeouts),
            ("retries", self.retries),
            ("late_answers", self.late),
            ("foreign_answers", self.foreign),
            ("echoes", self.echoes),
            ("empty_answers", self.empty),
            ("unreadable", self.unreadable),
            ("floods", self.floods),
            ("check_errors", self.rejected.checks),
            ("header_errors", self.rejected.headers),
            ("noise_bytes", self.rejected.noise),
            ("short_frames", self.rejected.cut),
            ("lost", self.lost),
        ]
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.answers += more.answers;
        self.busy += more.busy;
        self.timeouts += more.timeouts;
        self.retries += more.retries;
        self.late += more.late;
        self.foreign += more.foreign;
        self.echoes += more.echoes;
        self.empty += more.empty;
        self.unreadable += more.unreadable;
        self.floods += more.floods;
        self.reject(more.rejected);
        self.lost += more.lost;
    }

    pub(crate) fn reject(&mut self, more: Rejected) {
        self.rejected.checks += more.checks;
        self.rejected.headers += more.headers;
        self.rejected.noise += more.noise;
        self.rejected.cut += more.cut;
    }
}
