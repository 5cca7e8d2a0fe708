//! The small types that every packet uses.

/// Largest value of the remaining length, in bytes: four bytes of seven bits each.
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// Largest packet, in bytes, with its fixed header.
pub const MAX_PACKET_SIZE: usize = MAX_REMAINING_LENGTH + 5;

/// Largest string or binary field, in bytes: its length is a two-byte integer.
pub(crate) const MAX_FIELD: usize = u16::MAX as usize;

/// Identifies a QoS 1 or 2 message, a SUBSCRIBE or an UNSUBSCRIBE until it is acknowledged.
pub type PacketId = core::num::NonZeroU16;

/// The protocol version. The number is the protocol level in CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// MQTT 3.1, whose protocol name is `MQIsdp`.
    V3 = 3,
    /// MQTT 3.1.1.
    V4 = 4,
    /// MQTT 5.0.
    V5 = 5,
}

/// The quality of service of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: sent once, not acknowledged.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: sent until a PUBACK arrives.
    AtLeastOnce = 1,
    /// QoS 2: PUBREC, PUBREL and PUBCOMP deliver it exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// Returns `None` for numbers above 2.
    #[inline]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}
