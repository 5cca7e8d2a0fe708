//! Counts pulses. Pure.

/// A count that knows what it missed.
///
/// The numbers of edges tell how many were lost between two that arrived. A lost edge was a pulse
/// too, so it is in the total; how many such there are is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    total: u64,
    lost: u64,
    last: u32,
}

/// A jump of more than half the numbers is a step backwards: the numbers have begun anew.
const JUMP_MAX: u32 = u32::MAX / 2;

impl Counter {
    /// A count that goes on from a total, on a line whose edges are numbered from 1.
    pub fn resume(total: u64, lost: u64) -> Self {
        Self {
            total,
            lost,
            last: 0,
        }
    }

    /// Takes an edge in. Returns how many were lost before it.
    pub fn edge(&mut self, sequence: u32) -> u32 {
        let step = sequence.wrapping_sub(self.last);
        let missed = match step {
            // The same or an older number: the numbering has begun anew.
            0 => 0,
            step if step > JUMP_MAX => 0,
            step => step - 1,
        };
        self.last = sequence;
        self.total = self.total.saturating_add(u64::from(missed) + 1);
        self.lost = self.lost.saturating_add(missed.into());
        missed
    }

    /// Adds what was counted before, and was not known when this began.
    pub fn add(&mut self, total: u64, lost: u64) {
        self.total = self.total.saturating_add(total);
        self.lost = self.lost.saturating_add(lost);
    }

    /// Sets the total; a reset is a preset to 0, and forgets the lost ones too.
    pub fn preset(&mut self, total: u64) {
        self.total = total;
        if total == 0 {
            self.lost = 0;
        }
    }

    /// All pulses, the lost ones among them.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Those that are known only by their numbers.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn missing_numbers_are_pulses_that_were_lost() {
        for (numbers, total, lost) in [
            (&[1, 2, 3][..], 3, 0),
            (&[3], 3, 2),
            (&[1, 5, 6], 6, 3),
            // The line was taken anew.
            (&[1, 2, 3, 1, 2], 5, 0),
            (&[2, 2], 3, 1),
        ] {
            let mut counter = Counter::default();
            for number in numbers {
                counter.edge(*number);
            }
            assert_eq!(
                (counter.total(), counter.lost()),
                (total, lost),
                "{numbers:?}"
            );
        }
    }

    #[test]
    fn the_numbers_may_wrap_around() {
        let mut counter = Counter {
            last: u32::MAX - 1,
            ..Counter::default()
        };
        assert_eq!(counter.edge(1), 2);
        assert_eq!((counter.total(), counter.lost()), (3, 2));
    }

    #[test]
    fn a_reset_forgets_what_was_lost_and_a_preset_does_not() {
        let mut counter = Counter::resume(10, 4);
        counter.preset(100);
        assert_eq!((counter.total(), counter.lost()), (100, 4));
        counter.preset(0);
        assert_eq!((counter.total(), counter.lost()), (0, 0));
        counter.edge(1);
        assert_eq!(counter.total(), 1);
    }

    proptest! {
        /// Whatever arrives of a row of edges: the total is right up to the last that arrived.
        #[test]
        fn the_total_is_the_number_of_the_last_edge(arrives in proptest::collection::vec(any::<bool>(), 1..300), start in any::<u32>()) {
            let mut counter = Counter { last: start, ..Counter::default() };
            let (mut last, mut seen) = (0u64, 0u64);
            for (index, arrives) in arrives.iter().enumerate() {
                let number = index as u32 + 1;
                if *arrives {
                    counter.edge(start.wrapping_add(number));
                    last = number.into();
                    seen += 1;
                }
            }
            prop_assert_eq!(counter.total(), last);
            prop_assert_eq!(counter.lost(), last - seen);
        }

        #[test]
        fn no_number_makes_the_total_go_down(numbers in proptest::collection::vec(any::<u32>(), 0..50)) {
            let mut counter = Counter::resume(u64::MAX - 5, 0);
            let mut before = counter.total();
            for number in numbers {
                counter.edge(number);
                prop_assert!(counter.total() >= before);
                before = counter.total();
            }
        }
    }
}
