//! What happened on a bus, in numbers: for the bus and for each of its units.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts of a bus at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters<U, C> {
    /// Of the bus in all.
    pub bus: C,
    /// Of each unit that was asked. What concerns no unit is in `bus` only.
    /// Boxed, as a map has room for eleven from the start, and most buses have one unit.
    pub units: BTreeMap<U, Box<C>>,
}

impl<U, C: Default> Default for Counters<U, C> {
    fn default() -> Self {
        Self {
            bus: C::default(),
            units: BTreeMap::new(),
        }
    }
}

/// Where the bus writes and others look. A clone is the same ledger.
#[derive(Debug)]
pub struct Ledger<U, C>(Arc<Mutex<Counters<U, C>>>);

impl<U, C> Clone for Ledger<U, C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<U, C: Default> Default for Ledger<U, C> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Counters::default())))
    }
}

impl<U: Ord + Copy, C: Clone + Default> Ledger<U, C> {
    /// Counts something of a unit, and the same of its bus.
    pub fn unit(&self, unit: U, count: impl Fn(&mut C)) {
        let mut counters = self.lock();
        count(&mut counters.bus);
        count(counters.units.entry(unit).or_default());
    }

    /// Counts something that concerns no single unit.
    pub fn bus(&self, count: impl FnOnce(&mut C)) {
        count(&mut self.lock().bus);
    }

    /// The counts of one unit now.
    pub fn of(&self, unit: U) -> C {
        let counters = self.lock();
        counters
            .units
            .get(&unit)
            .map_or_else(C::default, |counts| C::clone(counts))
    }

    /// The counts now.
    pub fn snapshot(&self) -> Counters<U, C> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counters<U, C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
