//! Whom a request is for: a primary or a secondary address. Pure.

use std::fmt;
use std::str::FromStr;

/// The address of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// 0 to 250. A meter has 0 until it is given another.
    Primary(u8),
    /// By what the meter is. It is reached at the primary address 253 once it was selected.
    Secondary(Secondary),
}

/// The largest primary address of a meter.
pub const PRIMARY_MAX: u8 = 250;
/// The primary address of whichever meter is selected.
pub const SELECTED: u8 = 253;

/// A secondary address: identification number, maker, version, medium. Each digit may be a
/// wildcard.
///
/// Written as on the line: eight digits, then optionally the rest: the maker as three letters or
/// four hexadecimal digits (low byte first), two digits of version and two of medium. `F` stands
/// for any digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secondary([u8; 8]);

const ANY: u8 = 0xF;

impl Secondary {
    /// Any meter.
    pub const ANY: Self = Self([0xFF; 8]);

    /// From the eight bytes of a meter's header or of a selection.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The eight bytes of a selection.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }

    /// Whether it can be this meter, whose address has no wildcards.
    pub fn matches(self, meter: Self) -> bool {
        let is_like = |(wanted, own): (&u8, &u8)| {
            let digit = |shift: u8| {
                let wanted = wanted >> shift & 0xF;
                wanted == ANY || wanted == own >> shift & 0xF
            };
            digit(0) && digit(4)
        };
        // Of the maker, version and medium only whole bytes are wild: their bits are no digits.
        let numbers = self.0.iter().zip(&meter.0).take(4).all(is_like);
        let rest = self.0.iter().zip(&meter.0).skip(4);
        numbers
            && rest
                .into_iter()
                .all(|(wanted, own)| *wanted == 0xFF || wanted == own)
    }

    /// Whether several meters can have it.
    pub fn is_wild(self) -> bool {
        let [a, b, c, d, rest @ ..] = self.0;
        let is_digit = |byte: u8| byte & 0xF != ANY && byte >> 4 != ANY;
        ![a, b, c, d].into_iter().all(is_digit) || rest.contains(&0xFF)
    }

    /// The same with another digit of the identification number, counted from the left.
    pub fn with_digit(mut self, place: usize, digit: u8) -> Self {
        if let Some(byte) = self.0.get_mut(3_usize.saturating_sub(place / 2)) {
            *byte = if place.is_multiple_of(2) {
                *byte & 0x0F | digit << 4
            } else {
                *byte & 0xF0 | digit & 0xF
            };
        }
        self
    }
}

impl fmt::Display for Secondary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, low, high, version, medium] = self.0;
        write!(f, "{d:02X}{c:02X}{b:02X}{a:02X}")?;
        if [low, high, version, medium] == [0xFF; 4] {
            return Ok(());
        }
        match maker(u16::from_le_bytes([low, high])) {
            Some(maker) => write!(f, "{maker}{version:02X}{medium:02X}"),
            None => write!(f, "{low:02X}{high:02X}{version:02X}{medium:02X}"),
        }
    }
}

impl FromStr for Secondary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "expected 8 digits such as \"12345678\", or with maker, version and medium such as \
             \"12345678ELS0A04\"; F stands for any digit"
                .to_owned()
        };
        let (digits, rest) = text.split_at_checked(8).ok_or_else(wrong)?;
        let is_number = |digit: u8| digit.is_ascii_digit() || digit.eq_ignore_ascii_case(&b'f');
        if !digits.bytes().all(is_number) {
            return Err(wrong());
        }
        let mut bytes = [0xFF; 8];
        for (byte, place) in bytes.iter_mut().zip([6, 4, 2, 0]) {
            *byte = hex(digits, place).ok_or_else(wrong)?;
        }
        let letters = rest.get(..3).filter(|_| rest.len() == 7);
        let (maker, rest) = match (letters.map(maker_number), rest.len()) {
            (_, 0) => return Ok(Self(bytes)),
            (Some(Some(number)), _) => (number.to_le_bytes(), rest.get(3..)),
            (None, 8) => {
                let byte = |place| hex(rest, place).ok_or_else(wrong);
                ([byte(0)?, byte(2)?], rest.get(4..))
            }
            _ => return Err(wrong()),
        };
        let rest = rest.unwrap_or_default();
        let version = hex(rest, 0).ok_or_else(wrong)?;
        let medium = hex(rest, 2).ok_or_else(wrong)?;
        let [a, b, c, d, ..] = bytes;
        let [low, high] = maker;
        Ok(Self([a, b, c, d, low, high, version, medium]))
    }
}

