//! One file of the log: frames one behind the other, in blocks that were written before.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::frame::{BLOCK, HEAD, Head};

/// Blocks that are written ahead at a time, in bytes, so that a small log stays a small file.
const AHEAD: u64 = 8 * 1024;

#[cfg(test)]
thread_local! {
    /// Writings of this thread until it is as if it were killed.
    pub(crate) static WRITES: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) };
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    file: File,
    /// Bytes of the file.
    len: u64,
}

impl Segment {
    /// Opens a segment that exists. One that may only be read can be read.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = opened.or_else(|error| match error.kind() {
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => File::open(&path),
            _ => Err(error),
        })?;
        let len = file.metadata()?.len();
        Ok(Self { path, file, len })
    }

    /// Makes a new, empty one.
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        Ok(Self { path, file, len: 0 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes `frame`, which is durable when this returns. Blocks up to `limit` are written ahead.
    pub(crate) fn write(&mut self, at: u64, frame: &[u8], limit: u64) -> io::Result<()> {
        self.check()?;
        let end = at + frame.len() as u64;
        #[cfg(test)]
        self.cut_off(at, &[])?;
        self.file.write_all_at(frame, at)?;
        if end > self.len {
            let wanted = end.next_multiple_of(AHEAD).min(limit.max(end));
            let zeros = vec![0; usize::try_from(wanted - end).unwrap_or(0)];
            self.file.write_all_at(&zeros, end)?;
            self.len = wanted;
        }
        self.file.sync_data()
    }

    /// Writes `frame` to blocks that were written ahead. It is durable after [`Self::sync`].
    pub(crate) fn put(&self, at: u64, frame: &[u8]) -> io::Result<()> {
        self.check()?;
        #[cfg(test)]
        self.cut_off(at, frame)?;
        self.file.write_all_at(frame, at)
    }

    /// Writes only half of `frame`, and nothing more, once so many were written as a test has said.
    #[cfg(test)]
    fn cut_off(&self, at: u64, frame: &[u8]) -> io::Result<()> {
        match WRITES.get() {
            None => Ok(()),
            Some(0) => {
                let half = frame.len() / 2 / 512 * 512;
                self.file.write_all_at(&frame[..half], at)?;
                Err(ErrorKind::Interrupted.into())
            }
            Some(left) => {
                WRITES.set(Some(left - 1));
                Ok(())
            }
        }
    }

    /// What was [`Self::put`] is durable when this returns.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether the file is still where it was: what goes to a file that was removed is lost.
    fn check(&self) -> io::Result<()> {
        let open = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (open.dev(), open.ino()) => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => {
                let text = format!("{} was removed while it was in use", self.path.display());
                Err(io::Error::new(ErrorKind::NotFound, text))
            }
        }
    }

    /// The header at `at`; `None` if there is none.
    pub(crate) fn head(&self, at: u64) -> io::Result<Option<Head>> {
        if at + HEAD as u64 > self.len {
            return Ok(None);
        }
        let mut bytes = [0; HEAD];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(Head::decode(&bytes))
    }

    /// The payload of the frame with this header at `at`; `None` if it is damaged or cut off.
    pub(crate) fn payload(&self, at: u64, head: &Head) -> io::Result<Option<Vec<u8>>> {
        if at + head.size() as u64 > self.len {
            return Ok(None);
        }
        let mut body = vec![0; head.size() - HEAD];
        self.file.read_exact_at(&mut body, at + HEAD as u64)?;
        Ok(head.payload(&body))
    }

    /// Calls `found` with every good frame from the beginning on. Returns the header of the last
    /// one and where the first byte behind it is.
    pub(crate) fn walk<E: From<io::Error>>(
        &self,
        generation: u64,
        mut found: impl FnMut(&Head, &[u8]) -> Result<(), E>,
    ) -> Result<(Option<Head>, u64), E> {
        let (mut last, mut at): (Option<Head>, u64) = (None, 0);
        while let Some(head) = self.head(at)? {
            let follows = last.is_none_or(|last| last.number + 1 == head.number);
            if head.generation != generation || !follows {
                break;
            }
            let Some(payload) = self.payload(at, &head)? else {
                break;
            };
            found(&head, &payload)?;
            last = Some(head);
            at += head.size() as u64;
        }
        Ok((last, at))
    }

    /// Whether there is a good frame of `generation` at or behind `at`.
    pub(crate) fn has_frame_behind(&self, generation: u64, at: u64) -> io::Result<bool> {
        for at in (at..self.len).step_by(BLOCK) {
            if let Some(head) = self.head(at)?
                && head.generation == generation
                && self.payload(at, &head)?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The highest generation of a good frame anywhere in the file.
    pub(crate) fn newest(&self) -> io::Result<Option<u64>> {
        let mut newest = None;
        for at in (0..self.len).step_by(BLOCK) {
            if let Some(head) = self.head(at)?
                && self.payload(at, &head)?.is_some()
            {
                newest = newest.max(Some(head.generation));
            }
        }
        Ok(newest)
    }
}
