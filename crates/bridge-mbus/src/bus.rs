//! The arbiter of one bus: one task owns the line and lends it to one meter at a time.
//!
//! What devices ask waits in a bounded queue. A device has one readout under way at most, so each
//! waits for one of each other device at most. Meters that did not answer last time wait behind
//! those that did, and get a tenth of the line: ten meters that are dead do not slow the others.

mod queue;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Cause, DriverError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::Address;
use crate::config::{MbusBusEntry, Transport};
use crate::counts::{MbusCounts, MbusSnapshot};
use crate::exchange::{Debts, Effort, Readout, greet, read};
use crate::line::{Fault, Line};
use queue::{Queue, Turn};

/// Starts buses.
#[derive(Debug)]
pub struct MbusBus;

/// Lends the line of a bus to its devices and to tools. A clone is another handle to the same bus.
#[derive(Clone, Debug)]
pub struct MbusBusHandle {
    config: Arc<MbusBusEntry>,
    jobs: mpsc::Sender<Box<Job>>,
    counts: Arc<MbusCounts>,
    task: TaskTracker,
}

/// Why a meter was not read, with a text for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{who}: {fault}")]
pub struct MbusError {
    /// The meter.
    pub who: Address,
    /// What kind of fault it was.
    pub cause: Cause,
    /// What happened.
    pub fault: String,
    /// Bytes came that are no frame: several meters may have answered at once.
    pub is_garbled: bool,
}

/// What is asked of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Read(Effort),
    /// Only whether it is there.
    Greet,
}

/// What a device or a tool waits for.
#[derive(Debug)]
struct Job {
    who: Address,
    work: Work,
    counts: Option<Arc<MbusCounts>>,
    reply: oneshot::Sender<Result<Option<Readout>, MbusError>>,
}

/// Readouts that may wait: one for each primary address.
const QUEUE: usize = 256;
/// After so many requests in a row without a single byte, a connection is made anew: the other
/// end may have forgotten it.
const MUTE_MAX: u32 = 10;
/// How long after a failed attempt the line is not opened again.
const REOPEN: Duration = Duration::from_secs(1);

impl MbusBus {
    /// Starts the task that owns the bus. It opens the line when the first readout comes, and
    /// ends when `cancel` fires, after the readout that is under way, or when the last handle is
    /// dropped. Must be called within a tokio runtime.
    pub fn spawn(name: &str, config: MbusBusEntry, cancel: CancellationToken) -> MbusBusHandle {
        Self::spawn_with(name, config, cancel, None)
    }

    /// As [`Self::spawn`], on a line in memory, which is not opened again.
    #[cfg(test)]
    pub(crate) fn spawn_on(
        config: MbusBusEntry,
        io: impl fieldgate_field_line::Io + 'static,
    ) -> MbusBusHandle {
        let line = Line::new(Box::new(io), config.times());
        Self::spawn_with("test", config, CancellationToken::new(), Some(line))
    }

    fn spawn_with(
        name: &str,
        config: MbusBusEntry,
        cancel: CancellationToken,
        line: Option<Line>,
    ) -> MbusBusHandle {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let config = Arc::new(config);
        let counts = Arc::<MbusCounts>::default();
        let task = TaskTracker::new();
        let arbiter = Arbiter {
            name: name.to_owned(),
            config: Arc::clone(&config),
            counts: Arc::clone(&counts),
            line,
            queue: Queue::default(),
            debts: Debts::default(),
            failed: None,
        };
        task.spawn(arbiter.run(waiting, cancel));
        task.close();
        MbusBusHandle {
            config,
            jobs,
            counts,
            task,
        }
    }
}

impl MbusBusHandle {
    /// Reads a meter, with at most so many telegrams.
    ///
    /// # Errors
    ///
    /// See [`MbusError`].
    pub async fn read(&self, who: Address, telegrams: usize) -> Result<Readout, MbusError> {
        let effort = Effort {
            retries: self.config.retries,
            telegrams,
        };
        let readout = self.submit(who, Work::Read(effort)).await?;
        readout.ok_or_else(|| closed(who))
    }

