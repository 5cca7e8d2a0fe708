//! One open device: edges come in, counts are kept, outputs are switched.

mod commands;
mod open;
mod outputs;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fieldgate_bridge::{Cause, Driver, DriverError, Session};
use fieldgate_model::{Command, Decimal, Outcome, Sample, Value};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};

use crate::Backend;
use crate::config::{GpioConfig, Kind, PointConfig, RateConfig};
use crate::count_store::{Counts, Kept, Store};
use crate::counter::Counter;
use crate::counts::GpioCounts;
use crate::handover::{Channel, Handover, Held};
use crate::line::{EdgeEvent, InputLine};
use crate::rate::Rate;
use outputs::Outputs;

/// Runs one device.
#[derive(Debug)]
pub struct GpioDriver {
    config: Arc<GpioConfig>,
    backend: Arc<dyn Backend>,
    store: Arc<dyn Store>,
    keeper: Handover,
    counts: Arc<GpioCounts>,
    /// `initial` has been set: it is not again when the device was lost and is back.
    has_started: bool,
    /// That kept counts cannot be read is in the log already.
    has_reported_load: bool,
}

/// Edges of one line that are taken at once. More wait in the kernel.
const EDGES_MAX: usize = 256;
/// How often the number of lost pulses is looked at.
const LOST_EVERY: Duration = Duration::from_secs(1);
/// Longer than any device runs without an event: when there is nothing to do but wait for edges.
const FAR: Duration = Duration::from_secs(3600);

impl GpioDriver {
    /// A driver for one device. `handover` is that of the whole process: lines that a run before
    /// this one left there are taken over.
    pub fn new(
        config: GpioConfig,
        backend: Arc<dyn Backend>,
        store: Arc<dyn Store>,
        keeper: Handover,
    ) -> Self {
        Self {
            config: Arc::new(config),
            backend,
            store,
            keeper,
            counts: Arc::default(),
            has_started: false,
            has_reported_load: false,
        }
    }

    /// What happened on its lines.
    pub fn counts(&self) -> Arc<GpioCounts> {
        Arc::clone(&self.counts)
    }
}

impl Driver for GpioDriver {
    type Session = GpioSession;

    async fn open(&mut self) -> Result<GpioSession, DriverError> {
        let session = open::open(self).await?;
        self.has_started = true;
        Ok(session)
    }
}

/// An open device.
#[derive(Debug)]
pub struct GpioSession {
    config: Arc<GpioConfig>,
    backend: Arc<dyn Backend>,
    store: Arc<dyn Store>,
    keeper: Handover,
    counts: Arc<GpioCounts>,
    /// One for each point.
    states: Vec<State>,
    outputs: Outputs,
    /// When each point is told again, changed or not.
    reports: Vec<Option<Instant>>,
    /// When counts are kept next, and how often.
    save: Option<(Instant, Duration)>,
    /// What was kept last.
    kept: Counts,
    /// Counters that began at zero, as what was kept of them could not be read. It is added when it
    /// can be.
    owed: BTreeSet<String>,
    /// Edges that were taken and not looked at yet.
    edges: Vec<(usize, EdgeEvent)>,
    /// Many were taken at once.
    is_crowded: bool,
    lost: Option<DriverError>,
    is_new: bool,
    has_reported_loss: bool,
}

#[derive(Debug)]
enum State {
    Input {
        line: Box<dyn InputLine>,
        level: bool,
        last: u32,
    },
    Counter {
        line: Box<dyn InputLine>,
        counter: Counter,
        rate: Rate,
    },
    /// `None` until it is set for the first time.
    Pwm(Option<Channel>),
    /// An output, or a point that shows what another one knows.
    Other,
}

impl Session for GpioSession {
    async fn ready(&mut self) {
        if self.is_new || self.lost.is_some() || !self.edges.is_empty() {
            return;
        }
        // Edges can come faster than they are taken, and others have their turn in between.
        if std::mem::take(&mut self.is_crowded) {
            tokio::task::yield_now().await;
        }
        let next = self.next();
        let Self {
            states,
            edges,
            lost,
            outputs,
            ..
        } = self;
        tokio::select! {
            () = poll_fn(|context| take_edges(states, edges, lost, context)) => {}
            () = outputs.wait() => {}
            () = sleep_until(next) => {}
        }
    }

