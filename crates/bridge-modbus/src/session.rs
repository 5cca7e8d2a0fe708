//! One device on a bus: what is due when, and what an answer means.

mod commands;
mod schedule;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fieldgate_bridge::{Begun, Driver, DriverError, Session};
use fieldgate_field_line::Recoveries;
use fieldgate_model::{Command, Outcome, Sample, Value};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::bisect::Bisect;
use crate::bus::{BusHandle, Priority};
use crate::config::DeviceConfig;
use crate::data::{BusError, Data, ReadRequest};
use crate::decode::DecodeError;
use crate::factor::{Factors, add_factors};
use crate::plan::{Breaks, planned};
use commands::Verification;
use schedule::Schedule;

pub use schedule::Periods;

/// How long it is remembered what a device refuses. One that refuses everything while it starts
/// must not be read point by point for ever.
const MEMORY: Duration = Duration::from_secs(3600);

/// Runs one device over a shared bus.
///
/// Opening costs nothing: the bus connects when something is to be read. A device whose points
/// are all read `once` is not asked again after that, so it is not noticed when it goes away.
#[derive(Debug)]
pub struct ModbusDriver {
    device: Arc<DeviceConfig>,
    bus: BusHandle,
    recoveries: Recoveries<u8>,
    told: Arc<Mutex<Breaks>>,
    periods: Option<Periods>,
}

impl ModbusDriver {
    /// A driver for `device`, which must be on `bus`.
    pub fn new(device: DeviceConfig, bus: BusHandle) -> Self {
        let recoveries = bus.recoveries();
        bus.settle_for(device.settle);
        Self {
            device: Arc::new(device),
            bus,
            recoveries,
            told: Arc::default(),
            periods: None,
        }
    }

    /// After the first poll, which is at once, the periods are counted from there, and not from when the device was
    /// opened.
    #[must_use]
    pub fn with_periods(mut self, periods: Periods) -> Self {
        self.periods = Some(periods);
        self
    }
}

impl Driver for ModbusDriver {
    type Session = ModbusSession;

    async fn open(&mut self) -> Result<ModbusSession, DriverError> {
        self.recoveries.mark_unchanged();
        if let Some(at) = self.bus.probe_at(self.device.unit) {
            tokio::select! {
                () = sleep_until(at) => {}
                () = self.recoveries.changed() => {}
            }
        }
        let now = Instant::now();
        let periods = self.periods.unwrap_or(Periods {
            origin: now,
            phase: Duration::ZERO,
        });
        let schedule = Schedule::new(&self.device, now, periods);
        Ok(ModbusSession {
            is_write_only: schedule.next().is_none(),
            schedule,
            device: Arc::clone(&self.device),
            bus: self.bus.clone(),
            breaks: Breaks::new(),
            told: Arc::clone(&self.told),
            forget_at: None,
            factors: Factors::default(),
            pending: VecDeque::new(),
            search: None,
            verifications: Vec::new(),
            finished: Vec::new(),
            next_number: 0,
            skip: 0,
            is_proven: false,
            misses: BTreeMap::new(),
            reported: BTreeSet::new(),
        })
    }

    async fn recovered(&mut self) {
        self.recoveries.changed().await;
    }
}

/// The work of one device: one request at a time, or as many as its bus allows.
#[derive(Debug)]
pub struct ModbusSession {
    device: Arc<DeviceConfig>,
    bus: BusHandle,
    /// Where the device refused to be read across.
    breaks: Breaks,
    forget_at: Option<Instant>,
    /// What has been in the log, of this session and of those before it.
    told: Arc<Mutex<Breaks>>,
    schedule: Schedule,
    factors: Factors,
    /// What is left of the rounds, and since when it is due.
    pending: VecDeque<(ReadRequest, Instant)>,
    /// The search for what the device refuses in a request.
    search: Option<Bisect>,
    /// Writes that are to be read back.
    verifications: Vec<Verification>,
    /// Outcomes that have not been taken yet.
    finished: Vec<(u64, Vec<Outcome>)>,
    next_number: u64,
    /// With which request of its plan the next round begins: the one after the last that failed,
    /// so that one address that a device never answers does not keep the others from being read.
    skip: usize,
    /// Whether the unit has answered yet. Until then nothing is sent twice, so that a dead unit
    /// costs the bus one time limit.
    is_proven: bool,
    /// How often in a row there was no answer about a point.
    misses: BTreeMap<usize, u32>,
    /// Points whose fault is in the log already.
    reported: BTreeSet<usize>,
    /// Nothing of the device is ever read, so that its first poll only says that commands can come.
    is_write_only: bool,
}

