//! Values that move: pure functions of the time since the start.

use std::{f64::consts::TAU, time::Duration};

/// How a simulated value moves. The unit of the value is the caller's.
///
/// A period of zero stands still at the value of time zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wave {
    /// Always the same.
    Constant(f64),
    /// Swings around `mean` by `amplitude` to either side, rising first.
    Sine {
        /// The value at time zero.
        mean: f64,
        /// The largest distance from `mean`.
        amplitude: f64,
        /// The time of one full swing.
        period: Duration,
    },
    /// Goes from `from` towards `to` in a straight line, then starts again at `from`.
    Ramp {
        /// The value at time zero.
        from: f64,
        /// The value that is approached and never reached.
        to: f64,
        /// The time from `from` to `to`.
        period: Duration,
    },
    /// Grows for ever, as an energy register does.
    Counter {
        /// The value at time zero.
        start: f64,
        /// The growth in one second.
        per_second: f64,
    },
    /// 0 for half a period, then 1 for half a period.
    Toggle {
        /// The time from one rising edge to the next.
        period: Duration,
    },
}

impl Wave {
    /// The value at `now`, the time since the start.
    pub fn at(&self, now: Duration) -> f64 {
        match *self {
            Self::Constant(value) => value,
            Self::Sine {
                mean,
                amplitude,
                period,
            } => mean + amplitude * (TAU * phase(now, period)).sin(),
            Self::Ramp { from, to, period } => from + (to - from) * phase(now, period),
            Self::Counter { start, per_second } => start + per_second * now.as_secs_f64(),
            Self::Toggle { period } => {
                if phase(now, period) < 0.5 {
                    0.0
                } else {
                    1.0
                }
            }
        }
    }

    /// The value at `now` as a coil shows it: on from 0.5 upwards.
    pub fn is_on(&self, now: Duration) -> bool {
        self.at(now) >= 0.5
    }
}

/// The part of the current period that has passed, in `0.0..1.0`. Computed on whole nanoseconds,
/// so that it is as exact after a year as after a second.
fn phase(now: Duration, period: Duration) -> f64 {
    match now.as_nanos().checked_rem(period.as_nanos()) {
        Some(rest) => rest as f64 / period.as_nanos() as f64,
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(4);
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    #[test]
    fn every_wave_has_the_expected_value_at_the_quarters_of_a_period_and_a_year_later() {
        let sine = Wave::Sine {
            mean: 230.0,
            amplitude: 2.0,
            period: PERIOD,
        };
        let ramp = Wave::Ramp {
            from: 10.0,
            to: -10.0,
            period: PERIOD,
        };
        let toggle = Wave::Toggle { period: PERIOD };
        for (wave, want) in [
            (Wave::Constant(7.5), [7.5; 4]),
            (sine, [230.0, 232.0, 230.0, 228.0]),
            (ramp, [10.0, 5.0, 0.0, -5.0]),
            (toggle, [0.0, 0.0, 1.0, 1.0]),
        ] {
            for start in [Duration::ZERO, PERIOD, YEAR] {
                for (quarter, want) in (0..).zip(want) {
                    let got = wave.at(start + PERIOD / 4 * quarter);
                    assert!(
                        (got - want).abs() < 1e-9,
                        "{wave:?} {start:?} {quarter}: {got}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_counter_only_grows_and_a_period_of_zero_stands_still() {
        let counter = Wave::Counter {
            start: 100.0,
            per_second: 0.5,
        };
        assert_eq!(counter.at(Duration::ZERO), 100.0);
        assert_eq!(counter.at(Duration::from_secs(10)), 105.0);
        let period = Duration::ZERO;
        for (wave, want) in [
            (Wave::Toggle { period }, 0.0),
            (
                Wave::Ramp {
                    from: 1.0,
                    to: 2.0,
                    period,
                },
                1.0,
            ),
            (
                Wave::Sine {
                    mean: 3.0,
                    amplitude: 1.0,
                    period,
                },
                3.0,
            ),
        ] {
            assert_eq!(wave.at(YEAR), want, "{wave:?}");
        }
    }
}
