//! Makes room in a full ring: every second record of each key goes, so that what is left keeps its shape.
//!
//! A round reads blocks from where the round before has ended, and writes what stays of them to a free segment. When
//! that is full, an end mark says that it counts now, and that the blocks that it was made of do not. Before that
//! nothing has changed. So a round that was cut off never was, see [`super::recover`].

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::block::{self, SPAN_MAX, Stamp};
use super::{Part, RAW_MAX, Record, Ring, Spot, fits};
use crate::Error;
use crate::frame::{BLOCK, HEAD, Head, Place, STAMP, encode};
use crate::segment::Segment;

/// Keys whose turn is known. Of those beyond, chance takes every second record.
const KEYS_MAX: usize = 65_536;
/// Segments of which the oldest half is more than one.
const PARTS_MIN: usize = 3;

/// Which records go next.
#[derive(Debug)]
pub(super) struct Thinning {
    pub(super) key: fn(&[u8]) -> &[u8],
    hasher: RandomState,
    /// Keys, hashed, whose last record has stayed: the next one goes.
    stayed: HashSet<u64>,
    /// Blocks of these numbers are thinned before it begins again with the oldest.
    pass: Range<u64>,
    /// What has no end mark. It must be gone before anything that it was made of is written over.
    unfinished: Option<PathBuf>,
}

impl Default for Thinning {
    fn default() -> Self {
        Self {
            key: |_| &[],
            hasher: RandomState::new(),
            stayed: HashSet::new(),
            pass: 0..0,
            unfinished: None,
        }
    }
}

impl Thinning {
    fn stays(&mut self, record: &Record) -> bool {
        let key = self.hasher.hash_one((self.key)(&record.bytes));
        if self.stayed.remove(&key) {
            return false;
        }
        if self.stayed.len() >= KEYS_MAX {
            return self.hasher.hash_one((key, record.seq)) & 1 == 0;
        }
        self.stayed.insert(key)
    }
}

/// What stays of some blocks: one block.
#[derive(Debug)]
struct Piece {
    /// The numbers of these blocks, with the last.
    first: u64,
    last: u64,
    epoch: u32,
    records: Vec<Record>,
    /// Records of it are lent or acknowledged: it has to stay as it is.
    is_held: bool,
    gone: Gone,
    /// The segment that the last of these blocks is in, and how many records those of that segment had.
    source: (u64, u64),
}

/// What does not stay.
#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    records: u64,
    unreadable: u64,
    damaged: u64,
    times: Option<(u64, u64)>,
}

impl Gone {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.unreadable += other.unreadable;
        self.damaged += other.damaged;
        if let Some((from, to)) = other.times {
            let (first, last) = self.times.unwrap_or((from, to));
            self.times = Some((first.min(from), last.max(to)));
        }
    }
}

impl Piece {
    /// Whether `next` can go into the same block, which has so many bytes of room.
    fn takes(&self, next: &Self, room: u64) -> bool {
        let rises = match (self.records.last(), next.records.first()) {
            (Some(last), Some(first)) => last.seq < first.seq && self.epoch == next.epoch,
            _ => true,
        };
        let all = || self.records.iter().chain(&next.records);
        let is_near = next.last.saturating_sub(self.first) <= SPAN_MAX.into();
        let bytes: usize = all().map(|record| record.bytes.len() + 16).sum();
        let has_room = bytes as u64 <= room && fits(all()) == all().count();
        !self.is_held && !next.is_held && is_near && rises && has_room
    }

    /// `next` with what this one stands for, in front.
    fn join(mut self, next: Self) -> Self {
        let least = next.last.saturating_sub(SPAN_MAX.into());
        self.gone.add(next.gone);
        if self.records.is_empty() {
            self.epoch = next.epoch;
        }
        self.records.extend(next.records);
        let (generation, before) = self.source;
        let count = match generation == next.source.0 {
            true => before + next.source.1,
            false => next.source.1,
        };
        Self {
            first: self.first.max(least),
            last: next.last,
            is_held: next.is_held,
            source: (next.source.0, count),
            ..self
        }
    }
}

/// A segment that is being written.
#[derive(Debug)]
struct Output {
    segment: Segment,
    /// Of its blocks; their numbers and stamps are to be filled in.
    place: Place,
    at: u64,
    limit: u64,
    /// The first number that it stands for.
    first: u64,
    pending: Option<Piece>,
    /// What was written.
    last: Option<u64>,
    records: u64,
    times: (u64, u64),
    gone: Gone,
    source: (u64, u64),
}

impl Output {
    /// Takes a piece behind the others. False if there is no room for one before it.
    fn add(&mut self, mut piece: Piece) -> Result<bool, Error> {
        if let Some(before) = self.pending.take() {
            let used = self.at + 2 * BLOCK as u64;
            let room = self.limit.saturating_sub(used);
            if before.records.is_empty() || before.takes(&piece, room) {
                piece = before.join(piece);
            } else {
                self.pending = Some(before);
                if !self.flush()? {
                    return Ok(false);
                }
            }
        }
        self.pending = Some(piece);
        Ok(true)
    }

