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
    pub(crate) fn end(&self, cell: &Arc<SessionSlot>) {
        self.end_if(cell, tokio::time::Instant::now().into_std(), |_| true);
    }

    /// Ends a session if `still` holds of it once no client can attach to it any more. Returns
    /// whether it did.
    pub(crate) fn end_if(
        &self,
        cell: &Arc<SessionSlot>,
        now: Instant,
        still: impl FnOnce(&Inner) -> bool,
    ) -> bool {
        let mut sessions = self.sessions();
        let mut inner = cell.lock();
        if inner.dead || !still(&inner) {
            return false;
        }
        sessions.remove(cell);
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
        let is_on_record = inner.is_on_record(cell);
        inner.session = Session::new(self.config.limits.session());
        inner.recount();
        let waiting = inner.relieve();
        drop(inner);
        wake(displaced);
        waiting.into_iter().for_each(Waker::wake);
        if is_on_record {
            let mut journal = Journal::default();
            let session = cell.id();
            journal.changes.push(Change::Ended { session });
            self.keep(&mut journal);
        }
        self.drop_subscriptions(cell, subscriptions.into_keys().collect());
        if let Some(will) = will {
            self.publish_kept(&will.at(now), cell, now);
        }
        true
    }

    /// Takes the subscriptions of a session that has ended out of the router. Many are left to the thread that has time:
    /// nothing is delivered to the session any more.
    fn drop_subscriptions(&self, cell: &Arc<SessionSlot>, mut filters: Vec<Box<str>>) {
        let cell = Arc::clone(cell);
        let slow = self.slow.get().filter(|_| filters.len() > AT_ONCE);
        let slow = slow.and_then(|(handle, hub)| Some((handle, hub.upgrade()?)));
        let Some((handle, hub)) = slow else {
            return self.router.unsubscribe_all(&cell, &filters);
        };
        handle.spawn(async move {
            while !filters.is_empty() {
                let rest = filters.split_off(filters.len().saturating_sub(AT_ONCE));
                hub.router.unsubscribe_all(&cell, &rest);
                tokio::task::yield_now().await;
            }
        });
    }
}
