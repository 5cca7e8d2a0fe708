//! Which segment is written to next: a free one, a new one, one that thinning has emptied, or the oldest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Part, Record, Ring, Spot, WhenFull};
use crate::Error;
use crate::segment::Segment;

/// Zeros that are written at a time, in bytes.
const CHUNK: usize = 256 * 1024;

impl Ring {
    /// Makes an empty segment the one that is written to. False if there is no room and `records` are dropped.
    pub(super) fn make_room(&mut self, records: &[Record]) -> Result<bool, Error> {
        self.clear_unfinished()?;
        // One stays free, or the right to make it.
        let spare = u64::from(self.bounds.when_full == WhenFull::Thin);
        let (files, free) = (self.files(), self.free.len() as u64);
        let wanted = files + 1 + spare.saturating_sub(free);
        let mut path = match free > spare {
            true => self.free.pop(),
            false if wanted * self.bounds.segment <= self.bounds.bytes => self.create()?,
            false => None,
        };
        if path.is_none() && self.bounds.when_full == WhenFull::Thin {
            path = self.thin_for_room()?;
        }
        let path = match (path, self.bounds.when_full) {
            (Some(path), _) => path,
            (None, WhenFull::DropOldest | WhenFull::Thin) if !self.parts.is_empty() => {
                self.drop_oldest()
            }
            (None, _) => {
                let times = records.iter().map(|record| record.time);
                self.figures.full += records.len() as u64;
                if let (Some(first), Some(last)) = (times.clone().min(), times.max()) {
                    self.figures.lose(first, last);
                }
                return Ok(false);
            }
        };
        self.head = Some(self.open_again(path.clone())?);
        self.newest += 1;
        self.parts.push_back(Part {
            path,
            generation: self.newest,
            numbers: self.cursor.next..self.cursor.next,
            end: 0,
            records: 0,
            times: (0, 0),
        });
        self.find_tail();
        // Before an old use of the segment is overwritten the cursor must not name it any more.
        self.is_unsaved = true;
        self.save()?;
        Ok(true)
    }

    /// Segments that there are.
    pub(super) fn files(&self) -> u64 {
        (self.parts.len() + self.free.len()) as u64
    }

    /// A segment that is to be written from its beginning.
    pub(super) fn open_again(&mut self, path: PathBuf) -> Result<Segment, Error> {
        self.reading.take_if(|(_, open)| open.path() == path);
        Ok(Segment::open(path)?)
    }

    /// Takes the oldest segment away from the readers, with what it holds.
    pub(super) fn drop_oldest(&mut self) -> PathBuf {
        let Some(part) = self.parts.pop_front() else {
            return self.folder.clone();
        };
        // Some of its records may be acknowledged already; all of the later segments wait.
        let later: u64 = self.parts.iter().map(|part| part.records).sum();
        let lost = self.figures.records.saturating_sub(later);
        self.figures.full += lost;
        self.figures.records -= lost;
        if lost > 0 {
            self.figures
                .lose(part.times.0.max(self.seen.min(part.times.1)), part.times.1);
        }
        let spot = Spot {
            generation: self.parts.front().map_or(0, |part| part.generation),
            at: 0,
            number: part.numbers.end,
        };
        self.lent
            .retain(|lent| lent.behind.generation != part.generation);
        self.acked = spot;
        self.cursor.number = spot.number;
        self.cursor.skip = 0;
        self.find_tail();
        if self.index(self.read.generation).is_none() {
            self.read = spot;
        }
        part.path
    }

    /// A new segment of zeros; `None` if the partition has no room for it.
    pub(super) fn create(&mut self) -> Result<Option<PathBuf>, Error> {
        let index = (0..).find_map(|index| {
            let path = self.folder.join(format!("ring-{index:05}"));
            (!path.exists()).then_some(path)
        });
        let Some(path) = index else {
            return Ok(None);
        };
        match write_zeros(&path, &self.folder, self.bounds.segment) {
            Ok(()) => {
                self.figures.written += self.bounds.segment;
                self.figures.is_cramped = false;
                Ok(Some(path))
            }
            Err(error) => {
                let _ = fs::remove_file(&path);
                let is_full = matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                );
                if !is_full {
                    return Err(error.into());
                }
                self.figures.is_cramped = true;
                Ok(None)
            }
        }
    }
}

/// Blocks that are reserved and never written would cost a journal commit at their first write.
fn write_zeros(path: &Path, folder: &Path, mut left: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let zeros = vec![0; CHUNK];
    while left > 0 {
        let some = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        file.write_all(zeros.get(..some).unwrap_or_default())?;
        left -= some as u64;
    }
    file.sync_all()?;
    File::open(folder)?.sync_all()
}
