//! What is to be done at a certain time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// Names an entry, to take it off the agenda.
pub(crate) type Key = (Instant, u64);

/// An agenda, ordered by time.
#[derive(Debug)]
pub(crate) struct Timers<D> {
    agenda: Mutex<Agenda<D>>,
    earlier: Notify,
}

#[derive(Debug)]
struct Agenda<D> {
    entries: BTreeMap<Key, D>,
    /// Keeps entries of the same instant apart.
    next: u64,
}

impl<D> Default for Timers<D> {
    fn default() -> Self {
        Self {
            agenda: Mutex::new(Agenda {
                entries: BTreeMap::new(),
                next: 0,
            }),
            earlier: Notify::default(),
        }
    }
}

impl<D> Timers<D> {
    pub(crate) fn add(&self, at: Instant, due: D) -> Key {
        let mut agenda = self.lock();
        let key = (at, agenda.next);
        agenda.next += 1;
        let first = agenda.entries.first_key_value().map(|(key, _)| *key);
        agenda.entries.insert(key, due);
        drop(agenda);
        if first.is_none_or(|first| key < first) {
            self.earlier.notify_one();
        }
        key
    }

    /// Takes entries off the agenda, and empties `keys`.
    pub(crate) fn cancel(&self, keys: &mut Vec<Key>) {
        if keys.is_empty() {
            return;
        }
        let mut agenda = self.lock();
        for key in keys.drain(..) {
            agenda.entries.remove(&key);
        }
    }

    /// Takes the next entry whose time has come.
    pub(crate) fn take(&self, now: Instant) -> Option<D> {
        let mut agenda = self.lock();
        let entry = agenda.entries.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Waits until something is due.
    pub(crate) async fn due(&self) {
        loop {
            let next = {
                let agenda = self.lock();
                agenda.entries.first_key_value().map(|((at, _), _)| *at)
            };
            let Some(next) = next else {
                self.earlier.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => return,
                () = self.earlier.notified() => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Agenda<D>> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
