//! One running device: its run loop, and the pump that publishes what it tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fieldgate_bridge::{Counters, Event, Figures, Ports, Request, Started, Tallied};
use fieldgate_model::{Point, Sample};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::publisher::Publisher;

/// Commands that wait for one device. One more is answered with "busy".
const REQUESTS_MAX: usize = 16;
/// Batches of readings that wait to be published. When full, the device is polled more slowly.
const EVENTS_MAX: usize = 16;

/// A device that is being polled.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) points: Arc<[Point]>,
    pub(crate) requests: mpsc::Sender<Box<Request>>,
    /// The index that stands for raw bytes, where they are handed through.
    pub(crate) raw: Option<usize>,
    counters: Arc<Counters>,
    tally: Tallied,
    is_online: Arc<AtomicBool>,
    cancel: CancellationToken,
    run: JoinHandle<()>,
    pump: JoinHandle<()>,
}

impl Device {
    /// Runs a device. `changed` is told each time it comes or goes.
    pub(crate) fn start(started: Started, publisher: Publisher, changed: Arc<Notify>) -> Self {
        let (points, raw) = (Arc::clone(&started.points), started.raw);
        let name = started.settings.device.clone();
        let (requests, taken) = mpsc::channel(REQUESTS_MAX);
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let cancel = CancellationToken::new();
        let is_online = Arc::new(AtomicBool::new(false));
        let ports = Ports {
            requests: taken,
            events,
            cancel: cancel.clone(),
        };
        let counters = Arc::new(Counters::default());
        let (run, tally) = started.run(Arc::clone(&counters), ports);
        let run = tokio::spawn(run);
        let pump = Pump {
            device: name.clone(),
            points: Arc::clone(&points),
            raw,
            publisher,
            is_online: Arc::clone(&is_online),
            changed,
            cancel: cancel.clone(),
        };
        Self {
            name,
            points,
            requests,
            raw,
            counters,
            tally,
            is_online,
            cancel,
            run,
            pump: tokio::spawn(pump.serve(told)),
        }
    }

    pub(crate) fn is_online(&self) -> bool {
        self.is_online.load(Ordering::Relaxed)
    }

    /// Its counters, unless they are its bus's business.
    pub(crate) fn figures(&self) -> Option<Figures> {
        self.tally.figures(&self.counters.snapshot())
    }

    /// Tells the device to stop after the transaction that is underway.
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits until the device has stopped and all that it told is published; what has not ended
    /// at `until` is cut off.
    pub(crate) async fn stopped(self, until: Instant) {
        self.cancel.cancel();
        let Self {
            name, run, pump, ..
        } = self;
        let tasks = [run.abort_handle(), pump.abort_handle()];
        let ended = tokio::time::timeout_at(until, async {
            for task in [run, pump] {
                if let Err(error) = task.await {
                    log::error!(DEVICE = name.as_str(); "{error}");
                }
            }
        });
        if ended.await.is_err() {
            log::warn!(DEVICE = name.as_str(); "cut off while it waited for its bus or for an answer");
            tasks.iter().for_each(|task| task.abort());
        }
    }
}

struct Pump {
    device: String,
    points: Arc<[Point]>,
    raw: Option<usize>,
    publisher: Publisher,
    is_online: Arc<AtomicBool>,
    changed: Arc<Notify>,
    cancel: CancellationToken,
}

impl Pump {
    /// Publishes raw bytes, and gives the rest of the event back.
    async fn hand_through(&self, event: Event) -> Event {
        let (Some(raw), Event::Samples(samples)) = (self.raw, &event) else {
            return event;
        };
        let is_raw = |sample: &&Sample| sample.point == raw;
        for sample in samples.iter().filter(is_raw) {
            self.publisher.received(&self.device, sample).await;
        }
        let rest = samples.iter().filter(|sample| !is_raw(sample)).cloned();
        Event::Samples(rest.collect())
    }

    /// Ends when the device has ended and its last event is published.
    async fn serve(self, mut told: mpsc::Receiver<Box<Event>>) {
        while let Some(event) = told.recv().await {
            let event = self.hand_through(*event).await;
            let is_online = match &event {
                Event::Online => Some(true),
                Event::Offline { .. } => Some(false),
                Event::Samples(_) => None,
            };
            self.publisher
                .event(&self.device, &self.points, event)
                .await;
            if let Some(is_online) = is_online {
                self.is_online.store(is_online, Ordering::Relaxed);
                self.changed.notify_one();
            }
        }
        self.is_online.store(false, Ordering::Relaxed);
        if !self.cancel.is_cancelled() {
            // A defect of ours must not look like a device that has nothing new to say.
            let device = self.device.as_str();
            log::error!(DEVICE = device; "its polling has ended by itself; a reload starts nothing, a restart does");
            self.publisher.offline(device, "internal error").await;
            let points: Vec<&str> = self.points.iter().map(|point| &*point.name).collect();
            self.publisher.stale_points(device, &points).await;
            self.changed.notify_one();
        }
    }
}
