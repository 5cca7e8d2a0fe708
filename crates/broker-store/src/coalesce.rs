//! Topics whose retained values are written late: once an interval, all of them together.

use std::collections::HashSet;

use foldhash::fast::RandomState;

/// Topics that have changed and are not written.
#[derive(Debug, Default)]
pub(crate) struct Coalesced(HashSet<Box<str>, RandomState>);

impl Coalesced {
    /// The value of `topic` may wait.
    pub(crate) fn put(&mut self, topic: &str) {
        if !self.0.contains(topic) {
            self.0.insert(topic.into());
        }
    }

    /// The value of `topic` is written now.
    pub(crate) fn remove(&mut self, topic: &str) {
        self.0.remove(topic);
    }

    /// The topics to write.
    pub(crate) fn take(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.0).into_iter().collect()
    }
}
