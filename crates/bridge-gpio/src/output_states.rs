//! The outputs of one device: pulses, the longest time on, and interlocks. Pure: it says what may
//! be switched and when; the caller switches, and tells it that it was done.

use std::time::{Duration, Instant};

/// What is wanted of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Off.
    Off,
    /// On, until it is switched off or its longest time is over.
    On,
    /// On for a time.
    Pulse(Duration),
}

/// What holds for one output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The longest time that it may be on.
    pub pulse_max: Option<Duration>,
    /// Outputs, by index, none of which may be on with it.
    pub interlock: Vec<usize>,
}

/// What may be switched now. Given to [`OutputStates::done`] once it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The level to set.
    pub level: bool,
    /// When it has to be off again.
    pub off_at: Option<Instant>,
}

/// Why something may not be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another output, by index, is on.
    Interlocked(usize),
    /// A pulse is longer than the longest time on.
    TooLong(Duration),
    /// There is no such output.
    Unknown,
}

/// The outputs.
#[derive(Clone, Debug, Default)]
pub struct OutputStates {
    outputs: Vec<Output>,
}

#[derive(Clone, Debug)]
struct Output {
    rules: Rules,
    /// `None` while it is not known.
    level: Option<bool>,
    off_at: Option<Instant>,
}

impl OutputStates {
    /// Outputs whose levels are not known yet.
    pub fn new(rules: Vec<Rules>) -> Self {
        let outputs = rules.into_iter().map(|rules| Output {
            rules,
            level: None,
            off_at: None,
        });
        Self {
            outputs: outputs.collect(),
        }
    }

    /// Takes over an output as it is found. One that is on may stay so for its longest time from
    /// now on, and no longer than until `off_at` if that is known.
    pub fn found(&mut self, index: usize, level: bool, off_at: Option<Instant>, now: Instant) {
        if let Some(output) = self.outputs.get_mut(index) {
            let limit = output.limit(now);
            let earliest = off_at.into_iter().chain(limit).min();
            output.level = Some(level);
            output.off_at = earliest.filter(|_| level);
        }
    }

    /// Whether something may be done, and how.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn plan(&self, index: usize, wanted: Wanted, now: Instant) -> Result<Step, Refusal> {
        let output = self.outputs.get(index).ok_or(Refusal::Unknown)?;
        let limit = output.limit(now);
        let off_at = match wanted {
            Wanted::Off => {
                return Ok(Step {
                    level: false,
                    off_at: None,
                });
            }
            // Saying "on" again and again must not stretch the longest time.
            Wanted::On if output.level == Some(true) => {
                match (output.rules.pulse_max, output.off_at) {
                    (Some(_), Some(off_at)) => Some(off_at),
                    _ => limit,
                }
            }
            Wanted::On => limit,
            Wanted::Pulse(length) => {
                if let Some(max) = output.rules.pulse_max.filter(|max| length > *max) {
                    return Err(Refusal::TooLong(max));
                }
                let end = now.checked_add(length);
                match (output.level, output.rules.pulse_max, output.off_at) {
                    (Some(true), Some(_), Some(off_at)) => end.map(|end| end.min(off_at)),
                    _ => end,
                }
            }
        };
        let is_on = |other: &&usize| self.level(**other) == Some(true) && **other != index;
        match output.rules.interlock.iter().find(is_on) {
            Some(other) => Err(Refusal::Interlocked(*other)),
            None => Ok(Step {
                level: true,
                off_at,
            }),
        }
    }

    /// An output was switched.
    pub fn done(&mut self, index: usize, step: Step) {
        if let Some(output) = self.outputs.get_mut(index) {
            output.level = Some(step.level);
            output.off_at = step.off_at;
        }
    }

    /// The level of an output; `None` while it is not known.
    pub fn level(&self, index: usize) -> Option<bool> {
        self.outputs.get(index)?.level
    }

    /// When an output has to be off.
    pub fn off_at(&self, index: usize) -> Option<Instant> {
        self.outputs.get(index)?.off_at
    }

    /// The next time at which something has to be switched off.
    pub fn next(&self) -> Option<Instant> {
        self.outputs.iter().filter_map(|output| output.off_at).min()
    }

    /// Outputs that have to be switched off now.
    pub fn due(&self, now: Instant) -> Vec<usize> {
        let outputs = self.outputs.iter().enumerate();
        let due = outputs.filter(|(_, output)| output.off_at.is_some_and(|at| at <= now));
        due.map(|(index, _)| index).collect()
    }

    /// Two outputs that exclude each other and are both on, as they were found.
    pub fn conflict(&self) -> Option<(usize, usize)> {
        let on = |index: &usize| self.level(*index) == Some(true);
        let all = self.outputs.iter().enumerate();
        all.filter(|(index, _)| on(index))
            .find_map(|(index, output)| {
                let other = output.rules.interlock.iter().find(|other| on(other))?;
                Some((index, *other))
            })
    }
}

