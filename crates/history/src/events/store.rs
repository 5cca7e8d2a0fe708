//! The files of events: appended to one after the other, the oldest removed as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::blocks::{self, Walked};
use super::{Event, Kind};
use crate::folder::{remove, sync};

/// Its folder below that of history.
pub(crate) const FOLDER: &str = "events";
const SUFFIX: &str = ".fge";
/// So many zeros are written ahead: a block that goes into them changes nothing else on the card.
const AHEAD: u64 = 16 << 10;
/// One file has at most one part in so many of the bytes and of the time: so much goes at once.
const SHARE: u32 = 16;
/// Files at most, however the clock was set.
const FILES_MAX: usize = 4 * SHARE as usize;
/// Bytes of a file that are read, of whoever made it.
const READ_MAX: u64 = 64 << 20;

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) path: PathBuf,
    number: u64,
    /// Bytes of it that are whole blocks.
    pub(crate) bytes: u64,
    /// The least and the greatest time in it, in milliseconds; `None` if that is not known.
    pub(crate) times: Option<(i64, i64)>,
}

impl Piece {
    fn saw(&mut self, at: i64) {
        let (from, to) = self.times.unwrap_or((at, at));
        self.times = Some((from.min(at), to.max(at)));
    }
}

/// The files in their order. Their times are not known yet.
pub(crate) fn look(folder: &Path) -> io::Result<Vec<Piece>> {
    let entries = match fs::read_dir(folder.join(FOLDER)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name
            .strip_prefix("e-")
            .and_then(|rest| rest.strip_suffix(SUFFIX))
            .and_then(|number| number.parse().ok());
        if let Some(number) = number {
            let bytes = fs::metadata(&path)?.len();
            found.push(Piece {
                path,
                number,
                bytes,
                times: None,
            });
        }
    }
    found.sort_by_key(|piece| piece.number);
    Ok(found)
}

/// Reads the first `bytes` of a file. One that has gone, or is of another version, has no events.
pub(crate) fn read(piece: &Piece, each: impl FnMut(Event)) -> io::Result<Walked> {
    let file = match File::open(&piece.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Walked::default()),
        other => other?,
    };
    let mut bytes = Vec::new();
    let most = piece.bytes.min(READ_MAX);
    file.take(most).read_to_end(&mut bytes)?;
    if blocks::is_foreign(&bytes) {
        return Ok(Walked::default());
    }
    Ok(blocks::walk(&bytes, each))
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes: u64,
    pub(crate) keep: Duration,
}

/// Appends to the files.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    bounds: Bounds,
    pub(crate) files: Vec<Piece>,
    /// The last of the files, if it takes more, and how long it is.
    open: Option<(File, u64)>,
    /// The greatest number of a file, of another version, too.
    number: u64,
    /// Whether the last run said that it ends; `None` if nothing is known of one.
    pub(crate) was_ended: Option<bool>,
    /// Places that were found damaged.
    pub(crate) damaged: u64,
}

