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
    pub(crate) count: u16,
    /// Numbers of records count within it.
    pub(crate) epoch: u32,
    /// It was written when the ring was thinned, and stands for so many blocks before its own number, too.
    pub(crate) thinned: Option<u16>,
}

/// The number of blocks before its own that a block can stand for at most.
pub(crate) const SPAN_MAX: u16 = 0x7FFF;
/// Above `count` and the span.
const THINNED: u32 = 1 << 31;

impl Stamp {
    pub(crate) fn encode(self) -> [u8; STAMP] {
        let mut stamp = [0; STAMP];
        stamp[..8].copy_from_slice(&self.seq.to_le_bytes());
        stamp[8..16].copy_from_slice(&self.times.0.to_le_bytes());
        stamp[16..24].copy_from_slice(&self.times.1.to_le_bytes());
        let span = self
            .thinned
            .map_or(0, |span| THINNED | u32::from(span) << 16);
        stamp[24..28].copy_from_slice(&(u32::from(self.count) | span).to_le_bytes());
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
            count: last as u16,
            epoch: (last >> 32) as u32,
            thinned: (last as u32 & THINNED != 0).then_some((last >> 16) as u16 & SPAN_MAX),
        }
    }

    /// Whether it is what stands at the end of a thinned segment, where `seq` is the first number that it stands for.
    pub(crate) fn is_end(&self) -> bool {
        self.thinned.is_some() && self.count == 0
    }
}

/// The number of the first block that the one with this header stands for.
pub(crate) fn first_of(head: &Head) -> u64 {
    let span = Stamp::decode(&head.stamp).thinned.unwrap_or(0);
    head.number.saturating_sub(span.into())
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
    let is_whole = records.len() == usize::from(stamp.count) && !records.is_empty();
    is_whole.then_some(Block {
        number,
        epoch: stamp.epoch,
        records,
    })
}

/// Appends a block of `records`, which are not empty, to `out`. `thinned` is as in [`Stamp`].
///
/// # Errors
/// They have more than 4 GiB, or are more than 65,535.
pub(crate) fn write(
    mut place: Place,
    epoch: u32,
    records: &[Record],
    thinned: Option<u16>,
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
        count: u16::try_from(records.len()).map_err(|_| TooLong)?,
        epoch,
        thinned,
    };
    place.stamp = stamp.encode();
    encode(&place, &payload, out)?;
    Ok(stamp)
}
