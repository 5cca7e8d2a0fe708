//! What of the broker outlives its process: sessions with their queues, wills, and retained messages.
//!
//! Changes are handed over in memory and written by one thread, all that came in the meantime
//! together. What must not go on before its changes are on disk takes a ticket. Nothing here knows
//! MQTT's rules: `session` says what may be sent when.

mod batch;
mod book;
mod clock;
mod config;
mod index;
mod load;
mod old;
mod open;
mod ops;
mod pace;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fieldgate_mqtt::QoS;
use fieldgate_spool::STAMP;

use fieldgate_broker_core::journal::{Change, Journal};
use fieldgate_broker_core::reserved::is_brokers;
use fieldgate_broker_core::router::{Retained, Stored};
use fieldgate_broker_core::ticket::{Commits, Outcome, Ticket};

use batch::Batch;
use open::{Opened, import};
use pace::Pace;
use writer::Writer;

pub use clock::{Clock, StoreTime};
pub use config::{StoreConfig, StoreError};
pub use load::{Recovered, RecoveredSession};

/// How long everything that is held may take to be handed over, and how often that is looked at.
const ALL_MAX: Duration = Duration::from_secs(3);
const ALL_LOOK: Duration = Duration::from_millis(20);

/// Batches that failed are remembered for those who have not asked yet.
const LOST_MAX: usize = 1_024;

/// Bytes that wait to be written, from which on those who bring more have to wait.
const BACKLOG: usize = 4 << 20;

/// The public side of the store.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    config: StoreConfig,
    time: StoreTime,
    inbox: Mutex<Inbox>,
    /// There is something to do earlier than the thread knows.
    changed: Condvar,
    /// Topics whose messages have expired, which is not written yet.
    expired: Mutex<HashSet<Box<str>>>,
    retained: Arc<Mutex<Retained>>,
    /// The last batch that is decided.
    decided: AtomicU64,
    lost: Mutex<BTreeSet<u64>>,
    waiting: Mutex<Vec<(u64, Waker)>>,
    failing: AtomicBool,
    /// The log has lost what it held: it needs everything again.
    wants_all: AtomicBool,
    /// The folder could not be used at the start, and cannot yet: what is handed over lives in the
    /// memory of its owner alone.
    is_without: AtomicBool,
    commits: AtomicU64,
    /// Bytes of the changes that wait to be written, about.
    backlog: AtomicUsize,
    /// What stands beside the newest frame.
    stamp: Mutex<[u8; STAMP]>,
}

#[derive(Debug)]
struct Inbox {
    batch: Batch,
    /// The number of `batch`.
    number: u64,
    pace: Pace,
    /// When the thread will look again; `None` while it only does if it is told.
    looks_at: Option<Instant>,
    is_busy: bool,
    /// The disk has failed, and is tried again then.
    not_before: Option<Instant>,
    stop: bool,
}

