//! Counters in little room: most of them are zero, and a gateway has them of a thousand devices and buses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fieldgate_bridge::Figures;

/// Counters, as they were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The same for all devices of one kind.
    names: Arc<Names>,
    /// One after the other, in seven bits of a byte each, the lowest first; all but the last byte of a count have the
    /// highest bit.
    counts: Box<[u8]>,
    exceptions: Option<BTreeMap<u8, u64>>,
}

/// What is counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    routine: Vec<&'static str>,
    faults: Vec<&'static str>,
}

/// Which names counters have, each list of them once. They are in the program, so there are few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds(Arc<Mutex<Vec<Arc<Names>>>>);

/// A kind more than so many has its names for itself.
const KINDS_MAX: usize = 64;

impl Kinds {
    fn shared(&self, names: Names) -> Arc<Names> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.iter().find(|other| ***other == names) {
            return Arc::clone(same);
        }
        let new = Arc::new(names);
        if known.len() < KINDS_MAX {
            known.push(Arc::clone(&new));
        }
        new
    }

    /// Counters in little room.
    pub(crate) fn tally(&self, figures: &Figures) -> Tally {
        let names = |counts: &[(&'static str, u64)]| counts.iter().map(|(name, _)| *name).collect();
        let names = Names {
            routine: names(&figures.routine),
            faults: names(&figures.faults),
        };
        let mut counts = Vec::new();
        for (_, count) in figures.routine.iter().chain(&figures.faults) {
            let mut left = *count;
            while left > 0x7f {
                counts.push(left as u8 | 0x80);
                left >>= 7;
            }
            counts.push(left as u8);
        }
        Tally {
            names: self.shared(names),
            counts: counts.into(),
            exceptions: figures.exceptions.clone(),
        }
    }
}

impl Tally {
    /// The counters, as they were given.
    pub(crate) fn figures(&self) -> Figures {
        let mut counts = self.counts.split_inclusive(|byte| byte & 0x80 == 0);
        let mut next = |name: &&'static str| {
            let bytes = counts.next().unwrap_or_default().iter().rev();
            let count = bytes.fold(0, |count, byte| count << 7 | u64::from(byte & 0x7f));
            (*name, count)
        };
        Figures {
            routine: self.names.routine.iter().map(&mut next).collect(),
            faults: self.names.faults.iter().map(&mut next).collect(),
            exceptions: self.exceptions.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_comes_back_as_it_was() {
        let (kinds, exceptions) = (Kinds::default(), BTreeMap::from([(2, 7)]));
        for (routine, faults, exceptions) in [
            (vec![], vec![], None),
            (vec![("polls", 0)], vec![], Some(BTreeMap::new())),
            (
                vec![("polls", 127), ("answers", 128)],
                vec![("lost", 16_383)],
                Some(exceptions),
            ),
            (
                vec![("polls", u64::MAX)],
                vec![("lost", 1 << 63), ("late", 16_384)],
                None,
            ),
        ] {
            let figures = Figures {
                routine,
                faults,
                exceptions,
            };
            let tally = kinds.tally(&figures);
            assert_eq!(tally.figures(), figures);
            assert!(Arc::ptr_eq(&tally.names, &kinds.tally(&figures).names));
        }
    }
}
