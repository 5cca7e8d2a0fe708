//! What outlives the process: sessions with their queues, and retained messages.
//!
//! Changes are handed over in memory and written by one thread, all that came in the meantime
//! together. Who must not go on before its changes are on disk takes a ticket. Nothing here knows
//! MQTT's rules: `session` says what may be sent when.

mod batch;
mod coalesce;
mod file;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cell::{Cell, Sink, wake};
use crate::journal::{Change, Journal};
use crate::router::Retained;

use batch::Batch;
use coalesce::Coalesced;
use file::{Failure, File, set_aside};
pub(crate) use file::{Recovered, RecoveredSession};
pub(crate) use record::{Clock, SessionRecord};

/// How long changes wait for others, and for their end: a message that is acknowledged within
/// this time is never written.
const WINDOW: Duration = Duration::from_millis(2);

/// How often a disk that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Batches that failed are remembered for those who have not asked yet.
const LOST_MAX: usize = 1_024;

/// Where a broker keeps what outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The file. Its folder must exist; damaged files are set aside there.
    pub path: PathBuf,
    /// The retained message of a topic is written once in this time at most, so that values which
    /// change all the time do not wear out an SD card. A crash may bring back one that is up to twice
    /// as old.
    pub retained_interval: Duration,
}

impl StoreConfig {
    /// The file `path`, with half a minute between writes of a retained message.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            retained_interval: Duration::from_secs(30),
        }
    }
}

/// The store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot keep sessions in {}: {detail}", path.display())]
pub struct StoreError {
    /// The file that was asked for.
    pub path: PathBuf,
    /// What is wrong.
    pub detail: String,
}

/// Names all changes up to some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// What became of the changes of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Undecided,
    /// They are on disk.
    Kept,
    /// They could not be written. New messages among them are forgotten, the rest is tried again.
    Lost,
}

/// The store's side that everybody sees.
#[derive(Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    config: StoreConfig,
    inbox: Mutex<Inbox>,
    /// There is something in the inbox, or what was there has become nothing.
    changed: Condvar,
    coalesced: Mutex<Coalesced>,
    retained: Arc<Mutex<Retained>>,
    /// The last ticket that is decided.
    decided: AtomicU64,
    lost: Mutex<BTreeSet<u64>>,
    waiting: Mutex<Vec<(Ticket, Waker)>>,
    failing: AtomicBool,
    commits: AtomicU64,
}

#[derive(Debug)]
struct Inbox {
    batch: Batch,
    /// The ticket of `batch`.
    ticket: u64,
    stop: bool,
}

