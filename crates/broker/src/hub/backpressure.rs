//! A publisher's wait for subscribers that cannot keep up, bounded in time.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::congestion::{LOOK, Pressure};
use super::session_slot::SessionSlot;
use crate::counters::add;
use crate::hub::Hub;
use crate::shown::shown;

/// The subscribers that a publisher waits for.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    slots: Vec<Arc<SessionSlot>>,
}

impl Pause {
    pub(crate) fn new(slots: Vec<Arc<SessionSlot>>) -> Self {
        Self { slots }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.slots.is_empty()
    }

    /// Forgets the subscribers that have caught up, and those for which all publishers waited longer
    /// than `limit`. Returns when to look again; `None` when there is nothing left to wait for.
    ///
    /// `waker` is woken when a subscriber has caught up.
    pub(crate) fn check(&mut self, waker: &Waker, now: Instant, hub: &Hub) -> Option<Instant> {
        let limit: Duration = hub.config.limits.backpressure;
        let mut next: Option<Instant> = None;
        self.slots.retain(|slot| {
            let mut inner = slot.lock();
            if inner.wait(waker) == Pressure::None {
                return false;
            }
            if !inner.congestion.count(slot.taken(), now, limit) {
                next = Some(now + LOOK);
                return true;
            }
            let (first, waiting) = inner.give_up_waiting();
            drop(inner);
            if first {
                add(&hub.own_counters().slow_subscribers, 1);
                let client = shown(slot.client_id());
                log::warn!(CLIENT = client.as_str(); "client {client} takes messages too slowly; publishers do not wait for it any more");
            }
            waiting.into_iter().for_each(Waker::wake);
            false
        });
        next
    }
}
