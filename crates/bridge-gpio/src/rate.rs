//! How often pulses come. Pure.

use std::time::Duration;

/// Pulses for each second, from the times of the edges themselves and not from those of looking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// The edge that the last answer ended with.
    from: Option<Duration>,
    /// The newest edge.
    newest: Option<Duration>,
    /// Pulses after `from`, up to `newest`.
    pulses: u64,
    hertz: f64,
}

impl Rate {
    /// Takes an edge in that stands for `pulses` (more than one if some were lost before it).
    pub fn edge(&mut self, at: Duration, pulses: u64) {
        if self.from.is_none() {
            self.from = Some(at);
        } else {
            self.pulses = self.pulses.saturating_add(pulses);
        }
        self.newest = Some(at);
    }

    /// The rate in hertz; not negative.
    ///
    /// Between the last edges of two looks it is exact. While none come it can be no more than one
    /// in the time that has passed since the last, so it sinks from there; it is zero once `still`
    /// has passed without an edge.
    pub fn at(&mut self, now: Duration, still: Duration) -> f64 {
        let (Some(from), Some(newest)) = (self.from, self.newest) else {
            return 0.0;
        };
        if self.pulses > 0 {
            let span = newest.saturating_sub(from);
            if !span.is_zero() {
                self.hertz = self.pulses as f64 / span.as_secs_f64();
                self.from = Some(newest);
                self.pulses = 0;
            }
        }
        let silent = now.saturating_sub(newest);
        if silent >= still {
            *self = Self::default();
        } else if !silent.is_zero() {
            self.hertz = self.hertz.min(1.0 / silent.as_secs_f64());
        }
        self.hertz
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STILL: Duration = Duration::from_secs(10);

    #[test]
    fn a_rate_sinks_while_nothing_comes_and_ends_at_zero() {
        let mut rate = Rate::default();
        assert_eq!(rate.at(Duration::from_secs(1), STILL), 0.0);
        for tenth in 0..=20 {
            rate.edge(Duration::from_millis(tenth * 100), 1);
        }
        for (ms, want) in [
            (2_000, 10.0),
            (2_050, 10.0),
            (2_200, 5.0),
            (4_000, 0.5),
            (12_000, 0.0),
        ] {
            assert_eq!(rate.at(Duration::from_millis(ms), STILL), want, "{ms}");
        }
        // The first edge after a standstill says nothing yet.
        rate.edge(Duration::from_secs(20), 1);
        assert_eq!(rate.at(Duration::from_secs(20), STILL), 0.0);
    }

    #[test]
    fn lost_pulses_count() {
        let mut rate = Rate::default();
        rate.edge(Duration::ZERO, 1);
        rate.edge(Duration::from_secs(1), 50);
        assert_eq!(rate.at(Duration::from_secs(1), STILL), 50.0);
    }

    proptest! {
        #[test]
        fn even_pulses_have_their_own_rate_whenever_it_is_looked(gap_us in 100u64..100_000, looks in proptest::collection::vec(1u64..200, 1..20)) {
            let mut rate = Rate::default();
            let (mut index, want) = (0u64, 1e6 / gap_us as f64);
            rate.edge(Duration::ZERO, 1);
            for count in looks {
                for _ in 0..count {
                    index += 1;
                    rate.edge(Duration::from_micros(index * gap_us), 1);
                }
                let got = rate.at(Duration::from_micros(index * gap_us), STILL);
                prop_assert!((got / want - 1.0).abs() < 1e-6, "{got} {want}");
            }
        }

        #[test]
        fn no_times_make_it_negative_or_infinite(times in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..50)) {
            let mut rate = Rate::default();
            for (edge, look) in times {
                rate.edge(Duration::from_millis(edge.into()), 1);
                let got = rate.at(Duration::from_millis(look.into()), STILL);
                prop_assert!(got >= 0.0 && got.is_finite());
            }
        }
    }
}