fn hex(text: &str, place: usize) -> Option<u8> {
    let digits = text.get(place..place + 2)?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary(address) => write!(f, "address {address}"),
            Self::Secondary(address) => write!(f, "secondary {address}"),
        }
    }
}

/// The three letters of a maker; `None` if the number stands for none.
///
/// Source: EN 13757-3, 5.5: five bits a letter, `A` is 1.
pub fn maker(number: u16) -> Option<String> {
    let letter = |shift: u16| {
        let bits = (number >> shift & 0x1F) as u8;
        (1..=26)
            .contains(&bits)
            .then(|| char::from(b'A' - 1 + bits))
    };
    let is_named = number & 0x8000 == 0;
    is_named.then(|| [letter(10), letter(5), letter(0)].into_iter().collect())?
}

fn maker_number(letters: &str) -> Option<u16> {
    let mut number = 0;
    for letter in letters.bytes() {
        if !letter.is_ascii_alphabetic() {
            return None;
        }
        number = number << 5 | u16::from(letter.to_ascii_uppercase() - b'A' + 1);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secondary_address_is_read_and_shown_as_it_is_written() {
        for (text, bytes, shown) in [
            (
                "12345678",
                [0x78, 0x56, 0x34, 0x12, 0xFF, 0xFF, 0xFF, 0xFF],
                "12345678",
            ),
            ("449493519315002F04", [0; 8], ""),
            (
                "44493951931C2F04",
                [0x51, 0x39, 0x49, 0x44, 0x93, 0x1C, 0x2F, 0x04],
                "44493951GDS2F04",
            ),
            (
                "44493951ELS2f04",
                [0x51, 0x39, 0x49, 0x44, 0x93, 0x15, 0x2F, 0x04],
                "44493951ELS2F04",
            ),
            (
                "1234FFFFFFFFFF07",
                [0xFF, 0xFF, 0x34, 0x12, 0xFF, 0xFF, 0xFF, 0x07],
                "1234FFFFFFFFFF07",
            ),
            ("1234567", [0; 8], ""),
            ("12A45678", [0; 8], ""),
            ("12345678ELS0", [0; 8], ""),
            ("12345678EL10104", [0; 8], ""),
            ("+2345678", [0; 8], ""),
            ("", [0; 8], ""),
        ] {
            let got = text.parse::<Secondary>();
            if shown.is_empty() {
                assert!(got.unwrap_err().contains("8 digits"), "{text}");
            } else {
                let got = got.unwrap();
                assert_eq!((got.bytes(), got.to_string().as_str()), (bytes, shown));
            }
        }
    }

    #[test]
    fn wildcards_match_any_digit_of_the_number_and_any_byte_of_the_rest() {
        let meter: Secondary = "44493951ELS2F04".parse().unwrap();
        for (text, want, is_wild) in [
            ("44493951", true, true),
            ("44493951ELS2F04", true, false),
            ("FFFFFFFF", true, true),
            ("4FF9395F", true, true),
            ("4FF9395F9315FF04", true, true),
            ("44493952", false, true),
            ("44493951ELS2F07", false, false),
            ("FFFFFFFFEFE2F04", false, true),
        ] {
            let mask: Secondary = text.parse().unwrap();
            let got = (mask.matches(meter), mask.is_wild());
            assert_eq!(got, (want, is_wild), "{text}");
        }
        assert_eq!(
            Secondary::ANY.with_digit(0, 4).with_digit(3, 9).to_string(),
            "4FF9FFFF"
        );
    }
}
