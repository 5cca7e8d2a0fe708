//! The code that lets the first visitor in. Pure: the time and random bytes are arguments.

use std::time::{Duration, Instant};

/// Characters of a code, of which none is taken for another.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Characters of a code: 40 bits.
pub(crate) const LENGTH: usize = 8;
/// Wrong codes until nothing is taken for a while.
const TRIES: u32 = 5;
/// For how long nothing is taken; after it there is another code.
const PAUSE: Duration = Duration::from_secs(60);

/// The code of now.
#[derive(Debug)]
pub(crate) struct Code {
    code: String,
    wrong: u32,
    closed: Option<Instant>,
}

/// What a given code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    Right,
    Wrong,
    /// Too many were wrong; so long nothing is taken.
    Wait(Duration),
}

impl Code {
    pub(crate) fn new(random: [u8; LENGTH]) -> Self {
        let characters = random.iter();
        let characters = characters.filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
        Self {
            code: characters.map(|byte| char::from(*byte)).collect(),
            wrong: 0,
            closed: None,
        }
    }

    /// As it is shown: `ABCD-EFGH`.
    pub(crate) fn shown(&self) -> String {
        let (first, second) = self.code.split_at(self.code.len() / 2);
        format!("{first}-{second}")
    }

    /// Whether the code has done its time, and another one is due.
    pub(crate) fn is_spent(&self, now: Instant) -> bool {
        self.closed.is_some_and(|closed| now - closed >= PAUSE)
    }

    /// Looks at what a visitor gave, in any case, with or without dash and spaces.
    pub(crate) fn check(&mut self, given: &str, now: Instant) -> Tried {
        if let Some(closed) = self.closed {
            return Tried::Wait(PAUSE.saturating_sub(now - closed));
        }
        let given = given.chars().filter(char::is_ascii_alphanumeric);
        let given: String = given
            .take(LENGTH + 1)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let pairs = self.code.bytes().zip(given.bytes());
        // All of it is looked at, so that time tells nothing.
        let differs = pairs.fold(0, |sum, (one, other)| sum | (one ^ other));
        if differs == 0 && given.len() == self.code.len() {
            self.wrong = 0;
            return Tried::Right;
        }
        self.wrong += 1;
        if self.wrong >= TRIES {
            self.closed = Some(now);
        }
        Tried::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_as_people_type_it() {
        let code = || Code::new([0, 1, 2, 3, 31, 30, 255, 64]);
        assert_eq!(code().shown(), "ABCD-989A");
        let now = Instant::now();
        for (given, want) in [
            ("ABCD-989A", Tried::Right),
            ("abcd989a", Tried::Right),
            (" abcd 989a ", Tried::Right),
            ("", Tried::Wrong),
            ("ABCD-989", Tried::Wrong),
            ("ABCD-989AA", Tried::Wrong),
            ("ABCD-989B", Tried::Wrong),
            ("ÄBCD989A", Tried::Wrong),
        ] {
            assert_eq!(code().check(given, now), want, "{given}");
        }
    }

    #[test]
    fn five_wrong_codes_close_the_door_for_a_minute_even_for_the_right_one() {
        let mut code = Code::new([0; LENGTH]);
        let start = Instant::now();
        for _ in 0..TRIES {
            assert_eq!(code.check("x", start), Tried::Wrong);
        }
        let seconds = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            code.check("AAAA-AAAA", seconds(20)),
            Tried::Wait(Duration::from_secs(40))
        );
        assert!(!code.is_spent(seconds(59)));
        assert!(code.is_spent(seconds(60)));
    }

    #[test]
    fn a_right_code_forgives_the_wrong_ones_before() {
        let mut code = Code::new([0; LENGTH]);
        let now = Instant::now();
        for _ in 0..10 {
            for _ in 0..TRIES - 1 {
                assert_eq!(code.check("x", now), Tried::Wrong);
            }
            assert_eq!(code.check("aaaaaaaa", now), Tried::Right);
        }
    }
}
