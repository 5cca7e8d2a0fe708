//! The arbiter of one bus: one task owns the connection and lends it to one transaction at a time.
//!
//! Transactions of all devices wait in two bounded queues, commands and polls. Commands go first,
//! and within a queue the oldest. A full queue makes its senders wait; nothing is dropped. As a
//! device has one transaction under way at most, it waits for one of each other device at most.

use std::future::pending;
use std::time::Duration;

use fieldgate_bridge::backoff::Delays;
use fieldgate_bridge::{Backoff, Period};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::client::{Connection, Fault};
use crate::config::{BusConfig, Table};
use crate::data::{BusError, Data, ReadRequest, WriteRequest};

/// Transactions that may wait in each queue.
const QUEUE: usize = 64;
/// Failed attempts to connect that make an outage, the end of which is news to devices that are
/// offline. A server that takes one connection only can refuse the one after a time limit; were
/// that news, a dead unit would be tried again, and its time limit would drop the connection.
const RECOVERY: u32 = 2;
/// Someone who plugs a cable back in watches. An attempt costs next to nothing.
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// Lends the one connection of a bus to its devices, one transaction at a time.
#[derive(Clone, Debug)]
pub struct BusHandle {
    retries: u8,
    offline_after: u32,
    commands: mpsc::Sender<Job>,
    polls: mpsc::Sender<Job>,
    recoveries: watch::Receiver<u64>,
}

/// Which queue a transaction waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    Command,
    Poll,
}

#[derive(Debug)]
struct Job {
    unit: u8,
    work: Work,
    reply: oneshot::Sender<Result<Data, BusError>>,
}

#[derive(Debug)]
enum Work {
    Read(ReadRequest),
    Write(WriteRequest),
}

impl BusHandle {
    /// Starts the task that owns the bus. It connects when the first transaction comes, and ends
    /// when `cancel` fires, after the transaction that is under way, or when the last handle is
    /// dropped. Must be called within a tokio runtime.
    ///
    /// After a failed attempt to connect, transactions fail at once, and the bus tries again by
    /// itself: after the shortest pause of its `offline` at first, then every 5 s.
    pub fn spawn(name: &str, config: BusConfig, cancel: CancellationToken) -> Self {
        let (commands, commands_rx) = mpsc::channel(QUEUE);
        let (polls, polls_rx) = mpsc::channel(QUEUE);
        let (recovered, recoveries) = watch::channel(0);
        let handle = Self {
            retries: config.retries,
            offline_after: config.offline.after,
            commands,
            polls,
            recoveries,
        };
        let arbiter = Arbiter {
            name: name.to_owned(),
            delays: Delays::new(reconnect_pauses(&config), 0),
            config,
            connection: None,
            outage: None,
            recovered,
        };
        tokio::spawn(arbiter.run(commands_rx, polls_rx, cancel));
        handle
    }

    /// One read, or with `retries` up to so many more while there is no usable answer.
    ///
    /// A unit that is busy is asked again, too; one that refuses is not.
    pub(crate) async fn read(
        &self,
        unit: u8,
        request: &ReadRequest,
        priority: Priority,
        retries: u8,
    ) -> Result<Data, BusError> {
        let mut left = retries;
        loop {
            let work = Work::Read(request.clone());
            match self
                .transact(unit, work, priority, || request.describe(unit))
                .await
            {
                Err(error) if left > 0 && error.is_worth_a_retry() => {
                    log::debug!("{error}; trying again");
                    left -= 1;
                }
                result => return result,
            }
        }
    }

    /// One write. It is never sent twice: without an answer nobody knows whether it took effect.
    pub(crate) async fn write(&self, unit: u8, request: &WriteRequest) -> Result<(), BusError> {
        let work = Work::Write(request.clone());
        let describe = || request.describe(unit);
        self.transact(unit, work, Priority::Command, describe)
            .await?;
        Ok(())
    }

    /// How often a read may be repeated.
    pub(crate) fn retries(&self) -> u8 {
        self.retries
    }

    /// After how many failures in a row a unit counts as offline.
    pub(crate) fn offline_after(&self) -> u32 {
        self.offline_after
    }

    /// Changes when the connection is back after an outage.
    pub(crate) fn recoveries(&self) -> watch::Receiver<u64> {
        self.recoveries.clone()
    }

