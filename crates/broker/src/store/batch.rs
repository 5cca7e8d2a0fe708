//! Changes that wait to be written together. Of what comes and goes in the meantime nothing is
//! written: the message that its subscriber has acknowledged before the disk was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fieldgate_mqtt::PacketId;

use super::SessionRecord;
use crate::cell::Cell;
use crate::journal::{Change, Entry, Journal};
use crate::router::Grant;

/// What becomes of one key.
#[derive(Debug)]
pub(super) struct Fate<V> {
    /// `None` removes it.
    pub(super) value: Option<V>,
    /// The file has never seen the key, so that removing it takes no writing.
    fresh: bool,
}

/// A message, or, released, that there was one.
#[derive(Debug)]
pub(super) enum Queued {
    Whole(Entry),
    Released,
}

/// All changes since the last batch, the last of each key.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) sessions: BTreeMap<u64, Fate<Box<SessionRecord>>>,
    pub(super) subscriptions: BTreeMap<(u64, Box<str>), Fate<Grant>>,
    pub(super) queue: BTreeMap<(u64, u64), Fate<Queued>>,
    pub(super) received: BTreeMap<(u64, PacketId), Fate<()>>,
    /// Topics whose retained message has changed.
    pub(super) retained: BTreeSet<Box<str>>,
    /// Messages that may be sent once they are on disk, and whose they are.
    pub(super) awaited: Vec<(Arc<Cell>, u64)>,
    /// Somebody has taken a ticket.
    pub(super) is_awaited: bool,
}

impl Batch {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.subscriptions.is_empty()
            && self.queue.is_empty()
            && self.received.is_empty()
            && self.retained.is_empty()
    }

    /// Whether there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && self.awaited.is_empty() && !self.is_awaited
    }

    /// Takes everything from `journal`.
    pub(super) fn add(&mut self, journal: &mut Journal) {
        self.is_awaited |= std::mem::take(&mut journal.is_awaited);
        self.awaited.append(&mut journal.awaited);
        for change in journal.changes.drain(..) {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Queued {
                session,
                number,
                entry,
            } => {
                let fate = Fate {
                    value: Some(Queued::Whole(entry)),
                    fresh: true,
                };
                self.queue.insert((session, number), fate);
            }
            Change::Released { session, number } => {
                put(&mut self.queue, (session, number), Queued::Released);
            }
            Change::Gone { session, number } => remove(&mut self.queue, (session, number)),
            Change::Received { session, id } => {
                self.received
                    .entry((session, id))
                    .and_modify(|fate| fate.value = Some(()))
                    .or_insert(Fate {
                        value: Some(()),
                        fresh: true,
                    });
            }
            Change::Completed { session, id } => remove(&mut self.received, (session, id)),
            Change::Session { session, record } => put(&mut self.sessions, session, record),
            Change::Ended { session } => self.end(session),
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
        }
    }

    fn end(&mut self, session: u64) {
        self.forget(session);
        remove(&mut self.sessions, session);
    }

    /// Of a session that has ended nothing else is written.
    fn forget(&mut self, session: u64) {
        let next = session + 1;
        let first: Box<str> = "".into();
        cut(
            &mut self.subscriptions,
            &(session, first.clone()),
            &(next, first),
        );
        cut(&mut self.queue, &(session, 0), &(next, 0));
        cut(
            &mut self.received,
            &(session, PacketId::MIN),
            &(next, PacketId::MIN),
        );
    }

    /// Puts `older`, which could not be written, before these changes, but for the messages whose
    /// publishers are told that they are not kept. Returns those that somebody waits for.
    pub(super) fn put_before(&mut self, mut older: Self) -> Vec<(Arc<Cell>, u64)> {
        for (cell, number) in &older.awaited {
            older.queue.remove(&(cell.id(), *number));
        }
        older
            .received
            .retain(|_, fate| !(fate.fresh && fate.value.is_some()));
        let ended = |(&session, fate): (&u64, &Fate<_>)| fate.value.is_none().then_some(session);
        for session in self.sessions.iter().filter_map(ended) {
            older.forget(session);
        }
        merge(&mut self.sessions, older.sessions);
        merge(&mut self.subscriptions, older.subscriptions);
        merge(&mut self.queue, older.queue);
        merge(&mut self.received, older.received);
        self.retained.append(&mut older.retained);
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
            };
            map.insert(key, fate);
        }
    }
}

fn remove<K: Ord, V>(map: &mut BTreeMap<K, Fate<V>>, key: K) {
    if map.get(&key).is_some_and(|fate| fate.fresh) {
        map.remove(&key);
        return;
    }
    let fate = Fate {
        value: None,
        fresh: false,
    };
    map.insert(key, fate);
}

/// Removes the keys from `first` up to, not including, `next`.
fn cut<K: Ord, V>(map: &mut BTreeMap<K, V>, first: &K, next: &K) {
    let mut from = map.split_off(first);
    let mut after = from.split_off(next);
    map.append(&mut after);
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
