//! Counters, such as those of energy and water: what each showed at the end of each hour, kept for years.
//!
//! `meter` makes a counter that never falls of one that may; `rows` codes what is kept; `store` has the files; `used`
//! answers what was used. Here is what the counters show now, and which hours are to be written.

pub(crate) mod meter;
pub mod rows;
pub(crate) mod store;
pub mod used;

use std::collections::HashMap;
use std::sync::Arc;

use fieldgate_model::{Decimal, Quality};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::build::HOUR;
use crate::head::Chunks;
use crate::reading::Reading;
use meter::{Count, Meter};
use rows::{Named, Row, fits};

/// Rows that wait for a card that takes nothing. Without the oldest of them the hours after count what they did.
const DUE_MAX: usize = 65_536;

/// All counters.
#[derive(Debug)]
pub(crate) struct Counters {
    /// By whose hours days begin.
    zone: TimeZone,
    places: HashMap<Arc<Named>, usize>,
    all: Vec<One>,
    /// In the order in which they are to be written.
    due: Vec<(Named, Row)>,
    /// Bytes of its files.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct One {
    named: Arc<Named>,
    /// `None` until it has shown something.
    meter: Option<Meter>,
    /// When the hour of its last reading began.
    hour: i64,
    /// Whether that hour is to be written.
    is_due: bool,
    /// Whether there is a row to count from.
    has_row: bool,
    /// Whether what it showed last still holds.
    holds: bool,
}

impl Counters {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            places: HashMap::new(),
            all: Vec::new(),
            due: Vec::new(),
            bytes: 0,
        }
    }

    /// When the hour of a time began by the clock of the zone, which may be half an hour apart.
    fn hour(&self, at: i64) -> i64 {
        let time = Timestamp::from_millisecond(at).unwrap_or_default();
        let apart = i64::from(self.zone.to_offset(time).seconds()) * 1_000;
        (at + apart).div_euclid(HOUR) * HOUR - apart
    }

    /// The number of a counter in this process.
    pub(crate) fn place(&mut self, named: &Named) -> usize {
        if let Some(place) = self.places.get(named) {
            return *place;
        }
        let named = Arc::new(named.clone());
        let place = self.all.len();
        self.all.push(One {
            named: Arc::clone(&named),
            meter: None,
            hour: i64::MIN,
            is_due: false,
            has_row: false,
            holds: false,
        });
        self.places.insert(named, place);
        place
    }

    /// Goes on from a row that is kept.
    pub(crate) fn resume(&mut self, named: &Named, row: &Row) {
        let place = self.place(named);
        if let Some(one) = self.all.get_mut(place) {
            one.meter = Some(Meter::new(row.count));
            (one.hour, one.has_row) = (row.start, true);
        }
    }

    /// Takes up what the journal holds from after the rows that are kept.
    pub(crate) fn replay(&mut self, chunks: &Chunks) {
        let known = self.all.iter().enumerate().filter(|(_, one)| one.has_row);
        let known: Vec<_> = known
            .map(|(place, one)| (place, one.hour, Arc::clone(&one.named)))
            .collect();
        for (place, hour, named) in known {
            let chunks = chunks.get(&named.series).into_iter().flatten();
            let readings = chunks.flat_map(|chunk| chunk.readings());
            for reading in readings.filter(|reading| reading.at >= hour.saturating_add(HOUR)) {
                self.take(place, &reading);
            }
            // Whether it does is told by what comes.
            self.all[place].holds = false;
        }
    }

    /// Takes up a reading. Numbers that are not good, below zero, or of more than 18 digits count nothing.
    pub(crate) fn take(&mut self, place: usize, reading: &Reading) {
        let hour = self.hour(reading.at);
        let Some(one) = self.all.get_mut(place) else {
            return;
        };
        one.holds = reading.quality == Quality::Good;
        let number = reading.number.as_ref().filter(|_| one.holds);
        let value = number.and_then(|number| number.value().to_decimal());
        let Some(value) = value.filter(|value| *value >= Decimal::ZERO && fits(*value)) else {
            return;
        };
        if one.is_due && hour != one.hour && reading.is_clock_set {
            self.due.extend(one.row());
        }
        match &mut one.meter {
            Some(meter) => meter.take(value, reading.at),
            None => one.meter = Some(Meter::first(value)),
        }
        if !reading.is_clock_set {
            return;
        }
        (one.hour, one.is_due) = (hour, true);
        if !std::mem::replace(&mut one.has_row, true) {
            self.due.extend(one.row());
        }
    }

    /// Takes up that it is `now`: hours that are over are to be written. What holds is so in the next hour, too.
    pub(crate) fn turn(&mut self, now: i64) {
        let hour = self.hour(now);
        for one in self
            .all
            .iter_mut()
            .filter(|one| one.is_due && one.hour < hour)
        {
            self.due.extend(one.row());
            one.is_due = one.holds;
            if one.holds {
                if one.hour < hour - HOUR {
                    one.hour = hour - HOUR;
                    self.due.extend(one.row());
                }
                one.hour = hour;
            }
        }
    }

    /// Has the hours that are not over written as far as they are.
    pub(crate) fn end(&mut self) {
        for one in self.all.iter_mut().filter(|one| one.is_due) {
            self.due.extend(one.row());
            one.is_due = false;
        }
    }

    /// What is to be written, by hours.
    pub(crate) fn take_due(&mut self) -> Vec<(Named, Row)> {
        std::mem::take(&mut self.due)
    }

    /// Takes back what could not be written.
    pub(crate) fn give_back(&mut self, mut rows: Vec<(Named, Row)>) {
        rows.append(&mut self.due);
        let more = rows.len().saturating_sub(DUE_MAX);
        rows.drain(..more);
        self.due = rows;
    }

    /// What is known and not written.
    pub(crate) fn open(&self) -> Vec<(Named, Row)> {
        let due = self.due.iter().cloned();
        due.chain(
            self.all
                .iter()
                .filter(|one| one.is_due)
                .filter_map(One::row),
        )
        .collect()
    }

    /// Whether a point is a counter.
    pub(crate) fn has(&self, series: &crate::Series) -> bool {
        self.all.iter().any(|one| one.named.series == *series)
    }
}

impl One {
    fn row(&self) -> Option<(Named, Row)> {
        let count: Count = self.meter?.count;
        let start = self.hour;
        Some((Named::clone(&self.named), Row { start, count }))
    }
}
