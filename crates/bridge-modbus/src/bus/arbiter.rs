//! The task that owns the line.

mod connect;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use fieldgate_bridge::backoff::Delays;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{QUEUE, SharedBreaker};
use crate::config::{BusConfig, Transport};
use crate::counters::Ledger;
use crate::data::BusError;
use crate::link::Fault;
use crate::link::owing::Units;
use crate::link::rtu::RtuLink;
use crate::link::tcp::{Happened, TcpLink};
use crate::queue::{Job, Priority, Queue, Turn};
use crate::wire::pdu::{Answer, Request};
use crate::write_plan::Lacks;
use connect::{Outage, reconnect_pauses};

/// After so many requests in a row without a single byte, RTU over TCP is connected anew: the
/// other end may have forgotten the connection.
const MUTE_MAX: u32 = 3;

enum Link {
    Rtu(RtuLink),
    Tcp(TcpLink),
}

/// A transaction whose request is on its way over TCP.
struct Flight {
    job: Job,
    request: Request,
    begun: Instant,
}

pub(super) struct Arbiter {
    name: String,
    config: Arc<BusConfig>,
    breaker: SharedBreaker,
    ledger: Ledger,
    recovered: watch::Sender<u64>,
    queue: Queue,
    /// The pauses between attempts to connect.
    delays: Delays,
    link: Option<Link>,
    outage: Option<Outage>,
    flights: BTreeMap<u16, Box<Flight>>,
    /// Units with a transaction under way that nothing may come between.
    locked: BTreeSet<u8>,
    /// What the units owe. It outlives the link: a serial server may keep what it has.
    units: Units,
    lacks: BTreeMap<u8, Lacks>,
    /// Nothing is sent before that, and nothing opened.
    silent_until: Instant,
    /// How long the other end is left alone after a connection was made, in microseconds.
    settle: Arc<AtomicU64>,
    /// When the link was opened, and whether a usable answer has come on it.
    connected: Option<Instant>,
    has_answered: bool,
    /// When something was last asked.
    last_used: Instant,
    /// Over TCP: since when something is under way.
    busy_since: Option<Instant>,
    /// When it was last told that the other end sends without end.
    flood_told: Option<Instant>,
}

impl Arbiter {
    pub(super) fn new(
        name: &str,
        config: Arc<BusConfig>,
        breaker: SharedBreaker,
        ledger: Ledger,
        recovered: watch::Sender<u64>,
        settle: Arc<AtomicU64>,
    ) -> Self {
        let late = config.late;
        Self {
            name: name.to_owned(),
            delays: Delays::new(reconnect_pauses(&config), 0),
            config,
            breaker,
            ledger,
            recovered,
            queue: Queue::default(),
            link: None,
            outage: None,
            flights: BTreeMap::new(),
            locked: BTreeSet::new(),
            units: Units::new(name, late),
            lacks: BTreeMap::new(),
            silent_until: Instant::now(),
            settle,
            connected: None,
            has_answered: false,
            last_used: Instant::now(),
            busy_since: None,
            flood_told: None,
        }
    }