    /// Writes what is pending. False if there is no room for it, and an end mark.
    fn flush(&mut self) -> Result<bool, Error> {
        let Some(piece) = self.pending.take_if(|piece| !piece.records.is_empty()) else {
            return Ok(true);
        };
        let place = Place {
            number: piece.last,
            ..self.place
        };
        let span = u16::try_from(piece.last.saturating_sub(piece.first)).unwrap_or(SPAN_MAX);
        let mut frame = Vec::new();
        let written = block::write(place, piece.epoch, &piece.records, Some(span), &mut frame);
        let behind = self.at + frame.len() as u64;
        let Some(stamp) = written.ok().filter(|_| behind + BLOCK as u64 <= self.limit) else {
            return Ok(false);
        };
        self.segment.put(self.at, &frame)?;
        self.times = match self.last {
            None => stamp.times,
            Some(_) => (
                self.times.0.min(stamp.times.0),
                self.times.1.max(stamp.times.1),
            ),
        };
        self.at = behind;
        self.last = Some(piece.last);
        self.records += piece.records.len() as u64;
        self.gone.add(piece.gone);
        self.source = match self.source.0 == piece.source.0 {
            true => (piece.source.0, self.source.1 + piece.source.1),
            false => piece.source,
        };
        Ok(true)
    }

    /// From now on it counts.
    fn finish(&mut self, last: u64) -> Result<(), Error> {
        // Of an end mark that is on the card what is before it is, too.
        self.segment.sync()?;
        let stamp = Stamp {
            seq: self.first,
            times: (self.times.1, self.times.1),
            count: 0,
            epoch: 0,
            thinned: Some(0),
        };
        let place = Place {
            number: last,
            stamp: stamp.encode(),
            ..self.place
        };
        let mut frame = Vec::new();
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        encode(&place, &[], &mut frame).map_err(too_long)?;
        self.segment.put(self.at, &frame)?;
        self.segment.sync()?;
        self.at += frame.len() as u64;
        Ok(())
    }
}

impl Ring {
    /// Thins until a segment is free, beside the one that thinning needs. `None` if that does not help.
    pub(super) fn thin_for_room(&mut self) -> Result<Option<PathBuf>, Error> {
        for _ in 0..=2 * self.parts.len() {
            let mut spare = self.free.pop();
            if spare.is_none() && (self.files() + 1) * self.bounds.segment <= self.bounds.bytes {
                spare = self.create()?;
            }
            let spare = match spare {
                Some(spare) => spare,
                // The policy was another before, or the partition is full.
                None if self.parts.len() > PARTS_MIN => self.drop_oldest(),
                None => return Ok(None),
            };
            if !self.thin(spare)? {
                self.clear_unfinished()?;
                return Ok(None);
            }
            if self.free.len() > 1 {
                return Ok(self.free.pop());
            }
        }
        Ok(None)
    }

    /// What a round has left that failed.
    pub(super) fn clear_unfinished(&mut self) -> Result<(), Error> {
        if let Some(path) = &self.thinning.unfinished {
            std::fs::remove_file(path)?;
            self.thinning.unfinished = None;
        }
        Ok(())
    }

    /// The numbers of the blocks that are thinned next, up to the middle of the ring.
    fn pass(&mut self) -> Option<Range<u64>> {
        let pass = &mut self.thinning.pass;
        pass.start = pass.start.max(self.cursor.number);
        if pass.is_empty() {
            let half = (self.parts.len() / 2).max(PARTS_MIN - 1);
            *pass = self.cursor.number..self.parts.get(half)?.numbers.start;
        }
        Some(pass.clone()).filter(|pass| !pass.is_empty())
    }

    /// One round, into `spare`. False if nothing became free.
    fn thin(&mut self, spare: PathBuf) -> Result<bool, Error> {
        let Some(pass) = self.pass() else {
            self.free.push(spare);
            return Ok(false);
        };
        self.thinning.unfinished = Some(spare.clone());
        // What the cursor names is not written over.
        self.save()?;
        self.newest += 1;
        let mut output = Output {
            segment: self.open_again(spare.clone())?,
            place: Place {
                salt: self.cursor.salt,
                generation: self.newest,
                number: 0,
                tail: self.cursor.generation,
                stamp: [0; STAMP],
            },
            at: 0,
            limit: self.bounds.segment,
            first: pass.start,
            pending: None,
            last: None,
            records: 0,
            times: (0, 0),
            gone: Gone::default(),
            source: (0, 0),
        };
        let first = self
            .parts
            .iter()
            .position(|part| part.numbers.end > pass.start);
        let first = first.unwrap_or(self.parts.len());
        for index in first..self.parts.len().saturating_sub(1) {
            if !self.thin_part(index, &pass, &mut output)? {
                break;
            }
        }
        // What has no room any more is thinned in the next round.
        output.flush()?;
        let Some(last) = output.last else {
            return Ok(false);
        };
        let sources = self.parts.range(first..);
        let emptied = sources
            .take_while(|part| part.numbers.end <= last + 1)
            .count();
        if emptied == 0 {
            return Ok(false);
        }
        output.finish(last)?;
        self.thinning.unfinished = None;
        self.put_in_place(first..first + emptied, spare, &output, last);
        Ok(true)
    }

