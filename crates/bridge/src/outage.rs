//! A line that is away.

use jiff::Timestamp;

/// A line that cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Why, for people.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

impl Outage {
    /// One that begins now.
    pub fn begins(why: &str) -> Self {
        Self {
            why: why.to_owned(),
            since: Timestamp::now(),
        }
    }
}
