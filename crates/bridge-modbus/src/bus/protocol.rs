//! Modbus on a line: a transaction after the other on RTU, several at a time on TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_field_line::{self as field_line, JobOf, LineOf, Port, Priority, Stale, tcp};
use tokio::time::Instant;

use crate::config::{BusConfig, Transport};
use crate::counters::Ledger;
use crate::data::BusError;
use crate::link::Fault;
use crate::link::owing::Units;
use crate::link::rtu::{RtuLink, Timing};
use crate::link::tcp::{Happened, TcpLink};
use crate::wire::pdu::{Answer, Request};
use crate::write_plan::{Lacks, Work};

/// After so many requests in a row without a single byte, RTU over TCP is connected anew: the
/// other end may have forgotten the connection.
const MUTE_MAX: u32 = 3;
/// A frame on a serial line may pause for so long: USB adapters deliver every 16 ms at worst,
/// and a busy machine comes late.
pub(super) const SERIAL_GAP: Duration = Duration::from_millis(60);
/// The same for a serial device server, with a network in between.
const TCP_GAP: Duration = Duration::from_millis(250);

type Job = JobOf<Protocol>;
type Line = LineOf<Protocol>;

pub(crate) enum Link {
    // Boxed, as a link passes through the room that a bus takes when it has nothing to do.
    Rtu(Box<RtuLink>),
    Tcp(Box<TcpLink>),
}

/// A transaction whose request is on its way over TCP.
struct Flight {
    job: Job,
    request: Request,
    begun: Instant,
}

/// What is known of the units of a bus, and what is under way.
pub(crate) struct Protocol {
    config: Arc<BusConfig>,
    ledger: Ledger,
    flights: BTreeMap<u16, Box<Flight>>,
    /// Units with a transaction under way that nothing may come between.
    locked: BTreeSet<u8>,
    /// What the units owe. It outlives the link: a serial server may keep what it has.
    units: Units,
    lacks: BTreeMap<u8, Lacks>,
    /// Over TCP: since when something is under way.
    busy_since: Option<Instant>,
}

impl field_line::Protocol for Protocol {
    type Unit = u8;
    type Work = Work;
    type Answer = Result<Answer, BusError>;
    type Link = Link;
    type Event = Happened;

    fn place(&self) -> String {
        self.config.transport.to_string()
    }

    async fn open(&mut self) -> Result<Link, String> {
        let config = &self.config;
        let timing = |character, gap| Timing {
            character,
            silence: config.silence(),
            gap,
            turnaround: config.turnaround,
        };
        Ok(match &config.transport {
            Transport::Tcp(address) => {
                let stream = tcp::connect(address).await?;
                Link::Tcp(Box::new(TcpLink::new(stream, config.accept)))
            }
            Transport::RtuOverTcp(address) => {
                let stream = Box::new(tcp::connect(address).await?);
                Link::Rtu(Box::new(RtuLink::new(
                    stream,
                    timing(Duration::ZERO, TCP_GAP),
                    false,
                )))
            }
            Transport::Serial(serial) => {
                let stream = Box::new(Port::open(&serial.port).await?);
                let character = serial.port.character();
                let gap = SERIAL_GAP + character * 4;
                Link::Rtu(Box::new(RtuLink::new(
                    stream,
                    timing(character, gap),
                    serial.echo,
                )))
            }
        })
    }

    fn count_failed_open(&mut self) {
        self.ledger.bus(|counts| counts.failed_opens += 1);
    }

    fn unreachable(&self, job: &Job, detail: String) -> Result<Answer, BusError> {
        let request = job.work.describe(job.unit);
        Err(BusError::Connect { request, detail })
    }

    async fn check(&mut self, link: &mut Link, line: &mut Line) -> Result<(), Stale> {
        let Link::Tcp(link) = link else {
            return Ok(());
        };
        // Lets bytes that the system has already come in.
        tokio::task::yield_now().await;
        if link.is_stale() {
            return Err(Stale);
        }
        link.sort_out(&self.ledger).map_err(|fault| {
            if fault == Fault::Flood {
                self.flooded(line);
            }
            Stale
        })
    }

