//! The last reading of a point, in little room.

use std::sync::Arc;

use fieldgate_bridge::{Compact, Shelf, Shelved};
use fieldgate_model::{Quality, Sample, Value};
use jiff::Timestamp;

/// The last reading of a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// `None` only if nothing usable was read.
    pub value: Option<Value>,
    /// How far the value can be trusted.
    pub quality: Quality,
    /// When the value was read, to the microsecond.
    pub at: Timestamp,
    /// Why a bad one is bad, for people.
    pub error: Option<Arc<str>>,
    /// The number of the change that brought it.
    pub change: u64,
}

impl Reading {
    /// The same as a sample of a point.
    pub(crate) fn sample(self, point: usize) -> Sample {
        let Self {
            value,
            quality,
            at,
            error,
            ..
        } = self;
        Sample {
            point,
            value,
            quality,
            at,
            error,
        }
    }
}

/// The last readings of a device's points, in 24 bytes each, and more only for what is no number of up to 64 bits.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    shelf: Shelf,
    /// The numbers of their changes; in the lowest two bits how good the values are. 0 where there is none.
    marks: Box<[u64]>,
}

fn mark(change: u64, quality: Quality) -> u64 {
    let quality = match quality {
        Quality::Good => 1,
        Quality::Stale => 2,
        Quality::Bad => 3,
    };
    change << 2 | quality
}

/// How good the value is that has this mark; `None` if there is none.
fn quality(mark: u64) -> Option<Quality> {
    match mark & 0b11 {
        0 => None,
        1 => Some(Quality::Good),
        2 => Some(Quality::Stale),
        _ => Some(Quality::Bad),
    }
}

impl Readings {
    /// None yet, of so many points.
    pub(crate) fn new(points: usize) -> Self {
        Self {
            shelf: Shelf::new(points),
            marks: vec![0; points].into(),
        }
    }

    /// Takes one. That of a point that there is not is left out.
    pub(crate) fn put(&mut self, sample: &Sample, change: u64) {
        if let Some(place) = self.marks.get_mut(sample.point) {
            *place = mark(change, sample.quality);
            let value = Compact::new(sample.value.as_ref(), sample.error.as_ref());
            self.shelf.put(sample.point, value, sample.at);
        }
    }

    /// That of a point, if there was one.
    pub(crate) fn get(&self, point: usize) -> Option<Reading> {
        let mark = *self.marks.get(point)?;
        let quality = quality(mark)?;
        let Shelved { value, error, at } = self.shelf.get(point)?;
        Some(Reading {
            value,
            quality,
            at,
            error,
            change: mark >> 2,
        })
    }

    /// Those that came after change `number`, with their points.
    pub(crate) fn since(&self, number: u64) -> Vec<(usize, Reading)> {
        let marks = self.marks.iter().enumerate();
        let changed = marks.filter(|(_, mark)| **mark >> 2 > number);
        changed
            .filter_map(|(point, _)| Some((point, self.get(point)?)))
            .collect()
    }

    /// One for each point.
    pub(crate) fn all(&self) -> Vec<Option<Reading>> {
        let points = 0..self.marks.len();
        points.map(|point| self.get(point)).collect()
    }

    /// Calls those stale that were good; what others were, they still are.
    pub(crate) fn age(&mut self, change: u64) {
        for place in &mut self.marks {
            if quality(*place) == Some(Quality::Good) {
                *place = mark(change, Quality::Stale);
            }
        }
    }
}
