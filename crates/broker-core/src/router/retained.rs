//! The last message of each topic that a publisher asked to keep (MQTT 5.0 section 3.3.1.3).

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;

use super::cache::beside;
use super::levels::{Levels, Place};
use crate::budget::{Pot, Share};
use crate::message::{Message, Routed};
use crate::reserved::is_brokers;
use leaves::Leaves;

mod leaves;
mod view;

pub use leaves::KeptRef;
pub use view::{LevelView, PAYLOAD_MAX, RetainedView};

/// A client identifier, in one word, as each retained message has one.
pub type Name = Arc<Box<str>>;

/// How the client identifiers of links begin. What links retain always has room.
pub const LINK: &str = "$link/";

/// What a retained message takes beside itself, in bytes, about and at most.
const KEPT: usize = 2 * size_of::<Kept>();

/// Retained messages as a tree of topic levels, so that a wildcard visits only what it matches.
#[derive(Debug)]
pub struct Retained {
    tree: Levels<Leaf>,
    hasher: RandomState,
    count: usize,
    /// How often messages may have moved.
    moves: u64,
    /// Nothing expires before, so that most often no message is looked at for it.
    soonest: Option<Instant>,
    /// Of messages of clients.
    bytes: usize,
    /// Of messages that always have room.
    own_bytes: usize,
    /// Says to the budget that these are not clients'.
    own: Share,
    max_bytes: usize,
    /// What all of it takes beside the messages themselves.
    share: Share,
}

/// What ends below a node, if anything does.
type Leaf = Option<Box<Leaves>>;

/// A retained message.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The message itself.
    pub message: Message,
    /// The client that published it: its own no-local subscriptions do not match
    /// (MQTT-3.8.3-3).
    pub publisher: Name,
}

impl Kept {
    /// A message that `publisher` published.
    pub fn new(message: Message, publisher: Name) -> Self {
        Self { message, publisher }
    }

    /// A link published it, so it always has room.
    pub fn is_own(&self) -> bool {
        KeptRef::from(self).is_own()
    }

    fn weight(&self) -> usize {
        KeptRef::from(self).weight()
    }
}

/// Where the message of a topic is, until one is added or removed.
#[derive(Clone, Copy, Debug)]
struct Spot {
    place: Place,
    /// Among the leaves of that node.
    bucket: usize,
}

/// What became of a message that asks to be retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The topic had none.
    New,
    /// The topic had another.
    Replaced,
    /// The topic has none any more.
    Removed,
    /// The topic has none, and had none.
    Absent,
    /// There is no room for it. What the topic had is gone: it is not the last message any more.
    Full,
    /// There is no room for it, and the topic had none.
    Refused,
}

impl Stored {
    /// Whether there was no room for it.
    pub fn is_refused(self) -> bool {
        matches!(self, Self::Full | Self::Refused)
    }
}

impl Retained {
    /// Holds at most `max_bytes` of clients' messages, their topics included. Counted in `pot`; those of the program
    /// in `own`, too.
    pub fn new(max_bytes: usize, pot: &Arc<Pot>, own: &Arc<Pot>) -> Self {
        Self {
            tree: Levels::default(),
            hasher: RandomState::default(),
            count: 0,
            moves: 0,
            soonest: None,
            bytes: 0,
            own_bytes: 0,
            own: Share::new(own, 0),
            max_bytes,
            share: Share::new(pot, 0),
        }
    }

    /// Where it is counted.
    pub fn pot(&self) -> &Arc<Pot> {
        self.share.pot()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What all of them take in memory, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes_of_clients() + self.own_bytes
    }

    /// What those of clients take, in bytes, about. The tree is counted as theirs: what links publish has few levels.
    pub fn bytes_of_clients(&self) -> usize {
        self.bytes + self.tree.bytes()
    }

    /// Keeps `message` as its topic's last; an empty payload removes what was kept. Those of links always have room.
    /// If it `may_be_late`, one that replaces another is written to the disk with what [`take_late`](Self::take_late)
    /// says.
    pub fn store(&mut self, message: &Routed<'_>, publisher: &Name, may_be_late: bool) -> Stored {
        let spot = self.spot(message.publish.topic, &mut None);
        if spot.is_some_and(|spot| self.replace_at(spot, message, publisher, may_be_late)) {
            return Stored::Replaced;
        }
        let kept = Kept::new(message.message(), Arc::clone(publisher));
        let is_bounded = !kept.is_own();
        let stored = self.put(kept, is_bounded);
        let is_late = may_be_late && stored == Stored::Replaced;
        message.message().set_late(is_late);
        stored
    }

