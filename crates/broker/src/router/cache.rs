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
    /// For all topics that nobody gets.
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
            let is_full = self.topics.len() >= TOPICS_MAX;
            let matches = match matches.is_empty() {
                // A gateway with more values than that, of which few are watched, must not begin
                // afresh again and again.
                true if is_full => return &self.nobody,
                true => Arc::clone(&self.nobody),
                false => Arc::new(matches),
            };
            if is_full {
                self.topics.clear();
            }
            return self.topics.entry(topic.into()).or_insert(matches);
        }
        &self.topics[topic]
    }
}
