//! What happened on a bus, in numbers: for the bus and for each of its units.

use std::collections::BTreeMap;
use std::time::Duration;

use fieldgate_field_line as field_line;

use crate::data::Exception;

/// Counts since the bus was started, of a whole bus or of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were sent, repetitions included.
    pub requests: u64,
    /// Answers that fitted their request and were no exceptions.
    pub answers: u64,
    /// Exceptions by code, as the specification and vendors number them.
    pub exceptions: BTreeMap<u8, u64>,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// Frames whose check was wrong, or that made no sense.
    pub crc_errors: u64,
    /// Frames that ended before they were whole.
    pub short_frames: u64,
    /// Answers that fit no request, or acknowledge another write.
    pub wrong_answers: u64,
    /// Answers that came after their time was over; none of them was used.
    pub late_answers: u64,
    /// Answers that came twice.
    pub repeats: u64,
    /// Requests that were sent only to tell what is late from what is not.
    pub barriers: u64,
    /// Requests that came back, on a line that is not said to do so.
    pub echoes: u64,
    /// Answers behind bytes that belong to none.
    pub leading_bytes: u64,
    /// Answers over TCP whose header names another length than they have.
    pub wrong_lengths: u64,
    /// Frames of units that were not asked, or that the other end of a connection made up.
    pub foreign_frames: u64,
    /// Times the other end sent more than it could have been asked for, and the connection was
    /// closed.
    pub floods: u64,
    /// Reads that were sent again.
    pub retries: u64,
    /// Times a unit was given up after too many failures in a row.
    pub breaker_openings: u64,
    /// Times a connection or a port was lost.
    pub lost: u64,
    /// Times a connection or a port could not be opened.
    pub failed_opens: u64,
    /// How long the line was taken by transactions, silence between frames included.
    pub busy: Duration,
}

/// The counts of a bus at one moment, by unit identifier.
pub type BusCounters = field_line::Counters<u8, Counts>;

/// Where the bus writes and others look.
pub(crate) type Ledger = field_line::Ledger<u8, Counts>;

impl Counts {
    /// All counts but those of exceptions, by name, to be shown. `busy` is in
    /// milliseconds.
    pub fn figures(&self) -> [(&'static str, u64); 18] {
        let busy = u64::try_from(self.busy.as_millis()).unwrap_or(u64::MAX);
        let routine = [
            ("requests", self.requests),
            ("answers", self.answers),
            ("busy_ms", busy),
        ];
        let mut all = routine.into_iter().chain(self.faults());
        std::array::from_fn(|_| all.next().unwrap_or_default())
    }

    /// The counts that say that something is wrong, by name.
    pub fn faults(&self) -> [(&'static str, u64); 15] {
        [
            ("timeouts", self.timeouts),
            ("crc_errors", self.crc_errors),
            ("short_frames", self.short_frames),
            ("wrong_answers", self.wrong_answers),
            ("late_answers", self.late_answers),
            ("barriers", self.barriers),
            ("repeats", self.repeats),
            ("echoes", self.echoes),
            ("leading_bytes", self.leading_bytes),
            ("wrong_lengths", self.wrong_lengths),
            ("foreign_frames", self.foreign_frames),
            ("floods", self.floods),
            ("retries", self.retries),
            ("breaker_openings", self.breaker_openings),
            ("lost", self.lost + self.failed_opens),
        ]
    }

    pub(crate) fn refused(&mut self, exception: Exception) {
        *self.exceptions.entry(exception.0).or_default() += 1;
    }
}
