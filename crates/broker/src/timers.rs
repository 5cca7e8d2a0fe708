//! What the broker has to do at a certain time: wills with a delay, sessions that expire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Notify;

use crate::session_slot::SessionSlot;

/// Something to do for a session, unless it has had another connection since.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) cell: Weak<SessionSlot>,
    /// The session's last connection when this was put down.
    pub(crate) epoch: u64,
    pub(crate) task: Task,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Publish the will.
    Will,
    /// End the session.
    End,
}

impl Due {
    pub(crate) fn new(cell: &Arc<SessionSlot>, epoch: u64, task: Task) -> Self {
        Self {
            cell: Arc::downgrade(cell),
            epoch,
            task,
        }
    }
}

/// Names an entry, to take it off the agenda.
pub(crate) type Key = (Instant, u64);

/// An agenda, ordered by time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    agenda: Mutex<Agenda>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Agenda {
    entries: BTreeMap<Key, Due>,
    /// Keeps entries of the same instant apart.
    next: u64,
}

impl Timers {
    pub(crate) fn add(&self, at: Instant, due: Due) -> Key {
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
    pub(crate) fn take(&self, now: Instant) -> Option<Due> {
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