    /// Has a line that is open already, at the pace that the configuration of a port says.
    #[cfg(test)]
    pub(super) fn on_line(mut self, line: Box<dyn fieldgate_field_line::Io>) -> Self {
        if let Transport::Serial(serial) = &self.config.transport {
            let timing = crate::link::rtu::Timing {
                character: serial.port.character(),
                silence: self.config.silence(),
                gap: connect::SERIAL_GAP,
                turnaround: self.config.turnaround,
            };
            self.link = Some(Link::Rtu(RtuLink::new(line, timing, false)));
        }
        self
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Box<Job>>,
        mut polls: mpsc::Receiver<Box<Job>>,
        cancel: CancellationToken,
    ) {
        let (mut commands_open, mut polls_open) = (true, true);
        while !cancel.is_cancelled() {
            while self.queue.commands() < QUEUE
                && let Ok(job) = commands.try_recv()
            {
                self.queue.push(*job);
            }
            while self.queue.polls() < QUEUE
                && let Ok(job) = polls.try_recv()
            {
                self.queue.push(*job);
            }
            let wake = match self.turn() {
                Turn::Now(job) => {
                    self.start(job).await;
                    continue;
                }
                Turn::At(at) => Some(at),
                Turn::Idle => None,
            };
            let is_idle =
                self.flights.is_empty() && self.queue.polls() + self.queue.commands() == 0;
            if is_idle && !commands_open && !polls_open {
                return;
            }
            let closes_at = self.closes_at();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                happened = happened(&mut self.link, &self.ledger), if !self.flights.is_empty() => {
                    self.happened(happened).await;
                }
                job = commands.recv(), if commands_open && self.queue.commands() < QUEUE => {
                    match job {
                        Some(job) => self.queue.push(*job),
                        None => commands_open = false,
                    }
                }
                job = polls.recv(), if polls_open && self.queue.polls() < QUEUE => {
                    match job {
                        Some(job) => self.queue.push(*job),
                        None => polls_open = false,
                    }
                }
                () = at(wake) => {}
                () = at(closes_at) => self.link = None,
                () = at(self.outage.as_ref().map(|outage| outage.retry_at)) => {
                    self.link = self.open().await.ok();
                }
            }
        }
    }

    /// Whose turn it is, if the line is free.
    fn turn(&mut self) -> Turn {
        let now = Instant::now();
        if self.flights.len() >= self.config.in_flight {
            return Turn::Idle;
        }
        if self.silent_until > now && self.queue.commands() + self.queue.polls() > 0 {
            return Turn::At(self.silent_until);
        }
        let locked = &self.locked;
        self.queue.take(&self.breaker.lock(), now, |unit| {
            (!locked.contains(&unit)).then_some(now)
        })
    }

    /// Begins a transaction; on RTU, carries it out.
    async fn start(&mut self, job: Job) {
        let link = match self.usable().await {
            Some(Ok(link)) => link,
            None => return self.queue.put_back(job),
            Some(Err(detail)) => {
                let request = job.work.describe(job.unit);
                let _ = job.reply.send(Err(BusError::Connect { request, detail }));
                return;
            }
        };
        if self.silent_until > Instant::now() {
            // It has just been opened.
            self.link = Some(link);
            return self.queue.put_back(job);
        }
        let request = job.work.first(self.lacks(job.unit));
        match link {
            Link::Rtu(link) => {
                // Boxed: a Modbus TCP bus needs no such room, and there may be a thousand of them.
                let link = Box::pin(self.carry_out(link, job, request)).await;
                self.link = link.map(Link::Rtu);
                self.last_used = Instant::now();
                if self.link.is_none() {
                    self.hold_off();
                }
            }
            Link::Tcp(link) => {
                self.link = Some(Link::Tcp(link));
                if job.work.is_exclusive() {
                    self.locked.insert(job.unit);
                }
                self.fly(job, request).await;
            }
        }
    }

    fn lacks(&self, unit: u8) -> Lacks {
        self.lacks.get(&unit).copied().unwrap_or_default()
    }

    /// All requests of a transaction, one after the other. Returns the link if it is of use.
    async fn carry_out(
        &mut self,
        mut link: RtuLink,
        job: Job,
        mut request: Request,
    ) -> Option<RtuLink> {
        let unit = job.unit;
        loop {
            let begun = Instant::now();
            let answer = link
                .transact(unit, &request, job.timeout, &mut self.units, &self.ledger)
                .await;
            let cost = begun.elapsed();
            self.ledger.unit(unit, |counts| counts.busy += cost);
            self.judge(&job, &answer, cost);
            let seen = match &answer {
                Ok(answer) => Some(Ok(answer.clone())),
                Err(Fault::Exception(exception)) => Some(Err(*exception)),
                Err(_) => None,
            };
            let lacks = self.lacks.entry(unit).or_default();
            if let Some(next) = seen.and_then(|seen| job.work.next(&request, &seen, lacks)) {
                request = next;
                continue;
            }
            let fault = answer.as_ref().err().filter(|fault| fault.ends_link());
            let is_lost = fault.is_some();
            if matches!(fault, Some(Fault::Flood)) {
                self.flooded();
            }
            let is_mute =
                !matches!(self.config.transport, Transport::Serial(_)) && link.mute >= MUTE_MAX;
            reply(job, &request, answer);
            if is_lost {
                self.ledger.bus(|counts| counts.lost += 1);
            }
            return (!is_lost && !is_mute).then_some(link);
        }
    }

    /// Sends a request over TCP.
    async fn fly(&mut self, job: Job, request: Request) {
        let begun = Instant::now();
        self.busy_since.get_or_insert(begun);
        let Some(Link::Tcp(link)) = &mut self.link else {
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
                self.land(job, request, Err(fault.clone()), begun);
                self.crash(&fault);
            }
        }
    }

    async fn happened(&mut self, happened: Happened) {
        let (transaction, answer) = match happened {
            Happened::Over(transaction, answer) => (transaction, answer),
            Happened::Broken(fault) => return self.crash(&fault),
        };
        let Some(flight) = self.flights.remove(&transaction) else {
            return;
        };
        let Flight {
            job,
            request,
            begun,
        } = *flight;
        let seen = match &answer {
            Ok(answer) => Some(Ok(answer.clone())),
            Err(Fault::Exception(exception)) => Some(Err(*exception)),
            Err(_) => None,
        };
        let lacks = self.lacks.entry(job.unit).or_default();
        if let Some(next) = seen.and_then(|seen| job.work.next(&request, &seen, lacks)) {
            self.judge(&job, &answer, begun.elapsed());
            return self.fly(job, next).await;
        }
        let broken = match &answer {
            Err(Fault::Wrong(_)) => Some(Fault::Lost("given up after a wrong answer".into())),
            _ => None,
        };
        self.land(job, request, answer, begun);
        if let Some(fault) = broken {
            self.crash(&fault);
        }
    }

    /// Ends a transaction over TCP.
    fn land(&mut self, job: Job, request: Request, answer: Result<Answer, Fault>, begun: Instant) {
        let now = Instant::now();
        self.judge(&job, &answer, begun.elapsed());
        self.locked.remove(&job.unit);
        self.silent_until = now + self.config.silence();
        self.last_used = now;
        if self.flights.is_empty()
            && let Some(since) = self.busy_since.take()
        {
            let busy = now.saturating_duration_since(since);
            self.ledger.unit(job.unit, |counts| counts.busy += busy);
        }
        reply(job, &request, answer);
    }

    /// Gives the connection up, and with it everything that is under way.
    fn crash(&mut self, fault: &Fault) {
        if *fault == Fault::Flood {
            self.flooded();
        }
        self.link = None;
        self.ledger.bus(|counts| counts.lost += 1);
        for (_, flight) in std::mem::take(&mut self.flights) {
            self.land(flight.job, flight.request, Err(fault.clone()), flight.begun);
        }
        self.hold_off();
    }

    /// Tells the breaker what a transaction showed of its unit.
    fn judge(&mut self, job: &Job, answer: &Result<Answer, Fault>, cost: Duration) {
        self.has_answered |= matches!(answer, Ok(_) | Err(Fault::Exception(_)));
        // Who looks around must not make others believe that a unit has failed.
        if job.priority == Priority::Background || job.unit == 0 && self.config.transport.is_rtu() {
            return;
        }
        let now = Instant::now();
        match answer {
            // The line's fault is not that of one unit.
            Err(Fault::Lost(_) | Fault::Flood) => {}
            // Nothing was asked.
            Err(Fault::Unsent(_)) if cost < job.timeout => {}
            Err(Fault::Exception(exception)) if exception.is_silence() => {
                self.failed(job.unit, cost, now);
            }
            Ok(_) | Err(Fault::Exception(_)) => self.breaker.lock().answered(job.unit, now),
            Err(Fault::Timeout | Fault::Wrong(_) | Fault::Unsent(_)) => {
                self.failed(job.unit, cost, now)
            }
        }
    }

    fn failed(&self, unit: u8, cost: Duration, now: Instant) {
        if self.breaker.lock().failed(unit, cost, now) {
            self.ledger
                .unit(unit, |counts| counts.breaker_openings += 1);
        }
    }
}

fn reply(job: Job, request: &Request, answer: Result<Answer, Fault>) {
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

/// The next thing on the connection; never while there is none.
async fn happened(link: &mut Option<Link>, ledger: &Ledger) -> Happened {
    match link {
        Some(Link::Tcp(link)) => link.happened(ledger).await,
        _ => pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
