//! A publisher's wait for subscribers that cannot keep up, bounded in time.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::cell::{Cell, Pressure};
use crate::counters::add;
use crate::hub::Hub;

/// The subscribers that a publisher waits for.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    cells: Vec<Arc<Cell>>,
}

impl Pause {
    pub(crate) fn new(cells: Vec<Arc<Cell>>) -> Self {
        Self { cells }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.cells.is_empty()
    }

    /// Forgets the subscribers that have caught up, and those for which everybody waited longer
    /// than `limit`. Returns when to look again; `None` when there is nobody left to wait for.
    ///
    /// `waker` is woken when a subscriber has caught up.
    pub(crate) fn check(&mut self, waker: &Waker, now: Instant, hub: &Hub) -> Option<Instant> {
        let limit: Duration = hub.config.limits.backpressure;
        let mut next: Option<Instant> = None;
        self.cells.retain(|cell| {
            let mut inner = cell.lock();
            let Pressure::Since(since) = inner.wait(waker) else {
                return false;
            };
            let until = since + limit;
            if now < until {
                next = Some(next.map_or(until, |next| next.min(until)));
                return true;
            }
            let (first, waiting) = inner.give_up_waiting();
            drop(inner);
            if first {
                add(&hub.own_counters().slow_subscribers, 1);
                let client = cell.client_id();
                log::warn!(CLIENT = client; "client {client:?} takes messages too slowly; no longer waiting for it");
            }
            waiting.into_iter().for_each(Waker::wake);
            false
        });
        next
    }

    /// Waits until nobody is left to wait for.
    pub(crate) async fn wait(mut self, hub: &Hub) {
        while let Some(until) = self.check(Waker::noop(), now(), hub) {
            let relieved = poll_fn(|cx| match self.check(cx.waker(), now(), hub) {
                None => Poll::Ready(()),
                Some(_) => Poll::Pending,
            });
            // Relieved or not: `check` decides.
            let _ = tokio::time::timeout_at(until.into(), relieved).await;
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