    async fn poll(&mut self, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        if let Some(error) = self.lost.take() {
            return Err(error);
        }
        if std::mem::take(&mut self.is_new) {
            for index in 0..self.states.len() {
                self.tell(index, out)?;
            }
        }
        self.take_in(out);
        for index in self.outputs.switched().map_err(lost)? {
            log::debug!(DEVICE = self.config.name.as_str(); "an output was switched off in time");
            self.tell(index, out)?;
        }
        let now = Instant::now();
        for index in 0..self.states.len() {
            let due = self.reports.get_mut(index).and_then(Option::as_mut);
            if let Some(due) = due.filter(|due| **due <= now)
                && let Some(every) = self
                    .config
                    .points
                    .get(index)
                    .and_then(|(_, point)| every(point))
            {
                *due = now + every;
                self.tell(index, out)?;
            }
        }
        if let Some((due, every)) = self.save
            && due <= now
        {
            self.save = Some((now + every, every));
            self.keep().await;
        }
        Ok(())
    }

    async fn apply(&mut self, command: Command, out: &mut Vec<Sample>) -> Outcome {
        self.command(command, out).await
    }
}

/// How often a point is told without an edge: numbers that edges change, and unchanged values
/// that have a heartbeat.
fn every(point: &PointConfig) -> Option<Duration> {
    match &point.kind {
        Kind::Count(count) => Some(count.every),
        Kind::Rate(rate) => Some(rate.every),
        Kind::Lost(_) => Some(LOST_EVERY),
        Kind::In(_) | Kind::Out(_) | Kind::Pwm(_) => point.rule.heartbeat,
    }
}

fn lost(error: crate::line::LineError) -> DriverError {
    DriverError::new(Cause::Lost, error.0)
}

