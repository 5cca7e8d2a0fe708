//! The folder of history: names of files, writing them so that they are whole or not there, and room on the partition.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::file::{self, Entry, Fault, Header, Level, Opened, Series, What, Writer};

const SUFFIX: &str = ".fgh";
const UNFINISHED: &str = ".tmp";
/// Where the journal is.
pub(crate) const JOURNAL: &str = "journal";

/// A file that is there.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    /// When it was written: the day that its name says, in days since 1970.
    pub(crate) day: i64,
    pub(crate) times: (i64, i64),
    pub(crate) bytes: u64,
    /// Entries of its index; `None` if that is damaged.
    pub(crate) entries: Option<u64>,
}

/// What is in a folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of their parts.
    pub(crate) files: Vec<Kept>,
    /// What looks like a file of history and is not read, and why.
    pub(crate) foreign: Vec<(PathBuf, Fault)>,
    /// Files whose index is damaged.
    pub(crate) damaged: Vec<PathBuf>,
    /// Files that stopped half-way, or whose content is in another one.
    pub(crate) leftover: Vec<PathBuf>,
}

/// Looks at a folder. Nothing is changed.
pub(crate) fn look(folder: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(UNFINISHED) {
            found.leftover.push(path);
        } else if name.ends_with(SUFFIX) {
            match kept(&path, &name) {
                Ok((kept, is_damaged)) => {
                    if is_damaged {
                        found.damaged.push(path);
                    }
                    found.files.push(kept);
                }
                Err(fault) => found.foreign.push((path, fault)),
            }
        }
    }
    found
        .files
        .sort_by_key(|kept| (kept.header.parts, kept.header.level as u32));
    let days: Vec<(u64, u64)> = found
        .files
        .iter()
        .filter(|kept| kept.header.level == Level::Day)
        .map(Kept::parts)
        .collect();
    let is_in_day = |kept: &Kept| {
        let (first, last) = kept.parts();
        let inside = |day: &(u64, u64)| day.0 <= first && last <= day.1;
        kept.header.level == Level::Hour && days.iter().any(inside)
    };
    let (merged, files) = found.files.into_iter().partition(is_in_day);
    let merged: Vec<Kept> = merged;
    found
        .leftover
        .extend(merged.into_iter().map(|kept| kept.path));
    found.files = files;
    Ok(found)
}

impl Kept {
    pub(crate) fn parts(&self) -> (u64, u64) {
        self.header.parts
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Result<(File, Opened), Fault> {
        let file = File::open(&self.path)?;
        let opened = file::open(&file)?;
        Ok((file, opened))
    }

    /// Opens it, and finds the blocks of a series.
    pub(crate) fn find(&self, hash: u64) -> Result<(File, Vec<Entry>), Fault> {
        let file = File::open(&self.path)?;
        if let Some(entries) = self.entries
            && let Some(found) = file::find(&file, self.bytes, entries, hash)?
        {
            return Ok((file, found));
        }
        // The index is damaged: what is whole is looked for.
        let found = file::open(&file)?.of(hash).to_vec();
        Ok((file, found))
    }
}

fn kept(path: &Path, name: &str) -> Result<(Kept, bool), Fault> {
    let file = File::open(path)?;
    let opened = file::open(&file)?;
    let is_damaged = opened.is_damaged;
    let kept = Kept {
        path: path.to_owned(),
        header: opened.header,
        day: day_of(name).unwrap_or_default(),
        times: opened.times,
        bytes: file.metadata()?.len(),
        entries: (!is_damaged).then_some(opened.index.len() as u64),
    };
    Ok((kept, is_damaged))
}

/// In milliseconds.
pub(crate) const DAY: i64 = 86_400_000;

/// The day of a time, in days since 1970.
pub(crate) fn day(at: i64) -> i64 {
    at.div_euclid(DAY)
}

/// `h-0000000012-0000000012-20670.fgh`: level, parts, and the day of writing, since 1970.
fn name(header: Header, day: i64) -> String {
    let letter = match header.level {
        Level::Hour => 'h',
        Level::Day => 'd',
        Level::Rollup => 'r',
    };
    let date = Timestamp::from_millisecond(day * DAY).unwrap_or_default();
    let date = date.strftime("%Y%m%d");
    let (first, last) = header.parts;
    format!("{letter}-{first:010}-{last:010}-{date}{SUFFIX}")
}

fn day_of(name: &str) -> Option<i64> {
    let date = name.strip_suffix(SUFFIX)?.rsplit('-').next()?;
    let date = jiff::civil::Date::strptime("%Y%m%d", date).ok()?;
    let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(day(start.timestamp().as_millisecond()))
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Draft {
    writer: Writer<BufWriter<File>>,
    unfinished: PathBuf,
    finished: PathBuf,
    header: Header,
    day: i64,
    times: Option<(i64, i64)>,
}

impl Draft {
    pub(crate) fn new(folder: &Path, header: Header, day: i64) -> io::Result<Self> {
        let name = name(header, day);
        let unfinished = folder.join(format!("{name}{UNFINISHED}"));
        let file = File::create(&unfinished)?;
        Ok(Self {
            writer: Writer::new(BufWriter::with_capacity(1 << 16, file), header)?,
            finished: folder.join(name),
            unfinished,
            header,
            day,
            times: None,
        })
    }

    pub(crate) fn block(
        &mut self,
        series: &Series,
        what: What,
        count: usize,
        times: (i64, i64),
        data: &[u8],
    ) -> io::Result<()> {
        let (from, to) = self.times.unwrap_or(times);
        self.times = Some((from.min(times.0), to.max(times.1)));
        self.writer.block(
            series,
            what,
            u32::try_from(count).unwrap_or(u32::MAX),
            times,
            data,
        )
    }

    /// Makes it durable under its name.
    pub(crate) fn finish(self) -> io::Result<Kept> {
        let Self {
            writer,
            unfinished,
            finished,
            header,
            day,
            times,
        } = self;
        let entries = Some(writer.entries());
        let (out, bytes) = writer.finish()?;
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.flush()?;
        file.sync_all()?;
        fs::rename(&unfinished, &finished)?;
        sync(finished.parent().unwrap_or(Path::new("")))?;
        Ok(Kept {
            path: finished,
            header,
            day,
            times: times.unwrap_or_default(),
            bytes,
            entries,
        })
    }

    /// Leaves nothing of it.
    pub(crate) fn abandon(self) {
        // It is removed at the next start otherwise.
        let _ = fs::remove_file(&self.unfinished);
    }
}

/// Makes names in a folder durable.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file; one that is gone already is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The bytes of a partition, and those that are free.
pub(crate) fn room(folder: &Path) -> io::Result<(u64, u64)> {
    let all = rustix::fs::statvfs(folder)?;
    Ok((all.f_blocks * all.f_frsize, all.f_bavail * all.f_frsize))
}

/// The blocks of an index that are of one series, after another.
pub(crate) fn series_of(index: &[Entry]) -> impl Iterator<Item = u64> {
    let mut hashes: Vec<u64> = index.iter().map(|entry| entry.hash).collect();
    hashes.dedup();
    hashes.into_iter()
}

/// The bytes of the files in a folder; none if it is not there.
pub(crate) fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| entry.metadata().ok());
    sizes.map(|about| about.len()).sum()
}
