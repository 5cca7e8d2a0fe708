//! What the plant looks like now, for everything in this process that wants to know, and a way to write to it.
//!
//! The gateway says what its devices tell ([`Plant::change`], [`Device::take`]); any thread reads. A reader stops
//! nothing: it holds a device's lock for as long as it takes to copy its readings, and a device that tells something
//! waits for no reader's work.
//!
//! Changes are numbered. A reader keeps the number up to which it has seen everything ([`Plant::changes`]) and asks a
//! device what has changed since ([`Device::changed_since`]). So a reader costs what it reads, a slow one misses
//! nothing but values that newer ones have replaced, and the gateway keeps nothing for it.

mod bus;
mod device;
mod reading;
mod tally;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

pub use bus::Bus;
pub use device::{About, Answer, Answers, Device, State, Unsent};
pub use reading::Reading;

use tally::Kinds;

/// The plant of one gateway. Clones are the same plant.
#[derive(Clone, Debug, Default)]
pub struct Plant {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    changes: Changes,
    kinds: Kinds,
    layout: RwLock<Arc<Layout>>,
}

/// Devices and buses that are there now.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The number of the change that made it: a reader that knows it need not look again.
    pub number: u64,
    /// By name.
    pub devices: BTreeMap<String, Arc<Device>>,
    /// By name.
    pub buses: BTreeMap<String, Arc<Bus>>,
}

/// Gives changes their numbers, from 1.
#[derive(Clone, Debug, Default)]
struct Changes(Arc<AtomicU64>);

impl Changes {
    /// The number of one more. Taken while what changes is locked: a reader that has seen the number and locks then
    /// finds the change.
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn last(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Plant {
    /// The number of the newest change. A reader that takes it *before* it looks misses nothing when it asks for
    /// later changes the next time.
    pub fn changes(&self) -> u64 {
        self.shared.changes.last()
    }

    /// What is there now. A reload replaces it as a whole.
    pub fn layout(&self) -> Arc<Layout> {
        let layout = self.shared.layout.read();
        Arc::clone(&layout.unwrap_or_else(PoisonError::into_inner))
    }

    /// A device that is there now.
    pub fn device(&self, name: &str) -> Option<Arc<Device>> {
        self.layout().devices.get(name).cloned()
    }

    /// Devices that answer, and all.
    pub fn count(&self) -> (usize, usize) {
        let layout = self.layout();
        let online = layout.devices.values();
        let online = online.filter(|device| device.state() == State::Online);
        (online.count(), layout.devices.len())
    }

    /// A device for [`Layout::devices`], which has told nothing yet.
    pub fn new_device(&self, about: About) -> Arc<Device> {
        let Shared { changes, kinds, .. } = &*self.shared;
        Arc::new(Device::new(about, changes.clone(), kinds.clone()))
    }

    /// A bus for [`Layout::buses`] that a bridge serves, which has counted nothing yet.
    pub fn new_bus(&self, bridge: &str) -> Arc<Bus> {
        Arc::new(Bus::new(bridge, self.shared.kinds.clone()))
    }

    /// Changes what is there, all at once for its readers.
    pub fn change(&self, change: impl FnOnce(&mut Layout)) {
        let layout = self.shared.layout.write();
        let mut layout = layout.unwrap_or_else(PoisonError::into_inner);
        let mut new = Layout::clone(&layout);
        change(&mut new);
        new.number = self.shared.changes.next();
        *layout = Arc::new(new);
    }
}
