//! Questions to history: columns for a chart, readings one by one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::tz::TimeZone;

use crate::build::{HOUR, MINUTE};
use crate::cells::{self, Cell};
use crate::chunk;
use crate::counters::Counters;
use crate::counters::store::Store;
use crate::events::store as pieces;
use crate::file::{self, Entry, Fault, Level, Series, What};
use crate::folder::{self, JOURNAL, Kept};
use crate::head::{Head, Stored};
use crate::journal;
use crate::reading::Reading;
use crate::shared::{Figures, Shared};

/// Columns of an answer at most.
pub const WIDTH_MAX: usize = 4_000;
/// How often a question is asked anew because files were put together meanwhile.
pub(crate) const ATTEMPTS: usize = 4;
/// Files that are looked at for what was before a range.
const BEFORE_FILES: usize = 62;

/// From when on and until when, in milliseconds since 1970; the end is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub from: i64,
    /// The first that is not in it.
    pub to: i64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The one who asked has gone.
    #[error("the question was withdrawn")]
    Withdrawn,
    /// Files were removed, or put together, while they were read.
    #[error("files were removed or put together meanwhile; ask again")]
    Gone,
    /// A file cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What a series was in a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// Milliseconds that a column stands for.
    pub step: i64,
    /// Those that have a reading.
    pub cells: Vec<Cell>,
    /// The last reading before the range: what changed last still holds.
    pub before: Option<Reading>,
}

/// Reads history, also while it is written.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
    /// Whether another process may write to the folder: then this knows what was there when it was made.
    pub(crate) is_foreign: bool,
}

/// What is looked at for one series: files, chunks, and readings that are in none.
struct Snapshot {
    files: Vec<Arc<Kept>>,
    chunks: Vec<Stored>,
    open: Vec<Reading>,
}