    async fn transact(
        &self,
        unit: u8,
        work: Work,
        priority: Priority,
        describe: impl Fn() -> String,
    ) -> Result<Data, BusError> {
        let closed = || BusError::Closed {
            request: describe(),
        };
        let (reply, answer) = oneshot::channel();
        let queue = match priority {
            Priority::Command => &self.commands,
            Priority::Poll => &self.polls,
        };
        let job = Job { unit, work, reply };
        queue.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// The bus cannot be reached since the last attempt.
struct Outage {
    detail: String,
    /// Failed in a row.
    attempts: u32,
    /// When the next attempt may be made.
    retry_at: Instant,
}

struct Arbiter {
    name: String,
    config: BusConfig,
    /// The pauses between attempts to connect.
    delays: Delays,
    /// Only ever one on which no answer is outstanding.
    connection: Option<Connection>,
    outage: Option<Outage>,
    recovered: watch::Sender<u64>,
}

impl Arbiter {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Job>,
        mut polls: mpsc::Receiver<Job>,
        cancel: CancellationToken,
    ) {
        loop {
            let job = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                Some(job) = commands.recv() => job,
                Some(job) = polls.recv() => job,
                () = due(self.outage.as_ref()) => {
                    self.connection = self.connect().await.ok();
                    continue;
                }
                else => return,
            };
            // Whoever asked has gone: a write that nobody waits for must not be sent.
            if job.reply.is_closed() {
                continue;
            }
            let result = self.execute(job.unit, &job.work).await;
            let was_sent = !matches!(result, Err(BusError::Connect { .. }));
            let _ = job.reply.send(result);
            if was_sent && self.config.pause > Duration::ZERO {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = sleep(self.config.pause) => {}
                }
            }
        }
    }

    async fn execute(&mut self, unit: u8, work: &Work) -> Result<Data, BusError> {
        let request = || match work {
            Work::Read(read) => read.describe(unit),
            Work::Write(write) => write.describe(unit),
        };
        let mut connection = self.connect().await.map_err(|detail| BusError::Connect {
            request: request(),
            detail,
        })?;
        let limit = self.config.timeout;
        let result = match work {
            Work::Read(read) => {
                let place = (read.table, read.address, read.count);
                connection.read(unit, place, limit).await
            }
            Work::Write(write) => perform(&mut connection, unit, write, limit)
                .await
                .map(|()| Data::Words(Vec::new())),
        };
        let fault = match result {
            Ok(data) => {
                self.connection = Some(connection);
                return Ok(data);
            }
            Err(fault) => fault,
        };
        let request = request();
        Err(match fault {
            // An exception is an answer: nothing is outstanding.
            Fault::Exception(exception) => {
                self.connection = Some(connection);
                BusError::Exception { request, exception }
            }
            Fault::Timeout => BusError::Timeout {
                request,
                after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            },
            Fault::Lost(detail) => BusError::Lost { request, detail },
            Fault::Protocol(detail) => BusError::Protocol { request, detail },
        })
    }

    /// Takes the connection, or opens one. The caller puts it back if it can be used again, so
    /// that every way out that forgets to do so drops it.
    async fn connect(&mut self) -> Result<Connection, String> {
        if let Some(connection) = self.connection.take().filter(Connection::is_quiet) {
            return Ok(connection);
        }
        if let Some(outage) = &self.outage
            && Instant::now() < outage.retry_at
        {
            return Err(outage.detail.clone());
        }
        match Connection::open(&self.config.address).await {
            Ok(connection) => {
                self.delays.reset();
                if let Some(outage) = self.outage.take() {
                    log::info!(BUS = self.name.as_str(); "connected to {}", self.config.address);
                    if outage.attempts >= RECOVERY {
                        self.recovered
                            .send_modify(|count| *count = count.wrapping_add(1));
                    }
                }
                Ok(connection)
            }
            Err(detail) => {
                if self.outage.is_none() {
                    log::warn!(BUS = self.name.as_str(); "{detail}");
                }
                let before = self.outage.take().map_or(0, |outage| outage.attempts);
                self.outage = Some(Outage {
                    detail: detail.clone(),
                    attempts: before.saturating_add(1),
                    retry_at: Instant::now() + self.delays.next_delay(),
                });
                Err(detail)
            }
        }
    }
}

/// When the next attempt to connect is due; never while there is no outage.
async fn due(outage: Option<&Outage>) {
    match outage {
        Some(outage) => sleep_until(outage.retry_at).await,
        None => pending().await,
    }
}

/// From the shortest pause of a unit to 5 s, or to the longest pause of a unit if that is less.
fn reconnect_pauses(config: &BusConfig) -> Backoff {
    let backoff = config.offline.backoff;
    let max = backoff.max().min(RECONNECT_MAX).max(backoff.min());
    Period::new(backoff.min())
        .zip(Period::new(max))
        .and_then(|(min, max)| Backoff::new(min, max))
        .unwrap_or(backoff)
}

async fn perform(
    connection: &mut Connection,
    unit: u8,
    write: &WriteRequest,
    limit: Duration,
) -> Result<(), Fault> {
    match write {
        WriteRequest::Coil { address, on } => {
            connection.write_coil(unit, *address, *on, limit).await
        }
        WriteRequest::Registers { address, words } => {
            connection
                .write_registers(unit, *address, words, limit)
                .await
        }
        WriteRequest::Mask {
            address,
            mask,
            bits,
        } => {
            // Not function 22, which many devices lack.
            let place = (Table::Holding, *address, 1);
            let Data::Words(words) = connection.read(unit, place, limit).await? else {
                return Err(Fault::Protocol("not a register".into()));
            };
            let old = words.first().copied().unwrap_or_default();
            let new = old & !mask | bits & mask;
            connection
                .write_registers(unit, *address, &[new], limit)
                .await
        }
    }
}

#[cfg(test)]
mod tests;
