//! The log: a queue of segments, written at its head, given back at its tail.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::frame::{Head, Place, STAMP, encode};
use crate::segment::Segment;

/// Bytes of a segment. A frame that is bigger gets a segment of its own size.
pub(crate) const SEGMENT: u64 = 256 * 1024;
const SUFFIX: &str = "log";

/// An open log.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    /// Held as long as the log is open.
    _lock: File,
    salt: u64,
    /// Those that count, oldest first, but for the head.
    older: VecDeque<Older>,
    /// `None` in a log without a frame.
    head: Option<Current>,
    /// The number of the next frame.
    next: u64,
    /// The generation of the oldest segment that counts.
    tail: u64,
    /// Segments that count no more once the next frame is durable.
    retired: Vec<PathBuf>,
    free: Vec<PathBuf>,
    stamp: Option<[u8; STAMP]>,
}

#[derive(Debug)]
struct Older {
    path: PathBuf,
    generation: u64,
}

/// The segment that is written to.
#[derive(Debug)]
struct Current {
    segment: Segment,
    generation: u64,
    /// Where the next frame goes.
    at: u64,
}

impl Log {
    /// Opens the log in `folder`, which is made if it is missing. Its parent must exist.
    ///
    /// A last frame that is not whole was never acknowledged, and does not count.
    ///
    /// # Errors
    /// [`Error::Damaged`] if a frame before the last one is missing or not what was written.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        if !folder.is_dir() {
            fs::create_dir(folder)?;
            if let Some(parent) = folder.parent().filter(|path| !path.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Self::locked(folder, File::create(folder.join("lock"))?)
    }

    /// Opens a log that may only be read, as on a card that has become read-only. Nothing can be
    /// appended to it.
    ///
    /// # Errors
    /// As [`Self::open`]; also if there is no log.
    pub fn open_read_only(folder: &Path) -> Result<Self, Error> {
        Self::locked(folder, File::open(folder.join("lock"))?)
    }

    fn locked(folder: &Path, lock: File) -> Result<Self, Error> {
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(Error::InUse),
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut log = Self {
            folder: folder.to_owned(),
            _lock: lock,
            salt: RandomState::new().hash_one(std::process::id()),
            older: VecDeque::new(),
            head: None,
            next: 1,
            tail: 1,
            retired: Vec::new(),
            free: Vec::new(),
            stamp: None,
        };
        log.find()?;
        Ok(log)
    }

