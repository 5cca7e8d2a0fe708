//! What of the files in a folder counts.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use super::block::{Stamp, first_of};
use super::cursor::Cursor;
use super::thin::Thinning;
use super::{Bounds, Figures, Part, Ring, Spot};
use crate::Error;
use crate::frame::{BLOCK, HEAD, Head};
use crate::segment::Segment;

const PREFIX: &str = "ring-";

/// A segment with the headers of its newest use, each with its place.
struct Found {
    path: PathBuf,
    heads: Vec<(Head, u64)>,
}

/// See [`Ring::open`].
pub(super) fn open(folder: &Path, bounds: Bounds) -> Result<Ring, Error> {
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(Error::InUse),
        Err(fs::TryLockError::Error(error)) => return Err(error.into()),
    }
    let slots = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.join("cursor"))?;
    let saved = Cursor::load(&slots)?;
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(PREFIX)) {
            segments.push(path);
        }
    }
    segments.sort();
    let mut ring = Ring {
        folder: folder.to_owned(),
        _lock: lock,
        slots,
        bounds,
        cursor: saved.unwrap_or_default(),
        is_unsaved: true,
        parts: VecDeque::new(),
        head: None,
        reading: None,
        free: Vec::new(),
        newest: 0,
        thinning: Thinning::default(),
        acked: Spot {
            generation: 0,
            at: 0,
            number: 0,
        },
        read: Spot {
            generation: 0,
            at: 0,
            number: 0,
        },
        lent: VecDeque::new(),
        seen: 0,
        last_read: 0,
        figures: Figures::default(),
    };
    let mut found = Vec::new();
    for path in segments {
        found.extend(ring.scan(path)?);
    }
    if saved.is_none() {
        ring.found_again(&found);
    }
    ring.know(&mut found);
    ring.take_over(supersede(found)?)?;
    // Numbers of records count from the start within a new epoch, as those that were never written are not known.
    ring.cursor.epoch = match ring.cursor.epoch {
        0 => (RandomState::new().hash_one(folder) as u32 >> 1).max(1),
        last => last.wrapping_add(1).max(1),
    };
    ring.save()?;
    Ok(ring)
}

impl Ring {
    /// Reads the headers of a segment. One of another size was never finished.
    fn scan(&mut self, path: PathBuf) -> Result<Option<Found>, Error> {
        let segment = Segment::open(path.clone())?;
        let len = self.bounds.segment;
        if segment.len() != len {
            drop(segment);
            fs::remove_file(&path)?;
            return Ok(None);
        }
        let mut heads: Vec<(Head, u64)> = Vec::new();
        let mut at = 0;
        while at + HEAD as u64 <= len {
            let head = segment.head(at)?;
            let Some(head) = head.filter(|head| at + head.size() as u64 <= len) else {
                at += BLOCK as u64;
                continue;
            };
            heads.push((head, at));
            at += head.size() as u64;
        }
        let newest = heads.iter().map(|(head, _)| head.generation).max();
        heads.retain(|(head, _)| Some(head.generation) == newest);
        Ok(Some(Found { path, heads }))
    }

    /// Without a cursor the newest block says what counted when it was written. Acknowledged
    /// records come again then.
    fn found_again(&mut self, found: &[Found]) {
        let heads = found.iter().flat_map(|found| &found.heads);
        let Some((newest, _)) = heads.clone().max_by_key(|(head, _)| head.number) else {
            self.cursor.salt = RandomState::new().hash_one(std::process::id());
            return;
        };
        self.figures.damaged += 1;
        let ours = heads.filter(|(head, _)| head.salt == newest.salt);
        let epochs = ours
            .clone()
            .map(|(head, _)| Stamp::decode(&head.stamp).epoch);
        let counting = ours.filter(|(head, _)| head.generation >= newest.tail);
        self.cursor = Cursor {
            turn: 0,
            salt: newest.salt,
            generation: newest.tail,
            number: counting.map(|(head, _)| head.number).min().unwrap_or(0),
            skip: 0,
            // Higher than any that may have been given out and never written.
            epoch: epochs.max().unwrap_or(0).wrapping_add(1_000),
            next: newest.number + 1,
        };
    }

    /// Which generation was given out last. Of `found` only what is of this ring is left.
    fn know(&mut self, found: &mut [Found]) {
        let heads = found.iter().flat_map(|found| found.heads.last());
        let newest = heads.map(|(head, _)| head.generation).max();
        self.newest = newest.unwrap_or(0).max(self.cursor.generation);
        for Found { heads, .. } in found {
            heads.retain(|(head, _)| head.salt == self.cursor.salt);
        }
    }

