//! What a bus and its handles share, in one place in memory: there may be a thousand buses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fieldgate_bridge::Outage;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::breaker::{Breaker, Tolerance};

/// Commands that may wait, and polls: one for each unit that a line can have.
pub const QUEUE: usize = 256;

/// When a transaction gets its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Before all polls; commands among themselves in the order in which they came.
    Command,
    /// A poll that is due at this moment: the most overdue goes first.
    Poll(Instant),
    /// When nothing else waits: scans and curiosity.
    Background,
}

/// The bus has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// What a bus and its handles share.
#[derive(Debug)]
pub(crate) struct Shared<U> {
    /// What units are given up: the bus writes, the devices look.
    breaker: Mutex<Breaker<U>>,
    /// How long the other end is left alone after a connection was made, in microseconds: the
    /// longest that a device on it asks for.
    settle: AtomicU64,
    /// For those who want to know that the line cannot be reached.
    outage: Mutex<Option<Outage>>,
    /// How often the connection was back after an outage.
    recoveries: AtomicU64,
    recovered: Notify,
    /// For how many more commands there is room.
    commands: Semaphore,
    /// And polls.
    polls: Semaphore,
}

/// A place among the transactions that may wait, which is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<U> {
    shared: Arc<Shared<U>>,
    priority: Priority,
}

impl<U> Drop for Place<U> {
    fn drop(&mut self) {
        self.shared.places(self.priority).add_permits(1);
    }
}

impl<U> Shared<U> {
    fn places(&self, priority: Priority) -> &Semaphore {
        match priority {
            Priority::Command => &self.commands,
            Priority::Poll(_) | Priority::Background => &self.polls,
        }
    }

    /// Waits for a place. Cancel-safe.
    pub(crate) async fn place(self: &Arc<Self>, priority: Priority) -> Result<Place<U>, Closed> {
        let permit = self.places(priority).acquire().await;
        permit.map_err(|_| Closed)?.forget();
        Ok(Place {
            shared: Arc::clone(self),
            priority,
        })
    }

    /// The bus has ended: there are no places any more.
    pub(crate) fn close(&self) {
        self.commands.close();
        self.polls.close();
    }

    pub(crate) fn settle(&self) -> Duration {
        Duration::from_micros(self.settle.load(Ordering::Relaxed))
    }

    pub(crate) fn settle_for(&self, settle: Duration) {
        self.settle.fetch_max(micros(settle), Ordering::Relaxed);
    }

    pub(crate) fn breaker(&self) -> MutexGuard<'_, Breaker<U>> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outage(&self) -> Option<Outage> {
        let outage = self.outage.lock();
        outage.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_outage(&self, outage: Option<Outage>) {
        let mut told = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        *told = outage;
    }

    /// The connection is back after an outage.
    pub(crate) fn recovered(&self) {
        self.recoveries.fetch_add(1, Ordering::AcqRel);
        self.recovered.notify_waiters();
    }
}

impl<U: Ord + Copy> Shared<U> {
    pub(crate) fn new(tolerance: Tolerance, settle: Duration) -> Self {
        Self {
            breaker: Mutex::new(Breaker::new(tolerance)),
            settle: AtomicU64::new(micros(settle)),
            outage: Mutex::default(),
            recoveries: AtomicU64::new(0),
            recovered: Notify::new(),
            commands: Semaphore::new(QUEUE),
            polls: Semaphore::new(QUEUE),
        }
    }
}

/// Tells when the connection of a bus is back after an outage.
#[derive(Clone, Debug)]
pub struct Recoveries<U> {
    shared: Arc<Shared<U>>,
    seen: u64,
}

impl<U> Recoveries<U> {
    pub(crate) fn new(shared: &Arc<Shared<U>>) -> Self {
        Self {
            seen: shared.recoveries.load(Ordering::Acquire),
            shared: Arc::clone(shared),
        }
    }

    /// Whether it came back since it was last looked.
    pub fn has_changed(&self) -> bool {
        self.shared.recoveries.load(Ordering::Acquire) != self.seen
    }

    /// What was until now is of no interest.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.recoveries.load(Ordering::Acquire);
    }

    /// Waits until it is back; for ever if the bus has ended. Cancel-safe.
    pub async fn changed(&mut self) {
        loop {
            // From here on it hears of it: one that comes after the look is not missed.
            let recovered = self.shared.recovered.notified();
            if self.has_changed() {
                break;
            }
            recovered.await;
        }
        self.mark_unchanged();
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
