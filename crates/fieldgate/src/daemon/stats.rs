//! The counters of buses and of devices, as retained messages.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use fieldgate_bridge::Counters;
use fieldgate_bridge_gpio::GpioCounts;
use fieldgate_bridge_modbus::Counts;
use fieldgate_bridge_serial::SerialCounts;

/// How often the counters are looked at; those of faults are published when they have changed.
pub(crate) const LOOK: std::time::Duration = std::time::Duration::from_secs(10);
/// After the first so many looks, all counters that have changed are published every so many.
const LOOKS: u32 = 6;

/// Counters of a bus or a device at one moment, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// What is as it should be.
    pub(crate) routine: Vec<(&'static str, u64)>,
    /// What is not.
    pub(crate) faults: Vec<(&'static str, u64)>,
    /// Refusals by code, where there are codes.
    pub(crate) exceptions: Option<BTreeMap<u8, u64>>,
}

impl Figures {
    /// All but those by code.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let all = self.routine.iter().chain(&self.faults);
        all.copied().collect()
    }
}

impl From<&Counts> for Figures {
    fn from(counts: &Counts) -> Self {
        let faults = counts.faults().to_vec();
        let all = counts.figures();
        Self {
            routine: all
                .into_iter()
                .filter(|figure| !faults.contains(figure))
                .collect(),
            faults,
            exceptions: Some(counts.exceptions.clone()),
        }
    }
}

/// Where a device counts. What is on a bus is counted there.
#[derive(Clone, Debug)]
pub(crate) enum Tally {
    Bus,
    Port(Arc<SerialCounts>),
    Lines(Arc<GpioCounts>),
}

impl Tally {
    /// The counts now, with those of the device's run loop.
    pub(crate) fn figures(&self, counters: &Counters) -> Option<Figures> {
        let run = counters.snapshot();
        let lost = ("lost", run.failed_open + run.failed_lost);
        let timeouts = ("timeouts", run.failed_timeout);
        let (routine, mut faults) = match self {
            Self::Bus => return None,
            Self::Port(counts) => {
                let counts = counts.snapshot();
                let rejects = counts.rejects().chain([timeouts]);
                (counts.routine().to_vec(), rejects.collect())
            }
            Self::Lines(counts) => {
                let counts = counts.snapshot();
                (counts.routine().to_vec(), counts.faults().to_vec())
            }
        };
        faults.push(lost);
        Some(Figures {
            routine,
            faults,
            exceptions: None,
        })
    }
}

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
        let mut counts = Counts::default();
        let now = |counts: &Counts| BTreeMap::from([("t".to_owned(), counts.into())]);
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
            counts.requests += 1;
            assert_eq!(stats.due(now(&counts)).len(), want, "look {look}");
        }
        counts.timeouts += 1;
        assert_eq!(stats.due(now(&counts)).len(), 1, "a fault");
        assert_eq!(stats.due(now(&counts)).len(), 0);
        assert_eq!(stats.due(BTreeMap::new()).len(), 0);
        assert_eq!(stats.due(now(&counts)).len(), 1, "it is new again");
    }

    #[test]
    fn every_kind_of_device_has_its_counters_in_the_order_of_the_documents() {
        let names = |figures: &Figures| -> Vec<&str> {
            let counts = figures.counts();
            counts.into_iter().map(|(name, _)| name).collect()
        };
        let run = Counters::default();
        let modbus = Figures::from(&Counts::default());
        assert_eq!(
            names(&modbus),
            Counts::default().figures().map(|(name, _)| name)
        );
        assert_eq!(modbus.faults.len(), Counts::default().faults().len());
        let serial = Tally::Port(Arc::default()).figures(&run).unwrap();
        let want = "bytes frames unmatched unasked late floods too_long bad_check bad_length incomplete \
                    bad_escape garbage timeouts lost";
        assert_eq!(names(&serial).join(" "), want);
        let gpio = Tally::Lines(Arc::default()).figures(&run).unwrap();
        let want = "edges commands lost_edges refused failed_saves lost";
        assert_eq!(names(&gpio).join(" "), want);
        assert_eq!(Tally::Bus.figures(&run), None);
    }
}
