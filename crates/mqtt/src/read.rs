//! Reads the data types of section 1.5 from a packet's bytes.

use core::num::NonZeroU16;

use crate::{DecodeError, PacketId};

const CUT: DecodeError = DecodeError::malformed("the packet ends inside a field");

/// What is left of a packet, or of one of its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.bytes.split_first().ok_or(CUT)?;
        self.bytes = rest;
        Ok(first)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(CUT)?;
        self.bytes = rest;
        Ok(u16::from_be_bytes(*first))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(CUT)?;
        self.bytes = rest;
        Ok(u32::from_be_bytes(*first))
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (first, rest) = self.bytes.split_at_checked(len).ok_or(CUT)?;
        self.bytes = rest;
        Ok(first)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let (value, len) = varint(self.bytes)?.ok_or(CUT)?;
        self.take(len)?;
        Ok(value)
    }

    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 string without U+0000 (section 1.5.4). The standard library's validation refuses
    /// surrogates and overlong forms, as the specification asks.
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        self.topic().map(|(text, _)| text)
    }

    /// A string, and whether it has one of the wildcards `+` and `#`.
    #[inline]
    pub(crate) fn topic(&mut self) -> Result<(&'a str, bool), DecodeError> {
        let text = self.utf8()?;
        let Found { nul, wildcard } = Found::in_text(text);
        if nul {
            return Err(NUL);
        }
        Ok((text, wildcard))
    }

    #[inline]
    fn utf8(&mut self) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.binary()?)
            .map_err(|_| DecodeError::malformed("a string is not valid UTF-8"))
    }

    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        NonZeroU16::new(self.u16()?).ok_or(DecodeError::protocol("the packet identifier is 0"))
    }

    #[inline]
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::malformed(
                "bytes follow the packet's last field",
            ))
        }
    }
}

const NUL: DecodeError = DecodeError::malformed("a string contains U+0000");

/// Which of the bytes with a meaning of their own are in a text.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) nul: bool,
    /// `+` or `#`.
    pub(crate) wildcard: bool,
}

impl Found {
    /// Looks at eight bytes at a time: most topics are too short for what the compiler makes of a
    /// loop over bytes.
    #[inline]
    pub(crate) fn in_text(text: &str) -> Self {
        let text = text.as_bytes();
        let mut nul = 0;
        let mut wildcard = 0;
        let mut look = |word: u64| {
            nul |= zero_bytes(word);
            // `+` and `#` differ in one bit, which `+` has.
            wildcard |= zero_bytes((word | DIFFERENCE) ^ PLUS);
        };
        if let Some(last) = text.last_chunk() {
            for chunk in text.as_chunks().0 {
                look(u64::from_ne_bytes(*chunk));
            }
            // Overlaps the last of the others.
            look(u64::from_ne_bytes(*last));
        } else {
            for &byte in text {
                look(EACH * u64::from(byte));
            }
        }
        Self {
            nul: nul != 0,
            wildcard: wildcard != 0,
        }
    }
}

/// 1 in every byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;
/// `+` in every byte of a word.
const PLUS: u64 = EACH * b'+' as u64;
const DIFFERENCE: u64 = EACH * (b'+' ^ b'#') as u64;

/// Not 0 exactly when one of the word's bytes is 0: only a 0 borrows from the byte above it.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(EACH) & !word & (EACH << 7)
}

/// A variable byte integer (section 1.5.5) and its length; `None` when more bytes are needed.
#[inline]
pub(crate) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    match bytes {
        [] => Ok(None),
        &[value @ 0..0x80, ..] => Ok(Some((u32::from(value), 1))),
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (position, &byte) in bytes.iter().enumerate().take(4) {
        value |= u32::from(byte & 0x7F) << (7 * position);
        if byte & 0x80 == 0 {
            if byte == 0 && position > 0 {
                return Err(DecodeError::malformed(
                    "a variable byte integer is longer than its value needs",
                ));
            }
            return Ok(Some((value, position + 1)));
        }
    }
    if bytes.len() < 4 {
        return Ok(None);
    }
    Err(DecodeError::malformed(
        "a variable byte integer has more than four bytes",
    ))
}
