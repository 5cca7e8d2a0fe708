//! The last message of each topic that a publisher asked to keep (MQTT 5.0 section 3.3.1.3).

use std::collections::HashMap;
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

#[derive(Debug, Default)]
struct Node {
    /// Boxed, as most nodes have none.
    children: Option<Box<Children>>,
    kept: Option<Kept>,
}

type Children = HashMap<Box<str>, Node, RandomState>;

/// A retained message.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) message: Arc<Message>,
    /// The client that published it: its own no-local subscriptions do not match
    /// (MQTT-3.8.3-3).
    pub(crate) publisher: Arc<str>,
}

/// What became of a message that asks to be retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Kept,
    Removed,
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
    pub(crate) fn store(&mut self, message: Arc<Message>, publisher: &Arc<str>) -> Stored {
        let path = message.topic();
        if message.payload().is_empty() {
            self.remove(path);
            return Stored::Removed;
        }
        let weight = message.weight();
        let kept = Kept {
            message: Arc::clone(&message),
            publisher: Arc::clone(publisher),
        };
        if let Some(old) = self.root.kept_at(path) {
            let bytes = self.bytes - old.message.weight() + weight;
            if bytes <= self.max_bytes {
                self.bytes = bytes;
                *old = kept;
                return Stored::Kept;
            }
            self.remove(path);
            return Stored::Full;
        }
        if self.count >= self.max || self.bytes + weight > self.max_bytes {
            return Stored::Full;
        }
        self.bytes += weight;
        self.count += 1;
        self.root.insert(path, kept);
        Stored::Kept
    }

    pub(crate) fn get(&self, topic: &str) -> Option<&Kept> {
        let mut node = &self.root;
        for level in topic.split('/') {
            node = node.children.as_ref()?.get(level)?;
        }
        node.kept.as_ref()
    }

    fn remove(&mut self, topic: &str) {
        if let Some(old) = self.root.remove(topic.split('/')) {
            self.count -= 1;
            self.bytes -= old.message.weight();
        }
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
        self.root.visit(Some(filter), true, &mut |kept| {
            if !kept.message.expired(now) {
                found.push(kept.clone());
            }
        });
        found
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

impl Node {
    fn kept_at(&mut self, path: &str) -> Option<&mut Kept> {
        let mut node = self;
        for level in path.split('/') {
            node = node.children.as_mut()?.get_mut(level)?;
        }
        node.kept.as_mut()
    }

    fn insert(&mut self, path: &str, kept: Kept) {
        let mut node = self;
        for level in path.split('/') {
            let children = node.children.get_or_insert_default();
            node = children.entry(level.into()).or_default();
        }
        node.kept = Some(kept);
    }

    fn remove<'t>(&mut self, mut levels: impl Iterator<Item = &'t str>) -> Option<Kept> {
        let Some(level) = levels.next() else {
            return self.kept.take();
        };
        let children = self.children.as_mut()?;
        let child = children.get_mut(level)?;
        let removed = child.remove(levels);
        if child.kept.is_none() && child.children.is_none() {
            children.remove(level);
        }
        if children.is_empty() {
            self.children = None;
        }
        removed
    }

    fn each(&self, found: &mut impl FnMut(&Kept)) {
        self.kept.iter().for_each(&mut *found);
        for child in self.children.iter().flat_map(|all| all.values()) {
            child.each(found);
        }
    }

    fn visit(&self, filter: Option<&str>, first: bool, found: &mut impl FnMut(&Kept)) {
        let Some(filter) = filter else {
            return self.kept.iter().for_each(found);
        };
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        // A wildcard at the first level leaves out `$` topics (MQTT-4.7.2-1).
        let children = || {
            let all = self.children.iter().flat_map(|all| all.iter());
            all.filter(|(name, _)| !(first && name.starts_with('$')))
        };
        match level {
            "#" => {
                self.kept.iter().for_each(&mut *found);
                for (_, child) in children() {
                    child.each(found);
                }
            }
            "+" => {
                for (_, child) in children() {
                    child.visit(rest, false, found);
                }
            }
            level => {
                if let Some(child) = self.children.as_ref().and_then(|all| all.get(level)) {
                    child.visit(rest, false, found);
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

    fn store(retained: &mut Retained, message: Arc<Message>) -> Stored {
        retained.store(message, &"client".into())
    }

    #[test]
    fn a_filter_finds_the_retained_messages_that_it_matches() {
        let mut retained = Retained::new(100, 100_000);
        let topics = ["a", "a/b", "a/b/c", "a/c", "/", "$SYS/x", "é"];
        for topic in topics {
            assert_eq!(store(&mut retained, message(topic, b"1")), Stored::Kept);
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
        assert_eq!(store(&mut retained, message("never", b"")), Stored::Removed);
        assert_eq!((retained.count(), retained.bytes()), (0, 0));
        assert!(retained.root.children.is_none());
    }

    #[test]
    fn a_full_store_refuses_new_topics_and_still_updates_old_ones() {
        let mut retained = Retained::new(2, 1_000);
        assert_eq!(store(&mut retained, message("a", b"1")), Stored::Kept);
        assert_eq!(store(&mut retained, message("b", b"1")), Stored::Kept);
        assert_eq!(store(&mut retained, message("c", b"1")), Stored::Full);
        assert_eq!(store(&mut retained, message("a", b"2")), Stored::Kept);
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
