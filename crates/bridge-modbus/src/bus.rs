//! A Modbus bus, as its devices and tools see it.

mod protocol;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::Outage;
use fieldgate_field_line::{Bus, Manners, Recoveries, Tolerance};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{BusConfig, Transport};
use crate::counters::{BusCounters, Ledger};
use crate::data::{BusError, Data, ReadRequest, WriteRequest};
use crate::wire::identify::Identification;
use crate::wire::pdu::{Answer, Request};
use crate::write_plan::Work;
use protocol::Protocol;

pub use fieldgate_field_line::Priority;

/// Answers that one identification may take; each names at least one of 256 objects.
const IDENTIFICATION_MAX: usize = 32;

/// Lends the line of a bus to its devices and to tools. A clone is another handle
/// to the same bus.
#[derive(Clone, Debug)]
pub struct BusHandle {
    config: Arc<BusConfig>,
    bus: Bus<Protocol>,
    ledger: Ledger,
}

impl BusHandle {
    /// Starts the task that owns the bus. It connects when the first transaction comes, and ends
    /// when `cancel` fires, after the transaction that is under way, or when the last handle is
    /// dropped. Must be called within a tokio runtime.
    ///
    /// After a failed attempt to connect, transactions fail at once, and the bus tries again by
    /// itself: after the shortest pause of its `offline` at first, then every 5 s.
    pub fn spawn(name: &str, config: BusConfig, cancel: CancellationToken) -> Self {
        Self::spawn_with(name, config, cancel, None)
    }

    /// As [`Self::spawn`], on a line in memory, with the times of the serial port in `config`.
    #[cfg(test)]
    pub(crate) fn spawn_on(config: BusConfig, line: tokio::io::DuplexStream) -> Self {
        let Transport::Serial(serial) = &config.transport else {
            panic!("a line in memory has the pace of a serial port");
        };
        let timing = crate::link::rtu::Timing {
            character: serial.port.character(),
            silence: config.silence(),
            gap: protocol::SERIAL_GAP,
            turnaround: config.turnaround,
        };
        let link = crate::link::rtu::RtuLink::new(Box::new(line), timing, false);
        let link = protocol::Link::Rtu(Box::new(link));
        Self::spawn_with("test", config, CancellationToken::new(), Some(link))
    }

    fn spawn_with(
        name: &str,
        config: BusConfig,
        cancel: CancellationToken,
        link: Option<protocol::Link>,
    ) -> Self {
        let manners = manners(&config);
        let (config, ledger) = (Arc::new(config), Ledger::default());
        let protocol = Protocol::new(name, &config, &ledger);
        Self {
            bus: Bus::spawn(name, protocol, manners, cancel, link),
            config,
            ledger,
        }
    }

