//! Outputs between two runs of a device: what a reload does not change stays ours, and does not
//! move.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::config::{Drive, LineConfig, PwmConfig};
use crate::line::{Backend, LineError, OutputLine, PwmLine};

/// Holds the outputs of devices that are stopped only to be started again. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Handover(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    held: HashSet<String>,
    outputs: HashMap<String, Held>,
}

/// The outputs of one device.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) lines: Vec<Output>,
    pub(crate) channels: Vec<Channel>,
}

/// A line that is ours. It goes to its safe level when it is dropped, for whatever reason.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) chip: Option<String>,
    pub(crate) config: LineConfig,
    pub(crate) drive: Drive,
    pub(crate) safe: Option<bool>,
    pub(crate) off_at: Option<Instant>,
    pub(crate) line: Box<dyn OutputLine>,
}

/// A PWM channel that is ours. As [`Output`].
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) config: PwmConfig,
    pub(crate) percent: f64,
    pub(crate) line: Box<dyn PwmLine>,
}

impl Handover {
    /// The device is about to be stopped and started again: its outputs stay as they are until the
    /// new run takes them over. Those that it does not take over go to their safe level then.
    pub fn hold(&self, device: &str) {
        self.lock().held.insert(device.to_owned());
    }

    /// The device is not started again after all: what is held for it is let go.
    pub fn release(&self, device: &str) {
        drop(self.claim(device));
    }

    /// A run has ended. Its outputs are held if that was asked for, and else let go.
    pub(crate) fn end(&self, device: &str, outputs: Held) {
        let mut inner = self.lock();
        if inner.held.contains(device) {
            inner.outputs.insert(device.to_owned(), outputs);
        }
    }

    /// What is held for a device; from now on nothing is.
    pub(crate) fn claim(&self, device: &str) -> Held {
        let mut inner = self.lock();
        inner.held.remove(device);
        inner.outputs.remove(device).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    /// Whether it is that line, set up in that way.
    pub(crate) fn is(&self, chip: Option<&str>, config: &LineConfig, drive: Drive) -> bool {
        self.chip.as_deref() == chip && self.config == *config && self.drive == drive
    }
}

impl Channel {
    /// Takes a channel and sets it. Finding out whether its files may be written can take a second,
    /// in which no other task has to wait; dropped meanwhile, it goes to its safe duty all the same.
    pub(crate) async fn take(
        backend: &Arc<dyn Backend>,
        config: &PwmConfig,
        percent: f64,
    ) -> Result<Self, LineError> {
        let (backend, config) = (Arc::clone(backend), config.clone());
        let taken = tokio::task::spawn_blocking(move || {
            let line = backend.pwm(&config, percent / 100.0)?;
            Ok(Self {
                config,
                percent,
                line,
            })
        });
        let taken = taken.await;
        taken.unwrap_or_else(|error| Err(LineError(error.to_string())))
    }

    /// Sets the duty in percent.
    pub(crate) fn set(&mut self, percent: f64) -> Result<(), LineError> {
        self.line.set(percent / 100.0)?;
        self.percent = percent;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(level) = self.safe
            && let Err(error) = self.line.set(level)
        {
            log::error!("the safe level was not set: {error}");
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(duty) = &self.config.safe
            && let Err(error) = self.line.set(duty.to_f64() / 100.0)
        {
            log::error!("the safe duty was not set: {error}");
        }
    }
}
