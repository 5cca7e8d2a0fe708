//! RTU frames: unit identifier, protocol data unit, CRC.
//!
//! A frame has no length of its own. Silence ends it on the wire, but a USB adapter and a busy
//! kernel tear frames apart and glue them together, so here the function code and the counts in
//! the frame say how long it must be, and the CRC whether that was right. Only a function that
//! is not known is left to silence.
//!
//! Source: MODBUS over Serial Line Specification and Implementation Guide V1.02, section 2.5.1.

use super::identify::Identification;
use ::crc::{CRC_16_MODBUS, Crc, Table};

/// The longest frame.
pub const FRAME_MAX: usize = 256;
/// Unit identifier, function code, CRC.
pub const FRAME_MIN: usize = 4;

/// Who speaks, which decides what a function code is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A master asks.
    Request,
    /// A unit answers.
    Answer,
}

/// What the beginning of a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole frame of so many bytes, and its CRC is right.
    Frame(usize),
    /// More bytes have to come; so many in all if that can be told.
    More(Option<usize>),
    /// As long as a frame must be that begins like this, but its CRC is wrong.
    Broken(usize),
    /// A function whose length is not known, or one longer than frames may be: only silence
    /// tells where it ends.
    Unknown,
}

/// The specification over serial line, section 6.2.2.
const CRC: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_MODBUS);

/// The CRC of a frame's other bytes, in the order of the wire: low byte first.
pub fn crc(bytes: &[u8]) -> [u8; 2] {
    CRC.checksum(bytes).to_le_bytes()
}

/// Puts a unit identifier before a protocol data unit and a CRC behind it.
pub fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(pdu.len() + 3);
    frame.push(unit);
    frame.extend(pdu);
    frame.extend(crc(&frame));
    frame
}

/// Takes a frame apart: unit identifier and protocol data unit. `None` if it is too short or its
/// CRC is wrong.
pub fn open(frame: &[u8]) -> Option<(u8, &[u8])> {
    let (rest, check) = frame.split_last_chunk::<2>()?;
    let (unit, pdu) = rest.split_first()?;
    (!pdu.is_empty() && crc(rest) == *check).then_some((*unit, pdu))
}

/// Looks at what has arrived since the last silence.
pub fn scan(buffer: &[u8], side: Side) -> Scan {
    let length = match length(buffer, side) {
        Ok(length) if (FRAME_MIN..=FRAME_MAX).contains(&length) => length,
        Ok(_) => return Scan::Unknown,
        Err(Open::More) => return Scan::More(None),
        Err(Open::Unknown) => return Scan::Unknown,
    };
    match buffer.get(..length) {
        None => Scan::More(Some(length)),
        Some(frame) if open(frame).is_some() => Scan::Frame(length),
        Some(_) => Scan::Broken(length),
    }
}

enum Open {
    More,
    Unknown,
}

/// How long a frame is in all, seen from its beginning.
fn length(buffer: &[u8], side: Side) -> Result<usize, Open> {
    let byte = |at: usize| {
        buffer
            .get(at)
            .map(|byte| usize::from(*byte))
            .ok_or(Open::More)
    };
    let function = byte(1)?;
    Ok(match (side, function) {
        // Unit, function, and what is named; the CRC is added below.
        (Side::Request, 1..=6) => 6,
        (Side::Request, 7 | 11 | 12 | 17) => 2,
        (_, 8) => 6,
        (Side::Request, 15 | 16) => 7 + byte(6)?,
        (Side::Request, 20 | 21) => 3 + byte(2)?,
        (_, 22) => 8,
        (Side::Request, 23) => 11 + byte(10)?,
        (Side::Request, 24) => 4,
        (Side::Request, 43) if byte(2)? == 14 => 5,
        (Side::Answer, 0x80..) => 3,
        (Side::Answer, 1..=4 | 12 | 17 | 20 | 21 | 23) => 3 + byte(2)?,
        (Side::Answer, 5 | 6 | 11 | 15 | 16) => 6,
        (Side::Answer, 7) => 3,
        (Side::Answer, 24) => 4 + (byte(2)? << 8 | byte(3)?),
        (Side::Answer, 43) if byte(2)? == 14 => {
            let body = buffer.get(2..).unwrap_or_default();
            2 + Identification::body_length(body).ok_or(Open::More)?
        }
        _ => return Err(Open::Unknown),
    } + 2)
}

/// How many bytes at the beginning are no part of a frame to or from `unit`: a driver that
/// switches on makes the line look like a byte of zeros or ones.
pub fn glitch(buffer: &[u8], unit: u8) -> usize {
    let is_glitch = |byte: &&u8| **byte != unit && matches!(**byte, 0x00 | 0xFF);
    buffer.iter().take_while(is_glitch).count()
}

#[cfg(test)]
mod tests;
