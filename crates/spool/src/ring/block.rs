//! A block of the ring: a frame whose stamp says which records it holds. Pure.

use super::record::{self, Record};
use crate::frame::{Frame, Head, Place, STAMP, TooLong, encode, read_frame};

/// What a block's header says of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The number of the first record.
    pub(crate) seq: u64,
    /// The times of the first and the last record, in milliseconds since 1970.
    pub(crate) times: (u64, u64),
    pub(crate) count: u32,
    /// Numbers of records count within it.
    pub(crate) epoch: u32,
}

impl Stamp {
    pub(crate) fn encode(self) -> [u8; STAMP] {
        let mut stamp = [0; STAMP];
        stamp[..8].copy_from_slice(&self.seq.to_le_bytes());
        stamp[8..16].copy_from_slice(&self.times.0.to_le_bytes());
        stamp[16..24].copy_from_slice(&self.times.1.to_le_bytes());
        stamp[24..28].copy_from_slice(&self.count.to_le_bytes());
        stamp[28..].copy_from_slice(&self.epoch.to_le_bytes());
        stamp
    }

    pub(crate) fn decode(stamp: &[u8; STAMP]) -> Self {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&stamp[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let last = number(24);
        Self {
            seq: number(0),
            times: (number(8), number(16)),
            count: last as u32,
            epoch: (last >> 32) as u32,
        }
    }
}

/// A block of records, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number in the ring.
    pub number: u64,
    /// Numbers of records count within it.
    pub epoch: u32,
    /// At least one.
    pub records: Vec<Record>,
}

/// The block at the beginning of `bytes`; `None` if there is none, or a damaged one.
pub fn read_block(bytes: &[u8]) -> Option<Block> {
    let frame = read_frame(bytes)?;
    of_frame(&frame)
}

fn of_frame(frame: &Frame) -> Option<Block> {
    of_payload(frame.number, &frame.stamp, &frame.payload)
}

/// The records of a payload that belongs to `head`.
pub(crate) fn of_head(head: &Head, payload: &[u8]) -> Option<Block> {
    of_payload(head.number, &head.stamp, payload)
}

fn of_payload(number: u64, stamp: &[u8; STAMP], payload: &[u8]) -> Option<Block> {
    let stamp = Stamp::decode(stamp);
    let records = record::decode(payload, (stamp.seq, stamp.times.0))?;
    let is_whole = records.len() == usize::try_from(stamp.count).ok()? && !records.is_empty();
    is_whole.then_some(Block {
        number,
        epoch: stamp.epoch,
        records,
    })
}

/// Appends a block of `records`, which are not empty, to `out`.
///
/// # Errors
/// They have more than 4 GiB.
pub(crate) fn write(
    mut place: Place,
    epoch: u32,
    records: &[Record],
    out: &mut Vec<u8>,
) -> Result<Stamp, TooLong> {
    let first = records.first().map_or((0, 0), |r| (r.seq, r.time));
    let mut payload = Vec::new();
    let mut before = first;
    for record in records {
        record::encode(record, before, &mut payload);
        before = (record.seq, record.time);
    }
    let stamp = Stamp {
        seq: first.0,
        times: (first.1, before.1),
        count: u32::try_from(records.len()).map_err(|_| TooLong)?,
        epoch,
    };
    place.stamp = stamp.encode();
    encode(&place, &payload, out)?;
    Ok(stamp)
}