impl Session for ModbusSession {
    async fn ready(&mut self) {
        if self.search.is_some() || !self.pending.is_empty() || self.is_write_only {
            return;
        }
        let verification = self.verifications.iter().map(|wait| wait.due).min();
        match self.schedule.next().into_iter().chain(verification).min() {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    }

    async fn poll(&mut self, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        self.is_write_only = false;
        let now = Instant::now();
        if let Some(place) = self.verifications.iter().position(|wait| wait.due <= now) {
            // Boxed, as commands are rare and their room is not small.
            return Box::pin(self.verify(place, out)).await;
        }
        if let Some(part) = self.search.as_mut().and_then(Bisect::next_part) {
            return self.poll_one(part, now, out).await;
        }
        self.end_search();
        self.plan_due();
        // A unit that has not answered yet gets one request, so that a dead one costs little.
        let width = if self.is_proven {
            self.bus.config().in_flight.min(self.pending.len())
        } else {
            1
        };
        if width > 1 {
            return self.poll_several(width, out).await;
        }
        match self.pending.pop_front() {
            Some((request, due)) => self.poll_one(request, due, out).await,
            None => Ok(()),
        }
    }

    async fn apply(&mut self, command: Command, out: &mut Vec<Sample>) -> Outcome {
        let mut outcomes = match self.begin(vec![command], out).await {
            Begun::Done(outcomes) => outcomes,
            Begun::Later(number) => loop {
                let due = self.verifications.iter().map(|wait| wait.due).min();
                sleep_until(due.unwrap_or_else(Instant::now)).await;
                // A failure is in the outcome.
                let _ = self.poll(out).await;
                let finished = self.take_finished();
                if let Some((_, outcomes)) =
                    finished.into_iter().find(|(other, _)| *other == number)
                {
                    break outcomes;
                }
            },
        };
        outcomes
            .pop()
            .unwrap_or_else(|| Outcome::Failed("no command".into()))
    }

    async fn begin(&mut self, commands: Vec<Command>, out: &mut Vec<Sample>) -> Begun {
        self.write(&commands, out).await
    }

    fn take_finished(&mut self) -> Vec<(u64, Vec<Outcome>)> {
        std::mem::take(&mut self.finished)
    }
}

impl ModbusSession {
    /// Several reads of a round at a time, for a bus that allows it. The bus sees to its bound.
    async fn poll_several(
        &mut self,
        width: usize,
        out: &mut Vec<Sample>,
    ) -> Result<(), DriverError> {
        let mut reads = JoinSet::new();
        for (request, due) in self.pending.drain(..width) {
            let (bus, unit) = (self.bus.clone(), self.device.unit);
            reads.spawn(async move {
                let retries = bus.config().retries;
                let answer = bus.read(unit, &request, Priority::Poll(due), retries).await;
                (request, due, answer)
            });
        }
        let mut result = Ok(());
        while let Some(read) = reads.join_next().await {
            let Ok((request, due, answer)) = read else {
                continue; // It has panicked, which the runtime has told; the next round reads it.
            };
            let is_refused = matches!(&answer, Err(BusError::Exception { exception, .. })
                if exception.is_about_addresses());
            if is_refused && self.search.is_some() {
                // One search at a time: this one is refused again, and searched, after the other.
                self.pending.push_front((request, due));
            } else if let Err(error) = self.take(request, answer, out) {
                result = Err(error);
            }
        }
        result
    }

    /// One read of a round, or of the search for what is refused.
    async fn poll_one(
        &mut self,
        request: ReadRequest,
        due: Instant,
        out: &mut Vec<Sample>,
    ) -> Result<(), DriverError> {
        let retries = if self.is_proven {
            self.bus.config().retries
        } else {
            0
        };
        let unit = self.device.unit;
        let priority = Priority::Poll(due);
        let answer = self.bus.read(unit, &request, priority, retries).await;
        if let (Ok(_), Some(search)) = (&answer, &mut self.search) {
            search.was_read();
        }
        self.take(request, answer, out)
    }

    /// What an answer means.
    fn take(
        &mut self,
        request: ReadRequest,
        answer: Result<Data, BusError>,
        out: &mut Vec<Sample>,
    ) -> Result<(), DriverError> {
        let at = Timestamp::now();
        match answer {
            Ok(data) => {
                self.accept(&request, &data, at, out);
            }
            Err(BusError::Exception { exception, .. })
                if exception.is_about_addresses() && self.divide(&request) => {}
            Err(error @ BusError::Exception { exception, .. }) if !exception.is_silence() => {
                if !exception.is_about_addresses() {
                    // That says nothing about places.
                    self.search = None;
                }
                self.refuse(&request, &error, exception.is_busy(), at, out);
            }
            Err(error) => {
                self.miss(&request, &error, at, out);
                return Err(error.into());
            }
        }
        self.is_proven = true;
        Ok(())
    }

