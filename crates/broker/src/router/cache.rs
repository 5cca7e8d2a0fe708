//! One worker's memory of who gets which topic.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Matches, Router};

/// Bytes, about, that a worker remembers. Past it the cache starts afresh, so that a client which
/// publishes to ever new topics costs time, not memory.
const BYTES_MAX: usize = 4 << 20;

/// Entries for which there stays room when the cache is cleared.
const KEEP: usize = 1024;

/// What an entry takes beside its topic and its matches, in bytes.
const ENTRY: usize = 64;

/// Matches by topic, all of one generation of the subscriptions.
#[derive(Debug, Default)]
pub(crate) struct MatchCache {
    generation: u64,
    /// For all topics that no one gets. They are not remembered: a gateway has a hundred thousand
    /// of them, and to find out anew takes hardly longer than to remember.
    none: Arc<Matches>,
    topics: HashMap<Box<str>, Arc<Matches>, RandomState>,
    bytes: usize,
    /// Of a topic that is not remembered, as it alone would fill the cache.
    last: Arc<Matches>,
}

impl MatchCache {
    /// All that get `topic` now.
    pub(crate) fn matches(&mut self, router: &Router, topic: &str) -> &Arc<Matches> {
        self.look_up(router, topic).0
    }

    /// The same, and whether it had to be found out, which may take long.
    pub(crate) fn look_up(&mut self, router: &Router, topic: &str) -> (&Arc<Matches>, bool) {
        let generation = router.generation();
        if generation != self.generation {
            self.clear();
            self.generation = generation;
        }
        if self.topics.contains_key(topic) {
            return (&self.topics[topic], false);
        }
        let matches = router.matches(topic);
        if matches.is_empty() {
            return (&self.none, true);
        }
        let matches = Arc::new(matches);
        let bytes = ENTRY + topic.len() + matches.weight();
        if bytes > BYTES_MAX / 4 {
            self.last = matches;
            return (&self.last, true);
        }
        if self.bytes + bytes > BYTES_MAX {
            self.clear();
        }
        self.bytes += bytes;
        (self.topics.entry(topic.into()).or_insert(matches), true)
    }

    fn clear(&mut self) {
        self.topics.clear();
        self.topics.shrink_to(KEEP);
        self.bytes = 0;
    }
}