    /// One try to read the first telegram of a meter, as a scan makes it.
    ///
    /// # Errors
    ///
    /// See [`MbusError`].
    pub async fn look(&self, who: Address) -> Result<Readout, MbusError> {
        let effort = Effort {
            retries: 0,
            telegrams: 1,
        };
        let readout = self.submit(who, Work::Read(effort)).await?;
        readout.ok_or_else(|| closed(who))
    }

    /// Whether a meter acknowledges: that its link is reset, or that it is selected.
    ///
    /// # Errors
    ///
    /// See [`MbusError`].
    pub async fn greet(&self, who: Address) -> Result<(), MbusError> {
        self.submit(who, Work::Greet).await.map(drop)
    }

    /// Waits until the task that owns the bus has ended and its port is free again.
    pub async fn ended(&self) {
        self.task.wait().await;
    }

    /// What happened on the bus so far.
    pub fn counters(&self) -> MbusSnapshot {
        self.counts.snapshot()
    }

    /// How the bus is configured.
    pub fn config(&self) -> &MbusBusEntry {
        &self.config
    }

    /// The primary addresses that a meter can have.
    pub fn addresses() -> RangeInclusive<u8> {
        0..=crate::address::PRIMARY_MAX
    }

    /// Puts a readout into the queue, and returns where it will arrive. When that is dropped
    /// before its turn, it is not carried out. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the bus has ended.
    pub(crate) async fn begin(
        &self,
        who: Address,
        telegrams: usize,
        counts: &Arc<MbusCounts>,
    ) -> Result<Pending, MbusError> {
        let work = Work::Read(Effort {
            retries: self.config.retries,
            telegrams,
        });
        self.queue(who, work, Some(counts)).await
    }

    async fn queue(
        &self,
        who: Address,
        work: Work,
        counts: Option<&Arc<MbusCounts>>,
    ) -> Result<Pending, MbusError> {
        let room = self.jobs.reserve().await.map_err(|_| closed(who))?;
        let (reply, answer) = oneshot::channel();
        room.send(Box::new(Job {
            who,
            work,
            counts: counts.cloned(),
            reply,
        }));
        Ok(Pending { who, answer })
    }

    async fn submit(&self, who: Address, work: Work) -> Result<Option<Readout>, MbusError> {
        self.queue(who, work, None).await?.answer().await
    }
}

/// A readout that waits for its turn, or is under way.
#[derive(Debug)]
pub(crate) struct Pending {
    who: Address,
    answer: oneshot::Receiver<Result<Option<Readout>, MbusError>>,
}

impl Pending {
    /// Waits for it. Cancel-safe, but not to be called again after it has ended.
    pub(crate) async fn readout(&mut self) -> Result<Readout, MbusError> {
        let who = self.who;
        self.answer().await?.ok_or_else(|| closed(who))
    }

    async fn answer(&mut self) -> Result<Option<Readout>, MbusError> {
        let who = self.who;
        let answer = (&mut self.answer).await;
        answer.unwrap_or_else(|_| Err(closed(who)))
    }
}

fn closed(who: Address) -> MbusError {
    MbusError {
        who,
        cause: Cause::Lost,
        fault: "the bus has ended".into(),
        is_garbled: false,
    }
}

impl From<MbusError> for DriverError {
    fn from(error: MbusError) -> Self {
        Self::new(error.cause, error.to_string())
    }
}

struct Arbiter {
    name: String,
    config: Arc<MbusBusEntry>,
    counts: Arc<MbusCounts>,
    line: Option<Line>,
    queue: Queue,
    debts: Debts,
    /// When the line last failed to open, and why.
    failed: Option<(Instant, String)>,
}

