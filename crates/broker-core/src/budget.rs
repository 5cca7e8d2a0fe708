//! One bound on what clients make the broker hold in memory (`Limits::memory`).
//!
//! Every message, session, subscription and connection is counted as long as it exists. Past seven eighths of the
//! budget only those who hold little get more, a sixteenth past all of it too. `relief` makes room again, from those
//! who hold most.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What one session may hold even when memory is short, in bytes.
pub const SMALL: usize = 64 * 1024;

/// Changes of a share smaller than this are not worth the counting.
const QUANTUM: usize = 1024;

/// What all clients together hold, and may hold.
#[derive(Debug)]
pub struct Budget {
    max: usize,
    pots: Box<[Arc<Pot>]>,
    /// What is in the pots and is not clients': the program's retained messages.
    own: Arc<Pot>,
    /// Clients hold more than the mark from which on room is made.
    short: Alarm,
}

/// Wakes the task that makes room.
#[derive(Debug, Default)]
struct Alarm {
    is_raised: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Alarm {
    fn raise(&self) {
        if self.is_raised.swap(true, Ordering::AcqRel) {
            return;
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waker {
            waker.wake_by_ref();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        *waker = Some(cx.waker().clone());
        drop(waker);
        match self.is_raised.swap(false, Ordering::AcqRel) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// A part of the count. Each worker has one, so that counting shares no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Pot(AtomicUsize);

impl Budget {
    /// A budget of `max` bytes, counted in `pots` pots.
    pub fn new(max: usize, pots: usize) -> Self {
        Self {
            max,
            pots: (0..pots.max(1)).map(|_| Arc::default()).collect(),
            own: Arc::default(),
            short: Alarm::default(),
        }
    }

    /// Ready when clients hold more than the mark from which on room is made. One task at a time may wait for it.
    pub fn poll_short(&self, cx: &Context<'_>) -> Poll<()> {
        self.short.poll(cx)
    }

    /// Counts what is not clients'.
    pub fn own(&self) -> &Arc<Pot> {
        &self.own
    }

    /// Bytes that may be held.
    pub fn max(&self) -> usize {
        self.max
    }

    /// The pot of worker `number`; others share the first.
    pub fn pot(&self, number: usize) -> &Arc<Pot> {
        &self.pots[number % self.pots.len()]
    }

    /// What is held now, in bytes.
    pub fn used(&self) -> usize {
        // One pot may be below zero for a moment, when what was counted there is given back elsewhere.
        let sums = self.pots.iter().map(|pot| pot.0.load(Ordering::Relaxed));
        let sum = sums.fold(0_usize, usize::wrapping_add);
        let sum = sum.wrapping_sub(self.own.0.load(Ordering::Relaxed));
        if sum > usize::MAX / 2 { 0 } else { sum }
    }

    /// Whether a client that holds `held` bytes may hold `more`.
    pub fn admits(&self, held: usize, more: usize) -> bool {
        let used = self.used() + more;
        if used <= self.max / 8 * 7 {
            return true;
        }
        self.short.raise();
        held + more <= SMALL && used <= self.max + self.max / 16
    }

    /// Whether room has to be made, which is seen to.
    pub fn is_short(&self) -> bool {
        let is_short = self.used() > self.max / 8 * 7;
        if is_short {
            self.short.raise();
        }
        is_short
    }

    /// Whether nothing is left for those who hold more than a little.
    pub fn is_used_up(&self) -> bool {
        self.used() > self.max
    }

    /// How much has to go, so that there is room for a while.
    pub fn excess(&self) -> usize {
        self.used().saturating_sub(self.max / 4 * 3)
    }
}

impl Pot {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one thing holds of the budget, which it gives back when it is dropped.
#[derive(Debug)]
pub struct Share {
    pot: Arc<Pot>,
    bytes: usize,
}

impl Share {
    /// A share of `bytes` bytes, counted in `pot`.
    pub fn new(pot: &Arc<Pot>, bytes: usize) -> Self {
        pot.add(bytes);
        Self {
            pot: Arc::clone(pot),
            bytes,
        }
    }

    /// What it holds now, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it is counted.
    pub fn pot(&self) -> &Arc<Pot> {
        &self.pot
    }

    /// It holds `bytes` bytes from now on.
    pub fn resize(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.pot.add(bytes - self.bytes);
        } else {
            self.pot.sub(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// The same for what changes all the time: small changes are left for later.
    pub fn follow(&mut self, bytes: usize) {
        if bytes.abs_diff(self.bytes) >= QUANTUM {
            self.resize(bytes);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pot.sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_hold_little_get_more_for_longer() {
        let budget = Budget::new(800_000, 2);
        let mut share = Share::new(budget.pot(0), 0);
        for (used, held, more, want) in [
            (0, 0, 700_000, true),
            (0, 0, 700_001, false),
            (690_000, SMALL, 10_000, true),
            (690_000, SMALL, 10_001, false),
            (690_000, 0, 10_001, true),
            (840_000, 100, 10_000, true),
            (840_000, 100, 10_001, false),
        ] {
            share.resize(used);
            assert_eq!(budget.admits(held, more), want, "{used} {held} {more}");
        }
    }

    #[test]
    fn what_is_dropped_is_given_back_wherever_it_was_counted() {
        let budget = Budget::new(1000, 2);
        let mut shares = vec![
            Share::new(budget.pot(0), 300),
            Share::new(budget.pot(1), 600),
        ];
        assert_eq!(budget.used(), 900);
        assert_eq!(budget.excess(), 150);
        shares[0].follow(300 + QUANTUM - 1);
        assert_eq!(budget.used(), 900);
        shares[0].follow(300 + QUANTUM);
        assert_eq!(budget.used(), 900 + QUANTUM);
        drop(shares);
        assert_eq!((budget.used(), budget.excess()), (0, 0));
    }
}
