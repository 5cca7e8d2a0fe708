//! The pauses between attempts: exponential, with jitter, repeatable from a seed. Pure.

use std::time::Duration;

use crate::Backoff;

/// A sequence of pauses.
///
/// The n-th is drawn evenly from `min * 2^n ..= min * 2^(n+1)`; at the end of the range, from its
/// upper half. So a hundred devices that lost the same bus do not come back in step, and no pause
/// is ever outside the configured range.
#[derive(Clone, Debug)]
pub struct Delays {
    range: Backoff,
    /// The longest that the next pause may be.
    upper: Duration,
    random: u64,
}

impl Delays {
    /// The sequence for `range`. Equal seeds give equal pauses.
    pub fn new(range: Backoff, seed: u64) -> Self {
        let mut delays = Self {
            range,
            upper: range.min(),
            random: seed,
        };
        delays.reset();
        delays
    }

    /// Starts again with the shortest pauses; the jitter goes on.
    pub fn reset(&mut self) {
        self.upper = self.range.min().saturating_mul(2).min(self.range.max());
    }

    /// The next pause.
    pub fn next_delay(&mut self) -> Duration {
        let lower = (self.upper / 2).max(self.range.min());
        let span = u64::try_from(self.upper.saturating_sub(lower).as_nanos()).unwrap_or(u64::MAX);
        let jitter = match span.checked_add(1) {
            Some(values) => self.random() % values,
            None => self.random(),
        };
        self.upper = self.upper.saturating_mul(2).min(self.range.max());
        lower + Duration::from_nanos(jitter)
    }

    /// SplitMix64: small, and good enough to spread pauses.
    ///
    /// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Period;
    use proptest::prelude::*;

    fn range(min_ms: u64, max_ms: u64) -> Backoff {
        let period = |ms| Period::new(Duration::from_millis(ms)).unwrap();
        Backoff::new(period(min_ms), period(max_ms)).unwrap()
    }

    #[test]
    fn pauses_double_from_the_shortest_to_the_longest_and_start_again_after_a_reset() {
        let mut delays = Delays::new(Backoff::default(), 7);
        for _ in 0..2 {
            for (from, to) in [
                (1, 2),
                (2, 4),
                (4, 8),
                (8, 16),
                (16, 32),
                (30, 60),
                (30, 60),
            ] {
                let delay = delays.next_delay();
                let bounds = Duration::from_secs(from)..=Duration::from_secs(to);
                assert!(bounds.contains(&delay), "{delay:?} is not in {bounds:?}");
            }
            delays.reset();
        }
    }

    #[test]
    fn two_devices_do_not_pause_alike_and_one_seed_repeats() {
        let first = |seed| Delays::new(Backoff::default(), seed).next_delay();
        assert_ne!(first(1), first(2));
        assert_eq!(first(1), first(1));
    }

    proptest! {
        #[test]
        fn no_pause_is_outside_the_range_and_none_is_much_shorter_than_the_one_before(
            min in 1u64..100_000,
            more in 0u64..10_000_000,
            seed in any::<u64>(),
        ) {
            let range = range(min, min + more);
            let mut delays = Delays::new(range, seed);
            let mut before = Duration::ZERO;
            for _ in 0..40 {
                let delay = delays.next_delay();
                prop_assert!((range.min()..=range.max()).contains(&delay));
                prop_assert!(delay >= before / 2);
                before = delay;
            }
        }
    }
}
