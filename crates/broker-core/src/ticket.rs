//! What those hold who wait for changes to be on disk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// Names all changes up to some time, or some of them.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The batch that they were put into.
    pub batch: u64,
    /// If they are messages that may be acknowledged before they are written.
    pub part: Option<Arc<Part>>,
}

impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        let same_part = match (&self.part, &other.part) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        self.batch == other.batch && same_part
    }
}

impl Eq for Ticket {}

/// What became of the changes of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They have not been written yet.
    Undecided,
    /// They are on disk, or have become nothing that would have to be.
    Kept,
    /// They could not be written. New messages among them are forgotten, the rest is tried again.
    Lost,
}

/// What writes changes, and knows which are on disk.
pub trait Commits {
    /// What became of the changes of a ticket.
    fn outcome(&self, ticket: &Ticket) -> Outcome;
    /// Wakes `waker` when `ticket` is decided. If it is already, nothing is woken.
    fn wake_at(&self, ticket: &Ticket, waker: &Waker);
    /// The ticket of what would be handed over now.
    fn latest(&self) -> Ticket;
}

/// Messages that were handed over together, each until its subscriber has acknowledged it or has it safe.
#[derive(Debug, Default)]
pub struct Part {
    left: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Part {
    /// One more was handed over.
    pub fn add(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// One of them is no more. Returns whom to wake.
    pub fn remove(&self) -> Option<Waker> {
        match self.left.fetch_sub(1, Ordering::AcqRel) {
            1 => self.waker().take(),
            _ => None,
        }
    }

    /// Whether all are acknowledged.
    pub fn is_done(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    /// Wakes `waker` when all are acknowledged. If they are already, nothing is woken.
    pub fn wake(&self, waker: &Waker) {
        *self.waker() = Some(waker.clone());
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
