//! The counters of buses and of the devices on them, as retained messages.

use std::collections::BTreeMap;

use fieldgate_bridge_modbus::Counts;

/// How often the counters are looked at; those of faults are published when they have changed.
pub(crate) const LOOK: std::time::Duration = std::time::Duration::from_secs(10);
/// Every so many looks all counters are published that have changed.
const LOOKS: u32 = 6;

/// What was published last.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    looks: u32,
    /// By topic.
    last: BTreeMap<String, Counts>,
}

impl Stats {
    /// Which of these counters are to be published now.
    pub(crate) fn due(&mut self, now: BTreeMap<String, Counts>) -> BTreeMap<String, Counts> {
        self.looks = self.looks.wrapping_add(1);
        let is_full = self.looks % LOOKS == 1;
        self.last.retain(|topic, _| now.contains_key(topic));
        let mut due = BTreeMap::new();
        for (topic, counts) in now {
            let is_due = match self.last.get(&topic) {
                None => true,
                Some(last) if is_full => *last != counts,
                Some(last) => {
                    last.faults() != counts.faults() || last.exceptions != counts.exceptions
                }
            };
            if is_due {
                self.last.insert(topic.clone(), counts.clone());
                due.insert(topic, counts);
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
        let mut counts = Counts::default();
        let now = |counts: &Counts| BTreeMap::from([("t".to_owned(), counts.clone())]);
        assert_eq!(stats.due(now(&counts)).len(), 1, "the first time");
        for (look, want) in [(2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 1), (8, 0)] {
            counts.requests += 1;
            assert_eq!(stats.due(now(&counts)).len(), want, "look {look}");
        }
        counts.timeouts += 1;
        assert_eq!(stats.due(now(&counts)).len(), 1, "a fault");
        assert_eq!(stats.due(now(&counts)).len(), 0);
        assert_eq!(stats.due(BTreeMap::new()).len(), 0);
        assert_eq!(stats.due(now(&counts)).len(), 1, "it is new again");
    }
}
