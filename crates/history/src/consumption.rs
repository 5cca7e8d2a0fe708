//! Questions to counters: what was used in each hour, day or month.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::counters::store::{self, Month};
use crate::counters::used::{Adding, By, Used, borders};
use crate::export::Chosen;
use crate::file::{Fault, Series};
use crate::query::{Error, Range, Reader};

/// What is asked of counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Of which points.
    pub chosen: Chosen,
    /// Every span that this touches.
    pub range: Range,
    /// How long a span is.
    pub by: By,
    /// Whose days they are.
    pub zone: TimeZone,
}

/// What counters counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumption {
    /// By name.
    pub counters: Vec<Used>,
    /// Places in the files that are damaged: what was counted there is told with the hour after.
    pub damaged: u64,
}

impl Reader {
    /// What counters counted. `None` if it has more spans than [`crate::counters::used::SPANS_MAX`].
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or `go_on` says no.
    pub fn consumption(
        &self,
        question: &Question,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Consumption>, Error> {
        let Range { from, to } = question.range;
        let Some(borders) = borders(from, to, question.by, &question.zone) else {
            return Ok(None);
        };
        let begin = borders.first().copied().unwrap_or(from);
        let end = borders.last().copied().unwrap_or(to);
        // First, so that what is written meanwhile is in both rather than in none: it counts nothing the second time.
        let (folder, open) = {
            let state = self.shared.lock();
            (self.shared.folder.clone(), state.counters.open())
        };
        let mut adding = Adding::new(borders);
        let mut damaged = 0;
        for path in files(&folder, begin, end)? {
            if !go_on() {
                return Err(Error::Withdrawn);
            }
            let walked = store::read(&path, |named, row| {
                if question.chosen.has(&named.series) {
                    adding.take(named, row);
                }
            });
            damaged += walked.map_err(Fault::from)?.damaged;
        }
        for (named, row) in open
            .into_iter()
            .filter(|(named, _)| question.chosen.has(&named.series))
        {
            adding.take(&named, row);
        }
        Ok(Some(Consumption {
            counters: adding.finish(),
            damaged,
        }))
    }

    /// Whether a point is a counter.
    pub fn is_counter(&self, series: &Series) -> bool {
        self.shared.lock().counters.has(series)
    }
}

/// The files that have rows of a range, and the one before: what it ends with is where they count from.
fn files(folder: &Path, begin: i64, end: i64) -> Result<Vec<PathBuf>, Error> {
    let all = store::look(folder).map_err(Fault::from)?;
    let (first, last) = (store::month(begin), store::month(end));
    let place = all.partition_point(|file| file.month < first);
    let meant = all.into_iter().skip(place.saturating_sub(1));
    let meant = meant.filter(|file: &Month| file.month <= last);
    Ok(meant.map(|file| file.path).collect())
}
