//! What those hold who wait for changes to be on disk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// Names all changes up to some time, or some of them.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    /// The batch that they were put into.
    pub(super) batch: u64,
    /// If they are messages that may be acknowledged before they are written.
    pub(super) part: Option<Arc<Part>>,
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
pub(crate) enum Outcome {
    Undecided,
    /// They are on disk, or have become nothing that would have to be.
    Kept,
    /// They could not be written. New messages among them are forgotten, the rest is tried again.
    Lost,
}

/// Messages that were handed over together, each until its subscriber has acknowledged it.
#[derive(Debug, Default)]
pub(crate) struct Part {
    left: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Part {
    pub(super) fn add(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// One of them is no more. Returns whom to wake.
    pub(super) fn remove(&self) -> Option<Waker> {
        match self.left.fetch_sub(1, Ordering::AcqRel) {
            1 => self.waker().take(),
            _ => None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    /// Wakes `waker` when all are acknowledged. If they are already, nothing is woken.
    pub(super) fn wake(&self, waker: &Waker) {
        *self.waker() = Some(waker.clone());
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
