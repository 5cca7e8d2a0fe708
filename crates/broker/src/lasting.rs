//! What the hub puts into the store, and takes back from it at a start.

use std::time::{Duration, Instant};

use crate::cell::{Cell, Inner, Sink, Standing};
use crate::counters::add;
use crate::held::Held;
use crate::hub::Hub;
use crate::journal::{Change, Journal};
use crate::router::Kept;
use crate::store::{Clock, Recovered, RecoveredSession, SessionRecord};
use crate::timers::{Due, Task};

impl Hub {
    /// Hands over everything in `journal`, and lets the answers that were held for it go after that.
    pub(crate) fn keep_all(&self, journal: &mut Journal, held: &mut Held) {
        journal.is_awaited |= held.is_open();
        if let Some(store) = self.store.as_ref().filter(|_| !journal.is_empty()) {
            held.seal(store.submit(journal));
        }
    }

    /// Hands over changes that nobody waits for.
    pub(crate) fn keep(&self, journal: &mut Journal) {
        if let Some(store) = self.store.as_ref().filter(|_| !journal.is_empty()) {
            store.submit(journal);
        }
    }

    /// Hands over how a session stands.
    pub(crate) fn note(&self, cell: &Cell, inner: &Inner) {
        let mut journal = Journal::default();
        journal.changes.extend(record(cell, inner));
        self.keep(&mut journal);
    }

    /// Puts on record who has come. What a session that outlives the process begins with, its
    /// client must not see before that is on disk.
    pub(crate) fn enter(&self, cell: &Cell, inner: &mut Inner, is_new: bool, mut journal: Journal) {
        journal.changes.extend(record(cell, inner));
        let Sink::Wire(wire) = &mut inner.sink else {
            return;
        };
        journal.is_awaited = cell.is_stored() && (is_new || wire.held.is_open());
        if let Some(store) = self.store.as_ref().filter(|_| !journal.is_empty()) {
            let ticket = store.submit(&mut journal);
            wire.held.seal(ticket);
            wire.gate = (is_new && cell.is_stored()).then_some(ticket);
        }
    }

    /// Takes over what the store held. Nobody is connected yet.
    pub(crate) fn restore(&mut self, recovered: Recovered) {
        let now = tokio::time::Instant::now().into_std();
        let clock = Clock::now();
        let mut journal = Journal::default();
        let mut retained = self.retained();
        for Kept { message, publisher } in recovered.retained {
            if message.expired(now) {
                let topic = message.topic().into();
                journal.changes.push(Change::Retained { topic });
            } else {
                retained.store(&message, &publisher);
            }
        }
        drop(retained);
        let (mut sessions, mut messages) = (0, 0);
        // A client whose session was replaced just before the end has two: the newer counts.
        for session in recovered.sessions {
            let number = session.number;
            self.skip_to(number + 1);
            let left = session
                .record
                .expiry
                .map(|expiry| match session.record.away_since {
                    _ if expiry.is_zero() => Duration::ZERO,
                    Some(since) => clock.left_of(expiry, since),
                    None => expiry,
                });
            if left == Some(Duration::ZERO) {
                journal.changes.push(Change::Ended { session: number });
                continue;
            }
            messages += session.queue.len();
            sessions += 1;
            if let Some(replaced) = self.restore_session(session, left, now, &mut journal) {
                journal.changes.push(Change::Ended { session: replaced });
                sessions -= 1;
            }
        }
        if sessions > 0 {
            log::info!("{sessions} sessions of before, with {messages} messages waiting in them");
        }
        if let Some(store) = &self.store {
            store.submit(&mut journal);
        }
    }

    /// Returns the number of the session that it replaces, if there is one.
    fn restore_session(
        &self,
        session: RecoveredSession,
        left: Option<Duration>,
        now: Instant,
        journal: &mut Journal,
    ) -> Option<u64> {
        let record = session.record;
        let cell = self.restored_cell(session.number, &record.client_id);
        let (rights, _) = self
            .access
            .policy()
            .review(&record.principal, &record.client_id);
        cell.stand(Standing {
            principal: record.principal,
            rights,
        });
        let mut inner = cell.lock();
        inner.expiry = record.expiry;
        let unsent_from = record.unsent_from;
        let (queue, received) = (session.queue, session.received);
        let expired = inner
            .session
            .restore(queue, unsent_from, received, now, journal);
        add(&self.own_counters().publish_expired, expired);
        for (filter, grant) in session.subscriptions {
            self.router.subscribe(&cell, &filter, grant);
            inner.subscriptions.insert(filter, grant);
        }
        // Its connection ended with the process at the latest.
        let will_at = record.will.as_ref().map(|will| now + will.delay);
        inner.will = record.will;
        let end_at = left.map(|left| now + left);
        for (at, task) in [(will_at, Task::Will), (end_at, Task::End)] {
            let Some(at) = at else { continue };
            let key = self.timers.add(at, Due::new(&cell, inner.epoch, task));
            inner.timers.push(key);
        }
        drop(inner);
        self.adopt(cell)
    }
}

/// How a session stands, to be kept if it outlives the process.
pub(crate) fn record(cell: &Cell, inner: &Inner) -> Option<Change> {
    let is_away = matches!(inner.sink, Sink::Away);
    cell.is_stored().then(|| Change::Session {
        session: cell.id(),
        record: Box::new(SessionRecord {
            client_id: cell.client_id().into(),
            principal: cell.principal(),
            expiry: inner.expiry,
            away_since: is_away.then(|| Clock::now().millis()),
            unsent_from: is_away.then(|| inner.session.unsent_from()),
            will: inner.will.clone(),
        }),
    })
}
