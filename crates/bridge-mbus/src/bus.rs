//! A bus: one line that several meters share.
//!
//! Meters that did not answer last time wait behind those that did, and get a tenth of the line: ten meters that are
//! dead do not slow the others.

use std::convert::Infallible;
use std::future::pending;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Backoff, Cause, DriverError, Outage};
use fieldgate_field_line::{
    self as field_line, Bus, JobOf, LineOf, Manners, Priority, Stale, Tolerance,
};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::config::{MbusBusEntry, Transport};
use crate::counts::{Ledger, MbusCounters, MbusSnapshot};
use crate::exchange::{Debts, Effort, Readout, greet, read};
use crate::line::{Fault, Line};

/// Starts buses.
#[derive(Debug)]
pub struct MbusBus;

/// Lends the line of a bus to its devices and to tools. A clone is another handle to the same bus.
#[derive(Clone, Debug)]
pub struct MbusBusHandle {
    config: Arc<MbusBusEntry>,
    bus: Bus<Protocol>,
    ledger: Ledger,
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
pub(crate) enum Work {
    Read(Effort),
    /// Only whether it is there.
    Greet,
}

/// After so many requests in a row without a single byte, a connection is made anew: the other
/// end may have forgotten it.
const MUTE_MAX: u32 = 10;
/// How long after a connection that was of no use the next one is made.
const RECONNECT: Duration = Duration::from_secs(1);
/// Meters that did not answer last time get this part of the line, in percent.
const SHARE: u8 = 10;

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
        let (config, ledger) = (Arc::new(config), Ledger::default());
        let is_tcp = matches!(config.transport, Transport::Tcp(_));
        let manners = Manners {
            tolerance: Tolerance {
                after: 1,
                share: SHARE,
                together: true,
                timeout: config.timeout,
            },
            backoff: Backoff::default(),
            settle: Duration::ZERO,
            close_after: None,
            reconnect: if is_tcp { RECONNECT } else { Duration::ZERO },
        };
        let protocol = Protocol {
            config: Arc::clone(&config),
            ledger: ledger.clone(),
            debts: Debts::default(),
        };
        MbusBusHandle {
            bus: Bus::spawn(name, protocol, manners, cancel, line),
            config,
            ledger,
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
        self.bus.ended().await;
    }

    /// Since when and why its line cannot be opened, if that is so.
    pub fn outage(&self) -> Option<Outage> {
        self.bus.outage()
    }

    /// What happened on the bus so far, and with each meter.
    pub fn counters(&self) -> MbusCounters {
        self.ledger.snapshot()
    }

    /// What happened with one meter, as its device asked it.
    pub fn counters_of(&self, who: Address) -> MbusSnapshot {
        self.ledger.of(who)
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
    pub(crate) async fn begin(&self, who: Address, telegrams: usize) -> Result<Pending, MbusError> {
        let work = Work::Read(Effort {
            retries: self.config.retries,
            telegrams,
        });
        let priority = Priority::Poll(Instant::now());
        self.queue(who, work, priority).await
    }

    async fn queue(
        &self,
        who: Address,
        work: Work,
        priority: Priority,
    ) -> Result<Pending, MbusError> {
        let begun = self.bus.begin(who, work, priority, self.config.timeout);
        let answer = begun.await.map_err(|_| closed(who))?;
        Ok(Pending { who, answer })
    }

    async fn submit(&self, who: Address, work: Work) -> Result<Option<Readout>, MbusError> {
        let pending = self.queue(who, work, Priority::Background);
        pending.await?.answer().await
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

/// M-Bus on a line: a readout after the other.
#[derive(Debug)]
pub(crate) struct Protocol {
    config: Arc<MbusBusEntry>,
    ledger: Ledger,
    debts: Debts,
}

impl field_line::Protocol for Protocol {
    type Unit = Address;
    type Work = Work;
    type Answer = Result<Option<Readout>, MbusError>;
    type Link = Line;
    type Event = Infallible;

    fn place(&self) -> String {
        self.config.transport.to_string()
    }

    async fn open(&mut self) -> Result<Line, String> {
        let io = self.config.open().await?;
        Ok(Line::new(io, self.config.times()))
    }

    fn count_failed_open(&mut self) {
        self.ledger.bus(|counts| counts.lost += 1);
    }

    fn unreachable(&self, job: &JobOf<Self>, detail: String) -> Self::Answer {
        Err(MbusError {
            who: job.unit,
            cause: Cause::Open,
            fault: detail,
            is_garbled: false,
        })
    }

    /// What came unasked is looked at before each request.
    async fn check(&mut self, _: &mut Line, _: &mut LineOf<Self>) -> Result<(), Stale> {
        Ok(())
    }

    fn has_room(&self) -> bool {
        true
    }

    fn may_ask(&self, _: Address) -> bool {
        true
    }

    async fn start(&mut self, mut link: Line, job: JobOf<Self>, line: &mut LineOf<Self>) {
        let who = job.unit;
        let begun = Instant::now();
        let late = self.config.late;
        let result = match job.work {
            Work::Greet => greet(&mut link, who).await.map(|()| None),
            Work::Read(effort) => read(&mut link, who, effort, &mut self.debts, late)
                .await
                .map(Some),
        };
        let is_lost = result.as_ref().is_err_and(Fault::ends_line);
        let mut tally = std::mem::take(&mut link.tally);
        tally.lost += u64::from(is_lost);
        // Who looks around must not make a meter wait that answers, nor count as its failures.
        if job.priority == Priority::Background {
            self.ledger.bus(|counts| counts.add(&tally));
        } else {
            self.ledger.unit(who, |counts| counts.add(&tally));
            match &result {
                Ok(_) => line.answered(who),
                // The line's fault is not that of one meter.
                Err(fault) if fault.ends_line() => {}
                Err(_) => drop(line.failed(who, begun.elapsed())),
            }
        }
        if result.is_ok() {
            line.is_of_use();
        }
        if matches!(result, Err(Fault::Flood)) {
            line.tell_flood(&self.config.transport);
        }
        line.rest(Duration::ZERO);
        let is_tcp = matches!(self.config.transport, Transport::Tcp(_));
        if is_lost || (is_tcp && link.mute >= MUTE_MAX) {
            line.lose();
        } else {
            line.link = Some(link);
        }
        // Whatever asked may have gone.
        let _ = job
            .reply
            .send(result.map_err(|fault| self.error(who, fault)));
    }

    fn is_under_way(&self) -> bool {
        false
    }

    async fn next(&mut self, _: &mut Line) -> Infallible {
        pending().await
    }

    async fn happened(&mut self, event: Infallible, _: &mut LineOf<Self>) {
        match event {}
    }
}

impl Protocol {
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
