//! The last message of each topic that a publisher asked to keep (MQTT 5.0 section 3.3.1.3).

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;

use crate::message::Message;

/// Retained messages as a tree of topic levels, so that a wildcard visits only what it matches.
#[derive(Debug)]
pub(crate) struct Retained {
    root: Node,
    count: usize,
    bytes: usize,
    max: usize,
    max_bytes: usize,
}

/// What is below one level of topics.
#[derive(Debug, Default)]
struct Node {
    /// The messages of topics that end here, by their last level.
    kept: HashSet<Kept, RandomState>,
    /// The levels that others go on from. Boxed, as most nodes have none.
    below: Option<Box<Below>>,
}

type Below = HashMap<Box<str>, Node, RandomState>;

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
    /// The last level of its topic.
    fn level(&self) -> &str {
        let topic = self.message.topic();
        topic.rsplit_once('/').map_or(topic, |(_, level)| level)
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
    /// The store is full and the topic is new, or would make it too big. What the topic had is gone:
    /// it is not the last message any more.
    Full,
}

impl Retained {
    /// Holds at most `max` messages of `max_bytes` together.
    pub(crate) fn new(max: usize, max_bytes: usize) -> Self {
        Self {
            root: Node::default(),
            count: 0,
            bytes: 0,
            max,
            max_bytes,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps `message` as its topic's last; an empty payload removes what was kept.
    pub(crate) fn store(&mut self, message: &Message, publisher: &Arc<str>) -> Stored {
        self.put(message, publisher, true)
    }

    /// The same for a message that always has room.
    pub(crate) fn store_own(&mut self, message: &Message, publisher: &Arc<str>) -> Stored {
        self.put(message, publisher, false)
    }

    fn put(&mut self, message: &Message, publisher: &Arc<str>, is_bounded: bool) -> Stored {
        let path = message.topic();
        if message.payload().is_empty() {
            return match self.remove(path) {
                true => Stored::Removed,
                false => Stored::Absent,
            };
        }
        let weight = message.weight();
        let (above, level) = split(path);
        let node = self.root.node(above);
        let known = node.and_then(|node| Some((node.kept.get(level)?.message.weight(), node)));
        let old = known.as_ref().map_or(0, |(weight, _)| *weight);
        let has_room = known.is_some() || self.count < self.max;
        let is_full = !has_room || self.bytes - old + weight > self.max_bytes;
        if is_bounded && is_full {
            self.remove(path);
            return Stored::Full;
        }
        self.bytes = self.bytes - old + weight;
        let kept = Kept {
            message: message.clone(),
            publisher: Arc::clone(publisher),
        };
        if let Some((_, node)) = known {
            node.kept.replace(kept);
            return Stored::Replaced;
        }
        self.count += 1;
        self.root.insert(kept);
        Stored::New
    }

    pub(crate) fn get(&self, topic: &str) -> Option<&Kept> {
        let mut node = &self.root;
        let (above, level) = split(topic);
        for level in above.into_iter().flat_map(|above| above.split('/')) {
            node = node.below.as_ref()?.get(level)?;
        }
        node.kept.get(level)
    }

    /// Returns whether there was one.
    fn remove(&mut self, topic: &str) -> bool {
        let Some(old) = self.root.remove(topic) else {
            return false;
        };
        self.count -= 1;
        self.bytes -= old.message.weight();
        true
    }

    /// Drops what has expired, and returns the topics.
    pub(crate) fn purge(&mut self, now: Instant) -> Vec<String> {
        let mut expired = Vec::new();
        self.root.each(&mut |kept| {
            if kept.message.expired(now) {
                expired.push(kept.message.topic().to_owned());
            }
        });
        for topic in &expired {
            self.remove(topic);
        }
        expired
    }

    /// The messages whose topics `filter` matches, expired ones left out.
    pub(crate) fn matching(&self, filter: &str, now: Instant) -> Vec<Kept> {
        let mut found = Vec::new();
        self.root.visit(filter, true, &mut |kept| {
            if !kept.message.expired(now) {
                found.push(kept.clone());
            }
        });
        found
    }

    /// All topics.
    pub(crate) fn topics(&self) -> Vec<Box<str>> {
        let mut topics = Vec::with_capacity(self.count);
        self.root
            .each(&mut |kept| topics.push(kept.message.topic().into()));
        topics
    }

    /// The topics whose messages `publisher` published.
    pub(crate) fn topics_of(&self, publisher: &str) -> Vec<String> {
        let mut topics = Vec::new();
        self.root.each(&mut |kept| {
            if *kept.publisher == *publisher {
                topics.push(kept.message.topic().to_owned());
            }
        });
        topics
    }
}

/// The levels of a topic before its last one, and the last one.
fn split(topic: &str) -> (Option<&str>, &str) {
    match topic.rsplit_once('/') {
        Some((above, level)) => (Some(above), level),
        None => (None, topic),
    }
}

impl Node {
    /// The node that these levels lead to, if it exists.
    fn node(&mut self, above: Option<&str>) -> Option<&mut Self> {
        let mut levels = above.into_iter().flat_map(|above| above.split('/'));
        levels.try_fold(self, |node, level| node.below.as_mut()?.get_mut(level))
    }

    fn insert(&mut self, kept: Kept) {
        let mut node = self;
        let (above, _) = split(kept.message.topic());
        for level in above.into_iter().flat_map(|above| above.split('/')) {
            let below = node.below.get_or_insert_default();
            node = below.entry(level.into()).or_default();
        }
        node.kept.replace(kept);
    }

    fn remove(&mut self, path: &str) -> Option<Kept> {
        let Some((level, rest)) = path.split_once('/') else {
            let removed = self.kept.take(path);
            if self.kept.is_empty() {
                self.kept = HashSet::default();
            }
            return removed;
        };
        let below = self.below.as_mut()?;
        let child = below.get_mut(level)?;
        let removed = child.remove(rest);
        if child.kept.is_empty() && child.below.is_none() {
            below.remove(level);
        }
        if below.is_empty() {
            self.below = None;
        }
        removed
    }

    fn each(&self, found: &mut impl FnMut(&Kept)) {
        self.kept.iter().for_each(&mut *found);
        for child in self.below.iter().flat_map(|below| below.values()) {
            child.each(found);
        }
    }

    /// Calls `found` with those whose topics, from this level on, `filter` matches.
    fn visit(&self, filter: &str, is_first: bool, found: &mut impl FnMut(&Kept)) {
        // A wildcard at the first level leaves out `$` topics (MQTT-4.7.2-1).
        let is_wild = |level: &str| !(is_first && level.starts_with('$'));
        let kept = || self.kept.iter().filter(|kept| is_wild(kept.level()));
        let below = || {
            let below = self.below.iter().flat_map(|below| below.iter());
            below.filter(|(level, _)| is_wild(level))
        };
        match filter.split_once('/') {
            None if filter == "#" => {
                kept().for_each(&mut *found);
                below().for_each(|(_, child)| child.each(found));
            }
            None if filter == "+" => kept().for_each(found),
            None => self.kept.get(filter).into_iter().for_each(found),
            Some((level, rest)) => {
                // `#` also matches the level above it (section 4.7.1.2).
                if rest == "#" {
                    match level {
                        "+" => kept().for_each(&mut *found),
                        level => self.kept.get(level).into_iter().for_each(&mut *found),
                    }
                }
                match level {
                    "+" => below().for_each(|(_, child)| child.visit(rest, false, found)),
                    level => {
                        let child = self.below.as_ref().and_then(|below| below.get(level));
                        child
                            .into_iter()
                            .for_each(|child| child.visit(rest, false, found));
                    }
                }
            }
        }
    }
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
        let mut retained = Retained::new(100, 100_000);
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
        let mut retained = Retained::new(10, 10_000);
        store(&mut retained, message("a/b/c", b"1"));
        store(&mut retained, message("a/b/c", b"2"));
        assert_eq!(retained.count(), 1);
        assert_eq!(store(&mut retained, message("a/b/c", b"")), Stored::Removed);
        assert_eq!(store(&mut retained, message("never", b"")), Stored::Absent);
        assert_eq!((retained.count(), retained.bytes()), (0, 0));
        assert!(retained.root.below.is_none());
    }

    #[test]
    fn a_full_store_refuses_new_topics_and_still_updates_old_ones() {
        let mut retained = Retained::new(2, 1_000);
        assert_eq!(store(&mut retained, message("a", b"1")), Stored::New);
        assert_eq!(store(&mut retained, message("b", b"1")), Stored::New);
        assert_eq!(store(&mut retained, message("c", b"1")), Stored::Full);
        assert_eq!(store(&mut retained, message("a", b"2")), Stored::Replaced);
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
        let mut retained = Retained::new(10, 10_000);
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
