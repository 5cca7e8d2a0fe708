//! When the retained messages of which topics are written: a value that changes all the time,
//! once an interval; one that does not, at once.

use std::collections::HashSet;

use foldhash::fast::RandomState;

type Topics = HashSet<Box<str>, RandomState>;

/// Topics that have changed and are not written, and those that were written lately.
#[derive(Debug, Default)]
pub(super) struct Coalesced {
    dirty: Topics,
    /// Written in this interval, and in the one before.
    written: [Topics; 2],
}

impl Coalesced {
    /// Notes that the retained message of `topic` has changed. Returns whether it is to be
    /// written now: if somebody waits for it, and it was not written lately.
    pub(super) fn changed(&mut self, topic: &str, awaited: bool) -> bool {
        if !awaited || self.written.iter().any(|written| written.contains(topic)) {
            if !self.dirty.contains(topic) {
                self.dirty.insert(topic.into());
            }
            return false;
        }
        self.dirty.remove(topic);
        self.written[0].insert(topic.into());
        true
    }

    /// An interval has ended. Returns the topics to write.
    pub(super) fn tick(&mut self) -> Vec<Box<str>> {
        let [this, before] = &mut self.written;
        std::mem::swap(this, before);
        this.clear();
        let due = self.dirty.extract_if(|topic| !before.contains(topic));
        let due: Vec<_> = due.collect();
        this.extend(due.iter().cloned());
        due
    }

    /// Everything that is not written, at the end.
    pub(super) fn rest(&mut self) -> Vec<Box<str>> {
        self.dirty.drain().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(mut topics: Vec<Box<str>>) -> Vec<String> {
        topics.sort();
        topics.into_iter().map(String::from).collect()
    }

    #[test]
    fn a_value_is_written_at_once_if_somebody_waits_and_then_once_an_interval_at_most() {
        let mut topics = Coalesced::default();
        assert!(topics.changed("a", true));
        assert!(!topics.changed("a", true));
        assert!(!topics.changed("b", false));
        // `a` was written within the interval that ends here, so its change waits.
        assert_eq!(sorted(topics.tick()), ["b"]);
        assert!(!topics.changed("b", true));
        assert_eq!(sorted(topics.tick()), ["a"]);
        assert_eq!(sorted(topics.tick()), ["b"]);
        assert!(topics.tick().is_empty());
        assert!(topics.tick().is_empty());
        assert!(topics.changed("a", true));
    }

    #[test]
    fn nothing_is_left_out_at_the_end() {
        let mut topics = Coalesced::default();
        assert!(topics.changed("a", true));
        for topic in ["a", "b", "c", "b"] {
            topics.changed(topic, false);
        }
        assert_eq!(sorted(topics.rest()), ["a", "b", "c"]);
        assert!(topics.rest().is_empty());
    }
}
