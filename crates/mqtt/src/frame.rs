//! The fixed header: packet type, flags and remaining length (section 2.1).

use crate::read::varint;
use crate::{DecodeError, ReasonCode, Version};

/// The packet type: the high four bits of the first byte.
pub(crate) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const CONNACK: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const SUBACK: u8 = 9;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const UNSUBACK: u8 = 11;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const PINGRESP: u8 = 13;
    pub(crate) const DISCONNECT: u8 = 14;
    pub(crate) const AUTH: u8 = 15;
}

/// The whole length of the packet at the start of `input`, in bytes, so that a reader can reserve
/// it. `None`: the fixed header is not complete.
///
/// # Errors
/// Malformed Packet when the remaining length is longer than four bytes or than its value needs.
#[inline]
pub fn frame_len(input: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some((_, after_type)) = input.split_first() else {
        return Ok(None);
    };
    Ok(varint(after_type)?.map(|(remaining, len)| 1 + len + remaining as usize))
}

/// The bytes behind the fixed header of a complete packet, and the packet's whole length.
#[inline]
pub(crate) fn body(
    input: &[u8],
    max_packet_size: usize,
) -> Result<Option<(&[u8], usize)>, DecodeError> {
    let Some((_, after_type)) = input.split_first() else {
        return Ok(None);
    };
    let Some((remaining, len)) = varint(after_type)? else {
        return Ok(None);
    };
    let total = 1 + len + remaining as usize;
    if total > max_packet_size {
        return Err(DecodeError::new(
            ReasonCode::PACKET_TOO_LARGE,
            "the packet is larger than the receiver accepts",
        ));
    }
    Ok(input.get(1 + len..total).map(|body| (body, total)))
}

/// Checks the flags of every type except PUBLISH, whose flags have a meaning.
#[inline]
pub(crate) fn check_flags(first: u8, version: Version) -> Result<(), DecodeError> {
    let flags = first & 0x0F;
    // What MQTT 3.1 (chapter 3) calls "not used" has no value there that would be wrong: RETAIN in PUBREL, SUBSCRIBE
    // and UNSUBSCRIBE, whose DUP is set when they are sent again, and all flags of the other packets.
    let used = match (version, first >> 4) {
        (Version::V3, kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE) => 0b0110,
        (Version::V3, _) => 0,
        _ => 0b1111,
    };
    let wanted = match first >> 4 {
        kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE => 0b0010,
        _ => 0,
    };
    if flags & used == wanted {
        Ok(())
    } else {
        Err(WRONG_FLAGS)
    }
}

pub(crate) const WRONG_FLAGS: DecodeError =
    DecodeError::malformed("the fixed header's flags are wrong for the packet type");
