//! Changes that wait to be written together. Of what comes and goes in the meantime nothing is
//! written: the message that its subscriber has acknowledged before the disk was asked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{PacketId, QoS};

use super::pace::Pace;
use fieldgate_broker_core::journal::{Awaiting, Change, Entry, Journal};
use fieldgate_broker_core::record::SessionRecord;
use fieldgate_broker_core::router::Grant;
use fieldgate_broker_core::ticket::Part;

/// How late a change may be written that nothing waits for: the gateway's own readings, and that a
/// message was acknowledged, after which it would only come twice.
const LATE: Duration = Duration::from_secs(1);

/// What becomes of one key.
#[derive(Debug)]
pub(crate) struct Fate<V> {
    /// `None` removes it.
    pub(crate) value: Option<V>,
    /// The log has never seen the key, so that removing it takes no writing.
    fresh: bool,
    /// Those who wait for this key alone, not for the disk.
    part: Option<Arc<Part>>,
}

/// A message, or, released, that there was one.
#[derive(Debug)]
pub(crate) enum Queued {
    Whole(Entry),
    Released,
}

/// A session and the number of a message.
type QueueKey = (u64, u64);

/// All changes since the last batch, the last of each key.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) sessions: BTreeMap<u64, Fate<Box<SessionRecord>>>,
    pub(crate) subscriptions: BTreeMap<(u64, Box<str>), Fate<Grant>>,
    pub(crate) queue: BTreeMap<QueueKey, Fate<Queued>>,
    pub(crate) received: BTreeMap<(u64, PacketId), Fate<()>>,
    /// Topics whose retained message has changed.
    pub(crate) retained: BTreeSet<Box<str>>,
    /// Messages that may be sent once they are on disk, and whose they are.
    pub(crate) awaited: Vec<(Arc<dyn Awaiting>, u64)>,
    /// The time is to be written, whatever else is.
    pub(crate) restamp: bool,
    /// Everything that the broker holds is among the changes.
    pub(crate) is_all: bool,
    /// When the first change came that is to be on disk as soon as can be.
    firm_since: Option<Instant>,
    /// When the changes are due that nothing waits for.
    late_due: Option<Instant>,
    /// When the messages are due that may be acknowledged before. Some are no more.
    due: BinaryHeap<Reverse<(Instant, QueueKey)>>,
    /// The same of readings that nothing waits for, to clients that are there and acknowledge soon.
    hoped: VecDeque<(Instant, QueueKey)>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.subscriptions.is_empty()
            && self.queue.is_empty()
            && self.received.is_empty()
            && self.retained.is_empty()
            && !self.restamp
            && !self.is_all
    }

    /// Whether something waits for the disk, or did until what it waited for became nothing.
    pub(crate) fn is_firm(&self) -> bool {
        self.firm_since.is_some()
    }

    /// When there is something to do; `None` if nothing.
    pub(crate) fn due(&mut self, pace: &Pace) -> Option<Instant> {
        while let Some(Reverse((_, key))) = self.due.peek() {
            if self.is_unwritten(key) {
                break;
            }
            self.due.pop();
        }
        let firm = self.firm_since.map(|since| match self.is_empty() {
            true => since,
            false => pace.due(since),
        });
        let first = self.due.peek().map(|Reverse((due, _))| *due);
        let dues = [firm, first, self.hoped_due(), self.late_due];
        dues.into_iter().flatten().min()
    }

    /// Whether a message is still to be written.
    fn is_unwritten(&self, key: &QueueKey) -> bool {
        let fate = self.queue.get(key);
        fate.is_some_and(|fate| fate.fresh && fate.value.is_some())
    }

    /// When the oldest of the readings is due whose acknowledgement is still hoped for.
    fn hoped_due(&mut self) -> Option<Instant> {
        while let Some((_, key)) = self.hoped.front() {
            if self.is_unwritten(key) {
                break;
            }
            self.hoped.pop_front();
        }
        self.hoped.front().map(|(due, _)| *due)
    }

    /// Takes what is to be written now. Readings that will be acknowledged soon stay behind until one of
    /// them is due: each that is written costs another write to say that it was acknowledged.
    pub(crate) fn take(&mut self, now: Instant) -> Self {
        let is_hopeful = self.hoped_due().is_some_and(|due| due > now);
        let mut taken = std::mem::take(self);
        if is_hopeful {
            for (due, key) in std::mem::take(&mut taken.hoped) {
                if taken.is_unwritten(&key)
                    && let Some(fate) = taken.queue.remove(&key)
                {
                    self.queue.insert(key, fate);
                    self.hoped.push_back((due, key));
                }
            }
        }
        taken
    }

    /// Takes in `changes`, and what else `journal` says. Returns whom to wake: those whose messages
    /// are all acknowledged now.
    pub(crate) fn add(
        &mut self,
        changes: Vec<Change>,
        journal: &mut Journal,
        now: Instant,
    ) -> Vec<Waker> {
        let mut woken = Vec::new();
        if std::mem::take(&mut journal.is_all) {
            self.is_all = true;
            self.firm(now);
        }
        self.awaited.append(&mut journal.awaited);
        for change in changes {
            self.apply(change, journal, now, &mut woken);
        }
        if self.due.len() > 1_024 + 2 * self.queue.len() {
            let queue = &self.queue;
            self.due.retain(|Reverse((_, key))| queue.contains_key(key));
        }
        if self.hoped.len() > 1_024 + 2 * self.queue.len() {
            let queue = &self.queue;
            self.hoped.retain(|(_, key)| queue.contains_key(key));
        }
        woken
    }

    /// The messages that something waits for are written. Returns whom to wake.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Option<Waker>> {
        let parts = self.queue.values().filter_map(|fate| fate.part.as_ref());
        parts.map(|part| part.remove())
    }

    /// The batch is to be written as soon as can be.
    pub(crate) fn firm(&mut self, now: Instant) {
        self.firm_since.get_or_insert(now);
    }

    fn late(&mut self, now: Instant) {
        self.late_due.get_or_insert(now + LATE);
    }

    fn apply(
        &mut self,
        change: Change,
        journal: &mut Journal,
        now: Instant,
        woken: &mut Vec<Waker>,
    ) {
        match change {
            Change::Queued {
                session,
                number,
                entry,
                patience,
            } => {
                let key = (session, number);
                let is_hoped = journal.is_late && patience.is_some();
                // A message of QoS 2 is not even sent before it is on disk.
                let (due, part) = match patience {
                    _ if entry.qos == QoS::ExactlyOnce => (None, None),
                    _ if journal.is_late => (Some(now + LATE), None),
                    Some(patience) => (
                        Some(now + patience),
                        Some(journal.sent.part.get_or_insert_default()),
                    ),
                    None => (None, None),
                };
                match due {
                    Some(due) if is_hoped => self.hoped.push_back((due, key)),
                    Some(due) => self.due.push(Reverse((due, key))),
                    None => self.firm(now),
                }
                let fate = Fate {
                    value: Some(Queued::Whole(entry)),
                    fresh: true,
                    part: part.inspect(|part| part.add()).cloned(),
                };
                self.queue.insert(key, fate);
            }
            Change::Gone { session, number } => match remove(&mut self.queue, (session, number)) {
                Removed::Unwritten(waker) => woken.extend(waker),
                Removed::ToWrite => self.late(now),
            },
            other => {
                self.firm(now);
                self.apply_firm(other, woken);
            }
        }
    }

    fn apply_firm(&mut self, change: Change, woken: &mut Vec<Waker>) {
        match change {
            Change::Released { session, number } => {
                put(&mut self.queue, (session, number), Queued::Released);
            }
            Change::Received { session, id } => {
                self.received
                    .entry((session, id))
                    .and_modify(|fate| fate.value = Some(()))
                    .or_insert(Fate {
                        value: Some(()),
                        fresh: true,
                        part: None,
                    });
            }
            Change::Completed { session, id } => {
                remove(&mut self.received, (session, id));
            }
            Change::Session { session, record } => put(&mut self.sessions, session, record),
            Change::Ended { session } => woken.extend(self.end(session)),
            Change::Subscribed {
                session,
                filter,
                grant,
            } => put(&mut self.subscriptions, (session, filter), grant),
            Change::Unsubscribed { session, filter } => {
                remove(&mut self.subscriptions, (session, filter));
            }
            Change::Retained { topic } => {
                self.retained.insert(topic);
            }
            Change::Queued { .. } | Change::Gone { .. } => {}
        }
    }

    /// Returns whom to wake.
    fn end(&mut self, session: u64) -> Vec<Waker> {
        let woken = self.forget(session);
        remove(&mut self.sessions, session);
        woken
    }

    /// Of a session that has ended nothing else is written.
    fn forget(&mut self, session: u64) -> Vec<Waker> {
        let next = session.saturating_add(1);
        let first: Box<str> = "".into();
        cut(
            &mut self.subscriptions,
            &(session, first.clone()),
            &(next, first),
        );
        cut(
            &mut self.received,
            &(session, PacketId::MIN),
            &(next, PacketId::MIN),
        );
        let queue = cut(&mut self.queue, &(session, 0), &(next, 0));
        let parts = queue.into_values().filter_map(|fate| fate.part);
        parts.filter_map(|part| part.remove()).collect()
    }

    /// Puts `older`, which could not be written, before these changes, but for the messages whose
    /// publishers are told that they are not kept: whether these are on disk is not known, so they are
    /// removed. Returns those whose publishers or sessions wait.
    pub(crate) fn put_before(
        &mut self,
        mut older: Self,
        now: Instant,
    ) -> Vec<(Arc<dyn Awaiting>, u64)> {
        for (session, number) in &older.awaited {
            let gone = Fate {
                value: None,
                fresh: false,
                part: None,
            };
            older.queue.insert((session.number(), *number), gone);
        }
        for fate in older.received.values_mut().filter(|fate| fate.fresh) {
            (fate.value, fate.fresh) = (None, false);
        }
        // Tickets for the older batch are decided by its failure.
        for fate in older.queue.values_mut() {
            (fate.part, fate.fresh) = (None, false);
        }
        let ended = |(&session, fate): (&u64, &Fate<_>)| fate.value.is_none().then_some(session);
        for session in self.sessions.iter().filter_map(ended) {
            older.forget(session);
        }
        merge(&mut self.sessions, older.sessions);
        merge(&mut self.subscriptions, older.subscriptions);
        merge(&mut self.queue, older.queue);
        merge(&mut self.received, older.received);
        self.retained.append(&mut older.retained);
        self.restamp |= older.restamp;
        self.is_all |= older.is_all;
        self.firm(now);
        older.awaited
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, Fate<V>>, key: K, value: V) {
    match map.get_mut(&key) {
        Some(fate) => fate.value = Some(value),
        None => {
            let fate = Fate {
                value: Some(value),
                fresh: false,
                part: None,
            };
            map.insert(key, fate);
        }
    }
}

