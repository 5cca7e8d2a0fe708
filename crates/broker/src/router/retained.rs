//! The last message of each topic that a publisher asked to keep (MQTT 5.0 section 3.3.1.3).

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;

use super::levels::{Levels, Place};
use crate::budget::{Pot, Share};
use crate::message::Message;
use crate::own::LINK;

/// What a retained message takes beside itself, in bytes, about.
const KEPT: usize = 2 * size_of::<Kept>();

/// Retained messages as a tree of topic levels, so that a wildcard visits only what it matches.
#[derive(Debug)]
pub(crate) struct Retained {
    tree: Levels<Leaves>,
    count: usize,
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

/// The messages of the topics that end below a node, by their last level.
type Leaves = Option<Box<HashSet<Kept, RandomState>>>;

/// A retained message.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) message: Message,
    /// The client that published it: its own no-local subscriptions do not match
    /// (MQTT-3.8.3-3).
    pub(crate) publisher: Arc<str>,
}

// Kept by its last level, which is in the message already and need not stand beside it. Two are
// equal if they stand in the same place below a node.
impl Kept {
    pub(crate) fn new(message: Message, publisher: Arc<str>) -> Self {
        Self { message, publisher }
    }

    /// A link published it, so it always has room.
    pub(crate) fn is_own(&self) -> bool {
        self.publisher.starts_with(LINK)
    }

    /// The last level of its topic.
    fn level(&self) -> &str {
        split(self.message.topic()).1
    }

    fn weight(&self) -> usize {
        self.message.weight() + KEPT
    }
}

impl Borrow<str> for Kept {
    fn borrow(&self) -> &str {
        self.level()
    }
}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.level().hash(state);
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.level() == other.level()
    }
}

impl Eq for Kept {}

/// What became of a message that asks to be retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
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
    pub(crate) fn is_refused(self) -> bool {
        matches!(self, Self::Full | Self::Refused)
    }
}

impl Retained {
    /// Holds at most `max_bytes` of clients' messages, their topics included. Counted in `pot`; those of the program
    /// in `own`, too.
    pub(crate) fn new(max_bytes: usize, pot: &Arc<Pot>, own: &Arc<Pot>) -> Self {
        Self {
            tree: Levels::default(),
            count: 0,
            bytes: 0,
            own_bytes: 0,
            own: Share::new(own, 0),
            max_bytes,
            share: Share::new(pot, 0),
        }
    }

    /// Where it is counted.
    pub(crate) fn pot(&self) -> &Arc<Pot> {
        self.share.pot()
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// What all of them take in memory, in bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_of_clients() + self.own_bytes
    }

    /// What those of clients take, in bytes, about. The tree is counted as theirs: what links publish has few levels.
    pub(crate) fn bytes_of_clients(&self) -> usize {
        self.bytes + self.tree.bytes()
    }

    /// Keeps `message` as its topic's last; an empty payload removes what was kept. Those of links always have room.
    pub(crate) fn store(&mut self, message: &Message, publisher: &Arc<str>) -> Stored {
        let kept = Kept::new(message.clone(), Arc::clone(publisher));
        let is_bounded = !kept.is_own();
        self.put(kept, is_bounded)
    }

