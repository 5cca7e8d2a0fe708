//! What the hub puts into the store, and takes back from it at a start.

use std::time::{Duration, Instant};

use super::due::{Due, Task};
use super::owner::Owner;
use super::session_slot::{Inner, SessionSlot, Sink, Standing};
use crate::counters::add;
use crate::hub::Hub;
use fieldgate_broker_access::Principal;
use fieldgate_broker_core::journal::{Change, Journal};
use fieldgate_broker_core::pending_acks::{PendingAcks, Seal};
use fieldgate_broker_core::record::SessionRecord;
use fieldgate_broker_store::{Recovered, RecoveredSession, Store};

impl Hub {
    /// Hands over everything in `journal`, and lets the answers that were held for it go after that.
    pub(crate) fn keep_all(&self, journal: &mut Journal, pending: &mut PendingAcks) {
        journal.is_awaited |= pending.is_open();
        if journal.is_empty() {
            return;
        }
        let Some(store) = self.store.as_ref() else {
            *journal = Journal::default();
            return pending.seal(Seal::default());
        };
        if !journal.changes.is_empty() {
            pending.brings();
        }
        pending.seal(Seal::of(store.submit(journal)));
    }

    /// Hands over changes that no acknowledgement waits for.
    pub(crate) fn keep(&self, journal: &mut Journal) {
        if let Some(store) = self.store.as_ref().filter(|_| !journal.is_empty()) {
            store.submit(journal);
        }
    }

    /// Hands over how a session stands.
    pub(crate) fn note(&self, slot: &SessionSlot, inner: &Inner) {
        let mut journal = Journal::default();
        journal.changes.extend(self.record(slot, inner));
        self.keep(&mut journal);
    }

    /// Puts on record who has come. What a session that outlives the process begins with, its
    /// client must not see before that is on disk.
    pub(crate) fn enter(
        &self,
        slot: &SessionSlot,
        inner: &mut Inner,
        is_new: bool,
        mut journal: Journal,
    ) {
        let is_new = is_new && inner.is_on_record(slot);
        journal.changes.extend(self.record(slot, inner));
        let Sink::Wire(wire) = &mut inner.sink else {
            return;
        };
        journal.is_awaited = is_new || (slot.is_stored() && wire.pending.is_open());
        if let Some(store) = self.store.as_ref().filter(|_| !journal.is_empty()) {
            let ticket = store.submit(&mut journal);
            wire.pending.seal(Seal::of(ticket.clone()));
            wire.gate = is_new.then_some(ticket);
        }
    }

