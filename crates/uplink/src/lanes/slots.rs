//! Packet identifiers of messages under way, emptied at each connection: an acknowledgement is
//! never credited to a message of before.

use std::collections::VecDeque;
use std::time::Instant;

use fieldgate_mqtt::PacketId;

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Window(u64),
    Backlog(u64),
    /// On the card, by its number: its answer is still waited for.
    Card(u64),
    /// It is none of the lanes'.
    Elsewhere,
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    used: Vec<Option<(Place, Instant)>>,
    free: Vec<u16>,
    most: u16,
    /// Identifiers in the order in which they were taken; some are free again.
    order: VecDeque<(PacketId, Instant)>,
    backlog: usize,
}

impl Slots {
    /// No message is under way, and `most` can be.
    pub(super) fn reset(&mut self, most: u16) {
        self.most = most;
        self.used = vec![None; most.into()];
        self.free = (0..most).rev().collect();
        self.order.clear();
        self.backlog = 0;
    }

    pub(super) fn most(&self) -> u16 {
        self.most
    }

    pub(super) fn len(&self) -> usize {
        self.used.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Those of the backlog.
    pub(super) fn backlog(&self) -> usize {
        self.backlog
    }

    pub(super) fn take(&mut self, place: Place, now: Instant) -> Option<PacketId> {
        let at = self.free.pop()?;
        let id = PacketId::new(at + 1)?;
        *self.used.get_mut(usize::from(at))? = Some((place, now));
        self.backlog += usize::from(matches!(place, Place::Backlog(_)));
        self.order.push_back((id, now));
        Some(id)
    }

    pub(super) fn free(&mut self, id: PacketId) -> Option<(Place, Instant)> {
        let found = self.used.get_mut(usize::from(id.get()) - 1)?.take()?;
        self.free.push(id.get() - 1);
        self.backlog -= usize::from(matches!(found.0, Place::Backlog(_)));
        self.clean();
        Some(found)
    }

    /// Those at the front that are free again, or were taken anew.
    fn clean(&mut self) {
        while let Some((id, at)) = self.order.front() {
            let slot = self.used.get(usize::from(id.get()) - 1);
            if slot
                .and_then(|slot| *slot)
                .is_some_and(|(_, taken)| taken == *at)
            {
                return;
            }
            self.order.pop_front();
        }
    }

    /// Messages have moved: `to` says where to, of those that have.
    pub(super) fn rename(&mut self, mut to: impl FnMut(Place) -> Option<Place>) {
        for (place, _) in self.used.iter_mut().flatten() {
            let Some(new) = to(*place) else { continue };
            let is_backlog = |place: Place| usize::from(matches!(place, Place::Backlog(_)));
            self.backlog = self.backlog + is_backlog(new) - is_backlog(*place);
            *place = new;
        }
    }

    /// Frees those whose message is gone.
    pub(super) fn forget(&mut self, is_gone: impl Fn(Place) -> bool) {
        for at in 0..self.used.len() {
            let slot = self.used.get(at).copied().flatten();
            if slot.is_some_and(|(place, _)| is_gone(place))
                && let Some(id) = u16::try_from(at + 1).ok().and_then(PacketId::new)
            {
                self.free(id);
            }
        }
    }

    pub(super) fn oldest(&self) -> Option<Place> {
        let (id, _) = self.order.front()?;
        let slot = self.used.get(usize::from(id.get()) - 1)?;
        slot.map(|(place, _)| place)
    }

    pub(super) fn oldest_time(&self) -> Option<Instant> {
        self.order.front().map(|(_, at)| *at)
    }
}
