//! A bus: one task owns the line and lends it to one transaction at a time, or to as many as its protocol allows.
//!
//! Transactions of all devices wait in a queue that has places for so many commands and so many polls; `queue` says
//! whose turn it is. Without a place a sender waits; nothing is dropped. As a device has one poll under way at most, it
//! waits for one of each other device at most.

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Outage, Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::line::{Line, Manners};
use crate::queue::{Job, Queue, Turn};
use crate::shared::{Closed, Priority, QUEUE, Recoveries, Shared};

/// A transaction of a protocol that waits. Boxed, as it passes through the room that a bus takes when it has nothing to
/// do.
pub type JobOf<P> = Box<Job<<P as Protocol>::Unit, <P as Protocol>::Work, <P as Protocol>::Answer>>;

/// The line of a protocol.
pub type LineOf<P> = Line<<P as Protocol>::Unit, <P as Protocol>::Link>;

/// A link that is open is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// What is spoken on a line: how it is opened, and how one transaction is carried out.
pub trait Protocol: Send + Sized + 'static {
    /// Who can be asked.
    type Unit: Ord + Copy + fmt::Debug + Send + Sync + 'static;
    /// What can be asked.
    type Work: Send + 'static;
    /// What comes of it.
    type Answer: Send + 'static;
    /// An open line.
    type Link: Send + 'static;
    /// What happens on a link while transactions are under way.
    type Event: Send;

    /// What is behind the line, for people.
    fn place(&self) -> String;

    /// Opens the line.
    ///
    /// # Errors
    ///
    /// Why not, for people.
    fn open(&mut self) -> impl Future<Output = Result<Self::Link, String>> + Send;

    /// Counts an attempt to open the line that failed.
    fn count_failed_open(&mut self);

    /// What comes of a transaction that cannot begin, as the line cannot be opened.
    fn unreachable(&self, job: &JobOf<Self>, detail: String) -> Self::Answer;

    /// Looks whether a link is still of use, while nothing is under way on it. A flood is told and counted here.
    ///
    /// # Errors
    ///
    /// That it is not.
    fn check(
        &mut self,
        link: &mut Self::Link,
        line: &mut LineOf<Self>,
    ) -> impl Future<Output = Result<(), Stale>> + Send;

    /// Whether another transaction may begin.
    fn has_room(&self) -> bool;

    /// Whether a unit may be asked now, beside what is under way.
    fn may_ask(&self, unit: Self::Unit) -> bool;

    /// Begins a transaction. Carries it out, or leaves it under way. Puts `link` back into the line if it is of use.
    fn start(
        &mut self,
        link: Self::Link,
        job: JobOf<Self>,
        line: &mut LineOf<Self>,
    ) -> impl Future<Output = ()> + Send;

    /// Whether transactions are under way that have begun.
    fn is_under_way(&self) -> bool;

    /// Waits for the next thing to happen. Cancel-safe. Only while something is under way.
    fn next(&mut self, link: &mut Self::Link) -> impl Future<Output = Self::Event> + Send;

    /// Acts on what has happened.
    fn happened(
        &mut self,
        event: Self::Event,
        line: &mut LineOf<Self>,
    ) -> impl Future<Output = ()> + Send;
}

/// Lends the line of a bus to its devices and to tools. A clone is another handle to the same bus.
pub struct Bus<P: Protocol> {
    /// What may wait is bounded by places.
    jobs: Sender<JobOf<P>>,
    shared: Arc<Shared<P::Unit>>,
    task: TaskTracker,
}

/// A transaction that is not in the queue yet.
pub struct Prepared<P: Protocol> {
    job: JobOf<P>,
    answer: oneshot::Receiver<P::Answer>,
}

impl<P: Protocol> Clone for Bus<P> {
    fn clone(&self) -> Self {
        Self {
            jobs: self.jobs.clone(),
            shared: Arc::clone(&self.shared),
            task: self.task.clone(),
        }
    }
}

