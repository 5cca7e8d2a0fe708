//! Where readings come in. Nothing here waits.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};

use fieldgate_model::Sample;

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

/// The series of a device's points; `None` for a point that is not kept.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) series: Vec<Option<Series>>,
    /// The keeper's numbers for them, when it has seen them.
    pub(crate) places: OnceLock<Vec<Option<u32>>>,
}

/// Takes readings of any device.
#[derive(Clone, Debug)]
pub struct Tap {
    pub(crate) sender: SyncSender<Message>,
    pub(crate) shared: Arc<Shared>,
}

impl Tap {
    /// A tap for a device. Those of its points that `is_kept` are kept.
    pub fn device<'p>(
        &self,
        device: &str,
        points: impl IntoIterator<Item = &'p str>,
        mut is_kept: impl FnMut(&str) -> bool,
    ) -> DeviceTap {
        let series = points.into_iter().map(|point| {
            let series = || Series {
                device: device.to_owned(),
                point: point.to_owned(),
            };
            is_kept(point).then(series)
        });
        let names = Names {
            series: series.collect(),
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
    /// Takes samples. What history has no room for is dropped and counted.
    pub fn take(&self, samples: &[Sample], is_clock_set: bool) {
        let readings = samples.iter().filter_map(|sample| {
            self.names.series.get(sample.point)?.as_ref()?;
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