    /// Sorts the segments into those that count and those that are free.
    fn take_over(&mut self, found: Vec<Found>) -> Result<(), Error> {
        let Cursor {
            generation, number, ..
        } = self.cursor;
        let mut counting = Vec::new();
        for Found { path, heads } in found {
            let counts = |head: &Head| head.generation >= generation && head.number + 1 >= number;
            match heads.last().filter(|(head, _)| counts(head)) {
                Some((last, _)) => counting.push((last.number, last.generation, path, heads)),
                None => self.free.push(path),
            }
        }
        counting.sort_by_key(|(number, ..)| *number);
        self.acked = Spot {
            generation: counting
                .first()
                .map_or(0, |(_, generation, ..)| *generation),
            at: 0,
            number,
        };
        let mut waits = false;
        for (_, generation, path, heads) in counting {
            let part = self.part(generation, path, &heads);
            waits |= part.records > 0;
            self.figures.records += part.records;
            self.parts.push_back(part);
        }
        self.cursor.next = self.cursor.next.max(number);
        if !waits {
            // Nothing waits, or nothing is left of it.
            self.figures.damaged += self.cursor.next - number;
            self.cursor.number = self.cursor.next;
            self.cursor.skip = 0;
            self.acked.number = self.cursor.next;
        }
        self.head = match self.parts.back() {
            Some(part) => Some(Segment::open(part.path.clone())?),
            None => None,
        };
        self.read = self.acked;
        Ok(())
    }

    /// What of a segment waits. Moves the cursor behind what does not.
    fn part(&mut self, generation: u64, path: PathBuf, heads: &[(Head, u64)]) -> Part {
        let number = self.cursor.number;
        let (mut records, mut end) = (0, 0);
        let mut times: Option<(u64, u64)> = None;
        for (head, at) in heads {
            let stamp = Stamp::decode(&head.stamp);
            end = at + head.size() as u64;
            self.cursor.next = self.cursor.next.max(head.number + 1);
            self.cursor.epoch = self.cursor.epoch.max(stamp.epoch);
            if head.number < number {
                // Behind it is the first that counts.
                self.acked = Spot {
                    generation,
                    at: end,
                    number,
                };
                continue;
            }
            let count = u32::from(stamp.count);
            let count = match head.number == number {
                true => count.saturating_sub(self.cursor.skip),
                false => count,
            };
            records += u64::from(count);
            let (first, last) = times.unwrap_or(stamp.times);
            times = Some((first.min(stamp.times.0), last.max(stamp.times.1)));
        }
        Part {
            path,
            generation,
            numbers: heads.first().map_or(0, |(head, _)| first_of(head))
                ..heads.last().map_or(0, |(head, _)| head.number + 1),
            end,
            records,
            times: times.unwrap_or_default(),
        }
    }
}

/// Of the blocks that a thinned segment stands for, those that it was made of count no more. One that was not finished
/// goes, and they count.
fn supersede(mut found: Vec<Found>) -> Result<Vec<Found>, Error> {
    let generation = |found: &Found| found.heads.last().map_or(0, |(head, _)| head.generation);
    found.sort_by_key(generation);
    for at in 0..found.len() {
        let Some((older, Found { path, heads })) = found
            .split_at_mut_checked(at)
            .and_then(|(older, rest)| Some((older, rest.first_mut()?)))
        else {
            continue;
        };
        let thinned = |head: &Head| Stamp::decode(&head.stamp).thinned.is_some();
        let (Some((first, _)), Some((last, _))) = (heads.first(), heads.last()) else {
            continue;
        };
        if !thinned(first) {
            continue;
        }
        let end = Some(Stamp::decode(&last.stamp)).filter(Stamp::is_end);
        let range = end.map_or(first_of(first), |end| end.seq)..=last.number;
        // Its end may have been damaged later: then what it was made of has been written over.
        let sources = first_of(first)..=first.number;
        let has_sources = || {
            let heads = older.iter().flat_map(|found| &found.heads);
            heads
                .into_iter()
                .any(|(head, _)| sources.contains(&head.number))
        };
        if end.is_none() && has_sources() {
            fs::remove_file(&*path)?;
            heads.clear();
            *path = PathBuf::new();
            continue;
        }
        for Found { heads, .. } in older {
            heads.retain(|(head, _)| !range.contains(&head.number));
        }
    }
    found.retain(|found| !found.path.as_os_str().is_empty());
    Ok(found)
}
