//! One device on a bus: what is due when, and what an answer means.

mod schedule;

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Driver, DriverError, Session};
use fieldgate_model::{Command, Outcome, Sample};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bus::{BusHandle, Priority};
use crate::config::DeviceConfig;
use crate::data::{BusError, Data, ReadRequest};
use crate::decode::DecodeError;
use crate::encode::encode;
use crate::factor::{Factors, add_factors};
use crate::plan::{Breaks, divide, plan};
use crate::probe::values;
use schedule::Schedule;

/// How long it is remembered what a device refuses. One that refuses everything while it starts
/// must not be read point by point for ever.
const MEMORY: Duration = Duration::from_secs(3600);

/// Runs one device over a shared bus.
///
/// Opening costs nothing: the bus connects when something is to be read. A device whose points
/// are all read `once` is not asked again after that, so nobody notices when it goes away.
#[derive(Debug)]
pub struct ModbusDriver {
    device: Arc<DeviceConfig>,
    bus: BusHandle,
    recoveries: watch::Receiver<u64>,
}

impl ModbusDriver {
    /// A driver for `device`, which must be on `bus`.
    pub fn new(device: DeviceConfig, bus: BusHandle) -> Self {
        let recoveries = bus.recoveries();
        Self {
            device: Arc::new(device),
            bus,
            recoveries,
        }
    }
}

impl Driver for ModbusDriver {
    type Session = ModbusSession;

    async fn open(&mut self) -> Result<ModbusSession, DriverError> {
        self.recoveries.mark_unchanged();
        let points = self.device.points.len();
        Ok(ModbusSession {
            schedule: Schedule::new(&self.device, Instant::now()),
            device: Arc::clone(&self.device),
            bus: self.bus.clone(),
            breaks: Breaks::new(),
            forget_at: None,
            factors: Factors::default(),
            pending: VecDeque::new(),
            skip: 0,
            is_proven: false,
            misses: vec![0; points],
            reported: vec![false; points],
        })
    }

    async fn recovered(&mut self) {
        // The bus's task has ended: nothing will ever recover.
        if self.recoveries.changed().await.is_err() {
            pending().await
        }
    }
}

/// The work of one device: one request at a time.
#[derive(Debug)]
pub struct ModbusSession {
    device: Arc<DeviceConfig>,
    bus: BusHandle,
    /// Where the device refused to be read across.
    breaks: Breaks,
    forget_at: Option<Instant>,
    schedule: Schedule,
    factors: Factors,
    /// What is left of the rounds.
    pending: VecDeque<ReadRequest>,
    /// With which request of its plan the next round begins: the one after the last that failed,
    /// so that one address that a device never answers does not keep the others from being read.
    skip: usize,
    /// Whether the unit has answered yet. Until then nothing is sent twice, so that a dead unit
    /// costs the bus one time limit.
    is_proven: bool,
    /// How often in a row there was no answer about a point.
    misses: Vec<u32>,
    /// Points whose fault is in the log already.
    reported: Vec<bool>,
}

impl Session for ModbusSession {
    async fn ready(&mut self) {
        if !self.pending.is_empty() {
            return;
        }
        match self.schedule.next() {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    }

    async fn poll(&mut self, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        self.plan_due();
        let Some(request) = self.pending.pop_front() else {
            return Ok(());
        };
        let retries = if self.is_proven {
            self.bus.retries()
        } else {
            0
        };
        let unit = self.device.unit;
        let answer = self.bus.read(unit, &request, Priority::Poll, retries).await;
        let at = Timestamp::now();
        match answer {
            Ok(data) => self.accept(&request, &data, at, out),
            Err(BusError::Exception { exception, .. })
                if exception.is_about_addresses() && self.divide(&request) => {}
            Err(error @ BusError::Exception { exception, .. }) if !exception.is_silence() => {
                self.refuse(&request, &error, exception.is_busy(), at, out);
            }
            Err(error) => {
                self.miss(&request, at, out);
                return Err(error.into());
            }
        }
        self.is_proven = true;
        Ok(())
    }

    async fn apply(&mut self, command: Command, out: &mut Vec<Sample>) -> Outcome {
        let device = Arc::clone(&self.device);
        let Some((_, point)) = device.points.get(command.point) else {
            return Outcome::Failed("no such point".into());
        };
        let (request, value) = match encode(point, &command.value) {
            Ok(encoded) => encoded,
            Err(error) => return Outcome::Failed(error),
        };
        match self.bus.write(device.unit, &request).await {
            Ok(()) => {}
            Err(error @ (BusError::Exception { .. } | BusError::Connect { .. })) => {
                return Outcome::Failed(error.to_string());
            }
            Err(error) => {
                return Outcome::Failed(format!("{error}; it may have taken effect"));
            }
        }
        sleep(point.readback).await;
        let request = ReadRequest {
            table: point.table,
            address: point.address,
            count: point.kind.registers(),
            points: vec![command.point],
        };
        let retries = self.bus.retries();
        let answer = self
            .bus
            .read(device.unit, &request, Priority::Command, retries)
            .await;
        let data = match answer {
            Ok(data) => data,
            // There are registers that can only be written.
            Err(BusError::Exception { exception, .. }) if exception.is_about_addresses() => {
                return Outcome::Done {
                    value,
                    readback: None,
                };
            }
            Err(error) => {
                return Outcome::Failed(format!("written, but not read back: {error}"));
            }
        };
        self.accept(&request, &data, Timestamp::now(), out);
        let readback = values(&device, &request, &data).find_map(|(_, value)| value.ok());
        if readback.as_ref() == Some(&value) {
            Outcome::Done { value, readback }
        } else {
            Outcome::Mismatch { value, readback }
        }
    }
}

impl ModbusSession {
    /// Adds what has become due. It takes turns with what is left of earlier rounds, so that many
    /// slow points do not hold up a few fast ones, nor the other way round.
    fn plan_due(&mut self) {
        let mut due = self.schedule.take_due(Instant::now());
        if due.is_empty() {
            return;
        }
        let left = self.pending.iter();
        let waiting: BTreeSet<usize> = left.flat_map(|left| left.points.iter().copied()).collect();
        due.retain(|point| !waiting.contains(point));
        add_factors(&self.device, &mut due);
        if self.forget_at.is_some_and(|at| at <= Instant::now()) {
            self.forget_at = None;
            self.breaks.clear();
        }
        let mut round = plan(&self.device, &due, &self.breaks);
        let first = self.skip.checked_rem(round.len()).unwrap_or_default();
        round.rotate_left(first);
        let mut left = std::mem::take(&mut self.pending).into_iter();
        for request in round {
            self.pending.push_back(request);
            self.pending.extend(left.next());
        }
        self.pending.extend(left);
    }