impl Output {
    fn limit(&self, now: Instant) -> Option<Instant> {
        now.checked_add(self.rules.pulse_max?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn act(
        bank: &mut OutputStates,
        index: usize,
        wanted: Wanted,
        now: Instant,
    ) -> Result<Step, Refusal> {
        let step = bank.plan(index, wanted, now)?;
        bank.done(index, step);
        Ok(step)
    }

    #[test]
    fn saying_on_again_does_not_stretch_the_longest_time() {
        let start = Instant::now();
        let mut bank = OutputStates::new(vec![Rules {
            pulse_max: Some(10 * SECOND),
            ..Rules::default()
        }]);
        for (second, wanted, off_second) in [
            (0, Wanted::On, Some(10)),
            (6, Wanted::On, Some(10)),
            (7, Wanted::Pulse(8 * SECOND), Some(10)),
            (8, Wanted::Pulse(SECOND), Some(9)),
            (9, Wanted::Off, None),
            (10, Wanted::On, Some(20)),
        ] {
            let now = start + SECOND * second;
            let step = act(&mut bank, 0, wanted, now).unwrap();
            assert_eq!(
                step.off_at,
                off_second.map(|off| start + SECOND * off),
                "{second}"
            );
        }
        assert_eq!(
            bank.plan(0, Wanted::Pulse(11 * SECOND), start),
            Err(Refusal::TooLong(10 * SECOND))
        );
    }

    #[test]
    fn on_after_a_pulse_stays_on() {
        let now = Instant::now();
        let mut bank = OutputStates::new(vec![Rules::default()]);
        act(&mut bank, 0, Wanted::Pulse(SECOND), now).unwrap();
        assert_eq!(bank.next(), Some(now + SECOND));
        act(&mut bank, 0, Wanted::On, now).unwrap();
        assert_eq!(bank.next(), None);
    }

    #[test]
    fn what_is_found_on_has_its_longest_time_from_then_on() {
        let now = Instant::now();
        let mut bank = OutputStates::new(vec![Rules {
            pulse_max: Some(10 * SECOND),
            ..Rules::default()
        }]);
        for (level, known, want) in [
            (false, None, None),
            (true, None, Some(10)),
            (true, Some(4), Some(4)),
            (true, Some(40), Some(10)),
        ] {
            let at = |second: u32| now + SECOND * second;
            bank.found(0, level, known.map(at), now);
            assert_eq!(bank.off_at(0), want.map(at));
        }
    }

    fn wanted() -> impl Strategy<Value = Wanted> {
        prop_oneof![
            Just(Wanted::Off),
            Just(Wanted::On),
            (1u64..8_000).prop_map(|ms| Wanted::Pulse(Duration::from_millis(ms))),
        ]
    }

    proptest! {
        /// Whatever is asked at whatever time: outputs that exclude each other are never on
        /// together, and none is on for longer than it may.
        #[test]
        fn interlocks_and_longest_times_hold(steps in proptest::collection::vec((0usize..3, wanted(), 0u64..3_000), 1..80)) {
            let max = 5 * SECOND;
            let rules = |interlock: &[usize]| Rules { pulse_max: Some(max), interlock: interlock.to_vec() };
            let mut bank = OutputStates::new(vec![rules(&[1]), rules(&[0]), rules(&[])]);
            let mut now = Instant::now();
            for index in 0..3 {
                bank.found(index, false, None, now);
            }
            let mut on_since = [None; 3];
            for (index, wanted, later) in steps {
                let end = now + Duration::from_millis(later);
                while let Some(next) = bank.next().filter(|next| *next <= end) {
                    now = next;
                    for due in bank.due(now) {
                        let since: Instant = on_since[due].take().unwrap();
                        prop_assert!(now - since <= max);
                        act(&mut bank, due, Wanted::Off, now).unwrap();
                    }
                }
                now = end;
                let _ = act(&mut bank, index, wanted, now);
                prop_assert!(bank.conflict().is_none());
                for (index, since) in on_since.iter_mut().enumerate() {
                    match bank.level(index) {
                        Some(true) => { since.get_or_insert(now); }
                        _ => *since = None,
                    }
                    prop_assert!(since.is_none_or(|since| now - since <= max));
                }
            }
        }
    }
}
