//! Topics whose retained values are written late: once an interval, all of them together.

use std::collections::HashSet;

use foldhash::fast::RandomState;

/// Topics that have changed and are not written.
#[derive(Debug, Default)]
pub(super) struct Coalesced(HashSet<Box<str>, RandomState>);

impl Coalesced {
    /// The value of `topic` may wait.
    pub(super) fn put(&mut self, topic: &str) {
        if !self.0.contains(topic) {
            self.0.insert(topic.into());
        }
    }

    /// The value of `topic` is written now.
    pub(super) fn remove(&mut self, topic: &str) {
        self.0.remove(topic);
    }

    /// The topics to write.
    pub(super) fn take(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.0).into_iter().collect()
    }
}
