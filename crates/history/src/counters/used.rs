//! What counters counted in each hour, day or month of a zone. Pure.

use std::collections::BTreeMap;

use fieldgate_model::Decimal;
use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, ToSpan, Unit, Zoned, ZonedRound};

use super::rows::{Named, Row};
use crate::build::HOUR;

/// Spans of one counter at most.
pub const SPANS_MAX: usize = 4_000;

/// How long a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An hour.
    Hour,
    /// A day of the zone: 23 or 25 hours when clocks are changed.
    Day,
    /// A month.
    Month,
}

/// What a counter counted in one span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// When it begins and ends, in milliseconds since 1970.
    pub from: i64,
    /// The first that is not in it.
    pub to: i64,
    /// What was counted; `None` if nothing is known.
    pub used: Option<Decimal>,
    /// What the counter showed at the end.
    pub value: Option<Decimal>,
    /// Hours in which it was read.
    pub hours: usize,
    /// Resets in it.
    pub resets: usize,
}

/// What one counter counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Which.
    pub named: Named,
    /// In the order of time, those without a row too.
    pub spans: Vec<Span>,
}

/// The borders of the spans that a range touches, one more than spans; `None` if there are more than [`SPANS_MAX`].
pub fn borders(from: i64, to: i64, by: By, zone: &TimeZone) -> Option<Vec<i64>> {
    let zoned = |at: i64| Some(Timestamp::from_millisecond(at).ok()?.to_zoned(zone.clone()));
    let mut at = begin(&zoned(from)?, by)?;
    let mut borders = vec![at.timestamp().as_millisecond()];
    while borders.last().is_some_and(|last| *last < to) {
        if borders.len() > SPANS_MAX {
            return None;
        }
        let next = match by {
            By::Hour => at.checked_add(1.hour()).ok()?,
            By::Day => begin(&at.checked_add(1.day()).ok()?, by)?,
            By::Month => begin(&at.checked_add(1.month()).ok()?, by)?,
        };
        borders.push(next.timestamp().as_millisecond());
        at = next;
    }
    Some(borders)
}

fn begin(at: &Zoned, by: By) -> Option<Zoned> {
    match by {
        By::Hour => at
            .round(
                ZonedRound::new()
                    .smallest(Unit::Hour)
                    .mode(RoundMode::Floor),
            )
            .ok(),
        By::Day => at.start_of_day().ok(),
        By::Month => at.first_of_month().ok()?.start_of_day().ok(),
    }
}

/// Adds rows up in the order in which they were written.
#[derive(Debug)]
pub(crate) struct Adding {
    borders: Vec<i64>,
    all: BTreeMap<Named, One>,
}

#[derive(Debug)]
struct One {
    before: Row,
    spans: Vec<Span>,
    /// Hours in which there was a row.
    hours: Vec<i64>,
}

impl Adding {
    pub(crate) fn new(borders: Vec<i64>) -> Self {
        Self {
            borders,
            all: BTreeMap::new(),
        }
    }

    /// Takes up a row. What was counted since the one before it belongs to its hour.
    pub(crate) fn take(&mut self, named: &Named, row: Row) {
        let borders = &self.borders;
        let one = match self.all.get_mut(named) {
            Some(one) => one,
            None => {
                let spans = borders.windows(2).map(|pair| Span {
                    from: pair[0],
                    to: pair[1],
                    ..Span::default()
                });
                let one = One {
                    before: row.clone(),
                    spans: spans.collect(),
                    hours: Vec::new(),
                };
                self.all.entry(named.clone()).or_insert(one)
            }
        };
        let before = std::mem::replace(&mut one.before, row.clone());
        let place = borders.partition_point(|border| *border <= row.start);
        let Some(span) = place
            .checked_sub(1)
            .and_then(|place| one.spans.get_mut(place))
        else {
            return;
        };
        one.hours.push(row.start);
        let counted = row
            .count
            .total()
            .zip(before.count.total())
            .and_then(|(now, then)| now.checked_sub(then))
            // A counter that was lost from sight for months begins anew.
            .map(|counted| counted.max(Decimal::ZERO));
        span.used = match (span.used, counted) {
            (Some(used), Some(counted)) => used.checked_add(counted),
            (used, counted) => used.or(counted),
        };
        span.resets += usize::from(row.count.offset > before.count.offset);
        span.value = Some(row.count.value);
    }

    /// What was counted, by name.
    pub(crate) fn finish(self) -> Vec<Used> {
        let all = self
            .all
            .into_iter()
            .filter(|(_, one)| !one.hours.is_empty());
        let used = all.map(|(named, mut one)| {
            one.hours.sort_unstable();
            one.hours.dedup();
            for span in &mut one.spans {
                let begin = one.hours.partition_point(|hour| *hour < span.from);
                let end = one.hours.partition_point(|hour| *hour < span.to);
                span.hours = end.saturating_sub(begin);
            }
            Used {
                named,
                spans: one.spans,
            }
        });
        used.collect()
    }
}

impl Span {
    /// Hours that it has until `now`, the one that has begun among them.
    pub fn hours_until(&self, now: i64) -> usize {
        let length = self.to.min(now).saturating_sub(self.from).max(0);
        usize::try_from(length / HOUR + i64::from(length % HOUR > 0)).unwrap_or(0)
    }
}
