//! One worker's memory of who gets which topic.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Matches, Router};

/// Topics that a worker remembers. Past it the cache starts afresh, so that a client which
/// publishes to ever new topics costs time, not memory.
const TOPICS_MAX: usize = 16 * 1024;

/// Matches by topic, all of one generation of the subscriptions.
#[derive(Debug, Default)]
pub(crate) struct MatchCache {
    generation: u64,
    /// For all topics that nobody gets. They are not remembered: a gateway has a hundred thousand
    /// of them, and to find out anew takes hardly longer than to remember.
    nobody: Arc<Matches>,
    topics: HashMap<Box<str>, Arc<Matches>, RandomState>,
}

impl MatchCache {
    /// Everybody who gets `topic` now.
    pub(crate) fn matches(&mut self, router: &Router, topic: &str) -> &Arc<Matches> {
        let generation = router.generation();
        if generation != self.generation {
            self.topics.clear();
            self.generation = generation;
        }
        if !self.topics.contains_key(topic) {
            let matches = router.matches(topic);
            if matches.is_empty() {
                return &self.nobody;
            }
            if self.topics.len() >= TOPICS_MAX {
                self.topics.clear();
            }
            let matches = Arc::new(matches);
            return self.topics.entry(topic.into()).or_insert(matches);
        }
        &self.topics[topic]
    }
}