    /// One transaction with any unit, sent once. With unit 0 on an RTU line it is for all units,
    /// and its answer is [`Answer::Done`] after the time that units need.
    ///
    /// # Errors
    ///
    /// See [`BusError`]. After anything but an exception or a missing connection, it is not known
    /// whether a write took effect.
    pub fn transact(
        &self,
        unit: u8,
        request: Request,
        priority: Priority,
    ) -> impl Future<Output = Result<Answer, BusError>> + Send + use<'_> {
        self.transact_within(unit, request, priority, self.config.timeout)
    }

    /// As [`Self::transact`], with another time limit than the bus has: a scan for units
    /// does not want to wait long for those that are not there.
    ///
    /// # Errors
    ///
    /// Those of [`Self::transact`].
    pub fn transact_within(
        &self,
        unit: u8,
        request: Request,
        priority: Priority,
        timeout: Duration,
    ) -> impl Future<Output = Result<Answer, BusError>> + Send + use<'_> {
        self.submit(unit, Work::Plain(request), priority, timeout)
    }

    /// What a unit says about itself: function 43 with type 14, in as many requests as it takes.
    /// `level` is 1 for the basic objects, 2 for the regular ones, 3 for all.
    ///
    /// # Errors
    ///
    /// Those of [`Self::transact`]; many units do not know the function.
    pub async fn identify(
        &self,
        unit: u8,
        level: u8,
        priority: Priority,
    ) -> Result<Identification, BusError> {
        let mut whole = Identification::default();
        let mut object = 0;
        for _ in 0..IDENTIFICATION_MAX {
            let request = Request::Identify { level, object };
            let Answer::Identification(part) = self.transact(unit, request, priority).await? else {
                break;
            };
            whole.conformity = part.conformity;
            whole.objects.extend(part.objects);
            match part.next {
                // A unit that names an earlier object would go round for ever.
                Some(next) if next > object => object = next,
                _ => break,
            }
        }
        Ok(whole)
    }

    /// A device on this bus is to be left alone for so long after a connection was made.
    pub fn settle_for(&self, settle: Duration) {
        self.bus.settle_for(settle);
    }

    /// Waits until the task that owns the bus has ended and its port is free again.
    pub async fn ended(&self) {
        self.bus.ended().await;
    }

    /// Since when and why its line cannot be opened, if that is so.
    pub fn outage(&self) -> Option<Outage> {
        self.bus.outage()
    }

    /// What happened on the bus so far.
    pub fn counters(&self) -> BusCounters {
        self.ledger.snapshot()
    }

    /// How the bus is configured.
    pub fn config(&self) -> &BusConfig {
        &self.config
    }

    /// One read, or with `retries` up to so many more while there is no usable answer.
    ///
    /// A unit that is busy is asked again, too; one that refuses is not.
    ///
    /// # Errors
    ///
    /// Those of [`Self::transact`].
    pub async fn read(
        &self,
        unit: u8,
        request: &ReadRequest,
        priority: Priority,
        retries: u8,
    ) -> Result<Data, BusError> {
        let mut left = retries;
        loop {
            let answer = self.transact(unit, request.to_wire(), priority).await;
            match answer {
                Ok(Answer::Data(data)) => return Ok(data),
                Ok(_) => {
                    return Err(BusError::Protocol {
                        request: request.describe(unit),
                        detail: "not the values asked for".into(),
                    });
                }
                Err(error) if left > 0 && error.is_worth_a_retry() => {
                    log::debug!("{error}; trying again");
                    self.ledger.unit(unit, |counts| counts.retries += 1);
                    left -= 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One write. It is never sent twice: without an answer it is not known whether it took effect.
    /// `masks` says whether function 22 may be tried. What [`WriteRequest::Exchange`] reads back
    /// is in the answer, if the unit knows the function for it.
    ///
    /// # Errors
    ///
    /// Those of [`Self::transact`].
    pub async fn write(
        &self,
        unit: u8,
        write: WriteRequest,
        masks: bool,
    ) -> Result<Answer, BusError> {
        let work = Work::Write { write, masks };
        let timeout = self.config.timeout;
        self.submit(unit, work, Priority::Command, timeout).await
    }

    /// Tells when the connection is back after an outage.
    pub(crate) fn recoveries(&self) -> Recoveries<u8> {
        self.bus.recoveries()
    }

    /// When a unit that was given up may be asked again without taking more than its share.
    pub(crate) fn probe_at(&self, unit: u8) -> Option<Instant> {
        self.bus.probe_at(unit)
    }

    /// Not an async function: what is handed to one stands in its future twice, and each device has one.
    fn submit(
        &self,
        unit: u8,
        work: Work,
        priority: Priority,
        timeout: Duration,
    ) -> impl Future<Output = Result<Answer, BusError>> + Send + use<'_> {
        let checked = match &work {
            Work::Plain(request) => request.check(),
            Work::Write { .. } => Ok(()),
        };
        let request = work.describe(unit);
        let prepared = checked.map(|()| self.bus.prepare(unit, work, priority, timeout));
        async move {
            match prepared {
                Err(detail) => Err(BusError::Illegal { request, detail }),
                Ok(prepared) => {
                    let answer = self.bus.submit(prepared).await;
                    answer.unwrap_or(Err(BusError::Closed { request }))
                }
            }
        }
    }
}

fn manners(config: &BusConfig) -> Manners {
    let is_serial = matches!(config.transport, Transport::Serial(_));
    Manners {
        tolerance: Tolerance {
            after: config.offline.after,
            share: config.offline.share,
            together: false,
            timeout: config.timeout,
        },
        backoff: config.offline.backoff,
        settle: config.settle,
        close_after: config.close_after,
        // A port can be opened again at once.
        reconnect: if is_serial {
            Duration::ZERO
        } else {
            config.reconnect
        },
    }
}

#[cfg(test)]
mod tests;