    /// Finds out which segments count.
    fn find(&mut self) -> Result<(), Error> {
        let (mut known, mut headless) = (Vec::new(), None);
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|suffix| suffix != SUFFIX) {
                continue;
            }
            let segment = Segment::open(path)?;
            match segment.head(0)? {
                Some(head) => known.push((head, segment)),
                None => {
                    headless = headless.max(segment.newest()?);
                    self.free.push(segment.path().to_owned());
                }
            }
        }
        known.sort_by_key(|(head, _)| head.generation);
        while let Some((first, segment)) = known.pop() {
            let generation = first.generation;
            let (last, at) = segment.walk(generation, |_, _| Ok::<_, io::Error>(()))?;
            if segment.has_frame_behind(generation, at)? {
                let text = format!("{} is damaged at byte {at}", segment.path().display());
                return Err(Error::Damaged(text));
            }
            let Some(last) = last else {
                // The first frame of a segment is not whole: the one before is the head.
                self.free.push(segment.path().to_owned());
                continue;
            };
            self.take_over(&last, known)?;
            self.head = Some(Current {
                segment,
                generation,
                at,
            });
            break;
        }
        // A segment whose beginning was cut off while it was taken for another use holds older ones.
        if headless > self.head.as_ref().map(|head| head.generation) {
            return Err(Error::Damaged("a segment has lost its beginning".into()));
        }
        self.free.sort();
        Ok(())
    }

    /// `last` is the newest frame: what it says counts.
    fn take_over(&mut self, last: &Head, known: Vec<(Head, Segment)>) -> Result<(), Error> {
        (self.salt, self.tail, self.next) = (last.salt, last.tail, last.number + 1);
        self.stamp = Some(last.stamp);
        for (head, segment) in known {
            let path = segment.path().to_owned();
            if head.generation < last.tail || head.salt != last.salt {
                self.free.push(path);
            } else {
                let generation = head.generation;
                self.older.push_back(Older { path, generation });
            }
        }
        let there = self.older.iter().map(|older| older.generation);
        if !there.eq(last.tail..last.generation) {
            return Err(Error::Damaged("a segment is missing".into()));
        }
        Ok(())
    }

    /// Calls `found` with number and payload of every frame, oldest first.
    ///
    /// # Errors
    /// Those of `found`, and [`Error::Damaged`].
    pub fn replay<E: From<Error>>(
        &self,
        mut found: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut next = None;
        let older = self.older.iter().map(Source::Closed);
        for source in older.chain(self.head.as_ref().map(Source::Head)) {
            let opened;
            let (segment, generation) = match source {
                Source::Head(head) => (&head.segment, head.generation),
                Source::Closed(older) => {
                    opened = Segment::open(older.path.clone()).map_err(Error::from)?;
                    (&opened, older.generation)
                }
            };
            let walked = segment.walk(generation, |head, payload| {
                if next.is_some_and(|next| next != head.number) {
                    return Err(Walk::Gap);
                }
                next = Some(head.number + 1);
                found(head.number, payload).map_err(Walk::Other)
            });
            let (last, _) = walked.map_err(|error| self.walk_error(error))?;
            // A segment that counts has a frame at least.
            if last.is_none() {
                return Err(self.gap());
            }
        }
        match next {
            Some(next) if next != self.next => Err(self.gap()),
            _ => Ok(()),
        }
    }

    fn walk_error<E: From<Error>>(&self, error: Walk<E>) -> E {
        match error {
            Walk::Gap => self.gap(),
            Walk::Io(error) => E::from(error.into()),
            Walk::Other(error) => error,
        }
    }

    fn gap<E: From<Error>>(&self) -> E {
        let text = format!("frames of {} are missing or damaged", self.folder.display());
        E::from(Error::Damaged(text))
    }

    /// Appends a frame and returns its number. It is durable when this returns.
    ///
    /// # Errors
    /// [`Error::Io`]. Whether the frame is on disk is not known then: open the log anew.
    pub fn append(&mut self, payload: &[u8], stamp: [u8; STAMP]) -> Result<u64, Error> {
        let generation = self.head.as_ref().map_or(self.tail, |head| head.generation);
        let mut place = Place {
            salt: self.salt,
            generation,
            number: self.next,
            tail: self.tail,
            stamp,
        };
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let mut frame = Vec::new();
        encode(&place, payload, &mut frame).map_err(too_long)?;
        let fits = |head: &Current| head.at + frame.len() as u64 <= head.segment.len().max(SEGMENT);
        if !self.head.as_ref().is_some_and(fits) {
            place.generation += u64::from(self.head.is_some());
            frame.clear();
            encode(&place, payload, &mut frame).map_err(too_long)?;
            self.begin(place.generation)?;
        }
        let Some(head) = &mut self.head else {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        };
        head.segment.write(head.at, &frame, SEGMENT)?;
        head.at += frame.len() as u64;
        self.next += 1;
        self.stamp = Some(stamp);
        self.give_back();
        Ok(place.number)
    }

    /// Takes another segment for the head.
    fn begin(&mut self, generation: u64) -> Result<(), Error> {
        let segment = match self.free.pop() {
            Some(path) => Segment::open(path)?,
            None => {
                let segment = Segment::create(self.unused())?;
                File::open(&self.folder)?.sync_all()?;
                segment
            }
        };
        let head = Current {
            segment,
            generation,
            at: 0,
        };
        if let Some(old) = self.head.replace(head) {
            self.older.push_back(Older {
                path: old.segment.path().to_owned(),
                generation: old.generation,
            });
        }
        Ok(())
    }

    /// A name that no segment has.
    fn unused(&self) -> PathBuf {
        let mut number = 0_u32;
        loop {
            let path = self.folder.join(format!("{number:05}.{SUFFIX}"));
            if !path.exists() {
                return path;
            }
            number += 1;
        }
    }

    /// What has retired may be written over now. A segment that one big frame had is removed.
    fn give_back(&mut self) {
        for path in self.retired.drain(..) {
            let is_usual = fs::metadata(&path).is_ok_and(|file| file.len() <= SEGMENT);
            // One that cannot be removed is taken for another use.
            if is_usual || fs::remove_file(&path).is_err() {
                self.free.push(path);
            }
        }
    }

    /// Segments that count, the one that is written to included.
    pub fn segments(&self) -> usize {
        self.older.len() + usize::from(self.head.is_some())
    }

    /// Calls `found` with number and payload of every frame of the oldest segment, unless that is still written to.
    ///
    /// # Errors
    /// Those of `found`, and [`Error::Damaged`].
    pub fn read_oldest<E: From<Error>>(
        &self,
        mut found: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(oldest) = self.older.front() else {
            return Ok(());
        };
        let segment = Segment::open(oldest.path.clone()).map_err(Error::from)?;
        let walked = segment.walk(oldest.generation, |head, payload| {
            found(head.number, payload).map_err(Walk::Other)
        });
        let (last, _) = walked.map_err(|error| self.walk_error(error))?;
        // What cannot be read any more must not be given back as if nothing were in it.
        let next = self.first_after_oldest().map_err(Error::from)?;
        let is_whole = last.is_some_and(|last| Some(last.number + 1) == next);
        if is_whole { Ok(()) } else { Err(self.gap()) }
    }

    /// The number of the first frame behind the oldest segment.
    fn first_after_oldest(&self) -> io::Result<Option<u64>> {
        let head = match (self.older.get(1), &self.head) {
            (Some(older), _) => Segment::open(older.path.clone())?.head(0)?,
            (None, Some(head)) => head.segment.head(0)?,
            (None, None) => None,
        };
        Ok(head.map(|head| head.number))
    }

    /// Gives the oldest segment back as soon as the next frame is durable. What it holds and is
    /// still wanted must be in a frame by then; that frame may be it.
    pub fn retire_oldest(&mut self) {
        if let Some(oldest) = self.older.pop_front() {
            self.tail = oldest.generation + 1;
            self.retired.push(oldest.path);
        }
    }

    /// What stood beside the newest frame.
    pub fn stamp(&self) -> Option<[u8; STAMP]> {
        self.stamp
    }
}

enum Source<'a> {
    Closed(&'a Older),
    Head(&'a Current),
}

/// Why a walk through a segment ended.
enum Walk<E> {
    Gap,
    Io(io::Error),
    Other(E),
}

impl<E> From<io::Error> for Walk<E> {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