impl Store {
    /// Looks at what is there.
    pub(crate) fn open(folder: &Path, bounds: Bounds) -> io::Result<Self> {
        let mut store = Self {
            folder: folder.join(FOLDER),
            bounds,
            files: Vec::new(),
            open: None,
            number: 0,
            was_ended: None,
            damaged: 0,
        };
        for mut piece in look(folder)? {
            if piece.bytes < blocks::HEADER as u64 {
                // It was being made when the power failed.
                remove(&piece.path)?;
                continue;
            }
            store.number = piece.number;
            let mut seen = piece.clone();
            let walked = read(&piece, |event| {
                seen.saw(event.millisecond());
                match event.kind {
                    Kind::Started | Kind::StartedAgain => store.was_ended = Some(false),
                    Kind::Stopped => store.was_ended = Some(true),
                    _ => {}
                }
            })?;
            if walked.whole == 0 {
                let path = piece.path.display();
                log::warn!(
                    "history: {path}: no file of events of this version; it is left as it is"
                );
                continue;
            }
            let damaged = walked.damaged + u64::from(walked.has_rest);
            if damaged > 0 {
                let path = piece.path.display();
                log::warn!(
                    "history: {path}: {damaged} places are damaged; what is whole of it is read"
                );
            }
            store.damaged += damaged;
            (piece.bytes, piece.times) = (walked.whole, seen.times);
            store.files.push(piece);
        }
        Ok(store)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|piece| piece.bytes).sum()
    }

    /// Makes events durable. Returns how many bytes that took.
    pub(crate) fn append(&mut self, events: &[Event]) -> io::Result<u64> {
        let Some(last) = events.last() else {
            return Ok(0);
        };
        let bytes = blocks::encode(events);
        let written = self
            .ready(last.millisecond())
            .and_then(|()| self.write(&bytes));
        match written {
            // How much of it is there is not known.
            Err(_) => self.open = None,
            Ok(()) => {
                let newest = self.files.last_mut();
                newest.into_iter().for_each(|newest| {
                    newest.bytes += bytes.len() as u64;
                    events
                        .iter()
                        .for_each(|event| newest.saw(event.millisecond()));
                });
            }
        }
        written.map(|()| bytes.len() as u64)
    }

    /// Has a file open that takes events of a time.
    fn ready(&mut self, at: i64) -> io::Result<()> {
        let share = i64::try_from((self.bounds.keep / SHARE).as_millis()).unwrap_or(i64::MAX);
        let has_room = |piece: &&mut Piece| {
            let is_far = |(from, _): (i64, i64)| at.saturating_sub(from) > share;
            piece.bytes < self.bounds.bytes / u64::from(SHARE)
                && !piece.times.is_some_and(is_far)
                && piece.number == self.number
        };
        if let Some(newest) = self.files.last_mut().filter(has_room) {
            if self.open.is_none() {
                let opened = OpenOptions::new().write(true).open(&newest.path);
                if matches!(&opened, Err(error) if error.kind() == ErrorKind::NotFound) {
                    // Somebody has removed it.
                    self.files.pop();
                    return self.ready(at);
                }
                let file = opened?;
                // What is behind was never whole; the next block begins where one may.
                newest.bytes = newest.bytes.next_multiple_of(blocks::STEP as u64);
                file.set_len(newest.bytes)?;
                self.open = Some((file, newest.bytes));
            }
            return Ok(());
        }
        if let (Some((file, _)), Some(newest)) = (self.open.take(), self.files.last()) {
            file.set_len(newest.bytes)?;
        }
        fs::create_dir_all(&self.folder)?;
        let number = self.number + 1;
        let path = self.folder.join(format!("e-{number:05}{SUFFIX}"));
        let file = File::create(&path)?;
        file.write_all_at(&blocks::header(), 0)?;
        file.sync_all()?;
        sync(&self.folder)?;
        self.open = Some((file, blocks::HEADER as u64));
        self.number = number;
        self.files.push(Piece {
            path,
            number,
            bytes: blocks::HEADER as u64,
            times: None,
        });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (Some((file, length)), Some(newest)) = (&mut self.open, self.files.last()) else {
            return Err(ErrorKind::NotFound.into());
        };
        let end = newest.bytes + bytes.len() as u64;
        if end > *length {
            let to = end.next_multiple_of(AHEAD);
            let zeros = vec![0; usize::try_from(to - *length).unwrap_or(0)];
            file.write_all_at(&zeros, *length)?;
            file.sync_all()?;
            *length = to;
        }
        file.write_all_at(bytes, newest.bytes)?;
        file.sync_data()
    }

    /// Removes the oldest files: those of before a time, and as many as it takes to keep the bounds. The newest stays.
    pub(crate) fn make_room(&mut self, before: Option<i64>) -> u64 {
        let mut removed = 0;
        while let [oldest, _, ..] = self.files.as_slice() {
            let is_old = |before: i64| oldest.times.is_some_and(|(_, to)| to < before);
            let is_full = self.bytes() > self.bounds.bytes || self.files.len() > FILES_MAX;
            if !is_full && !before.is_some_and(is_old) {
                break;
            }
            let path = oldest.path.display();
            log::info!("history: {path} is removed to keep the bounds");
            if let Err(error) = remove(&oldest.path) {
                log::warn!("history: {path}: {error}");
            }
            self.files.remove(0);
            removed += 1;
        }
        removed
    }
}