/// Takes the edges of all lines, so that none waits for another.
fn take_edges(
    states: &mut [State],
    edges: &mut Vec<(usize, EdgeEvent)>,
    gone: &mut Option<DriverError>,
    context: &mut Context<'_>,
) -> Poll<()> {
    let mut is_ready = false;
    let mut taken = Vec::new();
    for (index, state) in states.iter_mut().enumerate() {
        let (State::Input { line, .. } | State::Counter { line, .. }) = state else {
            continue;
        };
        match line.poll_edges(context, EDGES_MAX, &mut taken) {
            Poll::Pending => continue,
            Poll::Ready(Ok(())) => edges.extend(taken.drain(..).map(|edge| (index, edge))),
            Poll::Ready(Err(error)) => *gone = Some(lost(error)),
        }
        is_ready = true;
    }
    if is_ready {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

impl GpioSession {
    fn next(&self) -> Instant {
        let save = self.save.map(|(due, _)| due);
        let dues = self.reports.iter().flatten().copied().chain(save);
        dues.min().unwrap_or_else(|| Instant::now() + FAR)
    }

    /// Looks at the edges that were taken.
    fn take_in(&mut self, out: &mut Vec<Sample>) {
        let edges = std::mem::take(&mut self.edges);
        self.is_crowded = edges.len() >= EDGES_MAX;
        let (wall, clock) = (Timestamp::now(), self.backend.now());
        let (taken, mut missed) = (edges.len() as u64, 0u64);
        for (index, edge) in edges {
            match self.states.get_mut(index) {
                Some(State::Input { level, last, .. }) => {
                    missed += u64::from(edge.sequence.wrapping_sub(*last).saturating_sub(1));
                    (*level, *last) = (edge.level, edge.sequence);
                    let age = SignedDuration::try_from(clock.saturating_sub(edge.at));
                    let at = age.ok().and_then(|age| wall.checked_sub(age).ok());
                    if let Some((_, point)) = self.config.points.get(index) {
                        let value = switch_value(point, edge.level);
                        out.push(Sample::good(index, value, at.unwrap_or(wall)));
                    }
                }
                Some(State::Counter { counter, rate, .. }) => {
                    let before = counter.edge(edge.sequence);
                    rate.edge(edge.at, u64::from(before) + 1);
                    missed += u64::from(before);
                }
                _ => {}
            }
        }
        self.counts.change(|counts| {
            counts.edges += taken;
            counts.lost_edges += missed;
        });
        if missed > 0 && !self.has_reported_loss {
            self.has_reported_loss = true;
            let device = self.config.name.as_str();
            log::warn!(DEVICE = device; "{missed} edges came faster than they could be taken; counters count them, and more of them are not reported here");
        }
    }

    /// Appends what a point shows now.
    fn tell(&mut self, index: usize, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        let config = Arc::clone(&self.config);
        let Some((_, point)) = config.points.get(index) else {
            return Ok(());
        };
        let value = match (&point.kind, self.states.get(index)) {
            (Kind::In(_), Some(State::Input { level, .. })) => Ok(switch_value(point, *level)),
            (Kind::Count(count), Some(State::Counter { counter, .. })) => {
                let total = Decimal::from(counter.total()).checked_mul(count.scale);
                total
                    .map(Value::Decimal)
                    .ok_or("the count times `scale` has too many digits")
            }
            (Kind::Rate(rate), _) => self.rate(rate).ok_or("the rate has too many digits"),
            (Kind::Lost(of), _) => match self.states.get(*of) {
                Some(State::Counter { counter, .. }) => Ok(Value::Decimal(counter.lost().into())),
                _ => Err("there is no such counter"),
            },
            (Kind::Out(_), _) => {
                let level = self.outputs.level(index).map_err(lost)?;
                Ok(switch_value(point, level))
            }
            // What it does before it is set is unknown: nothing is told.
            (Kind::Pwm(_), Some(State::Pwm(channel))) => match channel {
                Some(channel) => Decimal::from_f64(channel.percent)
                    .map(Value::Decimal)
                    .ok_or("the duty cycle is no number"),
                None => return Ok(()),
            },
            _ => Err("the line is not open"),
        };
        let now = Timestamp::now();
        out.push(match value {
            Ok(value) => Sample::good(index, value, now),
            Err(why) => Sample::bad(index, now).because(&why.into()),
        });
        Ok(())
    }

    fn rate(&mut self, config: &RateConfig) -> Option<Value> {
        let now = self.backend.now();
        let Some(State::Counter { rate, .. }) = self.states.get_mut(config.of) else {
            return None;
        };
        let hertz = rate.at(now, config.still);
        let rate = hertz * config.scale.to_f64() * config.per.as_secs_f64();
        // More digits than these are the noise of a measured time.
        let text = format!("{rate:.5e}");
        text.parse().ok().map(Value::Decimal)
    }

    /// The counts to be kept, if they have changed.
    fn changed_counts(&self) -> Option<Counts> {
        let points = self.config.points.iter().zip(&self.states);
        let counts: Counts = points
            .filter_map(|((name, point), state)| match (&point.kind, state) {
                (Kind::Count(count), State::Counter { counter, .. }) => {
                    count.persist?;
                    let kept = Kept {
                        total: counter.total(),
                        lost: counter.lost(),
                    };
                    Some((name.clone(), kept))
                }
                _ => None,
            })
            .collect();
        (counts != self.kept).then_some(counts)
    }

    /// Keeps what has changed. A card may take its time; edges wait in the kernel meanwhile.
    async fn keep(&mut self) {
        if !self.owed.is_empty() {
            let (store, device) = (Arc::clone(&self.store), self.config.name.clone());
            let loaded = tokio::task::spawn_blocking(move || store.load(&device)).await;
            match loaded {
                Ok(Ok(kept)) => self.add_owed(kept),
                Ok(Err(error)) => return self.not_kept(&error),
                Err(error) => return self.not_kept(&error),
            }
        }
        let Some(counts) = self.changed_counts() else {
            return;
        };
        let (store, device) = (Arc::clone(&self.store), self.config.name.clone());
        let saving = counts.clone();
        let saved = tokio::task::spawn_blocking(move || store.save(&device, &saving)).await;
        match saved {
            Ok(Ok(())) => self.kept = counts,
            Ok(Err(error)) => self.not_kept(&error),
            Err(error) => self.not_kept(&error),
        }
    }

    /// What was kept can be read at last.
    fn add_owed(&mut self, kept: Counts) {
        let owed = std::mem::take(&mut self.owed);
        for ((name, _), state) in self.config.points.iter().zip(&mut self.states) {
            let State::Counter { counter, .. } = state else {
                continue;
            };
            if let Some(before) = kept.get(name).filter(|_| owed.contains(name)) {
                counter.add(before.total, before.lost);
            }
        }
        self.kept = kept;
        log::info!(DEVICE = self.config.name.as_str(); "the counts of before can be read now, and were added");
    }

    fn not_kept(&self, error: &dyn std::fmt::Display) {
        self.counts.change(|counts| counts.failed_saves += 1);
        log::error!(DEVICE = self.config.name.as_str(); "counts could not be kept: {error}");
    }
}

/// What a level is published as.
fn switch_value(point: &PointConfig, level: bool) -> Value {
    let level = Value::Bool(level);
    let label = point
        .labels
        .as_ref()
        .and_then(|labels| labels.label(&level));
    label.cloned().unwrap_or(level)
}

impl Drop for GpioSession {
    /// Also when the task of the device is aborted or panics: then nothing controls the outputs.
    fn drop(&mut self) {
        let mut held = Held {
            lines: self.outputs.end(),
            channels: Vec::new(),
        };
        for state in &mut self.states {
            if let State::Pwm(channel) = state {
                held.channels.extend(channel.take());
            }
        }
        self.keeper.end(&self.config.name, held);
        if !self.owed.is_empty() {
            match self.store.load(&self.config.name) {
                Ok(kept) => self.add_owed(kept),
                Err(error) => return self.not_kept(&error),
            }
        }
        if let Some(counts) = self.changed_counts()
            && let Err(error) = self.store.save(&self.config.name, &counts)
        {
            self.not_kept(&error);
        }
    }
}

#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod tests;