    /// Takes over what the store held. No client is connected yet.
    pub(crate) fn restore(&mut self, recovered: Recovered) {
        let now = tokio::time::Instant::now().into_std();
        let Some(clock) = self.store.as_ref().map(Store::clock) else {
            return;
        };
        let mut journal = Journal::default();
        let mut retained = self.retained();
        for kept in recovered.retained {
            if kept.message.expired(now) {
                let topic = kept.message.topic().into();
                journal.changes.push(Change::Retained { topic });
            } else {
                retained.restore(kept);
            }
        }
        drop(retained);
        let (mut sessions, mut messages) = (0, 0);
        let mut ended = Vec::new();
        // A client whose session was replaced just before the end has two: the newer counts.
        for session in recovered.sessions {
            let number = session.number;
            self.skip_to(number.saturating_add(1));
            let record = &session.record;
            let left = record.expiry.map(|expiry| match record.away_since {
                _ if expiry.is_zero() => Duration::ZERO,
                Some(since) => clock.left_of(expiry, since),
                None => expiry,
            });
            if left == Some(Duration::ZERO) {
                journal.changes.push(Change::Ended { session: number });
                ended.push(session);
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
        // A session that ended with the process, or while there was none, publishes its will now
        // (MQTT 5.0 section 3.1.2.5). All who get it are there.
        for session in ended {
            self.publish_late_will(session, now);
        }
        if let Some(store) = &self.store {
            store.submit(&mut journal);
        }
    }

    /// Hands over everything, for a store whose files were removed while it was in use. The store
    /// writes nothing before the last part.
    pub(crate) fn keep_everything(&self) {
        let mut journal = Journal::default();
        for slot in self.slots() {
            let inner = slot.lock();
            let Some(record) = self.record(&slot, &inner).filter(|_| !inner.dead) else {
                continue;
            };
            let session = slot.id();
            let changes = &mut journal.changes;
            changes.push(record);
            changes.extend(inner.subscriptions.iter().map(|(filter, &grant)| {
                let filter = filter.clone();
                Change::Subscribed {
                    session,
                    filter,
                    grant,
                }
            }));
            inner.session.put_all(changes);
            // Under the lock: an acknowledgement that comes next must not be undone by what was before.
            self.keep(&mut journal);
        }
        journal.is_all = true;
        let topics = self.retained().topics();
        let lasting = topics.into_iter().filter(|topic| Store::lasts(topic));
        let retained = lasting.map(|topic| Change::Retained { topic });
        journal.changes.extend(retained);
        if let Some(store) = &self.store {
            store.submit(&mut journal);
        }
    }

    /// Publishes the will of a session that is no more, if its user may still do that.
    fn publish_late_will(&self, session: RecoveredSession, now: Instant) {
        let record = session.record;
        let Some(will) = record.will else { return };
        let principal = Principal::from(record.identity);
        let policy = self.access.policy();
        let (rights, _) = policy.review(&principal, &record.client_id);
        let topic = will.message.topic();
        if rights.may_write(topic, self.access.own().levels_of(topic)) {
            let owner = Owner::of(&principal, None);
            let slot = self.restored_slot(session.number, &record.client_id, owner);
            self.publish_kept(&will.at(now), &slot, now);
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
        let principal = Principal::from(record.identity);
        let owner = Owner::of(&principal, None);
        let slot = self.restored_slot(session.number, &record.client_id, owner);
        let clock = self.store.as_ref().map(Store::clock);
        let away = clock.zip(record.away_since).map(|(clock, since)| {
            let millis = clock.millis().saturating_sub(since);
            Duration::from_millis(millis)
        });
        // Before the boot there is no instant: that is long enough.
        let since = away.and_then(|away| now.checked_sub(away)).unwrap_or(now);
        let (rights, _) = self.access.policy().review(&principal, &record.client_id);
        slot.stand(Standing { principal, rights });
        let mut inner = slot.lock();
        inner.expiry = record.expiry;
        let unsent_from = record.unsent_from;
        let (queue, received) = (session.queue, session.received);
        let expired = inner
            .session
            .restore(queue, unsent_from, received, now, journal);
        add(&self.own_counters().publish_expired, expired);
        for (filter, grant) in session.subscriptions {
            self.router.subscribe(&slot, &filter, grant);
            inner.add_subscription(filter, grant);
        }
        // Its connection ended with the process at the latest.
        let will_at = record.will.as_ref().map(|will| now + will.delay);
        inner.will = record.will;
        let end_at = left.map(|left| now + left);
        for (at, task) in [(will_at, Task::Will), (end_at, Task::End)] {
            let Some(at) = at else { continue };
            let key = self.timers.add(at, Due::new(&slot, inner.epoch, task));
            inner.timers.push(key);
        }
        inner.away_since = Some(since);
        inner.recount();
        drop(inner);
        self.adopt(slot)
    }

    /// How a session stands, if that outlives the process.
    pub(crate) fn record(&self, slot: &SessionSlot, inner: &Inner) -> Option<Change> {
        let clock = self.store.as_ref()?.clock();
        let is_away = matches!(inner.sink, Sink::Away);
        inner.is_on_record(slot).then(|| Change::Session {
            session: slot.id(),
            record: Box::new(SessionRecord {
                client_id: slot.client_id().into(),
                identity: slot.principal().identity(),
                expiry: inner.expiry,
                away_since: is_away.then(|| clock.millis()),
                unsent_from: is_away.then(|| inner.session.unsent_from()),
                will: inner.will.clone(),
            }),
        })
    }
}

impl Inner {
    /// Whether the store knows of the session: of one that ends with its connection, because of its
    /// will.
    pub(crate) fn is_on_record(&self, slot: &SessionSlot) -> bool {
        slot.is_stored() || self.has_noted_will
    }
}
