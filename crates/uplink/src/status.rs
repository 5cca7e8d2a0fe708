//! What an uplink says of itself.

use std::collections::VecDeque;

/// Messages that the remote did not take, the last so many.
pub const REJECTED: usize = 100;
/// Bytes of a rejected message's payload that are shown.
const SHOWN: usize = 200;

/// What is known of an uplink.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Where it is connected to, or was tried last.
    pub remote: String,
    /// Whether messages can be sent now.
    pub connected: bool,
    /// Since when that is so, in milliseconds since 1970.
    pub since: u64,
    /// Why there is no connection, or why the last one ended.
    pub error: Option<String>,
    /// What is spoken, such as `MQTT 5.0`.
    pub protocol: Option<String>,
    /// Encryption.
    pub tls: Option<String>,
    /// Messages sent, acknowledged, and sent again after a connection had ended.
    pub sent: u64,
    /// See `sent`.
    pub acknowledged: u64,
    /// See `sent`.
    pub resent: u64,
    /// Messages that were under way when a connection ended: they may have arrived twice.
    pub duplicates_possible: u64,
    /// Messages that the remote had already, from an earlier connection. NATS says so.
    pub already_there: u64,
    /// Messages that a later one of their topic took the place of, by `min_interval`.
    pub replaced: u64,
    /// Messages that went up in one with others.
    pub packed: u64,
    /// Messages that came down.
    pub accepted: u64,
    /// Messages that came down and were not published here.
    pub not_accepted: u64,
    /// Messages that are gone, by cause.
    pub dropped: Dropped,
    /// Messages and bytes on the card.
    pub spool_messages: u64,
    /// See `spool_messages`.
    pub spool_bytes: u64,
    /// When the oldest message on the card was taken, in milliseconds since 1970.
    pub oldest: Option<u64>,
    /// New messages in memory.
    pub window_messages: usize,
    /// Those of them that are to be safe soon, as `durable` says.
    pub promised: usize,
    /// Messages that were acknowledged to clients before they were safe, as the card could not be used.
    pub not_durable: u64,
    /// How long the oldest new message waits, in milliseconds.
    pub lag: u64,
    /// How long the last acknowledgement took, in milliseconds.
    pub round_trip: u64,
    /// Messages a second that are allowed now.
    pub rate_limit: Option<f64>,
    /// Bytes written to the card.
    pub bytes_written: u64,
    /// Blocks on the card that were damaged.
    pub damaged: u64,
    /// From when to when messages are missing, in milliseconds since 1970.
    pub lost: Option<(u64, u64)>,
    /// The partition has no room for as much as is configured.
    pub cramped: bool,
    /// Why the card cannot be used.
    pub spool_error: Option<String>,
    /// Until when the remote's and our certificate count, in seconds since 1970.
    pub remote_until: Option<i64>,
    /// See `remote_until`.
    pub own_until: Option<i64>,
}

/// Messages that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// There was no room for them.
    pub full: u64,
    /// They had waited too long.
    pub age: u64,
    /// The remote refused them, or cannot take them.
    pub rejected: u64,
    /// QoS 0 while there was no connection.
    pub qos0: u64,
    /// They had been here before.
    pub looped: u64,
}

/// A message that is not sent any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Its topic at the remote.
    pub topic: String,
    /// Why.
    pub reason: String,
    /// Its identifier.
    pub id: String,
    /// The beginning of its payload.
    pub payload: String,
    /// Bytes of its payload.
    pub bytes: usize,
}

impl Rejected {
    pub(crate) fn new(at: u64, topic: &str, reason: String, id: String, payload: &[u8]) -> Self {
        let shown = payload.get(..SHOWN).unwrap_or(payload);
        Self {
            at,
            topic: topic.to_owned(),
            reason,
            id,
            payload: String::from_utf8_lossy(shown).into_owned(),
            bytes: payload.len(),
        }
    }
}

/// The last of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RejectedList(VecDeque<Rejected>);

impl RejectedList {
    pub(crate) fn push(&mut self, rejected: Rejected) {
        if self.0.len() >= REJECTED {
            self.0.pop_front();
        }
        self.0.push_back(rejected);
    }

    pub(crate) fn to_vec(&self) -> Vec<Rejected> {
        self.0.iter().cloned().collect()
    }
}