impl Store {
    /// Opens the log, sets it aside if it is damaged, and starts the thread that writes to it. With a
    /// folder that cannot be used nothing is kept until it can be.
    pub fn open(
        config: StoreConfig,
        retained: Arc<Mutex<Retained>>,
    ) -> Result<(Self, Recovered), StoreError> {
        let path = config.path.clone();
        let failed = |detail| StoreError {
            path: path.clone(),
            detail,
        };
        let pot = Arc::clone(lock(&retained).pot());
        let Opened {
            book,
            time,
            recovered,
        } = open::open(&path, &pot).map_err(failed)?;
        let stamp = book.as_ref().and_then(|book| book.log.stamp());
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox {
                batch: Batch::default(),
                number: 1,
                pace: Pace::new(config.commit, Instant::now()),
                looks_at: None,
                is_busy: false,
                not_before: None,
                stop: false,
            }),
            config,
            time,
            changed: Condvar::new(),
            expired: Mutex::default(),
            retained,
            decided: AtomicU64::new(0),
            lost: Mutex::default(),
            waiting: Mutex::default(),
            failing: AtomicBool::new(false),
            wants_all: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            backlog: AtomicUsize::new(0),
            is_without: AtomicBool::new(book.is_none()),
            stamp: Mutex::new(stamp.unwrap_or_else(|| time.stamp())),
        });
        let (book, recovered) = match book {
            Some(book) => {
                let (book, recovered) = import(book, recovered, &shared);
                (Some(book), recovered)
            }
            None => (None, recovered),
        };
        let writer = Writer {
            has_content: book.as_ref().is_some_and(|book| !book.index.is_empty()),
            tried: Instant::now(),
            shared: Arc::clone(&shared),
            book,
        };
        let thread = std::thread::Builder::new()
            .name("broker-store".into())
            .spawn(move || writer.run())
            .map_err(|error| failed(error.to_string()))?;
        let thread = Mutex::new(Some(thread));
        Ok((Self { shared, thread }, recovered))
    }

    /// The store's time, in which it says when something happened or expires.
    pub fn clock(&self) -> Clock {
        self.shared.time.now()
    }

    /// Notes the time if the calendar was set. To be called now and then.
    pub fn check_time(&self) {
        let stamp = *lock(&self.shared.stamp);
        if self.shared.time.has_stepped(stamp) {
            self.restamp();
        }
    }

    /// Whether what is handed over is written to the disk.
    pub fn is_keeping(&self) -> bool {
        !self.is_failing() && !self.shared.is_without.load(Ordering::Relaxed)
    }

    /// Whether everything that is held has to be handed over again. True once. To be called now
    /// and then.
    pub fn wants_all(&self) -> bool {
        if self.shared.is_without.load(Ordering::Relaxed) {
            // Wakes the thread, which may have nothing else to do.
            self.restamp();
        }
        self.shared.wants_all.swap(false, Ordering::AcqRel)
    }

    fn restamp(&self) {
        let mut inbox = self.shared.inbox();
        inbox.batch.restamp = true;
        inbox.batch.firm(Instant::now());
        drop(inbox);
        self.shared.changed.notify_one();
    }

    /// Hands over everything in `journal`. The ticket is done when that is on disk, and all that
    /// was handed over before.
    pub fn submit(&self, journal: &mut Journal) -> Ticket {
        journal.is_awaited = false;
        let changes = std::mem::take(&mut journal.changes);
        let is_more = !changes.is_empty();
        let (number, is_firm) = self.hand_over(changes, journal);
        let sent = std::mem::take(&mut journal.sent);
        journal.is_late = false;
        match (is_firm, sent.part) {
            (true, _) => Ticket {
                batch: number,
                part: None,
            },
            // All that waits may be acknowledged before it is written.
            (false, Some(part)) => Ticket {
                // What was handed over before may have been written meanwhile.
                batch: if is_more { number } else { sent.batch },
                part: Some(part),
            },
            (false, None) => Ticket {
                batch: sent.batch.max(number - 1),
                part: None,
            },
        }
    }

    /// Hands over those messages among the changes from `before` on that their client may get before
    /// they are on disk, under the client's lock.
    pub fn submit_sent(&self, before: usize, journal: &mut Journal) {
        let is_sent = |change: &mut Change| match change {
            Change::Queued { entry, .. } => entry.qos == QoS::AtLeastOnce,
            _ => false,
        };
        let sent: Vec<_> = journal.changes.extract_if(before.., is_sent).collect();
        if sent.is_empty() {
            return;
        }
        // Messages that may be sent once they are on disk are among the other changes: written without
        // these, they would go out too early.
        let awaited = std::mem::take(&mut journal.awaited);
        journal.sent.batch = self.hand_over(sent, journal).0;
        journal.awaited = awaited;
    }

    /// Puts changes into the batch. Returns its number, and whether something in it waits for the disk.
    fn hand_over(&self, changes: Vec<Change>, journal: &mut Journal) -> (u64, bool) {
        let bytes: usize = changes.iter().map(Change::weight).sum();
        let bytes = bytes + std::mem::take(&mut journal.bytes);
        let mut guard = self.shared.inbox();
        self.shared.backlog.fetch_add(bytes, Ordering::Relaxed);
        let inbox = &mut *guard;
        let woken = inbox.batch.add(changes, journal, Instant::now());
        let due = inbox.batch.due(&inbox.pace);
        let is_earlier =
            due.is_some_and(|due| inbox.looks_at.is_none_or(|looks_at| due < looks_at));
        let is_news = is_earlier && !inbox.is_busy;
        let found = (inbox.number, inbox.batch.is_firm());
        drop(guard);
        if is_news {
            self.shared.changed.notify_one();
        }
        woken.into_iter().for_each(Waker::wake);
        found
    }

    /// Whether so much waits to be written that who has something among it should bring no more. `waker` is woken
    /// when it has been written.
    pub fn is_behind(&self, waker: &Waker) -> bool {
        let is_behind = self.shared.backlog.load(Ordering::Relaxed) > BACKLOG;
        if is_behind {
            self.wake_at(&self.latest(), waker);
        }
        is_behind
    }

    /// Whether the disk takes nothing now, so that nothing new may be promised.
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Whether the retained message of `topic` outlives the process: the broker's own figures are of
    /// this run. What bridges say of themselves is theirs.
    pub fn lasts(topic: &str) -> bool {
        !is_brokers(topic)
    }

    /// The retained message of `topic` has changed, as `stored` says. Returns whether an answer has
    /// to wait until it is written; only if `awaited`.
    ///
    /// A value that nothing waits for is written late, unless it is a topic's first, or its end:
    /// these do not come all the time.
    pub fn retained_changed(
        &self,
        topic: &str,
        stored: Stored,
        awaited: bool,
        journal: &mut Journal,
    ) -> bool {
        if !Self::lasts(topic) {
            return false;
        }
        let at_once = match stored {
            Stored::Absent | Stored::Refused => false,
            Stored::Replaced => awaited,
            Stored::New | Stored::Removed | Stored::Full => true,
        };
        if at_once {
            lock(&self.shared.expired).remove(topic);
            let topic = topic.into();
            journal.changes.push(Change::Retained { topic });
        }
        awaited
    }

    /// The retained message of `topic` is no more. That may be written late, as the message says so
    /// itself.
    pub fn retained_expired(&self, topic: &str) {
        lock(&self.shared.expired).insert(topic.into());
    }

    /// How often retained messages that change are written.
    pub fn retained_interval(&self) -> Duration {
        self.shared.config.retained_interval
    }

    /// Writes the retained messages that are due: those that have changed, and what has expired. To be called once an
    /// interval.
    pub fn write_retained(&self) {
        let changed = lock(&self.shared.retained).take_late();
        let expired = std::mem::take(&mut *lock(&self.shared.expired));
        let topics = changed.into_iter().chain(expired);
        let mut journal = Journal {
            changes: topics.map(|topic| Change::Retained { topic }).collect(),
            ..Journal::default()
        };
        self.submit(&mut journal);
    }

    /// Times that something was written.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Writes everything that is not yet, and ends the thread.
    pub fn close(&self) {
        self.write_retained();
        // The next boot must know when this one ended.
        self.restamp();
        self.shared.inbox().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = lock(&self.thread).take() {
            // It does not panic; if it did, there would be nothing left to do.
            let _ = thread.join();
        }
    }
}