    /// Thins blocks of one segment. False if no more can be taken.
    fn thin_part(
        &mut self,
        index: usize,
        pass: &Range<u64>,
        output: &mut Output,
    ) -> Result<bool, Error> {
        let Some(part) = self.parts.get(index) else {
            return Ok(false);
        };
        let (generation, end) = (part.generation, part.end);
        // What is before it in a segment is used up, or acknowledged.
        let start = part.numbers.start.max(pass.start);
        let source = Segment::open(part.path.clone())?;
        let mut at = 0;
        while at + HEAD as u64 <= end {
            let head = source.head(at)?.filter(|head| {
                let is_ours = head.generation == generation && head.salt == self.cursor.salt;
                is_ours && at + head.size() as u64 <= end
            });
            let Some(head) = head else {
                at += BLOCK as u64;
                continue;
            };
            let is_done = head.number < start || Stamp::decode(&head.stamp).is_end();
            if head.number >= pass.end {
                return Ok(false);
            }
            if !is_done {
                let piece = self.piece(&source, at, &head)?;
                if !output.add(piece)? {
                    return Ok(false);
                }
            }
            at += head.size() as u64;
        }
        Ok(true)
    }

    /// What stays of a block.
    fn piece(&mut self, source: &Segment, at: u64, head: &Head) -> Result<Piece, Error> {
        let payload = match head.raw() <= RAW_MAX {
            true => source.payload(at, head)?,
            false => None,
        };
        let stamp = Stamp::decode(&head.stamp);
        let mut gone = Gone::default();
        let is_lent = head.number < self.read.number;
        let is_held = is_lent || head.number == self.cursor.number && self.cursor.skip > 0;
        let found = payload.and_then(|payload| block::of_head(head, &payload));
        let mut records = Vec::new();
        match found {
            Some(found) if is_held => records = found.records,
            Some(found) => {
                for record in found.records {
                    if self.thinning.stays(&record) {
                        records.push(record);
                        continue;
                    }
                    gone.add(Gone {
                        records: 1,
                        times: Some((record.time, record.time)),
                        ..Gone::default()
                    });
                }
            }
            None => {
                gone = Gone {
                    unreadable: stamp.count.into(),
                    damaged: 1,
                    times: Some(stamp.times),
                    ..gone
                }
            }
        }
        Ok(Piece {
            first: block::first_of(head),
            last: head.number,
            epoch: stamp.epoch,
            is_held: is_held && !records.is_empty(),
            records,
            gone,
            source: (head.generation, stamp.count.into()),
        })
    }

    /// The segment in `path`, which ends with the number `last`, takes the place of the `emptied` ones and of what is
    /// used up of the one behind them.
    fn put_in_place(&mut self, emptied: Range<usize>, path: PathBuf, output: &Output, last: u64) {
        let at = emptied.start;
        let gone: Vec<Part> = self.parts.drain(emptied).collect();
        let mut behind = 0;
        if let Some(part) = self.parts.get_mut(at)
            && part.numbers.start <= last
        {
            behind = part.generation;
            part.numbers.start = last + 1;
            if output.source.0 == behind {
                part.records = part.records.saturating_sub(output.source.1);
            }
        }
        let generation = output.place.generation;
        let is_moved = |spot: &Spot| {
            let is_gone = gone.iter().any(|part| part.generation == spot.generation);
            is_gone || spot.generation == behind && spot.number <= last
        };
        let lent = self.lent.iter_mut().map(|lent| &mut lent.behind);
        for spot in lent.chain([&mut self.acked, &mut self.read]) {
            if is_moved(spot) {
                *spot = Spot {
                    generation,
                    at: 0,
                    number: spot.number,
                };
            }
        }
        self.free.extend(gone.into_iter().map(|part| part.path));
        self.parts.insert(
            at,
            Part {
                path,
                generation,
                numbers: output.first..last + 1,
                end: output.at,
                records: output.records,
                times: output.times,
            },
        );
        self.thinning.pass.start = last + 1;
        self.find_tail();
        self.is_unsaved = true;
        self.figures.written += output.at;
        self.figures.full += output.gone.records;
        self.figures.damaged += output.gone.damaged;
        let fewer = output.gone.records + output.gone.unreadable;
        self.figures.records = self.figures.records.saturating_sub(fewer);
        if let Some((from, to)) = output.gone.times {
            self.figures.lose(from, to);
        }
    }
}
