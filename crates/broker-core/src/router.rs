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

pub use cache::{MatchCache, beside, split};
pub use retained::{
    Kept, KeptRef, LINK, LevelView, Name, PAYLOAD_MAX, Retained, RetainedView, Stored,
};

use crate::budget::Pot;
use trie::{Beside, Trie};

/// One subscription as its subscriber asked for it (MQTT 5.0 section 3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The highest quality of service that it asks for.
    pub qos: QoS,
    /// It does not get what its own session publishes.
    pub no_local: bool,
    /// Messages keep their retain flag.
    pub retain_as_published: bool,
    /// The subscription identifier, 0 for none.
    pub id: u32,
}

/// A session, as far as the router has to know it.
pub trait Recipient {
    /// Its number, which no other session has.
    fn number(&self) -> u64;
    /// Whether it outlives the process.
    fn is_stored(&self) -> bool;
    /// Whether it says when a message is safe, so that the client that published it is told no sooner.
    fn vouches(&self) -> bool;
    /// Whether messages of `topic` may be delivered to it now.
    fn may_read(&self, topic: &str) -> bool;
    /// Whether it may read all topics that differ from `topic` in the last level only, if it may read that.
    fn reads_alike(&self, topic: &str) -> bool;
}

/// What one session gets of a topic, all its matching subscriptions taken together: the highest
/// QoS and every identifier, so that overlapping subscriptions deliver once (MQTT-3.3.4-2).
#[derive(Clone, Debug)]
pub struct Subscriber<S> {
    /// Who it is.
    pub recipient: Arc<S>,
    /// How it gets what others publish.
    pub terms: Terms,
    /// For the session's own messages, which its no-local subscriptions do not match. `None` if
    /// nothing is left, absent (`own_differs` false) if it is the same as `terms`.
    pub own: Option<Terms>,
    /// Whether its own messages come otherwise, or not at all.
    pub own_differs: bool,
}

/// How to deliver to one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The quality of service of what is delivered, at most.
    pub qos: QoS,
    /// Messages keep their retain flag.
    pub retain_as_published: bool,
    /// The identifiers of its subscriptions.
    pub ids: Ids,
}

/// Subscription identifiers; nearly always none or one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// None of the subscriptions has one.
    #[default]
    None,
    /// One has.
    One(u32),
    /// Several have.
    Many(Arc<Vec<u32>>),
}

impl Ids {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// All of them.
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    /// Adds one; 0 is none.
    pub fn add(&mut self, id: u32) {
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
    /// Those of one subscription.
    pub fn of(grant: Grant) -> Self {
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

impl<S: Recipient> Subscriber<S> {
    fn new(recipient: Arc<S>, grant: Grant) -> Self {
        let terms = Terms::of(grant);
        Self {
            recipient,
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
    pub fn terms_for(&self, publisher: u64) -> Option<&Terms> {
        if self.own_differs && self.recipient.number() == publisher {
            self.own.as_ref()
        } else {
            Some(&self.terms)
        }
    }
}

/// All subscribers of a topic.
#[derive(Debug)]
pub struct Matches<S> {
    /// Each gets every message.
    pub plain: Vec<Subscriber<S>>,
    /// Of each group one member gets a message.
    pub groups: Vec<Group<S>>,
    /// Some of them outlive the process, so that a message of QoS 1 or 2 for them has to be on disk
    /// before it is acknowledged.
    pub stored: bool,
    /// Some of them say when a message of QoS 1 or 2 is safe, before which it is not acknowledged either.
    pub vouched: bool,
}

impl<S> Default for Matches<S> {
    fn default() -> Self {
        Self {
            plain: Vec::new(),
            groups: Vec::new(),
            stored: false,
            vouched: false,
        }
    }
}

impl<S> Matches<S> {
    /// What it takes in memory, in bytes, about.
    pub fn weight(&self) -> usize {
        let members = self.groups.iter().flat_map(|group| &group.members);
        let all = self.plain.iter().chain(members);
        let one = |one: &Subscriber<S>| {
            let ids = size_of_val(one.terms.ids.as_slice());
            size_of::<Subscriber<S>>() + ids
        };
        size_of::<Self>() + all.map(one).sum::<usize>()
    }

    /// How many get a message.
    pub fn len(&self) -> usize {
        self.plain.len() + self.groups.len()
    }

    /// Whether no session gets it.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
    }
}

/// One shared subscription (MQTT 5.0 section 4.8.2): each message goes to one member.
#[derive(Debug)]
pub struct Group<S> {
    /// Those who may read the topic, in the order in which they subscribed.
    pub members: Vec<Subscriber<S>>,
    turn: Arc<AtomicUsize>,
}

impl<S> Group<S> {
    /// The members in the order in which to offer them the next message.
    pub fn rotation(&self) -> impl Iterator<Item = &Subscriber<S>> + Clone {
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % self.members.len().max(1);
        let (before, from) = self.members.split_at(start);
        from.iter().chain(before)
    }
}

/// The subscriptions of all sessions.
#[derive(Debug)]
pub struct Router<S> {
    trie: RwLock<Trie<S>>,
    generation: AtomicU64,
}

impl<S: Recipient> Router<S> {
    /// Counted in `pot`.
    pub fn new(pot: &Arc<Pot>) -> Self {
        Self {
            trie: RwLock::new(Trie::new(pot)),
            generation: AtomicU64::new(0),
        }
    }

    /// Adds or replaces a subscription. Returns whether it is new.
    ///
    /// `filter` is a valid topic filter, with its `$share/NAME/` prefix if it is shared.
    pub fn subscribe(&self, recipient: &Arc<S>, filter: &str, grant: Grant) -> bool {
        let new = self.write().insert(recipient, filter, grant);
        self.generation.fetch_add(1, Ordering::Release);
        new
    }

    /// Removes a subscription. Returns whether there was one.
    pub fn unsubscribe(&self, recipient: &S, filter: &str) -> bool {
        let found = self.write().remove(recipient.number(), filter);
        if found {
            self.generation.fetch_add(1, Ordering::Release);
        }
        found
    }

    /// Removes several subscriptions of one session.
    pub fn unsubscribe_all(&self, recipient: &S, filters: &[Box<str>]) {
        let mut trie = self.write();
        for filter in filters {
            trie.remove(recipient.number(), filter);
        }
        drop(trie);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The rights of a client have changed: what was matched before counts no more.
    pub fn rights_changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// All who get `topic` and may, read from the trie itself, and who gets the topics beside it.
    pub fn matches(&self, topic: &str) -> (Matches<S>, Beside) {
        let (mut matches, beside) = self.read().matches(topic);
        let members = matches.groups.iter().flat_map(|group| &group.members);
        let all = matches.plain.iter().chain(members);
        let mut promised = all.filter(|one| one.terms.qos > QoS::AtMostOnce);
        matches.stored = promised.clone().any(|one| one.recipient.is_stored());
        matches.vouched = promised.any(|one| one.recipient.vouches());
        (matches, beside)
    }

    /// Changes whenever `matches` may.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Counts of plain and of shared subscriptions.
    pub fn counts(&self) -> (usize, usize) {
        self.read().counts()
    }

    fn read(&self) -> RwLockReadGuard<'_, Trie<S>> {
        self.trie.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Trie<S>> {
        self.trie.write().unwrap_or_else(PoisonError::into_inner)
    }
}
