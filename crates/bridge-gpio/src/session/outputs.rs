//! The outputs of a running device. A task of their own ends pulses, so that they end in time
//! whatever the rest of the gateway waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::handover::Output;
use crate::line::LineError;
use crate::output_states::{OutputStates, Refusal, Step, Wanted};

/// Shared between the device and the task that ends pulses.
#[derive(Debug)]
pub(super) struct Outputs {
    shared: Arc<Shared>,
    task: Option<AbortHandle>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// There may be an earlier end of a pulse.
    changed: Notify,
    /// A pulse has ended.
    switched: Notify,
}

#[derive(Debug)]
struct Inner {
    bank: OutputStates,
    /// By the index of their point.
    lines: BTreeMap<usize, Output>,
    /// Points that were switched off and not told yet.
    switched: BTreeSet<usize>,
    error: Option<LineError>,
}

/// Why an output was not switched.
#[derive(Debug)]
pub(super) enum Failure {
    /// It must not be.
    Refused(Refusal),
    /// It could not be.
    Line(LineError),
}

impl Outputs {
    pub(super) fn new(bank: OutputStates, lines: BTreeMap<usize, Output>) -> Self {
        let has_lines = !lines.is_empty();
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                bank,
                lines,
                switched: BTreeSet::new(),
                error: None,
            }),
            changed: Notify::new(),
            switched: Notify::new(),
        });
        let task = has_lines.then(|| tokio::spawn(watch(Arc::clone(&shared))).abort_handle());
        Self { shared, task }
    }

    /// Switches an output. Returns its level, read back.
    pub(super) fn switch(&self, index: usize, wanted: Wanted) -> Result<(Step, bool), Failure> {
        let now = Instant::now().into_std();
        let mut inner = self.shared.lock();
        let step = inner
            .bank
            .plan(index, wanted, now)
            .map_err(Failure::Refused)?;
        let read_back = inner.set(index, step).map_err(Failure::Line)?;
        drop(inner);
        self.shared.changed.notify_one();
        Ok((step, read_back))
    }

    /// The level of an output, read back.
    pub(super) fn level(&self, index: usize) -> Result<bool, LineError> {
        let inner = self.shared.lock();
        let line = inner.lines.get(&index);
        line.map_or(Ok(false), |output| output.line.level())
    }

    /// Outputs that were switched off since this was last asked, or why one could not be.
    pub(super) fn switched(&self) -> Result<BTreeSet<usize>, LineError> {
        let mut inner = self.shared.lock();
        match inner.error.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut inner.switched)),
        }
    }

    /// Waits until [`Outputs::switched`] has something to tell. Cancel-safe.
    pub(super) async fn wait(&self) {
        loop {
            let notified = self.shared.switched.notified();
            {
                let inner = self.shared.lock();
                if inner.error.is_some() || !inner.switched.is_empty() {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Gives the lines back, with the times at which they have to be off.
    pub(super) fn end(&mut self) -> Vec<Output> {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let mut inner = self.shared.lock();
        let lines = std::mem::take(&mut inner.lines);
        let ended = lines.into_iter().map(|(index, mut output)| {
            output.off_at = inner.bank.off_at(index);
            output
        });
        ended.collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set(&mut self, index: usize, step: Step) -> Result<bool, LineError> {
        let Some(output) = self.lines.get_mut(&index) else {
            return Err(LineError("the line is not there".to_owned()));
        };
        output.line.set(step.level)?;
        self.bank.done(index, step);
        output.line.level()
    }
}

/// Ends pulses until it is aborted.
async fn watch(shared: Arc<Shared>) {
    loop {
        let next = shared.lock().bank.next().map(Instant::from_std);
        tokio::select! {
            () = shared.changed.notified() => continue,
            () = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => pending().await,
                }
            } => {}
        }
        let mut inner = shared.lock();
        for index in inner.bank.due(Instant::now().into_std()) {
            let off = Step {
                level: false,
                off_at: None,
            };
            match inner.set(index, off) {
                Ok(_) => {
                    inner.switched.insert(index);
                }
                Err(error) => {
                    // The device is opened again, and its outputs go to their safe levels. Not
                    // tried again here: it would be tried without end.
                    inner.bank.done(index, off);
                    inner.error = Some(error);
                }
            }
        }
        drop(inner);
        shared.switched.notify_one();
    }
}