    /// Adds what has become due. It takes turns with what is left of earlier rounds, so that many
    /// slow points do not hold up a few fast ones, nor the other way round.
    fn plan_due(&mut self) {
        let now = Instant::now();
        let since = self.schedule.next().unwrap_or(now);
        let mut due = self.schedule.take_due(now);
        if due.is_empty() {
            return;
        }
        let left = self.pending.iter();
        let waiting: BTreeSet<usize> = left
            .flat_map(|(left, _)| left.points.iter().copied())
            .collect();
        due.retain(|point| !waiting.contains(point));
        add_factors(&self.device, &mut due);
        if self.forget_at.is_some_and(|at| at <= now) {
            self.forget_at = None;
            self.breaks.clear();
        }
        let mut round = planned(&self.device, &due, &self.breaks);
        let first = self.skip.checked_rem(round.len()).unwrap_or_default();
        round.rotate_left(first);
        let mut left = std::mem::take(&mut self.pending).into_iter();
        for request in round {
            self.pending.push_back((request, since));
            self.pending.extend(left.next());
        }
        self.pending.extend(left);
    }

    /// Halves a refused request, or the part of one. False if there is nothing to divide.
    fn divide(&mut self, request: &ReadRequest) -> bool {
        match &mut self.search {
            Some(search) => search.was_refused(&self.device, request),
            None => {
                self.search = Bisect::new(&self.device, request);
                self.search.is_some()
            }
        }
    }

    /// Remembers what a search has found, and says it once.
    fn end_search(&mut self) {
        let Some(search) = self.search.take() else {
            return;
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for place in search.found() {
            if told.insert(*place) {
                log::info!(
                    DEVICE = self.device.name.as_str();
                    "unit {} refuses to be read across {} {}; what lies on either side is read apart \
                     from now on",
                    self.device.unit, place.0.name(), place.1
                );
            }
        }
        self.breaks.extend(search.found());
        self.forget_at.get_or_insert(Instant::now() + MEMORY);
    }

    /// Turns an answer into samples.
    fn accept(&mut self, request: &ReadRequest, data: &Data, at: Timestamp, out: &mut Vec<Sample>) {
        let device = Arc::clone(&self.device);
        out.reserve(request.points.len());
        let mut factors = std::mem::take(&mut self.factors);
        factors.values(&device, request, data, |point, value| {
            // Not a fault yet: the factor is in another request of this round.
            if value != Err(DecodeError::Unscaled) {
                out.push(self.judge(point, value, at));
            }
        });
        self.factors = factors;
    }

    /// A point was read.
    fn judge(&mut self, point: usize, value: Result<Value, DecodeError>, at: Timestamp) -> Sample {
        self.schedule.answered(point);
        self.misses.remove(&point);
        let error = match value {
            Ok(value) => {
                self.set_reported(point, false);
                return Sample::good(point, value, at);
            }
            Err(error) => error,
        };
        // A marker or NaN is the device's own way to say that there is no value.
        let is_usual = matches!(error, DecodeError::Invalid | DecodeError::NotFinite);
        if !is_usual && self.set_reported(point, true) {
            let (device, name) = (self.device.name.as_str(), self.point_name(point));
            log::warn!(DEVICE = device, POINT = name; "{name}: {error}");
        }
        Sample::bad(point, at).because(&error.to_string().into())
    }

    /// The unit is there, but does not give these points.
    fn refuse(
        &mut self,
        request: &ReadRequest,
        error: &BusError,
        is_busy: bool,
        at: Timestamp,
        out: &mut Vec<Sample>,
    ) {
        if !is_busy {
            self.factors.refuse(&self.device, &request.points);
        }
        let mut is_news = false;
        let why: Arc<str> = error.reason().into();
        for point in &*request.points {
            if !is_busy {
                self.schedule.answered(*point);
            }
            self.misses.remove(point);
            is_news |= self.set_reported(*point, true);
            out.push(Sample::bad(*point, at).because(&why));
        }
        if is_news {
            log::warn!(DEVICE = self.device.name.as_str(); "{error}");
        }
    }

    /// There was no answer. The rest of the round would only take as long again.
    fn miss(
        &mut self,
        request: &ReadRequest,
        error: &BusError,
        at: Timestamp,
        out: &mut Vec<Sample>,
    ) {
        self.skip = self.skip.wrapping_add(1);
        self.pending.clear();
        self.search = None;
        let limit = self.bus.config().offline.after;
        let why: Arc<str> = error.reason().into();
        for point in &*request.points {
            let misses = self.misses.entry(*point).or_default();
            *misses = misses.saturating_add(1);
            // Were the whole unit silent, it would be offline by now, and its values stale.
            if *misses > limit {
                out.push(Sample::bad(*point, at).because(&why));
            }
        }
    }

    /// True if that is a change.
    fn set_reported(&mut self, point: usize, is_reported: bool) -> bool {
        match is_reported {
            true => self.reported.insert(point),
            false => self.reported.remove(&point),
        }
    }

    fn point_name(&self, point: usize) -> &str {
        self.device
            .points
            .get(point)
            .map_or("", |(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod line_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod type_tests;