    fn has_room(&self) -> bool {
        self.flights.len() < self.config.in_flight
    }

    fn may_ask(&self, unit: u8) -> bool {
        !self.locked.contains(&unit)
    }

    async fn start(&mut self, link: Link, job: Job, line: &mut Line) {
        let request = job.work.first(self.lacks(job.unit));
        match link {
            Link::Rtu(link) => {
                // Boxed, as a Modbus TCP bus needs no such room, and there may be a thousand of them.
                let link = Box::pin(self.carry_out(link, job, request, line)).await;
                line.rest(Duration::ZERO);
                match link {
                    Some(link) => line.link = Some(Link::Rtu(link)),
                    None => line.lose(),
                }
            }
            Link::Tcp(link) => {
                line.link = Some(Link::Tcp(link));
                if job.work.is_exclusive() {
                    self.locked.insert(job.unit);
                }
                self.fly(job, request, line).await;
            }
        }
    }

    fn is_under_way(&self) -> bool {
        !self.flights.is_empty()
    }

    async fn next(&mut self, link: &mut Link) -> Happened {
        match link {
            Link::Tcp(link) => link.happened(&self.ledger).await,
            Link::Rtu(_) => pending().await,
        }
    }

    async fn happened(&mut self, event: Happened, line: &mut Line) {
        let (transaction, answer) = match event {
            Happened::Over(transaction, answer) => (transaction, answer),
            Happened::Broken(fault) => return self.crash(&fault, line),
        };
        let Some(flight) = self.flights.remove(&transaction) else {
            return;
        };
        let Flight {
            job,
            request,
            begun,
        } = *flight;
        if let Some(next) = self.follows(&job, &request, &answer) {
            self.judge(&job, &answer, begun.elapsed(), line);
            // Boxed, as reads have one request, and a thousand buses have room for it otherwise.
            return Box::pin(self.fly(job, next, line)).await;
        }
        let broken = match &answer {
            Err(Fault::Wrong(_)) => Some(Fault::Lost("given up after a wrong answer".into())),
            _ => None,
        };
        self.land(job, request, answer, begun, line);
        if let Some(fault) = broken {
            self.crash(&fault, line);
        }
    }
}

impl Protocol {
    pub(super) fn new(name: &str, config: &Arc<BusConfig>, ledger: &Ledger) -> Self {
        Self {
            ledger: ledger.clone(),
            flights: BTreeMap::new(),
            locked: BTreeSet::new(),
            units: Units::new(name, config.late),
            lacks: BTreeMap::new(),
            busy_since: None,
            config: Arc::clone(config),
        }
    }

    fn lacks(&self, unit: u8) -> Lacks {
        self.lacks.get(&unit).copied().unwrap_or_default()
    }

    /// The next request of a transaction, if there is one after this answer.
    fn follows(
        &mut self,
        job: &Job,
        request: &Request,
        answer: &Result<Answer, Fault>,
    ) -> Option<Request> {
        if matches!(job.work, Work::Plain(_)) {
            return None;
        }
        let seen = match answer {
            Ok(answer) => Ok(answer.clone()),
            Err(Fault::Exception(exception)) => Err(*exception),
            Err(_) => return None,
        };
        let lacks = self.lacks.entry(job.unit).or_default();
        job.work.next(request, &seen, lacks)
    }

    /// All requests of a transaction, one after the other. Returns the link if it is of use.
    async fn carry_out(
        &mut self,
        mut link: Box<RtuLink>,
        job: Job,
        mut request: Request,
        line: &mut Line,
    ) -> Option<Box<RtuLink>> {
        let unit = job.unit;
        loop {
            let begun = Instant::now();
            let answer = link
                .transact(unit, &request, job.timeout, &mut self.units, &self.ledger)
                .await;
            let cost = begun.elapsed();
            self.ledger.unit(unit, |counts| counts.busy += cost);
            self.judge(&job, &answer, cost, line);
            if let Some(next) = self.follows(&job, &request, &answer) {
                request = next;
                continue;
            }
            let fault = answer.as_ref().err().filter(|fault| fault.ends_link());
            let is_lost = fault.is_some();
            if matches!(fault, Some(Fault::Flood)) {
                self.flooded(line);
            }
            let is_mute =
                !matches!(self.config.transport, Transport::Serial(_)) && link.mute >= MUTE_MAX;
            reply(*job, &request, answer);
            if is_lost {
                self.ledger.bus(|counts| counts.lost += 1);
            }
            return (!is_lost && !is_mute).then_some(link);
        }
    }

