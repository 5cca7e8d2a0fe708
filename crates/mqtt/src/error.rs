//! Why bytes are not a packet, and why a packet cannot be bytes.

use crate::ReasonCode;

/// Why bytes are not a packet. The connection cannot go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {what}")]
pub struct DecodeError {
    /// What to put in a CONNACK or DISCONNECT to an MQTT 5.0 peer.
    pub reason: ReasonCode,
    /// What was wrong, for a log line or a reason string.
    pub what: &'static str,
}

impl DecodeError {
    #[cold]
    pub(crate) const fn new(reason: ReasonCode, what: &'static str) -> Self {
        Self { reason, what }
    }

    /// The bytes cannot be parsed (section 4.13.1).
    #[cold]
    pub(crate) const fn malformed(what: &'static str) -> Self {
        Self::new(ReasonCode::MALFORMED_PACKET, what)
    }

    /// The bytes can be parsed, and say what the protocol does not allow (section 4.13.1).
    #[cold]
    pub(crate) const fn protocol(what: &'static str) -> Self {
        Self::new(ReasonCode::PROTOCOL_ERROR, what)
    }
}

/// Why a packet cannot be encoded. The output buffer is then as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field exceeds 65,535 bytes, a subscription identifier 268,435,455, or
    /// the packet [`MAX_PACKET_SIZE`](crate::MAX_PACKET_SIZE).
    #[error("a field or the packet is larger than MQTT can express")]
    TooLarge,
    /// A PUBLISH of QoS 1 or 2 has no packet identifier.
    #[error("a PUBLISH of QoS 1 or 2 needs a packet identifier")]
    NoPacketId,
    /// The protocol version has no such packet: AUTH exists in MQTT 5.0 only.
    #[error("the protocol version has no such packet")]
    NotInVersion,
}
