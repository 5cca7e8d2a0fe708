//! The simulated devices behind one listener or on one line, and the faults of their answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    fault::{Fault, Faults, Times},
    pdu::{self, Exception},
    unit::Unit,
};

/// The devices behind one listener, by unit identifier. A clone is another handle to the same
/// devices, so that a test can look at them and spoil them while the server runs.
#[derive(Clone, Debug, Default)]
pub struct Image(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    units: BTreeMap<u8, Unit>,
    faults: Faults,
}

impl Image {
    /// No unit at all: every request is answered with [`Exception::TargetSilent`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a unit, or replaces the one with this identifier. What clients have written to that
    /// one stays, where the new one has the address: a relay does not move by a replacement.
    pub fn insert(&self, id: u8, mut unit: Unit) {
        let units = &mut self.lock().units;
        if let Some(old) = units.remove(&id) {
            unit.inherit(&old);
        }
        units.insert(id, unit);
    }

    /// Looks at a unit or changes it. `None` when there is no such unit.
    pub fn with<R>(&self, id: u8, act: impl FnOnce(&mut Unit) -> R) -> Option<R> {
        self.lock().units.get_mut(&id).map(act)
    }

    /// Whether there is such a unit.
    pub fn has(&self, id: u8) -> bool {
        self.lock().units.contains_key(&id)
    }

    /// What one unit tells of itself to function 43: vendor name, product code, revision.
    /// `None` when there is no such unit.
    pub fn identify(&self, id: u8, objects: [&str; 3]) -> Option<()> {
        self.with(id, |unit| {
            unit.identity = objects.map(str::to_owned).to_vec()
        })
    }

    /// Orders a fault for the answers of `unit`, which need not exist.
    pub fn inject(&self, unit: u8, fault: Fault, times: Times) {
        self.lock().faults.set(unit, fault, times);
    }

    /// Ends the fault of `unit`.
    pub fn heal(&self, unit: u8) {
        self.lock().faults.clear(unit);
    }

    /// Appends the answer to one request and returns the fault that the server shall apply to it.
    pub(crate) fn answer(
        &self,
        unit: u8,
        request: &[u8],
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Option<Fault> {
        let mut inner = self.lock();
        let fault = inner.faults.take(unit);
        match (fault, inner.units.get_mut(&unit)) {
            (Some(Fault::Silence), _) => {}
            (Some(Fault::Exception(exception)), _) => pdu::refuse(request, exception, out),
            (_, None) => pdu::refuse(request, Exception::TargetSilent, out),
            (_, Some(unit)) => pdu::answer(unit, request, now, out),
        }
        fault
    }

    /// Carries a request out on all units, which do not answer.
    pub(crate) fn answer_all(&self, request: &[u8], now: Duration) {
        for unit in self.lock().units.values_mut() {
            pdu::answer(unit, request, now, &mut Vec::new());
        }
    }

    /// A panic of a caller's closure leaves plain data behind: the lock is taken over.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