impl Reader {
    /// Reads a folder that another process may write to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn of_folder(folder: &Path) -> Result<Self, Fault> {
        let found = folder::look(folder)?;
        for (path, fault) in &found.foreign {
            log::warn!("history: {}: {fault}; it is left out", path.display());
        }
        let frames = journal::salvage(&folder.join(JOURNAL))?;
        let done = found
            .files
            .iter()
            .map(|kept| kept.parts().1)
            .max()
            .unwrap_or(0);
        let mut head = Head::new(done + 1);
        journal::replay(&frames, done, &mut head);
        let files = found.files.into_iter().map(Arc::new).collect();
        let mut counters = Counters::new(TimeZone::system());
        Store::open(folder, &mut counters)?;
        counters.replay(head.chunks());
        let shared = Shared::new(head, files, counters, folder);
        shared.lock().pieces = pieces::look(folder)?;
        shared.lock().measure();
        Ok(Self {
            shared: Arc::new(shared),
            is_foreign: true,
        })
    }

    /// One that knows which files are there now.
    pub(crate) fn renewed(&self) -> Result<Self, Error> {
        match self.is_foreign {
            true => Ok(Self::of_folder(&self.shared.folder)?),
            false => Ok(self.clone()),
        }
    }

    /// What has been counted.
    pub fn figures(&self) -> Figures {
        self.shared.figures()
    }

    /// The series that have readings in a range of files or since the last file.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn series(&self, range: Range) -> Result<BTreeSet<Series>, Error> {
        for _ in 0..ATTEMPTS {
            if let Some(found) = self.series_now(range)? {
                return Ok(found);
            }
        }
        Err(Error::Gone)
    }

    /// `None` if a file has gone meanwhile.
    fn series_now(&self, range: Range) -> Result<Option<BTreeSet<Series>>, Error> {
        let (files, mut found) = {
            let state = self.shared.lock();
            let closing = state.closing.iter().flat_map(|(_, chunks)| chunks.keys());
            let all = state.head.series().chain(closing);
            let found: BTreeSet<Series> = all.map(|series| Series::clone(series)).collect();
            (state.files.clone(), found)
        };
        for kept in files.iter().filter(|kept| overlap(kept.times, range)) {
            let Some((file, opened)) = there(kept.open())? else {
                return Ok(None);
            };
            let mut known = None;
            for entry in &opened.index {
                if known == Some(entry.hash) {
                    continue;
                }
                if let Some((own, _)) = file::read(&file, entry).map_err(Fault::from)? {
                    found.insert(own);
                    known = Some(entry.hash);
                }
            }
        }
        Ok(Some(found))
    }

    /// What a series was, in `width` columns of the range. `go_on` is asked now and then.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or `go_on` says no.
    pub fn columns(
        &self,
        series: &Series,
        range: Range,
        width: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Columns, Error> {
        let width = i64::try_from(width.clamp(1, WIDTH_MAX)).unwrap_or(1);
        let length = range.to.saturating_sub(range.from).max(1);
        let step = (length / width + i64::from(length % width > 0)).max(1);
        for _ in 0..ATTEMPTS {
            let mut columns = Filling::new(range, step);
            let snapshot = self.snapshot(series);
            if !self.files(&snapshot, series, &mut columns, go_on)? {
                continue;
            }
            for chunk in snapshot
                .chunks
                .iter()
                .filter(|chunk| overlap(chunk.times, range))
            {
                chunk
                    .readings()
                    .iter()
                    .for_each(|reading| columns.reading(reading));
            }
            snapshot
                .open
                .iter()
                .for_each(|reading| columns.reading(reading));
            return Ok(Columns {
                step,
                cells: columns.cells.into_iter().flatten().collect(),
                before: self.before(&snapshot, series, range.from)?,
            });
        }
        Err(Error::Gone)
    }

    /// Every reading of a series in the range, in the order in which they came.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn readings(
        &self,
        series: &Series,
        range: Range,
        each: &mut dyn FnMut(&Reading) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let snapshot = self.snapshot(series);
        let is_meant = |at: i64| range.from <= at && at < range.to;
        let mut all = |readings: &[Reading]| -> ControlFlow<()> {
            readings
                .iter()
                .filter(|reading| is_meant(reading.at))
                .try_for_each(&mut *each)
        };
        for kept in snapshot
            .files
            .iter()
            .filter(|kept| kept.header.level != Level::Rollup)
        {
            if !overlap(kept.times, range) {
                continue;
            }
            let Some((file, entries)) = there(kept.find(series.hash()))? else {
                return Err(Error::Gone);
            };
            for entry in own(&entries, What::Readings, range) {
                let readings = self.block(&file, entry, series)?;
                if all(&readings).is_break() {
                    return Ok(());
                }
            }
        }
        for chunk in snapshot
            .chunks
            .iter()
            .filter(|chunk| overlap(chunk.times, range))
        {
            if all(&chunk.readings()).is_break() {
                return Ok(());
            }
        }
        // Who wants no more gets no more.
        let _ = all(&snapshot.open);
        Ok(())
    }

    fn snapshot(&self, series: &Series) -> Snapshot {
        let state = self.shared.lock();
        let closing = state
            .closing
            .as_ref()
            .and_then(|(_, chunks)| chunks.get(series));
        let (later, open) = state.head.of(series);
        Snapshot {
            files: state.files.clone(),
            chunks: closing
                .into_iter()
                .flatten()
                .cloned()
                .chain(later)
                .collect(),
            open,
        }
    }

    /// Fills columns from files. False if a file has gone meanwhile.
    fn files(
        &self,
        snapshot: &Snapshot,
        series: &Series,
        columns: &mut Filling,
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool, Error> {
        let wanted = match columns.step {
            HOUR.. => What::Hours,
            MINUTE.. => What::Minutes,
            _ => What::Readings,
        };
        for kept in plan(&snapshot.files, wanted) {
            if !overlap(kept.times, columns.range) {
                continue;
            }
            if !go_on() {
                return Err(Error::Withdrawn);
            }
            let Some((file, entries)) = there(kept.find(series.hash()))? else {
                return Ok(false);
            };
            let has_minutes = || own(&entries, What::Minutes, columns.range).next().is_some();
            let cells = match (kept.header.level, wanted) {
                (Level::Rollup, _) => What::Hours,
                (_, What::Minutes | What::Hours) if has_minutes() => What::Minutes,
                _ => What::Readings,
            };
            for entry in own(&entries, cells, columns.range) {
                match cells {
                    What::Readings => {
                        let readings = self.block(&file, entry, series)?;
                        readings.iter().for_each(|reading| columns.reading(reading));
                    }
                    _ => {
                        let cells = self.cells(&file, entry, series)?;
                        cells.iter().for_each(|cell| columns.cell(cell));
                    }
                }
            }
        }
        Ok(true)
    }

    /// The last reading before a time.
    fn before(
        &self,
        snapshot: &Snapshot,
        series: &Series,
        from: i64,
    ) -> Result<Option<Reading>, Error> {
        let mut open = snapshot.open.iter().rev();
        if let Some(found) = open.find(|reading| reading.at < from) {
            return Ok(Some(found.clone()));
        }
        for chunk in snapshot
            .chunks
            .iter()
            .rev()
            .filter(|chunk| chunk.times.0 < from)
        {
            if let Some(found) = chunk.last_before(from) {
                return Ok(Some(found));
            }
        }
        let files = snapshot.files.iter().rev();
        let files = files.filter(|kept| kept.header.level != Level::Rollup && kept.times.0 < from);
        for kept in files.take(BEFORE_FILES) {
            let Some((file, entries)) = there(kept.find(series.hash()))? else {
                return Ok(None);
            };
            let all = Range {
                from: i64::MIN,
                to: from,
            };
            for entry in own(&entries, What::Readings, all).rev() {
                let last = |data: &[u8]| {
                    let found = chunk::last_before(&mut &*data, entry.times.0, from)?;
                    Some(Vec::from_iter(found))
                };
                let found = self.decoded(&file, entry, series, last)?;
                if let [found, ..] = found.as_slice() {
                    return Ok(Some(found.clone()));
                }
            }
        }
        Ok(None)
    }

    /// The readings of a block; none if it is damaged or of another series with the same hash.
    fn block(&self, file: &File, entry: &Entry, series: &Series) -> Result<Vec<Reading>, Error> {
        let decode = |data: &[u8]| chunk::decode(&mut &*data, entry.times.0);
        self.decoded(file, entry, series, decode)
    }

    fn cells(&self, file: &File, entry: &Entry, series: &Series) -> Result<Vec<Cell>, Error> {
        let decode = |data: &[u8]| cells::decode(&mut &*data, entry.times.0);
        self.decoded(file, entry, series, decode)
    }

    fn decoded<T>(
        &self,
        file: &File,
        entry: &Entry,
        series: &Series,
        decode: impl Fn(&[u8]) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, Error> {
        let block = file::read(file, entry).map_err(Fault::from)?;
        let found = match block {
            Some((own, _)) if own != *series => return Ok(Vec::new()),
            Some((_, data)) => decode(&data),
            None => None,
        };
        if found.is_none() {
            self.shared.damaged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(found.unwrap_or_default())
    }
}

fn overlap(times: (i64, i64), range: Range) -> bool {
    times.0 < range.to && times.1 >= range.from.saturating_sub(HOUR)
}

/// A file that was opened; `None` if it has been removed.
fn there<T>(opened: Result<T, Fault>) -> Result<Option<T>, Error> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(Fault::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

fn own(
    entries: &[Entry],
    what: What,
    range: Range,
) -> impl DoubleEndedIterator<Item = &Entry> + use<'_> {
    entries
        .iter()
        .filter(move |entry| entry.what == what && overlap(entry.times, range))
}

/// Which files answer: roll-ups where hours do, and where nothing else is left; each part of the journal once.
fn plan(files: &[Arc<Kept>], wanted: What) -> impl Iterator<Item = &Arc<Kept>> {
    let within = |kept: &Kept, others: &[(u64, u64)]| {
        let (first, last) = kept.parts();
        others
            .iter()
            .any(|other| other.0 <= first && last <= other.1)
    };
    let parts = |rollups: bool| -> Vec<(u64, u64)> {
        let some = files
            .iter()
            .filter(|kept| (kept.header.level == Level::Rollup) == rollups);
        some.map(|kept| kept.parts()).collect()
    };
    let (rollups, others) = (parts(true), parts(false));
    files
        .iter()
        .filter(move |kept| match (kept.header.level, wanted) {
            (Level::Rollup, What::Hours) => true,
            (Level::Rollup, _) => !within(kept, &others),
            (_, What::Hours) => !within(kept, &rollups),
            _ => true,
        })
}

/// Columns that are being filled.
struct Filling {
    range: Range,
    step: i64,
    cells: Vec<Option<Cell>>,
}

impl Filling {
    fn new(range: Range, step: i64) -> Self {
        let length = range.to.saturating_sub(range.from).max(0);
        let count = usize::try_from(length / step + i64::from(length % step > 0)).unwrap_or(0);
        Self {
            range,
            step,
            cells: vec![None; count.min(WIDTH_MAX)],
        }
    }

    fn place(&mut self, at: i64) -> Option<&mut Cell> {
        let behind = at
            .checked_sub(self.range.from)
            .filter(|_| at < self.range.to)?;
        let number = usize::try_from(behind / self.step)
            .ok()
            .filter(|_| behind >= 0)?;
        let start = self.range.from + behind / self.step * self.step;
        let cell = self.cells.get_mut(number)?;
        Some(cell.get_or_insert_with(|| Cell::new(start)))
    }

    fn reading(&mut self, reading: &Reading) {
        if let Some(cell) = self.place(reading.at) {
            cell.take(reading);
        }
    }

    fn cell(&mut self, cell: &Cell) {
        if let Some(own) = self.place(cell.start) {
            own.merge(cell);
        }
    }
}
