//! One running device: its run loop, and the pump that publishes what it tells.

use std::collections::BTreeSet;
use std::sync::Arc;

use fieldgate_bridge::{Counters, Event, Figures, Ports, Receiver, Started, Tallied, channel};
use fieldgate_history::{DeviceTap, Event as Happened, Kind};
use fieldgate_model::{DeviceState, Quality, Sample};
use fieldgate_plant::{About, Plant, State};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::publisher::Publisher;

/// Commands that wait for one device. One more is answered with "busy".
const REQUESTS_MAX: usize = 16;
/// Batches of readings that wait to be published. When full, the device is polled more slowly.
const EVENTS_MAX: usize = 16;

/// Why a device is not polled any more although nothing stopped it.
const INTERNAL: &str = "internal error";

/// A device that is being polled.
#[derive(Debug)]
pub(crate) struct Device {
    /// What the rest of the process sees of it.
    pub(crate) seen: Arc<fieldgate_plant::Device>,
    counters: Arc<Counters>,
    tally: Tallied,
    cancel: CancellationToken,
    run: JoinHandle<()>,
    pump: JoinHandle<()>,
}

impl Device {
    /// Runs the device of a bridge, on a bus or not. `changed` is told each time it comes or goes.
    pub(crate) fn start(
        started: Started,
        (bridge, bus): (&str, Option<&str>),
        plant: &Plant,
        publisher: Publisher,
        changed: Arc<Notify>,
        history: Option<DeviceTap>,
    ) -> Self {
        let (requests, taken) = channel(REQUESTS_MAX);
        let (events, told) = channel(EVENTS_MAX);
        let cancel = CancellationToken::new();
        let seen = plant.new_device(About {
            name: started.settings.device.clone(),
            bridge: bridge.to_owned(),
            bus: bus.map(str::to_owned),
            points: Arc::clone(&started.points),
            requests,
            raw: started.raw,
        });
        let ports = Ports {
            requests: taken,
            events,
            cancel: cancel.clone(),
        };
        let counters = Arc::new(Counters::default());
        let (run, tally) = started.run(Arc::clone(&counters), ports);
        let run = tokio::spawn(run);
        let pump = Pump {
            seen: Arc::clone(&seen),
            publisher,
            changed,
            history,
            bad: BTreeSet::new(),
            away: None,
            cancel: cancel.clone(),
        };
        Self {
            seen,
            counters,
            tally,
            cancel,
            run,
            pump: tokio::spawn(pump.serve(told)),
        }
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
            seen, run, pump, ..
        } = self;
        let name = seen.about().name.as_str();
        let tasks = [run.abort_handle(), pump.abort_handle()];
        let ended = tokio::time::timeout_at(until, async {
            for task in [run, pump] {
                if let Err(error) = task.await {
                    log::error!(DEVICE = name; "{error}");
                }
            }
        });
        if ended.await.is_err() {
            log::warn!(DEVICE = name; "cut off while it waited for its bus or for an answer");
            tasks.iter().for_each(|task| task.abort());
        }
    }
}

struct Pump {
    seen: Arc<fieldgate_plant::Device>,
    publisher: Publisher,
    changed: Arc<Notify>,
    history: Option<DeviceTap>,
    /// Points that could not be read the last time.
    bad: BTreeSet<usize>,
    /// Since when the device is away, as it was told last.
    away: Option<Timestamp>,
    cancel: CancellationToken,
}

impl Pump {
    fn name(&self) -> &str {
        &self.seen.about().name
    }

    /// Publishes raw bytes, and gives the rest of the samples back.
    async fn hand_through(&self, samples: Vec<Sample>) -> Vec<Sample> {
        let Some(raw) = self.seen.about().raw else {
            return samples;
        };
        let (bytes, rest) = samples.into_iter().partition(|sample| sample.point == raw);
        let bytes: Vec<Sample> = bytes;
        for sample in &bytes {
            self.publisher.received(self.name(), sample).await;
        }
        rest
    }

    /// Gives samples to history, which waits for nothing.
    fn keep(&mut self, samples: &[Sample]) {
        let Some(history) = &self.history else {
            return;
        };
        history.take(samples, self.publisher.is_clock_set());
        for sample in samples {
            let kind = match sample.quality {
                Quality::Bad if self.bad.insert(sample.point) => Kind::Bad,
                Quality::Good if self.bad.remove(&sample.point) => Kind::Good,
                _ => continue,
            };
            let point = self.seen.points().get(sample.point);
            let name = point.map_or("", |point| &point.name);
            let why = sample.error.as_deref().unwrap_or_default();
            let event = Happened::new(kind, sample.at).of(self.name());
            history.tap().event(event.named(name).saying(why));
        }
    }

    /// Tells history how the device is.
    fn happened(&self, kind: Kind, at: Timestamp, why: &str) {
        if let Some(history) = &self.history {
            let event = Happened::new(kind, at).of(self.name()).saying(why);
            history.tap().event(event);
        }
    }

    /// What was good until now, and is not watched from now on: what history shows ends here.
    fn last(&self) -> Vec<Sample> {
        let mut samples = self.seen.samples();
        samples.retain(|sample| sample.quality == Quality::Good);
        for sample in &mut samples {
            (sample.quality, sample.at) = (Quality::Stale, Timestamp::now());
        }
        samples
    }

    /// Ends when the device has ended and its last event is published.
    async fn serve(mut self, mut told: Receiver<Box<Event>>) {
        while let Some(event) = told.recv().await {
            match *event {
                Event::Samples(samples) => {
                    let samples = self.hand_through(samples).await;
                    self.seen.take(&samples);
                    self.keep(&samples);
                    self.publisher.samples(&self.seen, samples).await;
                }
                Event::Online => {
                    self.happened(Kind::Online, Timestamp::now(), "");
                    self.is(State::Online, DeviceState::Online).await;
                }
                Event::Offline { error, since } => {
                    // Another reason comes with the time of the first.
                    let is_same = self.away.replace(since) == Some(since);
                    let at = if is_same { Timestamp::now() } else { since };
                    self.happened(Kind::Offline, at, &error);
                    let state = State::Offline {
                        error: error.clone(),
                        since,
                    };
                    self.is(state, DeviceState::Offline { error, since }).await;
                }
            }
        }
        let last = self.last();
        self.keep(&last);
        if !self.cancel.is_cancelled() {
            // A defect of ours must not look like a device that has nothing new to say.
            let device = self.name();
            log::error!(DEVICE = device; "its polling has ended by itself; a reload starts nothing, a restart does");
            self.happened(Kind::Offline, Timestamp::now(), INTERNAL);
            self.seen.abandon(INTERNAL);
            self.publisher.offline(device, INTERNAL).await;
            let points = self.seen.points().iter();
            let points: Vec<&str> = points.map(|point| &*point.name).collect();
            self.publisher.stale_points(device, &points).await;
            self.changed.notify_one();
        }
    }

    async fn is(&self, seen: State, published: DeviceState) {
        // A subscriber that hears of it finds it so.
        self.seen.set_state(seen);
        self.publisher.state(self.name(), &published).await;
        self.changed.notify_one();
    }
}
