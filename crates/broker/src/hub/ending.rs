//! The end of a session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Instant;

use fieldgate_broker_core::journal::{Change, Journal};
use fieldgate_broker_core::session::Session;

use super::Hub;
use super::session_slot::{Inner, SessionSlot, Sink, wake};

/// Subscriptions that are dropped in one go.
const AT_ONCE: usize = 32;

impl Hub {
    /// Ends a session: its subscriptions, its queue, and its will, which is published.
    pub(crate) fn end(&self, slot: &Arc<SessionSlot>) {
        self.end_if(slot, tokio::time::Instant::now().into_std(), |_| true);
    }

    /// Ends a session if `still` holds of it once no client can attach to it any more. Returns
    /// whether it did.
    pub(crate) fn end_if(
        &self,
        slot: &Arc<SessionSlot>,
        now: Instant,
        still: impl FnOnce(&Inner) -> bool,
    ) -> bool {
        let mut sessions = self.sessions();
        let mut inner = slot.lock();
        if inner.dead || !still(&inner) {
            return false;
        }
        sessions.remove(slot);
        drop(sessions);
        inner.dead = true;
        self.timers.cancel(&mut inner.timers);
        let displaced = match std::mem::replace(&mut inner.sink, Sink::Away) {
            Sink::Wire(wire) => {
                self.online.fetch_sub(1, Ordering::Relaxed);
                wire.waker
            }
            Sink::Link(_) | Sink::Away => None,
        };
        let subscriptions = inner.take_subscriptions();
        let will = inner.will.take();
        let is_on_record = inner.is_on_record(slot);
        inner.session = Session::new(self.config.limits.session());
        inner.recount();
        let waiting = inner.relieve();
        drop(inner);
        wake(displaced);
        waiting.into_iter().for_each(Waker::wake);
        if is_on_record {
            let mut journal = Journal::default();
            let session = slot.id();
            journal.changes.push(Change::Ended { session });
            self.keep(&mut journal);
        }
        self.drop_subscriptions(slot, subscriptions.into_keys().collect());
        if let Some(will) = will {
            self.publish_kept(&will.at(now), slot, now);
        }
        true
    }

    /// Takes the subscriptions of a session that has ended out of the router. Many are left to the thread that has time:
    /// nothing is delivered to the session any more.
    fn drop_subscriptions(&self, slot: &Arc<SessionSlot>, mut filters: Vec<Box<str>>) {
        let slot = Arc::clone(slot);
        let slow = self.slow.get().filter(|_| filters.len() > AT_ONCE);
        let slow = slow.and_then(|(handle, hub)| Some((handle, hub.upgrade()?)));
        let Some((handle, hub)) = slow else {
            return self.router.unsubscribe_all(&slot, &filters);
        };
        handle.spawn(async move {
            while !filters.is_empty() {
                let rest = filters.split_off(filters.len().saturating_sub(AT_ONCE));
                hub.router.unsubscribe_all(&slot, &rest);
                tokio::task::yield_now().await;
            }
        });
    }
}