impl Store {
    /// Opens the file, sets it aside if it is damaged, and starts the thread that writes to it.
    pub(crate) fn open(
        config: StoreConfig,
        retained: Arc<Mutex<Retained>>,
    ) -> Result<(Self, Recovered), StoreError> {
        let clock = Clock::now();
        let path = config.path.clone();
        let failed = |detail| StoreError {
            path: path.clone(),
            detail,
        };
        let attempt = || {
            let file = File::open(&path)?;
            let recovered = file.load(&clock)?;
            Ok((file, recovered))
        };
        let opened = attempt().or_else(|failure| {
            let Failure::Damaged(detail) = failure else {
                return Err(failure);
            };
            let aside = set_aside(&path, &clock).map_err(|error| {
                let detail = format!("it is damaged ({detail}), and cannot be set aside: {error}");
                Failure::System(detail)
            })?;
            log::error!(
                "{}: {detail}; it is set aside as {}, and the broker starts without the sessions \
                 and retained messages of before",
                path.display(),
                aside.display()
            );
            attempt()
        });
        let (file, recovered) = opened.map_err(|failure| match failure {
            Failure::Damaged(detail) | Failure::System(detail) => failed(detail),
        })?;
        let shared = Arc::new(Shared {
            config,
            inbox: Mutex::new(Inbox {
                batch: Batch::default(),
                ticket: 1,
                stop: false,
            }),
            changed: Condvar::new(),
            coalesced: Mutex::default(),
            retained,
            decided: AtomicU64::new(0),
            lost: Mutex::default(),
            waiting: Mutex::default(),
            failing: AtomicBool::new(false),
            commits: AtomicU64::new(0),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            file: Some(file),
        };
        let thread = std::thread::Builder::new()
            .name("broker-store".into())
            .spawn(move || writer.run())
            .map_err(|error| failed(error.to_string()))?;
        let thread = Mutex::new(Some(thread));
        Ok((Self { shared, thread }, recovered))
    }

    /// Hands over everything in `journal`. The ticket is done when that is on disk, and all that
    /// was handed over before.
    pub(crate) fn submit(&self, journal: &mut Journal) -> Ticket {
        let mut inbox = self.shared.inbox();
        let was_idle = inbox.batch.is_idle();
        inbox.batch.add(journal);
        let is_news = was_idle && !inbox.batch.is_idle() || inbox.batch.is_empty();
        let ticket = Ticket(inbox.ticket);
        drop(inbox);
        if is_news {
            self.shared.changed.notify_one();
        }
        ticket
    }

    /// The ticket of what would be handed over now.
    pub(crate) fn latest(&self) -> Ticket {
        let mut journal = Journal {
            is_awaited: true,
            ..Journal::default()
        };
        self.submit(&mut journal)
    }

    pub(crate) fn outcome(&self, Ticket(ticket): Ticket) -> Outcome {
        if ticket > self.shared.decided.load(Ordering::Acquire) {
            Outcome::Undecided
        } else if lock(&self.shared.lost).contains(&ticket) {
            Outcome::Lost
        } else {
            Outcome::Kept
        }
    }

    /// Wakes `waker` when `ticket` is decided. If it is already, nobody is woken.
    pub(crate) fn wake_at(&self, ticket: Ticket, waker: &Waker) {
        let mut waiting = lock(&self.shared.waiting);
        if ticket.0 > self.shared.decided.load(Ordering::Acquire) {
            waiting.push((ticket, waker.clone()));
        }
    }

    /// Whether the disk takes nothing now, so that nothing new may be promised.
    pub(crate) fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// The retained message of `topic` has changed. Returns whether an answer has to wait until
    /// it is written; only if `awaited`.
    pub(crate) fn retained_changed(
        &self,
        topic: &str,
        awaited: bool,
        journal: &mut Journal,
    ) -> bool {
        // The broker's own figures are of this run.
        let lasts = !topic.starts_with("$SYS/");
        let now = lasts && lock(&self.shared.coalesced).changed(topic, awaited);
        if now {
            let topic = topic.into();
            journal.changes.push(Change::Retained { topic });
        }
        now
    }

    /// The retained message of `topic` is no more. Nobody waits for that to be written.
    pub(crate) fn retained_expired(&self, topic: &str) {
        lock(&self.shared.coalesced).changed(topic, false);
    }

    pub(crate) fn retained_interval(&self) -> Duration {
        self.shared.config.retained_interval
    }

    /// Writes the retained messages that are due. To be called once an interval.
    pub(crate) fn write_retained(&self) {
        let due = lock(&self.shared.coalesced).tick();
        self.submit_retained(due);
    }

    fn submit_retained(&self, topics: Vec<Box<str>>) {
        let change = |topic| Change::Retained { topic };
        let mut journal = Journal {
            changes: topics.into_iter().map(change).collect(),
            ..Journal::default()
        };
        self.submit(&mut journal);
    }

    /// Times that something was written.
    pub(crate) fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Writes everything that is not yet, and ends the thread.
    pub(crate) fn close(&self) {
        let rest = lock(&self.shared.coalesced).rest();
        self.submit_retained(rest);
        self.shared.inbox().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = lock(&self.thread).take() {
            // It does not panic; if it did, there would be nothing left to do.
            let _ = thread.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }

    /// Waits for changes, and a little longer for more. `None` at the end, when nothing is left.
    fn next(&self) -> Option<(Batch, u64)> {
        let mut inbox = self.inbox();
        while inbox.batch.is_idle() && !inbox.stop {
            inbox = self
                .changed
                .wait(inbox)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let window = if self.failing.load(Ordering::Relaxed) {
            RETRY
        } else {
            WINDOW
        };
        let until = Instant::now() + window;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let done = inbox.batch.is_empty() && !self.failing.load(Ordering::Relaxed);
            if inbox.stop || left.is_zero() || done {
                break;
            }
            let waited = self.changed.wait_timeout(inbox, left);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if inbox.stop && inbox.batch.is_idle() {
            return None;
        }
        let ticket = inbox.ticket;
        inbox.ticket += 1;
        Some((std::mem::take(&mut inbox.batch), ticket))
    }

    fn decide(&self, ticket: u64) {
        let mut waiting = lock(&self.waiting);
        self.decided.store(ticket, Ordering::Release);
        let (due, later) = std::mem::take(&mut *waiting)
            .into_iter()
            .partition(|(waits_for, _)| waits_for.0 <= ticket);
        *waiting = later;
        drop(waiting);
        let due: Vec<(Ticket, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that writes.
struct Writer {
    shared: Arc<Shared>,
    /// `None` after a failure.
    file: Option<File>,
}

impl Writer {
    fn run(mut self) {
        while let Some((batch, ticket)) = self.shared.next() {
            let result = match batch.is_empty() && self.file.is_some() {
                true => Ok(()),
                false => self.write(&batch),
            };
            match result {
                Ok(()) => self.succeed(batch, ticket),
                Err(failure) => {
                    self.fail(batch, ticket, &failure);
                    if self.shared.inbox().stop {
                        return;
                    }
                }
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        let shared = &self.shared;
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&shared.config.path)?,
        };
        let retained = |topic: &str| lock(&shared.retained).get(topic).cloned();
        file.commit(batch, retained, &Clock::now())?;
        shared.commits.fetch_add(1, Ordering::Relaxed);
        self.file = Some(file);
        Ok(())
    }

    fn succeed(&self, batch: Batch, ticket: u64) {
        let shared = &self.shared;
        if shared.failing.swap(false, Ordering::Relaxed) {
            let path = shared.config.path.display();
            log::info!("{path}: sessions and retained messages are kept again");
        }
        shared.decide(ticket);
        for (cell, number) in batch.awaited {
            cell_kept(&cell, number);
        }
    }

    fn fail(&mut self, batch: Batch, ticket: u64, failure: &Failure) {
        let shared = &self.shared;
        self.file = None;
        let (Failure::Damaged(detail) | Failure::System(detail)) = failure;
        if !shared.failing.swap(true, Ordering::Relaxed) {
            let path = shared.config.path.display();
            log::error!(
                "{path}: {detail}; until it can be written again, messages of QoS 1 and 2 that \
                 would have to be kept are refused"
            );
        }
        let mut lost = lock(&shared.lost);
        lost.insert(ticket);
        while lost.len() > LOST_MAX {
            lost.pop_first();
        }
        drop(lost);
        let forgotten = shared.inbox().batch.put_before(batch);
        for (cell, number) in forgotten {
            cell.lock().session.not_kept(number);
        }
        shared.decide(ticket);
    }
}

/// Lets a session send what is on disk now.
fn cell_kept(cell: &Cell, number: u64) {
    let mut inner = cell.lock();
    let waker = match (inner.session.kept(number), &mut inner.sink) {
        (true, Sink::Wire(wire)) => wire.waker.take(),
        _ => None,
    };
    drop(inner);
    wake(waker);
}