/// What it takes to remove a key.
enum Removed {
    /// Nothing: it was never written. Whom to wake, if something waits for it.
    Unwritten(Option<Waker>),
    ToWrite,
}

fn remove<K: Ord, V>(map: &mut BTreeMap<K, Fate<V>>, key: K) -> Removed {
    if map.get(&key).is_some_and(|fate| fate.fresh) {
        let part = map.remove(&key).and_then(|fate| fate.part);
        return Removed::Unwritten(part.and_then(|part| part.remove()));
    }
    let fate = Fate {
        value: None,
        fresh: false,
        part: None,
    };
    map.insert(key, fate);
    Removed::ToWrite
}

/// Takes out the keys from `first` up to, not including, `next`.
fn cut<K: Ord, V>(map: &mut BTreeMap<K, V>, first: &K, next: &K) -> BTreeMap<K, V> {
    let mut from = map.split_off(first);
    let mut after = from.split_off(next);
    map.append(&mut after);
    from
}

fn merge<K: Ord, V>(newer: &mut BTreeMap<K, Fate<V>>, older: BTreeMap<K, Fate<V>>) {
    for (key, old) in older {
        match newer.get_mut(&key) {
            None => {
                newer.insert(key, old);
            }
            Some(new) => {
                new.fresh |= old.fresh;
                if new.fresh && new.value.is_none() {
                    newer.remove(&key);
                }
            }
        }
    }
}
