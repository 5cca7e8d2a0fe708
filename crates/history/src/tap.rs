//! Where readings come in. Nothing here waits.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};

use fieldgate_model::Sample;

use crate::counters::rows::Named;
use crate::events::Event;
use crate::file::Series;
use crate::reading::Reading;
use crate::shared::Shared;

/// Readings that wait for the keeper: 2 MiB of them.
const PENDING_MAX: usize = 65_536;
/// Batches that wait for it.
pub(crate) const BATCHES_MAX: usize = 4_096;

/// What the keeper is told.
#[derive(Debug)]
pub(crate) enum Message {
    Batch(Batch),
    Event(Box<Event>),
    /// Write what there is to the journal, and say so.
    Flush(SyncSender<()>),
    /// Hand everything to a file, and say so.
    Close(SyncSender<()>),
    Stop,
}

#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) names: Arc<Names>,
    /// With the index of the point.
    pub(crate) readings: Vec<(usize, Reading)>,
}

/// What is kept of a point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeps {
    /// Its readings.
    pub readings: bool,
    /// The unit of a counter, of which every hour is kept.
    pub counter: Option<String>,
}

impl Keeps {
    /// Readings alone.
    pub fn readings() -> Self {
        Self {
            readings: true,
            counter: None,
        }
    }
}

/// The points of a device.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) points: Vec<Kept>,
    /// The keeper's numbers for them, when it has seen them: of the readings, and of the counter.
    pub(crate) places: OnceLock<Vec<(Option<u32>, Option<usize>)>>,
}

/// What is kept of one point, and under which names.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) series: Option<Series>,
    pub(crate) counter: Option<Named>,
}

/// Takes readings of any device, and events.
#[derive(Clone, Debug)]
pub struct Tap {
    pub(crate) sender: SyncSender<Message>,
    pub(crate) shared: Arc<Shared>,
}

impl Tap {
    /// Takes an event. One that history has no room for is left out and counted.
    pub fn event(&self, event: Event) {
        let message = Message::Event(Box::new(event.bounded()));
        if self.sender.try_send(message).is_err() {
            self.shared.events_left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A tap for a device. `keeps` says what is kept of each of its points.
    pub fn device<'p>(
        &self,
        device: &str,
        points: impl IntoIterator<Item = &'p str>,
        mut keeps: impl FnMut(&str) -> Keeps,
    ) -> DeviceTap {
        let points = points.into_iter().map(|point| {
            let series = Series {
                device: device.to_owned(),
                point: point.to_owned(),
            };
            let keeps = keeps(point);
            Kept {
                counter: keeps.counter.map(|unit| Named {
                    series: series.clone(),
                    unit,
                }),
                series: Some(series).filter(|_| keeps.readings),
            }
        });
        let names = Names {
            points: points.collect(),
            places: OnceLock::new(),
        };
        DeviceTap {
            tap: self.clone(),
            names: Arc::new(names),
        }
    }
}

/// Takes readings of one device.
#[derive(Clone, Debug)]
pub struct DeviceTap {
    tap: Tap,
    names: Arc<Names>,
}

impl DeviceTap {
    /// Where events go.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Takes samples. What history has no room for is dropped and counted.
    pub fn take(&self, samples: &[Sample], is_clock_set: bool) {
        let readings = samples.iter().filter_map(|sample| {
            let kept = self.names.points.get(sample.point)?;
            (kept.series.is_some() || kept.counter.is_some()).then_some(())?;
            Some((sample.point, Reading::of(sample, is_clock_set)?))
        });
        let readings: Vec<(usize, Reading)> = readings.collect();
        let count = readings.len();
        if count == 0 {
            return;
        }
        let shared = &self.tap.shared;
        let drop = || shared.dropped.fetch_add(count as u64, Ordering::Relaxed);
        if shared.pending.fetch_add(count, Ordering::Relaxed) + count > PENDING_MAX {
            shared.pending.fetch_sub(count, Ordering::Relaxed);
            drop();
            return;
        }
        let batch = Batch {
            names: Arc::clone(&self.names),
            readings,
        };
        let sent = self.tap.sender.try_send(Message::Batch(batch));
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sent {
            shared.pending.fetch_sub(count, Ordering::Relaxed);
            drop();
        }
    }
}
