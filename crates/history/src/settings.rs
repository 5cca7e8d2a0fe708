//! How history is kept, and by which clock.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

/// How history is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where.
    pub folder: PathBuf,
    /// Bytes of all its files at most.
    pub max: u64,
    /// For how long readings are kept.
    pub keep: Duration,
    /// Bytes of the files of events at most, which are a part of `max`.
    pub events: u64,
    /// Percent of the partition that it leaves free.
    pub reserve: u8,
    /// From one write to the card to the next.
    pub flush: Duration,
    /// Bytes of memory for what no file has yet.
    pub memory: usize,
    /// For how long hours of counters are kept.
    pub keep_counters: Duration,
    /// By whose hours they are.
    pub zone: TimeZone,
    /// For how long the clock must have gone evenly before files are removed for their age.
    pub trust: Duration,
}

/// What the clock of the machine shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Whether something that knows the time has set it.
    pub is_set: bool,
}
