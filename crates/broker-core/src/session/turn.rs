//! What a session is told at its beginning and at each step, and what it counts.

use std::time::Instant;

use fieldgate_mqtt::Version;

use crate::journal::Journal;
use crate::outbox::Outbox;
use crate::pending_acks::PendingAcks;

/// What a session may use, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unacknowledged messages to the client, if it asks for no fewer.
    pub inflight: u16,
    /// Messages waiting for the client.
    pub queued: usize,
    /// Bytes of messages waiting for the client.
    pub queued_bytes: usize,
    /// Bytes of encoded packets that the transport has not taken, past which QoS 0 is dropped.
    pub outbox_bytes: usize,
    /// Topic aliases that we use towards a client which allows them.
    pub topic_aliases: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inflight: 512,
            queued: 10_000,
            queued_bytes: 8 << 20,
            outbox_bytes: 4 << 20,
            topic_aliases: 64,
        }
    }
}

/// What a client asked for when it connected.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The version of MQTT that it speaks.
    pub version: Version,
    /// Unacknowledged messages that it takes (MQTT 5.0 section 3.1.2.11.3).
    pub receive_maximum: u16,
    /// The biggest packet that it takes, in bytes (section 3.1.2.11.4).
    pub max_packet: usize,
    /// Topic aliases that it takes (section 3.1.2.11.5).
    pub alias_maximum: u16,
    /// Whether its session outlives the connection, so that unacknowledged messages must too.
    pub keep: bool,
}

/// Counts of one batch of work, added to the broker's counters at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// PUBLISH packets received, and the bytes of their payloads.
    pub received: u64,
    /// Bytes of their payloads.
    pub received_bytes: u64,
    /// Other packets sent, acknowledgements above all.
    pub replies: u64,
    /// PUBLISH packets sent, and the bytes of their payloads.
    pub sent: u64,
    /// Bytes of their payloads.
    pub sent_bytes: u64,
    /// Messages given up because a queue or the outbox was full.
    pub dropped: u64,
    /// Messages that expired before they could be sent.
    pub expired: u64,
    /// Messages bigger than their subscriber takes.
    pub oversize: u64,
}

/// What every step of a session needs: the time, and where packets, changes and counts go.
pub struct Turn<'a> {
    /// When the step happens.
    pub now: Instant,
    /// Packets that may leave at once.
    pub out: &'a mut Outbox,
    /// Answers that have to wait until the changes before them are on disk.
    pub pending: &'a mut PendingAcks,
    /// Changes to sessions that outlive the process.
    pub journal: &'a mut Journal,
    /// What is counted.
    pub tally: &'a mut Tally,
}
