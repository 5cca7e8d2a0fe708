//! All sessions by client identifier, and how many each owner has.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::owner::Owner;
use super::session_slot::SessionSlot;

/// The sessions that exist.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: HashMap<Box<str>, Arc<SessionSlot>, RandomState>,
    counts: HashMap<Owner, usize, RandomState>,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, client_id: &str) -> Option<&Arc<SessionSlot>> {
        self.by_id.get(client_id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<SessionSlot>> {
        self.by_id.values()
    }

    /// Sessions of one owner.
    pub(crate) fn count_of(&self, owner: &Owner) -> usize {
        self.counts.get(owner).copied().unwrap_or(0)
    }

    /// The owner that has most.
    pub(crate) fn biggest_owner(&self) -> Option<Owner> {
        let biggest = self.counts.iter().max_by_key(|(_, count)| **count);
        biggest.map(|(owner, _)| owner.clone())
    }

    /// Puts a session in its place. Returns the one that it replaces.
    pub(crate) fn insert(&mut self, slot: Arc<SessionSlot>) -> Option<Arc<SessionSlot>> {
        *self.counts.entry(slot.owner().clone()).or_default() += 1;
        let replaced = self.by_id.insert(slot.client_id().into(), slot);
        if let Some(replaced) = &replaced {
            self.discount(replaced);
        }
        replaced
    }

    /// Takes out `slot`, unless another has its place.
    pub(crate) fn remove(&mut self, slot: &Arc<SessionSlot>) {
        let known = self.by_id.get(slot.client_id());
        if known.is_some_and(|known| Arc::ptr_eq(known, slot)) {
            self.by_id.remove(slot.client_id());
            self.discount(slot);
        }
    }

    fn discount(&mut self, slot: &SessionSlot) {
        if let Some(count) = self.counts.get_mut(slot.owner()) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(slot.owner());
            }
        }
    }
}