impl fmt::Debug for Arbiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arbiter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Arbiter {
    async fn run(mut self, mut jobs: mpsc::Receiver<Box<Job>>, cancel: CancellationToken) {
        let mut is_open = true;
        while !cancel.is_cancelled() {
            while self.queue.len() < QUEUE
                && let Ok(job) = jobs.try_recv()
            {
                self.queue.push(job);
            }
            let wake = match self.queue.take(Instant::now()) {
                Turn::Now(job) => {
                    self.carry_out(*job).await;
                    continue;
                }
                Turn::At(at) => Some(at),
                Turn::Idle if !is_open => return,
                Turn::Idle => None,
            };
            let waits = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                job = jobs.recv(), if is_open && self.queue.len() < QUEUE => match job {
                    Some(job) => self.queue.push(job),
                    None => is_open = false,
                },
                () = waits => {}
            }
        }
    }

    async fn carry_out(&mut self, job: Job) {
        let who = job.who;
        let begun = Instant::now();
        let mut line = match self.opened().await {
            Ok(line) => line,
            Err(detail) => {
                let error = MbusError {
                    who,
                    cause: Cause::Open,
                    fault: detail,
                    is_garbled: false,
                };
                let _ = job.reply.send(Err(error));
                return;
            }
        };
        let late = self.config.late;
        let result = match job.work {
            Work::Greet => greet(&mut line, who).await.map(|()| None),
            Work::Read(effort) => read(&mut line, who, effort, &mut self.debts, late)
                .await
                .map(Some),
        };
        let is_lost = result.as_ref().is_err_and(Fault::ends_line);
        let mut tally = std::mem::take(&mut line.tally);
        tally.lost += u64::from(is_lost);
        self.counts.add(&tally);
        if let Some(counts) = &job.counts {
            counts.add(&tally);
        }
        // Who looks around must not make a meter wait that answers.
        if job.counts.is_some() {
            self.queue.judge(who, result.is_ok(), begun.elapsed());
        }
        let is_tcp = matches!(self.config.transport, Transport::Tcp(_));
        let is_mute = is_tcp && line.mute >= MUTE_MAX;
        if !is_lost && !is_mute {
            self.line = Some(line);
        }
        // Whatever asked may have gone.
        let _ = job
            .reply
            .send(result.map_err(|fault| self.error(who, fault)));
    }

    /// The line, opened if it is not.
    async fn opened(&mut self) -> Result<Line, String> {
        if let Some(line) = self.line.take() {
            return Ok(line);
        }
        if let Some((at, why)) = &self.failed
            && at.elapsed() < REOPEN
        {
            return Err(why.clone());
        }
        match self.config.open().await {
            Ok(io) => {
                self.failed = None;
                log::info!(BUS = self.name.as_str(); "opened {}", self.config.transport);
                Ok(Line::new(io, self.config.times()))
            }
            Err(why) => {
                self.counts.add(&MbusSnapshot {
                    lost: 1,
                    ..MbusSnapshot::default()
                });
                self.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    fn error(&self, who: Address, fault: Fault) -> MbusError {
        let to = &self.config.transport;
        let is_garbled = fault == Fault::Garbled;
        let millis = self.config.timeout.as_millis();
        let (cause, fault) = match fault {
            Fault::Timeout => (Cause::Timeout, format!("no answer within {millis} ms")),
            Fault::Garbled => (
                Cause::Protocol,
                "the answer cannot be read: noise, a wrong baud rate, or several meters with this address"
                    .to_owned(),
            ),
            Fault::Foreign(other) => (Cause::Protocol, format!("{other} answered instead")),
            Fault::Empty => (Cause::Refused, "the meter has no readings to give".to_owned()),
            Fault::Unreadable(why) => (Cause::Protocol, why.to_string()),
            Fault::Lost(why) => (Cause::Lost, format!("{to}: {why}")),
            Fault::Flood => (Cause::Lost, format!("{to} sends without end")),
        };
        MbusError {
            who,
            cause,
            fault,
            is_garbled,
        }
    }
}

#[cfg(test)]
mod tests;