    /// Turns an answer into samples.
    fn accept(&mut self, request: &ReadRequest, data: &Data, at: Timestamp, out: &mut Vec<Sample>) {
        let device = Arc::clone(&self.device);
        for (point, value) in self.factors.values(&device, request, data) {
            // Not a fault yet: the factor is in another request of this round.
            if value == Err(DecodeError::Unscaled) {
                continue;
            }
            self.schedule.answered(point);
            self.clear_misses(point);
            match value {
                Ok(value) => {
                    self.set_reported(point, false);
                    out.push(Sample::good(point, value, at));
                }
                Err(error) => {
                    // A marker or NaN is the device's own way to say that there is no value.
                    let is_usual = matches!(error, DecodeError::Invalid | DecodeError::NotFinite);
                    if !is_usual && self.set_reported(point, true) {
                        let name = self.point_name(point);
                        log::warn!(DEVICE = device.name.as_str(), POINT = name; "{name}: {error}");
                    }
                    out.push(Sample::bad(point, at));
                }
            }
        }
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
        for point in &request.points {
            if !is_busy {
                self.schedule.answered(*point);
            }
            self.clear_misses(*point);
            is_news |= self.set_reported(*point, true);
            out.push(Sample::bad(*point, at));
        }
        if is_news {
            log::warn!(DEVICE = self.device.name.as_str(); "{error}");
        }
    }

    /// There was no answer. The rest of the round would only take as long again.
    fn miss(&mut self, request: &ReadRequest, at: Timestamp, out: &mut Vec<Sample>) {
        self.skip = self.skip.wrapping_add(1);
        self.pending.clear();
        let limit = self.bus.offline_after();
        for point in &request.points {
            if let Some(misses) = self.misses.get_mut(*point) {
                *misses = misses.saturating_add(1);
                // Were the whole unit silent, it would be offline by now, and its values stale.
                if *misses > limit {
                    out.push(Sample::bad(*point, at));
                }
            }
        }
    }

    /// Reads the points of a refused request apart from now on. False if there is nothing to
    /// divide.
    fn divide(&mut self, request: &ReadRequest) -> bool {
        let found = divide(&self.device, request);
        if found.is_empty() {
            return false;
        }
        let unit = self.device.unit;
        log::info!(
            DEVICE = self.device.name.as_str();
            "{} is refused; its points are read apart from now on", request.describe(unit)
        );
        self.breaks.extend(found);
        self.forget_at.get_or_insert(Instant::now() + MEMORY);
        let parts = plan(&self.device, &request.points, &self.breaks);
        for part in parts.into_iter().rev() {
            self.pending.push_front(part);
        }
        true
    }

    fn clear_misses(&mut self, point: usize) {
        if let Some(misses) = self.misses.get_mut(point) {
            *misses = 0;
        }
    }

    /// True if that is a change.
    fn set_reported(&mut self, point: usize, is_reported: bool) -> bool {
        match self.reported.get_mut(point) {
            Some(reported) => std::mem::replace(reported, is_reported) != is_reported,
            None => false,
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
mod tests;
