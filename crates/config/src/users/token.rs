//! Tokens of users: what a script shows instead of a password.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// The SHA-256 of a token, in the users file as 64 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(pub(super) [u8; 32]);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || {
            de::Error::custom("not a SHA-256 as `fieldgate token` writes it: 64 hexadecimal digits")
        };
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        for (byte, place) in bytes.iter_mut().zip(0..) {
            let pair = text.get(2 * place..2 * place + 2).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }
}

/// The last day on which a token is taken, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(Date);

impl Day {
    /// Reads a day such as `2027-01-31`.
    ///
    /// # Errors
    ///
    /// What is expected.
    pub fn of_text(text: &str) -> Result<Self, String> {
        let date = text.parse::<Date>().ok();
        // Not a time that only begins with a day.
        let date = date.filter(|date| date.to_string() == text);
        date.map(Self)
            .ok_or_else(|| "expected a day such as 2027-01-31".to_owned())
    }

    /// The first second after it, in seconds since 1970.
    pub fn end(self) -> i64 {
        let next = self.0.tomorrow().ok();
        let midnight = next.and_then(|next| next.to_zoned(TimeZone::UTC).ok());
        midnight.map_or(i64::MAX, |midnight| midnight.timestamp().as_second())
    }

    /// The day of which this second is [`Day::end`].
    pub fn of_end(second: i64) -> Option<Self> {
        let last = Timestamp::from_second(second.checked_sub(1)?).ok()?;
        Some(Self(last.to_zoned(TimeZone::UTC).date()))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::of_text(&text).map_err(de::Error::custom)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_utc() {
        for (text, want) in [
            ("1970-01-01", Some(86_400)),
            ("2027-01-31", Some(1_801_440_000)),
            ("2027-02-30", None),
            ("2027-1-31", None),
            ("2027-01-31T10:00:00", None),
            ("tomorrow", None),
        ] {
            let day = Day::of_text(text).ok();
            assert_eq!(day.map(Day::end), want, "{text}");
            if let Some(day) = day {
                assert_eq!(Day::of_end(day.end()), Some(day));
                assert_eq!(day.to_string(), text);
            }
        }
    }
}
