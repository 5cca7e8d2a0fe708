//! Who gets a message: the subscriptions, and each worker's cache of what they say.
//!
//! Publishing reads no shared lock while subscriptions stand still: a worker keeps the matches of
//! the topics that it sees, and one generation number tells it when they are out of date.

mod cache;
mod levels;
mod retained;
mod trie;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fieldgate_mqtt::QoS;

pub(crate) use cache::{MatchCache, split};
pub(crate) use retained::{Kept, Retained, Stored};

use crate::budget::Pot;
use crate::session_slot::SessionSlot;
use trie::{Beside, Trie};

/// One subscription as its subscriber asked for it (MQTT 5.0 section 3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// The subscription identifier, 0 for none.
    pub(crate) id: u32,
}

/// What one session gets of a topic, all its matching subscriptions taken together: the highest
/// QoS and every identifier, so that overlapping subscriptions deliver once (MQTT-3.3.4-2).
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub(crate) cell: Arc<SessionSlot>,
    pub(crate) terms: Terms,
    /// For the session's own messages, which its no-local subscriptions do not match. `None` if
    /// nothing is left, absent (`own_differs` false) if it is the same as `terms`.
    pub(crate) own: Option<Terms>,
    pub(crate) own_differs: bool,
}

/// How to deliver to one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) qos: QoS,
    pub(crate) retain_as_published: bool,
    pub(crate) ids: Ids,
}

/// Subscription identifiers; nearly always none or one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ids {
    #[default]
    None,
    One(u32),
    Many(Arc<Vec<u32>>),
}

impl Ids {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    pub(crate) fn add(&mut self, id: u32) {
        if id == 0 {
            return;
        }
        *self = match self {
            Self::None => Self::One(id),
            Self::One(first) => Self::Many(vec![*first, id].into()),
            // In place, while a lookup puts them together and has them alone.
            Self::Many(ids) => return Arc::make_mut(ids).push(id),
        };
    }
}

impl Terms {
    pub(crate) fn of(grant: Grant) -> Self {
        let mut ids = Ids::None;
        ids.add(grant.id);
        Self {
            qos: grant.qos,
            retain_as_published: grant.retain_as_published,
            ids,
        }
    }

    fn merge(&mut self, grant: Grant) {
        self.qos = self.qos.max(grant.qos);
        self.retain_as_published |= grant.retain_as_published;
        self.ids.add(grant.id);
    }
}

impl Subscriber {
    fn new(cell: Arc<SessionSlot>, grant: Grant) -> Self {
        let terms = Terms::of(grant);
        Self {
            cell,
            own: None,
            own_differs: grant.no_local,
            terms,
        }
    }

    fn merge(&mut self, grant: Grant) {
        match (self.own_differs, grant.no_local) {
            (false, false) | (true, true) => self.terms.merge(grant),
            (false, true) => {
                let own = self.terms.clone();
                self.terms.merge(grant);
                self.own_differs = own != self.terms;
                self.own = Some(own).filter(|_| self.own_differs);
            }
            (true, false) => {
                match &mut self.own {
                    Some(own) => own.merge(grant),
                    None => self.own = Some(Terms::of(grant)),
                }
                self.terms.merge(grant);
                self.own_differs = self.own.as_ref() != Some(&self.terms);
                self.own.take_if(|_| !self.own_differs);
            }
        }
    }

    /// The terms for a message that the session with `publisher` sent; `None` if it gets none.
    pub(crate) fn terms_for(&self, publisher: u64) -> Option<&Terms> {
        if self.own_differs && self.cell.id() == publisher {
            self.own.as_ref()
        } else {
            Some(&self.terms)
        }
    }
}

/// All subscribers of a topic.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub(crate) plain: Vec<Subscriber>,
    pub(crate) groups: Vec<Group>,
    /// Some of them outlive the process, so that a message of QoS 1 or 2 for them has to be on disk
    /// before it is acknowledged.
    pub(crate) stored: bool,
}

impl Matches {
    /// What it takes in memory, in bytes, about.
    pub(crate) fn weight(&self) -> usize {
        let members = self.groups.iter().flat_map(|group| &group.members);
        let all = self.plain.iter().chain(members);
        let one = |one: &Subscriber| {
            let ids = size_of_val(one.terms.ids.as_slice());
            size_of::<Subscriber>() + ids
        };
        size_of::<Self>() + all.map(one).sum::<usize>()
    }

    /// How many get a message.
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.groups.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
    }
}

/// One shared subscription (MQTT 5.0 section 4.8.2): each message goes to one member.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) members: Vec<Subscriber>,
    turn: Arc<AtomicUsize>,
}

impl Group {
    /// The members in the order in which to offer them the next message.
    pub(crate) fn rotation(&self) -> impl Iterator<Item = &Subscriber> + Clone {
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % self.members.len().max(1);
        let (before, from) = self.members.split_at(start);
        from.iter().chain(before)
    }
}

/// The subscriptions of all sessions.
#[derive(Debug)]
pub(crate) struct Router {
    trie: RwLock<Trie>,
    generation: AtomicU64,
}

impl Router {
    /// Counted in `pot`.
    pub(crate) fn new(pot: &Arc<Pot>) -> Self {
        Self {
            trie: RwLock::new(Trie::new(pot)),
            generation: AtomicU64::new(0),
        }
    }

    /// Adds or replaces a subscription. Returns whether it is new.
    ///
    /// `filter` is a valid topic filter, with its `$share/NAME/` prefix if it is shared.
    pub(crate) fn subscribe(&self, cell: &Arc<SessionSlot>, filter: &str, grant: Grant) -> bool {
        let new = self.write().insert(cell, filter, grant);
        self.generation.fetch_add(1, Ordering::Release);
        new
    }

    /// Removes a subscription. Returns whether there was one.
    pub(crate) fn unsubscribe(&self, cell: &SessionSlot, filter: &str) -> bool {
        let found = self.write().remove(cell.id(), filter);
        if found {
            self.generation.fetch_add(1, Ordering::Release);
        }
        found
    }

    /// Removes several subscriptions of one session.
    pub(crate) fn unsubscribe_all(&self, cell: &SessionSlot, filters: &[Box<str>]) {
        let mut trie = self.write();
        for filter in filters {
            trie.remove(cell.id(), filter);
        }
        drop(trie);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The rights of a client have changed: what was matched before counts no more.
    pub(crate) fn rights_changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// All who get `topic` and may, read from the trie itself, and who gets the topics beside it.
    pub(crate) fn matches(&self, topic: &str) -> (Matches, Beside) {
        let (mut matches, beside) = self.read().matches(topic);
        let members = matches.groups.iter().flat_map(|group| &group.members);
        let stored = |one: &Subscriber| one.cell.is_stored() && one.terms.qos > QoS::AtMostOnce;
        matches.stored = matches.plain.iter().chain(members).any(stored);
        (matches, beside)
    }

    /// Changes whenever `matches` may.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Counts of plain and of shared subscriptions.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.read().counts()
    }

    fn read(&self) -> RwLockReadGuard<'_, Trie> {
        self.trie.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Trie> {
        self.trie.write().unwrap_or_else(PoisonError::into_inner)
    }
}
