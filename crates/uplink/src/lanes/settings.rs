//! What the lanes keep to.

use std::time::{Duration, Instant};

use crate::rate::Rate;

/// In which order a backlog and new messages go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// A short backlog first, a long one beside new messages.
    #[default]
    Auto,
    /// All in the order in which it came.
    InOrder,
    /// New messages first.
    FreshFirst,
}

/// What the lanes keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How long a message stays in memory at most.
    pub window: Duration,
    /// Bytes of messages in memory; twice as many if the disk does not take them.
    pub window_bytes: usize,
    /// The backlog's part of what may be sent beside new messages, above 0 and at most 1.
    pub share: f64,
    /// Which goes first.
    pub order: Order,
    /// Unacknowledged messages at most.
    pub in_flight: u16,
    /// Messages a second.
    pub messages: Option<u32>,
    /// Bytes a second.
    pub bytes: Option<u64>,
}

impl Settings {
    /// What the backlog may have beside new messages.
    pub(super) fn backlog_rate(&self, now: Instant) -> Rate {
        let messages = self
            .messages
            .map(|rate| (f64::from(rate) * self.share).ceil() as u32);
        let bytes = self.bytes.map(|rate| (rate as f64 * self.share) as u64);
        Rate::new(messages, bytes, now)
    }
}
