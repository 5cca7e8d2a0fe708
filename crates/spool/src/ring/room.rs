//! Which segment is written to next: a free one, a new one, or the oldest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::{Part, Record, Ring, Spot, WhenFull};
use crate::Error;
use crate::segment::Segment;

/// Zeros that are written at a time, in bytes.
const CHUNK: usize = 256 * 1024;

impl Ring {
    /// Makes an empty segment the one that is written to. False if there is no room and `records` are dropped.
    pub(super) fn make_room(&mut self, records: &[Record]) -> Result<bool, Error> {
        let path = match self.free.pop() {
            Some(path) => Some(path),
            None if (self.parts.len() as u64 + 1) * self.bounds.segment <= self.bounds.bytes => {
                self.create()?
            }
            None => None,
        };
        let path = match (path, self.bounds.when_full) {
            (Some(path), _) => path,
            (None, WhenFull::DropOldest) if !self.parts.is_empty() => self.drop_oldest(),
            (None, _) => {
                let times = records.iter().map(|record| record.time);
                self.figures.full += records.len() as u64;
                if let (Some(first), Some(last)) = (times.clone().min(), times.max()) {
                    self.figures.lose(first, last);
                }
                return Ok(false);
            }
        };
        let last = self
            .parts
            .back()
            .map_or(self.cursor.generation, |part| part.generation);
        let generation = last + 1;
        if self
            .reading
            .as_ref()
            .is_some_and(|(_, open)| open.path() == path)
        {
            self.reading = None;
        }
        self.head = Some(Segment::open(path.clone())?);
        if self.parts.is_empty() {
            self.cursor.generation = generation;
        }
        self.parts.push_back(Part {
            path,
            generation,
            end: 0,
            blocks: 0,
            records: 0,
            times: (0, 0),
        });
        // Before an old use of the segment is overwritten the cursor must not name it any more.
        self.is_unsaved = true;
        self.save()?;
        Ok(true)
    }

    /// Takes the oldest segment away from the readers, with what it holds.
    fn drop_oldest(&mut self) -> std::path::PathBuf {
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
        let last = part.generation;
        let next = self.parts.front().map_or(last + 1, |part| part.generation);
        let number = self.first_number_behind(last);
        let spot = Spot {
            generation: next,
            at: 0,
            number,
        };
        self.lent.retain(|lent| lent.behind.generation > last);
        self.acked = spot;
        self.cursor.generation = next;
        self.cursor.number = number;
        self.cursor.skip = 0;
        if self.read.generation <= last {
            self.read = spot;
        }
        part.path
    }

    /// The number of the first block behind a segment: all blocks are numbered without gaps.
    fn first_number_behind(&self, generation: u64) -> u64 {
        let behind = self
            .parts
            .iter()
            .filter(|part| part.generation > generation);
        let blocks: u64 = behind.map(|part| part.blocks).sum();
        self.cursor.next.saturating_sub(blocks)
    }

    /// A new segment of zeros; `None` if the partition has no room for it.
    fn create(&mut self) -> Result<Option<std::path::PathBuf>, Error> {
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