impl<P: Protocol> fmt::Debug for Bus<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl<P: Protocol> Bus<P> {
    /// Starts the task that owns the bus. It opens the line when the first transaction comes, and ends
    /// when `cancel` fires, after the transaction that is under way, or when the last handle is
    /// dropped. Must be called within a tokio runtime.
    ///
    /// After a failed attempt to open, transactions fail at once, and the bus tries again by
    /// itself: after the shortest pause of its `backoff` at first, then every 5 s.
    ///
    /// With `link`, the line is open already.
    pub fn spawn(
        name: &str,
        protocol: P,
        manners: Manners,
        cancel: CancellationToken,
        link: Option<P::Link>,
    ) -> Self {
        let (jobs, jobs_rx) = channel(2 * QUEUE);
        let shared = Arc::new(Shared::new(manners.tolerance, manners.settle));
        let mut line = Line::new(name, manners, Arc::clone(&shared));
        line.link = link;
        let bus = Self {
            jobs,
            shared,
            task: TaskTracker::new(),
        };
        let mut arbiter = Arbiter {
            protocol,
            line,
            queue: Queue::default(),
            jobs: jobs_rx,
            holds_back: manners.tolerance.together,
        };
        // By reference, as what is moved into an async function stands in its future twice.
        bus.task.spawn(async move { arbiter.run(&cancel).await });
        bus.task.close();
        bus
    }

    /// Puts a transaction into the queue, and returns where its answer will arrive. When that is
    /// dropped before its turn, it is not carried out. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the bus has ended.
    pub async fn begin(
        &self,
        unit: P::Unit,
        work: P::Work,
        priority: Priority,
        timeout: Duration,
    ) -> Result<oneshot::Receiver<P::Answer>, Closed> {
        let prepared = self.prepare(unit, work, priority, timeout);
        self.put(prepared.job).await?;
        Ok(prepared.answer)
    }

    /// Puts a transaction into the queue, and waits for the answer.
    ///
    /// # Errors
    ///
    /// If the bus has ended.
    pub async fn submit(&self, prepared: Prepared<P>) -> Result<P::Answer, Closed> {
        self.put(prepared.job).await?;
        prepared.answer.await.map_err(|_| Closed)
    }

    /// A transaction to [submit](Self::submit). In little room, as what is handed to an async function stands in its
    /// future twice, and each device has one.
    pub fn prepare(
        &self,
        unit: P::Unit,
        work: P::Work,
        priority: Priority,
        timeout: Duration,
    ) -> Prepared<P> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job {
            unit,
            work,
            priority,
            timeout,
            reply,
            place: None,
        });
        Prepared { job, answer }
    }

    /// Puts a transaction into the queue, when there is a place.
    async fn put(&self, mut job: JobOf<P>) -> Result<(), Closed> {
        job.place = Some(self.shared.place(job.priority).await?);
        self.jobs.try_send(job).map_err(|_| Closed)
    }

    /// A device on this bus is to be left alone for so long after a connection was made.
    pub fn settle_for(&self, settle: Duration) {
        self.shared.settle_for(settle);
    }

    /// Waits until the task that owns the bus has ended and its port is free again.
    pub async fn ended(&self) {
        self.task.wait().await;
    }

    /// Since when and why the line cannot be opened, if that is so. One attempt that fails is no outage.
    pub fn outage(&self) -> Option<Outage> {
        self.shared.outage()
    }

    /// Tells when the connection is back after an outage.
    pub fn recoveries(&self) -> Recoveries<P::Unit> {
        Recoveries::new(&self.shared)
    }

    /// When a unit that was given up may be asked again without taking more than its share.
    pub fn probe_at(&self, unit: P::Unit) -> Option<Instant> {
        self.shared.breaker().probe_at(unit, Instant::now())
    }
}

/// The task that owns the line.
struct Arbiter<P: Protocol> {
    protocol: P,
    line: LineOf<P>,
    queue: Queue<P::Unit, P::Work, P::Answer>,
    jobs: Receiver<JobOf<P>>,
    /// Units that were given up wait until they may have the line again.
    holds_back: bool,
}

impl<P: Protocol> Drop for Arbiter<P> {
    fn drop(&mut self) {
        // Those who wait for a place hear of it.
        self.line.shared.close();
    }
}

