//! Files made of what was kept in smaller pieces: an hour of chunks, a day of hours.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::cells::{self, Cell};
use crate::chunk;
use crate::file::{self, Entry, Fault, Header, Level, Opened, Series, What};
use crate::folder::{Draft, Kept, series_of};
use crate::head::Chunks;
use crate::reading::Reading;

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 3_600_000;
/// Minutes with fewer readings than this on average are not written: the readings say the same in less room.
const PER_MINUTE: usize = 4;

/// Writes the chunks of one part. `pause` is called between two series.
pub(crate) fn hour(
    folder: &Path,
    part: u64,
    day: i64,
    chunks: &Chunks,
    mut pause: impl FnMut(),
) -> io::Result<Kept> {
    let header = Header {
        level: Level::Hour,
        parts: (part, part),
    };
    let mut draft = Draft::new(folder, header, day)?;
    let written = chunks.iter().try_for_each(|(series, chunks)| {
        pause();
        let mut one = One::new(&mut draft, series);
        for chunk in chunks {
            one.add(chunk.readings())?;
        }
        one.finish().map(|_| ())
    });
    end(draft, written)
}

/// Files of one day, and how often a block of them was damaged.
pub(crate) struct Days {
    pub(crate) day: Kept,
    pub(crate) rollup: Kept,
    pub(crate) damaged: u64,
}

/// Writes what is in `hours`, which follow each other, to one file, and hours to another.
pub(crate) fn day(folder: &Path, hours: &[Kept], mut pause: impl FnMut()) -> Result<Days, Fault> {
    let (Some(first), Some(last)) = (hours.first(), hours.last()) else {
        return Err(Fault::Foreign);
    };
    let parts = (first.parts().0, last.parts().1);
    let header = |level| Header { level, parts };
    let sources: Result<Vec<(File, Opened)>, Fault> = hours.iter().map(Kept::open).collect();
    let sources = sources?;
    let hashes: BTreeSet<u64> = sources
        .iter()
        .flat_map(|(_, opened)| series_of(&opened.index))
        .collect();
    let mut rollup = Draft::new(folder, header(Level::Rollup), first.day)?;
    let mut draft = match Draft::new(folder, header(Level::Day), first.day) {
        Ok(draft) => draft,
        Err(error) => {
            rollup.abandon();
            return Err(error.into());
        }
    };
    let mut damaged = 0;
    let written = hashes.iter().try_for_each(|hash| {
        pause();
        damaged += one_of(&sources, *hash, &mut draft, &mut rollup)?;
        Ok(())
    });
    // The day's file says that the hours are done: it comes last.
    let rollup = match written {
        Ok(()) => end(rollup, Ok(())),
        Err(error) => {
            rollup.abandon();
            Err(error)
        }
    };
    match rollup {
        Ok(rollup) => Ok(Days {
            day: end(draft, Ok(()))?,
            rollup,
            damaged,
        }),
        Err(error) => {
            draft.abandon();
            Err(error.into())
        }
    }
}

fn end(draft: Draft, written: io::Result<()>) -> io::Result<Kept> {
    match written {
        Ok(()) => draft.finish(),
        Err(error) => {
            draft.abandon();
            Err(error)
        }
    }
}

/// Writes one series of several files. Returns how many blocks were damaged.
fn one_of(
    sources: &[(File, Opened)],
    hash: u64,
    draft: &mut Draft,
    rollup: &mut Draft,
) -> io::Result<u64> {
    let mut damaged = 0;
    let entries = |opened: &Opened| -> Vec<Entry> {
        let own = opened
            .of(hash)
            .iter()
            .filter(|entry| entry.what == What::Readings);
        own.copied().collect()
    };
    // Names that have one hash are rare, and each gets its own readings.
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for (file, opened) in sources {
        for entry in entries(opened) {
            match file::read(file, &entry)? {
                Some((series, data)) => {
                    names.insert(series.clone());
                    found.push((series, entry.times.0, data));
                }
                None => damaged += 1,
            }
        }
    }
    for series in names {
        let mut one = One::new(draft, &series);
        for (_, base, data) in found.iter().filter(|(own, ..)| *own == series) {
            match chunk::decode(&mut data.as_slice(), *base) {
                Some(readings) => one.add(readings)?,
                None => damaged += 1,
            }
        }
        let minutes = one.finish()?;
        let mut hours = Vec::new();
        cells::of_cells(&minutes, HOUR, &mut hours);
        put_cells(rollup, &series, What::Hours, &hours)?;
    }
    Ok(damaged)
}

/// One series of a file that is being written.
struct One<'d> {
    draft: &'d mut Draft,
    series: &'d Series,
    readings: Vec<Reading>,
    count: usize,
    minutes: Vec<Cell>,
}

impl<'d> One<'d> {
    fn new(draft: &'d mut Draft, series: &'d Series) -> Self {
        Self {
            draft,
            series,
            readings: Vec::new(),
            count: 0,
            minutes: Vec::new(),
        }
    }

    fn add(&mut self, mut readings: Vec<Reading>) -> io::Result<()> {
        cells::of_readings(&readings, MINUTE, &mut self.minutes);
        self.count += readings.len();
        self.readings.append(&mut readings);
        while self.readings.len() > chunk::COUNT_MAX {
            self.block()?;
        }
        Ok(())
    }

    /// Writes the first readings, as many as fit one chunk.
    fn block(&mut self) -> io::Result<()> {
        let count = chunk::fitting(&self.readings);
        let these = self.readings.get(..count).unwrap_or_default();
        let times = || these.iter().map(|reading| reading.at);
        let (from, to) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let mut data = Vec::new();
        chunk::encode(these, from, &mut data);
        self.draft
            .block(self.series, What::Readings, count, (from, to), &data)?;
        self.readings.drain(..count);
        Ok(())
    }

    /// Writes the rest, and the minutes if they are worth it. Returns them.
    fn finish(mut self) -> io::Result<Vec<Cell>> {
        while !self.readings.is_empty() {
            self.block()?;
        }
        if self.minutes.len() * PER_MINUTE <= self.count {
            put_cells(self.draft, self.series, What::Minutes, &self.minutes)?;
        }
        Ok(self.minutes)
    }
}

fn put_cells(draft: &mut Draft, series: &Series, what: What, all: &[Cell]) -> io::Result<()> {
    for cells in all.chunks(cells::COUNT_MAX) {
        let times = || cells.iter().map(|cell| cell.start);
        let (from, to) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let mut data = Vec::new();
        cells::encode(cells, from, &mut data);
        draft.block(series, what, cells.len(), (from, to), &data)?;
    }
    Ok(())
}