    /// Keeps what was kept before a restart, with or without room.
    pub(crate) fn restore(&mut self, kept: Kept) {
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
        let leaves = place.and_then(|place| self.tree.value(place).as_ref());
        let old = leaves.and_then(|leaves| leaves.get(level));
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
        let place = match place {
            Some(place) => place,
            None => self.tree.make(levels(above)),
        };
        let leaves = self.tree.value_mut(place).get_or_insert_default();
        leaves.replace(kept);
        if old.is_some() {
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

    pub(crate) fn get(&self, topic: &str) -> Option<&Kept> {
        let (above, level) = split(topic);
        let place = self.tree.find(levels(above))?;
        self.tree.value(place).as_ref()?.get(level)
    }

    /// Returns whether there was one.
    fn remove(&mut self, topic: &str) -> bool {
        let (above, level) = split(topic);
        let Some(place) = self.tree.find(levels(above)) else {
            return false;
        };
        let leaves = self.tree.value_mut(place);
        let Some(old) = leaves.as_mut().and_then(|leaves| leaves.take(level)) else {
            return false;
        };
        if leaves.as_ref().is_some_and(|leaves| leaves.is_empty()) {
            *leaves = None;
            self.tree.prune(levels(above), Option::is_none);
            self.tree.tidy();
        }
        self.count -= 1;
        *self.sum(old.is_own()) -= old.weight();
        true
    }

    /// Drops what has expired, and returns the topics.
    pub(crate) fn purge(&mut self, now: Instant) -> Vec<String> {
        let mut expired = Vec::new();
        self.each(|kept| {
            if kept.message.expired(now) {
                expired.push(kept.message.topic().to_owned());
            }
        });
        for topic in &expired {
            self.remove(topic);
        }
        self.recount();
        expired
    }

    /// The messages whose topics `filter` matches, expired ones left out.
    pub(crate) fn matching(&self, filter: &str, now: Instant) -> Vec<Kept> {
        let mut found = Vec::new();
        self.visit(filter, |kept| {
            if !kept.message.expired(now) {
                found.push(kept.clone());
            }
        });
        found
    }

    /// All topics.
    pub(crate) fn topics(&self) -> Vec<Box<str>> {
        let mut topics = Vec::with_capacity(self.count);
        self.each(|kept| topics.push(kept.message.topic().into()));
        topics
    }

    /// The topics whose messages `publisher` published.
    pub(crate) fn topics_of(&self, publisher: &str) -> Vec<String> {
        let mut topics = Vec::new();
        self.each(|kept| {
            if *kept.publisher == *publisher {
                topics.push(kept.message.topic().to_owned());
            }
        });
        topics
    }

    fn each(&self, found: impl FnMut(&Kept)) {
        self.each_below(Levels::<Leaves>::ROOT, false, found);
    }

    /// Calls `found` with all messages below a node. At the root, those of `$` topics are left out if it `is_wild`: a
    /// wildcard at the first level does not match them (MQTT-4.7.2-1).
    fn each_below(&self, place: Place, is_wild: bool, mut found: impl FnMut(&Kept)) {
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

    fn leaves(&self, place: Place) -> impl Iterator<Item = &Kept> {
        self.tree
            .value(place)
            .iter()
            .flat_map(|leaves| leaves.iter())
    }

    fn leaf(&self, place: Place, level: &str) -> Option<&Kept> {
        self.tree.value(place).as_ref()?.get(level)
    }

    /// Calls `found` with the messages whose topics `filter` matches.
    fn visit(&self, filter: &str, mut found: impl FnMut(&Kept)) {
        let mut waiting = vec![(Levels::<Leaves>::ROOT, filter)];
        while let Some((place, filter)) = waiting.pop() {
            let is_root = place == Levels::<Leaves>::ROOT;
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
mod tests {
    use super::*;
    use crate::message::testing::{message, message_with};
    use fieldgate_mqtt::QoS;
    use std::time::Duration;

    fn store(retained: &mut Retained, message: Message) -> Stored {
        retained.store(&message, &"client".into())
    }

    #[test]
    fn a_filter_finds_the_retained_messages_that_it_matches() {
        let mut retained = Retained::new(100_000, &Arc::default(), &Arc::default());
        let topics = ["a", "a/b", "a/b/c", "a/c", "/", "$SYS/x", "é"];
        for topic in topics {
            assert_eq!(store(&mut retained, message(topic, b"1")), Stored::New);
        }
        for filter in ["a", "a/#", "#", "+", "+/+", "a/+", "$SYS/#", "a/b/c/#", "x"] {
            let mut want: Vec<_> = topics
                .into_iter()
                .filter(|topic| fieldgate_mqtt::topic::matches(filter, topic))
                .collect();
            let found = retained.matching(filter, Instant::now());
            let mut found: Vec<_> = found.iter().map(|kept| kept.message.topic()).collect();
            want.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, want, "{filter}");
        }
    }

    #[test]
    fn an_empty_payload_removes_and_the_tree_shrinks_back() {
        let mut retained = Retained::new(10_000, &Arc::default(), &Arc::default());
        store(&mut retained, message("a/b/c", b"1"));
        store(&mut retained, message("a/b/c", b"2"));
        assert_eq!(retained.count(), 1);
        assert_eq!(store(&mut retained, message("a/b/c", b"")), Stored::Removed);
        assert_eq!(store(&mut retained, message("never", b"")), Stored::Absent);
        assert_eq!((retained.count(), retained.bytes()), (0, 0));
        assert!(retained.tree.is_bare());
    }

    #[test]
    fn a_full_store_refuses_new_topics_and_still_updates_old_ones() {
        let each = Kept::new(message("a", b"1"), "client".into()).weight();
        let mut retained = Retained::new(2 * each, &Arc::default(), &Arc::default());
        assert_eq!(store(&mut retained, message("a", b"1")), Stored::New);
        assert_eq!(store(&mut retained, message("b", b"1")), Stored::New);
        assert_eq!(store(&mut retained, message("c", b"1")), Stored::Refused);
        assert_eq!(store(&mut retained, message("a", b"2")), Stored::Replaced);
        // Links always have room.
        let own = retained.store(&message("c", b"1"), &format!("{LINK}x").into());
        assert_eq!(own, Stored::New);
        assert_eq!(store(&mut retained, message("c", b"")), Stored::Removed);
        let found = retained.matching("a", Instant::now());
        assert_eq!(found[0].message.payload(), b"2");
        // A value that is not the last one would deceive.
        assert_eq!(
            store(&mut retained, message("a", &[0; 2_000])),
            Stored::Full
        );
        assert!(retained.matching("a", Instant::now()).is_empty());
        assert_eq!(retained.count(), 1);
    }

    #[test]
    fn an_expired_message_is_not_found_and_is_purged() {
        let now = Instant::now();
        let at = |s| Some(now + Duration::from_secs(s));
        let mut retained = Retained::new(10_000, &Arc::default(), &Arc::default());
        store(
            &mut retained,
            message_with("a", b"1", QoS::AtMostOnce, true, at(1)),
        );
        store(
            &mut retained,
            message_with("b", b"1", QoS::AtMostOnce, true, at(3)),
        );
        let later = now + Duration::from_secs(2);
        assert_eq!(retained.matching("#", now).len(), 2);
        assert_eq!(retained.matching("#", later).len(), 1);
        assert_eq!(retained.purge(later), ["a"]);
        assert_eq!(retained.count(), 1);
    }
}
