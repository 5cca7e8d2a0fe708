//! The counters of buses and of devices, as retained messages.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use fieldgate_bridge::Figures;

/// How often the counters are looked at; those of faults are published when they have changed.
pub(crate) const LOOK: std::time::Duration = std::time::Duration::from_secs(10);
/// After the first so many looks, all counters that have changed are published every so many.
const LOOKS: u32 = 6;

/// What was published last.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    looks: u32,
    /// By topic.
    last: BTreeMap<String, Published>,
    hasher: RandomState,
}

/// Hashes of what was published: the counters of a thousand devices are not kept twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Published {
    routine: u64,
    faults: u64,
}

impl Stats {
    /// Which of these counters are to be published now.
    pub(crate) fn due(&mut self, now: BTreeMap<String, Figures>) -> BTreeMap<String, Figures> {
        self.looks = self.looks.wrapping_add(1);
        // In the first minute the figures begin to move, and zeros beside living values mislead.
        let is_full = self.looks <= LOOKS || self.looks % LOOKS == 1;
        self.last.retain(|topic, _| now.contains_key(topic));
        let mut due = BTreeMap::new();
        for (topic, figures) in now {
            let published = Published {
                routine: self.hasher.hash_one(&figures.routine),
                faults: self.hasher.hash_one((&figures.faults, &figures.exceptions)),
            };
            let is_due = match self.last.get(&topic) {
                None => true,
                Some(last) if is_full => *last != published,
                Some(last) => last.faults != published.faults,
            };
            if is_due {
                self.last.insert(topic.clone(), published);
                due.insert(topic, figures);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_soon_and_everything_once_a_minute() {
        let mut stats = Stats::default();
        let mut counts = Figures {
            routine: vec![("requests", 0)],
            faults: vec![("timeouts", 0)],
            exceptions: None,
        };
        let now = |counts: &Figures| BTreeMap::from([("t".to_owned(), counts.clone())]);
        assert_eq!(stats.due(now(&counts)).len(), 1, "the first time");
        for (look, want) in [
            (2, 1),
            (6, 1),
            (7, 1),
            (8, 0),
            (9, 0),
            (12, 0),
            (13, 1),
            (14, 0),
        ] {
            stats.looks = look - 1;
            counts.routine[0].1 += 1;
            assert_eq!(stats.due(now(&counts)).len(), want, "look {look}");
        }
        counts.faults[0].1 += 1;
        assert_eq!(stats.due(now(&counts)).len(), 1, "a fault");
        assert_eq!(stats.due(now(&counts)).len(), 0);
        assert_eq!(stats.due(BTreeMap::new()).len(), 0);
        assert_eq!(stats.due(now(&counts)).len(), 1, "it is new again");
    }
}