    /// Sends a request over TCP.
    async fn fly(&mut self, job: Job, request: Request, line: &mut Line) {
        let begun = Instant::now();
        self.busy_since.get_or_insert(begun);
        let Some(Link::Tcp(link)) = &mut line.link else {
            return;
        };
        let limit = job.timeout;
        let sent = link
            .send(job.unit, request.clone(), limit, &self.ledger)
            .await;
        match sent {
            Ok(transaction) => {
                let flight = Flight {
                    job,
                    request,
                    begun,
                };
                self.flights.insert(transaction, Box::new(flight));
            }
            Err(fault) => {
                self.land(job, request, Err(fault.clone()), begun, line);
                self.crash(&fault, line);
            }
        }
    }

    /// Ends a transaction over TCP.
    fn land(
        &mut self,
        job: Job,
        request: Request,
        answer: Result<Answer, Fault>,
        begun: Instant,
        line: &mut Line,
    ) {
        self.judge(&job, &answer, begun.elapsed(), line);
        self.locked.remove(&job.unit);
        line.rest(self.config.silence());
        if self.flights.is_empty()
            && let Some(since) = self.busy_since.take()
        {
            let busy = since.elapsed();
            self.ledger.unit(job.unit, |counts| counts.busy += busy);
        }
        reply(*job, &request, answer);
    }

    /// Gives the connection up, and with it everything that is under way.
    fn crash(&mut self, fault: &Fault, line: &mut Line) {
        if *fault == Fault::Flood {
            self.flooded(line);
        }
        self.ledger.bus(|counts| counts.lost += 1);
        for (_, flight) in std::mem::take(&mut self.flights) {
            let answer = Err(fault.clone());
            self.land(flight.job, flight.request, answer, flight.begun, line);
        }
        line.lose();
    }

    /// The other end sends without end. That is counted, and told now and then.
    fn flooded(&self, line: &mut Line) {
        self.ledger.bus(|counts| counts.floods += 1);
        line.tell_flood(&self.config.transport);
    }

    /// Tells the line what a transaction showed of its unit.
    fn judge(&self, job: &Job, answer: &Result<Answer, Fault>, cost: Duration, line: &mut Line) {
        if matches!(answer, Ok(_) | Err(Fault::Exception(_))) {
            line.is_of_use();
        }
        // Who looks around must not make others believe that a unit has failed.
        if job.priority == Priority::Background || job.unit == 0 && self.config.transport.is_rtu() {
            return;
        }
        let has_failed = match answer {
            // The line's fault is not that of one unit.
            Err(Fault::Lost(_) | Fault::Flood) => return,
            // Nothing was asked.
            Err(Fault::Unsent(_)) if cost < job.timeout => return,
            Err(Fault::Exception(exception)) => exception.is_silence(),
            Err(Fault::Timeout | Fault::Wrong(_) | Fault::Unsent(_)) => true,
            Ok(_) => false,
        };
        if !has_failed {
            line.answered(job.unit);
        } else if line.failed(job.unit, cost) {
            self.ledger
                .unit(job.unit, |counts| counts.breaker_openings += 1);
        }
    }
}

fn reply(
    job: field_line::Job<u8, Work, Result<Answer, BusError>>,
    request: &Request,
    answer: Result<Answer, Fault>,
) {
    let answer = answer.map_err(|fault| match job.work.written_before(request) {
        // Part of it has taken effect.
        Some((done, of)) if !fault.ends_link() => Fault::Wrong(format!(
            "{}, after {done} of {of} were written one by one",
            fault.detail(job.timeout)
        )),
        _ => fault,
    });
    let answer = answer.map_err(|fault| fault.into_error(job.work.describe(job.unit), job.timeout));
    // The caller may have gone.
    let _ = job.reply.send(answer);
}
