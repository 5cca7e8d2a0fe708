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
    /// For topics that nobody gets and for which there is no room.
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
            if self.topics.len() >= TOPICS_MAX {
                // A gateway with more values than that, of which few are watched, must not begin
                // afresh again and again.
                if matches.is_empty() {
                    return &self.nobody;
                }
                self.topics.clear();
            }
            let matches = Arc::new(matches);
            return self.topics.entry(topic.into()).or_insert(matches);
        }
        &self.topics[topic]
    }
}
