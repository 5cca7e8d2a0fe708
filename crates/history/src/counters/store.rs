//! The files of counters: one for each month, to which rows are appended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Counters;
use super::rows::{self, Named, Row, Walked, Writer};
use crate::folder::sync;

/// Its folder below that of history.
pub(crate) const FOLDER: &str = "counters";
const SUFFIX: &str = ".fgc";
/// A file that has so many bytes gets no more.
const FILE_FULL: u64 = 16 << 20;
/// Bytes of a file that are read.
const FILE_MAX: u64 = 2 * FILE_FULL;
/// Files in which a counter is looked for at the start. One that is in none of them begins anew.
const RESUMED: usize = 2;

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Month {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    /// Months since 1970, of when it was begun.
    pub(crate) month: i64,
    pub(crate) bytes: u64,
}

/// The files in their order.
pub(crate) fn look(folder: &Path) -> io::Result<Vec<Month>> {
    let entries = match fs::read_dir(folder.join(FOLDER)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some((number, month)) = numbers(&name) {
            let bytes = fs::metadata(&path)?.len();
            found.push(Month {
                path,
                number,
                month,
                bytes,
            });
        }
    }
    found.sort_by_key(|month| month.number);
    Ok(found)
}

/// `c-00012-202611.fgc`: in which order they were begun, and in which month.
fn name(number: u64, month: i64) -> String {
    let (year, month) = (1970 + month.div_euclid(12), month.rem_euclid(12) + 1);
    format!("c-{number:05}-{year:04}{month:02}{SUFFIX}")
}

fn numbers(name: &str) -> Option<(u64, i64)> {
    let (number, date) = name
        .strip_prefix("c-")?
        .strip_suffix(SUFFIX)?
        .split_once('-')?;
    let (year, month) = date.split_at_checked(4)?;
    let (year, month) = (year.parse::<i64>().ok()?, month.parse::<i64>().ok()?);
    (1..=12).contains(&month).then_some(())?;
    Some((number.parse().ok()?, (year - 1970) * 12 + month - 1))
}

/// The month of a time, since 1970.
pub(crate) fn month(at: i64) -> i64 {
    let date = Timestamp::from_millisecond(at)
        .unwrap_or_default()
        .to_zoned(TimeZone::UTC)
        .date();
    (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1
}

/// Reads the rows of a file. One that has gone has none.
pub(crate) fn read(path: &Path, each: impl FnMut(&Named, Row)) -> io::Result<Walked> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Walked::default()),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(rows::walk(&bytes, each))
}

/// Appends to the files.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    pub(crate) files: Vec<Month>,
    /// The last of the files, if it takes more.
    open: Option<File>,
    writer: Writer,
}

impl Store {
    /// Opens the files in the folder of history, and has counters go on from there. Returns how much was damaged.
    pub(crate) fn open(folder: &Path, counters: &mut Counters) -> io::Result<(Self, u64)> {
        let files = look(folder)?;
        let (mut start, mut damaged) = (0, 0);
        for month in files.iter().skip(files.len().saturating_sub(RESUMED)) {
            let walked = read(&month.path, |named, row| counters.resume(named, &row))?;
            if walked.damaged > 0 {
                log::warn!(
                    "history: {}: {} places are damaged; what is whole of it is read",
                    month.path.display(),
                    walked.damaged
                );
            }
            damaged += walked.damaged;
            start = start.max(walked.start);
        }
        let store = Self {
            folder: folder.join(FOLDER),
            files,
            open: None,
            writer: Writer::new(start.wrapping_add(1)),
        };
        counters.bytes = store.bytes();
        Ok((store, damaged))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|month| month.bytes).sum()
    }

    /// Makes rows durable. Returns how many bytes that took.
    pub(crate) fn append(&mut self, rows: &[(Named, Row)]) -> io::Result<u64> {
        let Some((_, last)) = rows.last() else {
            return Ok(0);
        };
        let written = self
            .ready(month(last.start))
            .and_then(|()| self.write(rows));
        if written.is_err() {
            // How much of it is there is not known.
            self.open = None;
        }
        written
    }

    /// Has a file open that takes rows of a month.
    fn ready(&mut self, month: i64) -> io::Result<()> {
        let newest = self.files.last();
        let fits = newest.is_some_and(|file| file.month == month && file.bytes < FILE_FULL);
        if fits && self.open.is_some() {
            return Ok(());
        }
        self.writer.forget();
        if let Some(newest) = self.files.last_mut().filter(|_| fits) {
            let file = OpenOptions::new().append(true).open(&newest.path)?;
            newest.bytes = file.metadata()?.len();
            self.open = Some(file);
            return Ok(());
        }
        let number = self.files.last().map_or(1, |file| file.number + 1);
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(name(number, month));
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.write_all(&rows::header())?;
        file.sync_all()?;
        sync(&self.folder)?;
        let bytes = file.metadata()?.len();
        self.open = Some(file);
        self.files.push(Month {
            path,
            number,
            month,
            bytes,
        });
        Ok(())
    }

    fn write(&mut self, rows: &[(Named, Row)]) -> io::Result<u64> {
        let (Some(file), Some(newest)) = (&mut self.open, self.files.last_mut()) else {
            return Err(ErrorKind::NotFound.into());
        };
        // What was cut off before does not end where a block may begin.
        let missing = newest.bytes.next_multiple_of(8) - newest.bytes;
        let mut bytes = vec![0; usize::try_from(missing).unwrap_or(0)];
        bytes.append(&mut self.writer.blocks(rows));
        file.write_all(&bytes)?;
        file.sync_data()?;
        newest.bytes += bytes.len() as u64;
        Ok(bytes.len() as u64)
    }

    /// Removes the oldest files: those of before a time, and as many as it takes to have `most` bytes. The newest stays.
    pub(crate) fn make_room(&mut self, before: Option<i64>, most: u64) -> u64 {
        let before = before.map(month);
        let mut removed = 0;
        while let [oldest, _, ..] = self.files.as_slice() {
            let is_old = before.is_some_and(|before| oldest.month < before);
            if !is_old && self.bytes() <= most {
                break;
            }
            log::info!(
                "history: {} is removed to keep the bounds",
                oldest.path.display()
            );
            if let Err(error) = crate::folder::remove(&oldest.path) {
                log::warn!("history: {}: {error}", oldest.path.display());
            }
            self.files.remove(0);
            removed += 1;
        }
        removed
    }
}