impl<P: Protocol> Arbiter<P> {
    async fn run(&mut self, cancel: &CancellationToken) {
        let mut is_open = true;
        while !cancel.is_cancelled() {
            while let Some(job) = self.jobs.try_recv() {
                self.queue.push(job);
            }
            let wake = match self.turn() {
                Turn::Now(job) => {
                    self.start(job).await;
                    continue;
                }
                Turn::At(at) => Some(at),
                Turn::Idle => None,
            };
            let is_flying = self.protocol.is_under_way();
            let is_idle = !is_flying && self.queue.polls() + self.queue.commands() == 0;
            if is_idle && !is_open {
                return;
            }
            let closes_at = self.line.closes_at().filter(|_| is_idle);
            let retry_at = self.line.outage.as_ref().map(|outage| outage.retry_at);
            let wake = [wake, closes_at, retry_at].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                event = next(&mut self.protocol, &mut self.line.link), if is_flying => {
                    self.protocol.happened(event, &mut self.line).await;
                }
                job = self.jobs.recv(), if is_open => match job {
                    Some(job) => self.queue.push(job),
                    None => is_open = false,
                },
                () = at(wake) => {
                    let now = Instant::now();
                    if closes_at.is_some_and(|at| at <= now) {
                        self.line.link = None;
                    } else if retry_at.is_some_and(|at| at <= now) {
                        self.line.link = Box::pin(self.open()).await.ok();
                    }
                }
            }
        }
    }

    /// Whose turn it is, if the line is free.
    fn turn(&mut self) -> Turn<JobOf<P>> {
        let now = Instant::now();
        if !self.protocol.has_room() {
            return Turn::Idle;
        }
        if let Some(until) = self.line.silent_until()
            && self.queue.commands() + self.queue.polls() > 0
        {
            return Turn::At(until);
        }
        let (protocol, breaker) = (&self.protocol, self.line.shared.breaker());
        self.queue.take(&breaker, now, |unit| {
            let held = match self.holds_back {
                true => breaker.probe_at(unit, now),
                false => None,
            };
            protocol.may_ask(unit).then(|| held.unwrap_or(now))
        })
    }

    async fn start(&mut self, job: JobOf<P>) {
        let link = match self.usable().await {
            Some(Ok(link)) => link,
            None => return self.queue.put_back(job),
            Some(Err(detail)) => {
                let answer = self.protocol.unreachable(&job, detail);
                // Whatever asked may have gone.
                let _ = job.reply.send(answer);
                return;
            }
        };
        if self.line.silent_until().is_some() {
            // It has just been opened.
            self.line.link = Some(link);
            return self.queue.put_back(job);
        }
        self.protocol.start(link, job, &mut self.line).await;
    }

    /// Takes the link, or opens one; `None` if it is too early for that.
    async fn usable(&mut self) -> Option<Result<P::Link, String>> {
        match self.line.link.take() {
            Some(link) if self.protocol.is_under_way() => return Some(Ok(link)),
            Some(mut link) => match self.protocol.check(&mut link, &mut self.line).await {
                Ok(()) => return Some(Ok(link)),
                Err(Stale) => self.line.lose(),
            },
            None => {}
        }
        if let Some(outage) = &self.line.outage
            && Instant::now() < outage.retry_at
        {
            return Some(Err(outage.detail.clone()));
        }
        if self.line.silent_until().is_some() {
            return None;
        }
        // Boxed, as that is rare.
        Some(Box::pin(self.open()).await)
    }

    async fn open(&mut self) -> Result<P::Link, String> {
        let opened = self.protocol.open().await;
        match &opened {
            Ok(_) => self.line.opened(self.protocol.place()),
            Err(detail) => {
                self.protocol.count_failed_open();
                self.line.failed_to_open(detail);
            }
        }
        opened
    }
}

/// The next thing on the link; never while there is none.
async fn next<P: Protocol>(protocol: &mut P, link: &mut Option<P::Link>) -> P::Event {
    match link {
        Some(link) => protocol.next(link).await,
        None => pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
