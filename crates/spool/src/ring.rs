//! A ring of records on a card: appended in blocks, read in order, given back when acknowledged.
//!
//! Its bytes are bounded; what does not fit goes by a policy and is counted. A damaged block costs
//! that block. `record`, `block` and `cursor` are the format and pure; `recover` finds out at the
//! start what counts; `read` goes from block to block; `room` finds the segment that is written to
//! next, and `thin` makes it free.

pub mod block;
pub(crate) mod cursor;
mod read;
pub mod record;
mod recover;
mod room;
#[cfg(test)]
mod tests;
mod thin;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use block::{Block, read_block};
pub use record::{BLOCK_RAW, RECORD_MAX, Record};

use crate::Error;
use crate::frame::{BLOCK, Place, STAMP};
use crate::segment::Segment;
use cursor::Cursor;
use thin::Thinning;

/// Bytes of a segment on a card.
pub const SEGMENT: u64 = 8 << 20;
/// The smallest bound on the bytes of a ring on a card: one segment is written while another is read.
pub const RING_MIN: u64 = 2 * SEGMENT;
/// The same of a ring that is thinned: one more is read, and one is free.
pub const THIN_MIN: u64 = 4 * SEGMENT;
/// A block's payload is no longer, compressed or not.
const RAW_MAX: usize = RECORD_MAX + BLOCK_RAW + 1024;

/// What a full ring does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest segment goes.
    #[default]
    DropOldest,
    /// What comes is not taken.
    DropNewest,
    /// Of the oldest half every second record of each key goes, see [`Ring::set_key`]; again when it is full again.
    /// One segment is kept free for it.
    Thin,
}

/// The bounds of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all segments; at least those of two.
    pub bytes: u64,
    /// Bytes of a segment: [`SEGMENT`], and the same at every opening. No record is bigger.
    pub segment: u64,
    /// Records older than this are not read any more, in milliseconds.
    pub age: Option<u64>,
    /// What happens beyond `bytes`.
    pub when_full: WhenFull,
}

/// What is in the ring, and what has become of the rest since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Records that wait.
    pub records: u64,
    /// Bytes of the blocks that they are in, on disk.
    pub bytes: u64,
    /// When the oldest of them was taken, in milliseconds since 1970.
    pub oldest: Option<u64>,
    /// Bytes written to the files.
    pub written: u64,
    /// Records dropped as there was no room.
    pub full: u64,
    /// Records dropped for their age.
    pub aged: u64,
    /// Blocks that were damaged, at least.
    pub damaged: u64,
    /// From when to when records are missing, in milliseconds since 1970.
    pub lost: Option<(u64, u64)>,
    /// The partition has no room for another segment.
    pub is_cramped: bool,
}

impl Figures {
    fn lose(&mut self, from: u64, to: u64) {
        let (first, last) = self.lost.unwrap_or((from, to));
        self.lost = Some((first.min(from), last.max(to)));
    }
}

/// A segment whose records wait, or some of them.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    /// Of its blocks. It is a name: a thinned segment has a newer one than those behind it.
    generation: u64,
    /// The number of the first block in it that counts, and the first number that is not in it.
    numbers: Range<u64>,
    /// Where the next block would go.
    end: u64,
    records: u64,
    times: (u64, u64),
}

/// A place between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot {
    generation: u64,
    at: u64,
    /// The number of the block that is expected there.
    number: u64,
}

/// A block that was read and is not acknowledged.
#[derive(Debug)]
struct Lent {
    number: u64,
    count: u32,
    /// When its last record was taken.
    last: u64,
    /// Where it ends.
    behind: Spot,
}

/// An open ring.
#[derive(Debug)]
pub struct Ring {
    folder: PathBuf,
    /// Held as long as the ring is open.
    _lock: File,
    slots: File,
    bounds: Bounds,
    cursor: Cursor,
    /// What of the cursor is not saved.
    is_unsaved: bool,
    /// Oldest first; the last is written to.
    parts: VecDeque<Part>,
    head: Option<Segment>,
    /// What is read from, if that is not `head`.
    reading: Option<(u64, Segment)>,
    free: Vec<PathBuf>,
    /// The newest generation that was given out.
    newest: u64,
    thinning: Thinning,
    /// Where the first block is that is not acknowledged, and where the next one to read is.
    acked: Spot,
    read: Spot,
    lent: VecDeque<Lent>,
    /// When the last record was taken that was acknowledged or left out, for the span of what is lost.
    seen: u64,
    /// When the last record was taken that was read.
    last_read: u64,
    figures: Figures,
}

impl Ring {
    /// Opens the ring in `folder`, which is made if it is missing. Every opening has an epoch of
    /// its own, which is saved before this returns.
    ///
    /// # Errors
    /// [`Error::InUse`] and [`Error::Io`]. Damage is none: it is counted.
    pub fn open(folder: &Path, bounds: Bounds) -> Result<Self, Error> {
        recover::open(folder, bounds)
    }

    /// Of this opening: it has no record yet. Higher than those of before.
    pub fn epoch(&self) -> u32 {
        self.cursor.epoch
    }

