//! What a session is told at its beginning and at each step, and what it counts.

use std::time::Instant;

use fieldgate_mqtt::Version;

use crate::journal::Journal;
use crate::outbox::Outbox;
use crate::pending_acks::PendingAcks;

/// What a session may use, in both directions.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Unacknowledged messages to the client, if it asks for no fewer.
    pub(crate) max_inflight: u16,
    /// Messages waiting for the client.
    pub(crate) max_queued: usize,
    /// Bytes of messages waiting for the client.
    pub(crate) max_queued_bytes: usize,
    /// Bytes of encoded packets that the transport has not taken, past which QoS 0 is dropped.
    pub(crate) max_outbox: usize,
    /// Topic aliases that we use towards a client which allows them.
    pub(crate) max_aliases: u16,
}

/// What a client asked for when it connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) version: Version,
    /// Unacknowledged messages that it takes (MQTT 5.0 section 3.1.2.11.3).
    pub(crate) receive_maximum: u16,
    /// The biggest packet that it takes, in bytes (section 3.1.2.11.4).
    pub(crate) max_packet: usize,
    /// Topic aliases that it takes (section 3.1.2.11.5).
    pub(crate) alias_maximum: u16,
    /// Whether its session outlives the connection, so that unacknowledged messages must too.
    pub(crate) keep: bool,
}

/// Counts of one batch of work, added to the broker's counters at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// PUBLISH packets received, and the bytes of their payloads.
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    /// Other packets sent, acknowledgements above all.
    pub(crate) replies: u64,
    /// PUBLISH packets sent, and the bytes of their payloads.
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    /// Messages given up because a queue or the outbox was full.
    pub(crate) dropped: u64,
    /// Messages that expired before they could be sent.
    pub(crate) expired: u64,
    /// Messages bigger than their subscriber takes.
    pub(crate) oversize: u64,
}

/// What every step of a session needs: the time, and where packets, changes and counts go.
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) out: &'a mut Outbox,
    /// Answers that have to wait until the changes before them are on disk.
    pub(crate) held: &'a mut PendingAcks,
    /// Changes to sessions that outlive the process.
    pub(crate) journal: &'a mut Journal,
    pub(crate) tally: &'a mut Tally,
}