impl Commits for Store {
    fn latest(&self) -> Ticket {
        self.submit(&mut Journal::default())
    }

    fn outcome(&self, ticket: &Ticket) -> Outcome {
        if ticket.part.as_ref().is_some_and(|part| part.is_done()) {
            return Outcome::Kept;
        }
        if ticket.batch > self.shared.decided.load(Ordering::Acquire) {
            Outcome::Undecided
        } else if lock(&self.shared.lost).contains(&ticket.batch) {
            Outcome::Lost
        } else {
            Outcome::Kept
        }
    }

    fn wake_at(&self, ticket: &Ticket, waker: &Waker) {
        if let Some(part) = &ticket.part {
            part.wake(waker);
        }
        let mut waiting = lock(&self.shared.waiting);
        if ticket.batch > self.shared.decided.load(Ordering::Acquire) {
            waiting.push((ticket.batch, waker.clone()));
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

    /// Waits until changes are due, or have become nothing. `None` at the end, when nothing is left.
    fn next(&self) -> Option<(Batch, u64)> {
        let mut guard = self.inbox();
        guard.is_busy = false;
        loop {
            let inbox = &mut *guard;
            let now = Instant::now();
            let due = inbox.batch.due(&inbox.pace).max(inbox.not_before);
            if inbox.stop || due.is_some_and(|due| due <= now) {
                break;
            }
            inbox.looks_at = due;
            guard = match due {
                Some(due) => {
                    let waited = self.changed.wait_timeout(guard, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(guard);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        let inbox = &mut *guard;
        if inbox.stop && inbox.batch.is_empty() && !inbox.batch.is_firm() {
            return None;
        }
        let number = inbox.number;
        inbox.number += 1;
        inbox.is_busy = true;
        self.backlog.store(0, Ordering::Relaxed);
        let batch = match inbox.stop {
            true => std::mem::take(&mut inbox.batch),
            false => inbox.batch.take(Instant::now()),
        };
        if !batch.is_empty() {
            inbox.pace.wrote(Instant::now());
        }
        Some((batch, number))
    }

    /// Waits until everything that is held has been handed over, but not for ever.
    fn wait_for_all(&self) {
        let end = Instant::now() + ALL_MAX;
        let is_over = |inbox: &Inbox| inbox.batch.is_all || inbox.stop || Instant::now() >= end;
        let mut inbox = self.inbox();
        while !is_over(&inbox) {
            let waited = self.changed.wait_timeout(inbox, ALL_LOOK);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn decide(&self, number: u64) {
        let mut waiting = lock(&self.waiting);
        self.decided.store(number, Ordering::Release);
        let (due, later) = std::mem::take(&mut *waiting)
            .into_iter()
            .partition(|(waits_for, _)| *waits_for <= number);
        *waiting = later;
        drop(waiting);
        let due: Vec<(u64, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