    /// Other bounds from now on. What is there already is not touched.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        let segment = self.bounds.segment;
        self.bounds = Bounds { segment, ..bounds };
    }

    /// What tells records of different kinds apart when the ring is thinned. Without it they are all of one kind.
    pub fn set_key(&mut self, key: fn(&[u8]) -> &[u8]) {
        self.thinning.key = key;
    }

    /// What is in it, and what was lost.
    pub fn figures(&self) -> Figures {
        let mut figures = self.figures;
        figures.bytes = self.parts.iter().map(|part| part.end).sum();
        figures.bytes -= self.acked.at.min(figures.bytes);
        let oldest = self.parts.iter().find(|part| part.records > 0);
        figures.oldest = oldest
            .filter(|_| figures.records > 0)
            .map(|part| part.times.0.max(self.seen.min(part.times.1)));
        figures
    }

    /// Whether everything that is in it has been read.
    pub fn is_read(&self) -> bool {
        self.read.number >= self.cursor.next
    }

    /// Appends one block. It is durable when this returns. Returns how many of `records` were not
    /// taken: all or none. `records` are those that [`fits`] lets together.
    ///
    /// # Errors
    /// The system's. The ring is as it was before, but for what had to make room.
    pub fn append(&mut self, epoch: u32, records: &[Record]) -> Result<usize, Error> {
        if records.is_empty() {
            return Ok(0);
        }
        let mut place = Place {
            salt: self.cursor.salt,
            generation: 0,
            number: self.cursor.next,
            tail: self.cursor.generation,
            stamp: [0; STAMP],
        };
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let mut frame = Vec::new();
        place.generation = self.parts.back().map_or(0, |part| part.generation);
        block::write(place, epoch, records, None, &mut frame).map_err(too_long)?;
        if frame.len() as u64 > self.bounds.segment {
            self.figures.full += records.len() as u64;
            return Ok(records.len());
        }
        if !self.has_room(frame.len()) {
            if !self.make_room(records)? {
                return Ok(records.len());
            }
            frame.clear();
            place.generation = self.parts.back().map_or(0, |part| part.generation);
            place.tail = self.cursor.generation;
            block::write(place, epoch, records, None, &mut frame).map_err(too_long)?;
        }
        let (Some(head), Some(part)) = (&mut self.head, self.parts.back_mut()) else {
            return Ok(records.len());
        };
        head.write(part.end, &frame, self.bounds.segment)?;
        let times = (
            records.first().map_or(0, |record| record.time),
            records.last().map_or(0, |record| record.time),
        );
        part.times = match part.end {
            0 => times,
            _ => (part.times.0.min(times.0), part.times.1.max(times.1)),
        };
        part.end += frame.len() as u64;
        part.numbers.end = place.number + 1;
        part.records += records.len() as u64;
        self.cursor.next += 1;
        self.is_unsaved = true;
        self.figures.records += records.len() as u64;
        self.figures.written += frame.len() as u64;
        Ok(0)
    }

    fn has_room(&self, len: usize) -> bool {
        let end = self.parts.back().filter(|_| self.head.is_some());
        end.is_some_and(|part| part.end + len as u64 <= self.bounds.segment)
    }

    /// The first `count` records of what is left of block `number` are acknowledged, and all of the blocks before it.
    pub fn acknowledge(&mut self, number: u64, count: usize) {
        while let Some(first) = self.lent.front() {
            let is_before = first.number < number;
            if first.number > number {
                return;
            }
            let skipped = match first.number == self.cursor.number {
                true => self.cursor.skip,
                false => 0,
            };
            let left = first.count.saturating_sub(skipped);
            let count = match is_before {
                true => left,
                false => left.min(u32::try_from(count).unwrap_or(u32::MAX)),
            };
            self.figures.records = self.figures.records.saturating_sub(count.into());
            self.is_unsaved = true;
            if count == left {
                let behind = first.behind;
                self.seen = first.last;
                self.lent.pop_front();
                self.move_to(behind);
            } else {
                self.cursor.number = first.number;
                self.cursor.skip = skipped + count;
                return;
            }
            if !is_before {
                return;
            }
        }
    }

    /// Everything before `spot` is done with.
    fn move_to(&mut self, spot: Spot) {
        self.acked = spot;
        self.cursor.number = spot.number;
        self.cursor.skip = 0;
        self.is_unsaved = true;
        let is_done = spot.number >= self.cursor.next;
        let before = self.index(spot.generation).unwrap_or(0);
        self.free
            .extend(self.parts.drain(..before).map(|part| part.path));
        self.find_tail();
        if is_done {
            self.figures.records = 0;
        }
    }

    /// The place of a generation's segment among the others.
    fn index(&self, generation: u64) -> Option<usize> {
        self.parts
            .iter()
            .position(|part| part.generation == generation)
    }

    fn find_tail(&mut self) {
        let generations = self.parts.iter().map(|part| part.generation);
        self.cursor.generation = generations.min().unwrap_or(self.cursor.generation);
    }

    /// The next block that is read is the first that is not acknowledged.
    pub fn rewind(&mut self) {
        self.read = self.acked;
        self.lent.clear();
    }

    /// Writes down how far it is acknowledged; durable when this returns.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&mut self) -> Result<(), Error> {
        if !self.is_unsaved {
            return Ok(());
        }
        self.cursor.turn += 1;
        self.cursor.save(&self.slots)?;
        self.figures.written += BLOCK as u64;
        self.is_unsaved = false;
        Ok(())
    }
}

/// How many of `records` one block takes: at least the first.
pub fn fits<'r>(records: impl IntoIterator<Item = &'r Record>) -> usize {
    let mut bytes = 0;
    let mut count = 0;
    for record in records {
        bytes += record.bytes.len() + 16;
        if count > 0 && bytes > BLOCK_RAW || count >= 60_000 {
            break;
        }
        count += 1;
    }
    count
}
