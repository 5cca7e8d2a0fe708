//! Appends the data types of section 1.5.

use crate::types::{MAX_FIELD, MAX_REMAINING_LENGTH};
use crate::{EncodeError, PacketId};

/// Length of a variable byte integer; `value` is at most [`MAX_REMAINING_LENGTH`].
#[inline]
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Appends a variable byte integer; `value` is at most [`MAX_REMAINING_LENGTH`].
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn put_id(out: &mut Vec<u8>, id: PacketId) {
    put_u16(out, id.get());
}

#[inline]
pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a string or binary field with its two-byte length.
#[inline]
pub(crate) fn put_field(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::TooLarge)?;
    put_u16(out, len);
    out.extend_from_slice(bytes);
    Ok(())
}

/// Bytes that [`put_field`] appends; `None` when the field is too long.
#[inline]
pub(crate) const fn field_len(bytes: &[u8]) -> Option<usize> {
    if bytes.len() > MAX_FIELD {
        None
    } else {
        Some(2 + bytes.len())
    }
}

/// Appends what `body` appends, with its length as a variable byte integer before it.
pub(crate) fn put_with_length(
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    body(out)?;
    let len = out.len() - start;
    if len > MAX_REMAINING_LENGTH {
        return Err(EncodeError::TooLarge);
    }
    let end = out.len();
    put_varint(out, len);
    // The length stands behind its body: rotate it to the front.
    let tail = out.len() - end;
    if let Some(section) = out.get_mut(start..) {
        section.rotate_right(tail);
    }
    Ok(())
}