    /// [Stores](Self::store) one after the other. It looks for all of them first: memory is slow, and finds many at the
    /// same time.
    pub fn store_all<'r, 'm: 'r>(
        &mut self,
        messages: impl Iterator<Item = &'r Routed<'m>> + Clone,
        publisher: &Name,
        may_be_late: bool,
    ) -> Vec<Stored> {
        let mut last = None;
        let topics = messages.clone().map(|message| message.publish.topic);
        let spots: Vec<_> = topics.map(|topic| self.spot(topic, &mut last)).collect();
        let moves = self.moves;
        let all = messages.zip(spots).map(|(message, spot)| {
            let spot = spot.filter(|_| self.moves == moves);
            match spot.is_some_and(|spot| self.replace_at(spot, message, publisher, may_be_late)) {
                true => Stored::Replaced,
                false => self.store(message, publisher, may_be_late),
            }
        });
        all.collect()
    }

    /// The topics whose messages have changed, and are not written. From now on they count as written.
    pub fn take_late(&self) -> Vec<Box<str>> {
        let mut late = Vec::new();
        self.each(|kept| {
            if kept.message.is_late() && !is_brokers(kept.message.topic()) {
                kept.message.set_late(false);
                late.push(kept.message.topic().into());
            }
        });
        late
    }

    /// Where the message of a topic is, if it has one. `last` is what is above the topic before, and where that leads to.
    fn spot<'t>(&self, topic: &'t str, last: &mut Option<(&'t str, Place)>) -> Option<Spot> {
        let known = last.and_then(|(above, place)| Some((beside(topic, above)?, place)));
        let (level, place) = match known {
            Some(known) => known,
            None => {
                let (above, level) = split(topic);
                let place = self.tree.find(levels(above))?;
                *last = Some((&topic[..topic.len() - level.len()], place));
                (level, place)
            }
        };
        let hash = self.hasher.hash_one(level.as_bytes());
        let leaves = self.tree.value(place).as_ref()?;
        let bucket = leaves.find_bucket(hash, level.as_bytes())?;
        Some(Spot { place, bucket })
    }

    /// The usual case: another value of a topic, from the same publisher, of about the same length. Takes no memory.
    /// Tells whether it was that.
    fn replace_at(
        &mut self,
        spot: Spot,
        message: &Routed<'_>,
        publisher: &Name,
        may_be_late: bool,
    ) -> bool {
        let leaves = self.tree.value_mut(spot.place).as_mut();
        let Some((kept, by)) = leaves.and_then(|leaves| leaves.at_bucket(spot.bucket)) else {
            return false;
        };
        let is_value = !message.publish.payload.is_empty();
        // Equal names are nearly always the same, and then they are not compared.
        let is_done = is_value && by == publisher && message.replaces(kept);
        if is_done {
            kept.set_late(may_be_late);
        }
        is_done
    }

    /// Keeps what was kept before a restart, with or without room.
    pub fn restore(&mut self, kept: Kept) {
        self.put(kept, false);
    }

    fn put(&mut self, kept: Kept, is_bounded: bool) -> Stored {
        let stored = self.put_uncounted(kept, is_bounded);
        self.recount();
        stored
    }

    /// The messages count themselves. Those of the program count for no client.
    fn recount(&mut self) {
        self.share.follow(self.tree.bytes() + self.count * KEPT);
        self.own.follow(self.own_bytes);
    }

    fn put_uncounted(&mut self, kept: Kept, is_bounded: bool) -> Stored {
        let is_own = kept.is_own();
        let topic = kept.message.topic();
        if kept.message.payload().is_empty() {
            return match self.remove(topic) {
                true => Stored::Removed,
                false => Stored::Absent,
            };
        }
        let (above, level) = split(topic);
        let place = self.tree.find(levels(above));
        let old = place.and_then(|place| self.leaf(place, level));
        let old = old.map(|old| (old.is_own(), old.weight()));
        if is_bounded {
            let freed = old
                .filter(|(was_own, _)| !was_own)
                .map_or(0, |(_, weight)| weight);
            let grown = match place {
                Some(_) => 0,
                None => self.tree.cost(levels(above)),
            };
            let wanted = self.bytes_of_clients() - freed + kept.weight() + grown;
            if wanted > self.max_bytes {
                return match self.remove(topic) {
                    true => Stored::Full,
                    false => Stored::Refused,
                };
            }
        }
        if let Some((was_own, weight)) = old {
            *self.sum(was_own) -= weight;
        }
        *self.sum(is_own) += kept.weight();
        self.soonest = self.soonest.into_iter().chain(kept.message.expires()).min();
        let place = match place {
            Some(place) => place,
            None => self.tree.make(levels(above)),
        };
        let leaves = self.tree.value_mut(place);
        let leaves = leaves.get_or_insert_with(|| Box::new(Leaves::of(&kept.publisher)));
        let put = leaves.put(kept, &self.hasher);
        self.moves += u64::from(put.has_moved);
        if put.has_replaced {
            return Stored::Replaced;
        }
        self.count += 1;
        Stored::New
    }

    fn sum(&mut self, is_own: bool) -> &mut usize {
        match is_own {
            true => &mut self.own_bytes,
            false => &mut self.bytes,
        }
    }

    /// The message of one topic.
    pub fn get(&self, topic: &str) -> Option<KeptRef<'_>> {
        let (above, level) = split(topic);
        let place = self.tree.find(levels(above))?;
        self.leaf(place, level)
    }

    /// Returns whether there was one.
    fn remove(&mut self, topic: &str) -> bool {
        let (above, level) = split(topic);
        let Some(place) = self.tree.find(levels(above)) else {
            return false;
        };
        let hash = self.hasher.hash_one(level.as_bytes());
        let leaves = self.tree.value_mut(place);
        let removed = leaves.as_mut();
        let Some(old) = removed.and_then(|leaves| leaves.remove(hash, level)) else {
            return false;
        };
        if leaves.as_ref().is_some_and(|leaves| leaves.is_empty()) {
            *leaves = None;
            self.tree.prune(levels(above), Option::is_none);
            self.tree.tidy();
        }
        self.count -= 1;
        self.moves += 1;
        *self.sum(old.is_own()) -= old.weight();
        true
    }

    /// Drops what has expired, and returns the topics.
    pub fn purge(&mut self, now: Instant) -> Vec<String> {
        if self.soonest.is_none_or(|soonest| soonest > now) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let mut soonest = None;
        self.each(|kept| match kept.message.expires() {
            Some(at) if at <= now => expired.push(kept.message.topic().to_owned()),
            later => soonest = soonest.into_iter().chain(later).min(),
        });
        for topic in &expired {
            self.remove(topic);
        }
        self.soonest = soonest;
        self.recount();
        expired
    }

    /// The messages whose topics `filter` matches, expired ones left out.
    pub fn matching(&self, filter: &str, now: Instant) -> Vec<Kept> {
        let mut found = Vec::new();
        self.visit(filter, |kept| {
            if !kept.message.expired(now) {
                found.push(kept.cloned());
            }
        });
        found
    }

    /// All topics.
    pub fn topics(&self) -> Vec<Box<str>> {
        let mut topics = Vec::with_capacity(self.count);
        self.each(|kept| topics.push(kept.message.topic().into()));
        topics
    }

    /// The topics whose messages `publisher` published.
    pub fn topics_of(&self, publisher: &str) -> Vec<String> {
        let mut topics = Vec::new();
        self.each(|kept| {
            if ***kept.publisher == *publisher {
                topics.push(kept.message.topic().to_owned());
            }
        });
        topics
    }

    fn each(&self, found: impl FnMut(KeptRef<'_>)) {
        self.each_below(Levels::<Leaf>::ROOT, false, found);
    }

    /// Calls `found` with all messages below a node. At the root, those of `$` topics are left out if it `is_wild`: a
    /// wildcard at the first level does not match them (MQTT-4.7.2-1).
    fn each_below(&self, place: Place, is_wild: bool, mut found: impl FnMut(KeptRef<'_>)) {
        let is_hidden = |level: &str| is_wild && level.starts_with('$');
        let shown = self.leaves(place).filter(|kept| !is_hidden(kept.level()));
        shown.for_each(&mut found);
        let children = self.tree.children(place);
        let children = children.filter(|(level, _)| !is_hidden(level));
        let mut waiting: Vec<Place> = children.map(|(_, child)| child).collect();
        while let Some(place) = waiting.pop() {
            self.leaves(place).for_each(&mut found);
            waiting.extend(self.tree.children(place).map(|(_, child)| child));
        }
    }

    fn leaves(&self, place: Place) -> impl Iterator<Item = KeptRef<'_>> {
        self.tree
            .value(place)
            .iter()
            .flat_map(|leaves| leaves.iter())
    }

    fn leaf(&self, place: Place, level: &str) -> Option<KeptRef<'_>> {
        let hash = self.hasher.hash_one(level.as_bytes());
        let leaves = self.tree.value(place).as_ref()?;
        leaves.find(hash, level)
    }

    /// Calls `found` with the messages whose topics `filter` matches.
    fn visit(&self, filter: &str, mut found: impl FnMut(KeptRef<'_>)) {
        let mut waiting = vec![(Levels::<Leaf>::ROOT, filter)];
        while let Some((place, filter)) = waiting.pop() {
            let is_root = place == Levels::<Leaf>::ROOT;
            let is_shown = |level: &str| !(is_root && level.starts_with('$'));
            let shown = || self.leaves(place).filter(|kept| is_shown(kept.level()));
            let (level, rest) = match filter.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (filter, None),
            };
            // `#` also matches the level above it (section 4.7.1.2).
            let ends_here = rest.is_none_or(|rest| rest == "#");
            match level {
                "#" => self.each_below(place, is_root, &mut found),
                "+" if ends_here => shown().for_each(&mut found),
                level if ends_here => self.leaf(place, level).into_iter().for_each(&mut found),
                _ => {}
            }
            let Some(rest) = rest else { continue };
            if level == "+" {
                let children = self.tree.children(place);
                let children = children.filter(|(level, _)| is_shown(level));
                waiting.extend(children.map(|(_, child)| (child, rest)));
            } else {
                let child = self.tree.child(place, level);
                waiting.extend(child.map(|child| (child, rest)));
            }
        }
    }
}

/// The levels of a topic before its last one, and the last one.
fn split(topic: &str) -> (Option<&str>, &str) {
    match topic.rsplit_once('/') {
        Some((above, level)) => (Some(above), level),
        None => (None, topic),
    }
}

fn levels(above: Option<&str>) -> impl Iterator<Item = &str> {
    above.into_iter().flat_map(|above| above.split('/'))
}

#[cfg(test)]
mod tests;
