//! One meter: one poll is one readout, of which all points are taken.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Driver, DriverError, Session};
use fieldgate_model::{Command, Outcome, Sample};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bus::{MbusBusHandle, MbusError, Pending};
use crate::config::{MbusConfig, Transport};
use crate::exchange::Readout;
use crate::point;

/// Runs one meter on a bus.
#[derive(Debug)]
pub struct MbusDriver {
    config: Arc<MbusConfig>,
    bus: MbusBusHandle,
    phase: Duration,
}

/// How often it is looked whether a port is there again: one system call.
const LOOK: Duration = Duration::from_secs(1);
/// How soon a meter that did not answer is asked again, if its poll is slower: whether it is
/// offline is known after some failures, not after some hours.
const AGAIN: Duration = Duration::from_secs(10);

impl MbusDriver {
    /// A driver for one meter.
    pub fn new(config: MbusConfig, bus: MbusBusHandle) -> Self {
        Self {
            config: Arc::new(config),
            bus,
            phase: Duration::ZERO,
        }
    }

    /// Waits so long before the first readout.
    #[must_use]
    pub fn with_phase(mut self, phase: Duration) -> Self {
        self.phase = phase;
        self
    }
}

impl Driver for MbusDriver {
    type Session = MbusSession;

    /// The bus opens the line when it is asked.
    async fn open(&mut self) -> Result<MbusSession, DriverError> {
        let due = Instant::now() + std::mem::take(&mut self.phase);
        Ok(MbusSession {
            config: Arc::clone(&self.config),
            bus: self.bus.clone(),
            reported: vec![false; self.config.points.len()],
            due,
            pending: None,
            read: None,
        })
    }

    /// A port that was pulled out is looked for, so that it is served within a second when it is
    /// back.
    async fn recovered(&mut self) {
        let Transport::Serial(path) = &self.bus.config().transport else {
            return pending().await;
        };
        if Path::new(path).exists() {
            return pending().await;
        }
        while !Path::new(path).exists() {
            sleep(LOOK).await;
        }
    }
}

/// A meter that is polled.
#[derive(Debug)]
pub struct MbusSession {
    config: Arc<MbusConfig>,
    bus: MbusBusHandle,
    /// When it is read next.
    due: Instant,
    /// The readout that waits for the line.
    pending: Option<Pending>,
    /// What came of it, if it was not looked at yet.
    read: Option<Result<Readout, MbusError>>,
    /// Points whose fault is in the log already.
    reported: Vec<bool>,
}

impl MbusSession {
    fn samples(&mut self, readout: &Readout, out: &mut Vec<Sample>) {
        let at = Timestamp::now();
        let config = Arc::clone(&self.config);
        for (index, (name, config)) in config.points.iter().enumerate() {
            let is_reported = self.reported.get_mut(index);
            out.push(match point::value(config, readout) {
                Ok(value) => {
                    is_reported.into_iter().for_each(|told| *told = false);
                    Sample::good(index, value, at)
                }
                Err(why) => {
                    let text = why.to_string();
                    if is_reported.is_some_and(|told| !std::mem::replace(told, true)) {
                        let device = self.config.name.as_str();
                        log::warn!(DEVICE = device; "{name}: {text}");
                    }
                    Sample::bad(index, at).because(&text.into())
                }
            });
        }
    }
}

impl Session for MbusSession {
    /// Waits for the line, too: a meter that is removed meanwhile leaves at once.
    async fn ready(&mut self) {
        sleep_until(self.due).await;
        if self.read.is_some() {
            return;
        }
        let (who, telegrams) = (self.config.address, self.config.telegrams);
        let read = match &mut self.pending {
            Some(pending) => pending.readout().await,
            None => match self.bus.begin(who, telegrams).await {
                Ok(pending) => self.pending.insert(pending).readout().await,
                Err(error) => Err(error),
            },
        };
        self.pending = None;
        self.read = Some(read);
    }

    async fn poll(&mut self, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        let Some(read) = self.read.take() else {
            return Ok(());
        };
        let now = Instant::now();
        let period = self.config.poll;
        match read {
            Ok(readout) => {
                // Polls that were missed while the line was taken are not made up for.
                self.due = self.due.max(now.checked_sub(period).unwrap_or(now)) + period;
                self.samples(&readout, out);
                Ok(())
            }
            Err(error) => {
                self.due = now + period.min(AGAIN);
                Err(error.into())
            }
        }
    }

    async fn apply(&mut self, _: Command, _: &mut Vec<Sample>) -> Outcome {
        Outcome::Failed("meters are only read".to_owned())
    }
}

#[cfg(test)]
mod tests;
