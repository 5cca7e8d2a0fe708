//! Exact decimal numbers, so that scaling a counter never passes through a double.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// An exact decimal number: an `i128` divided by a power of ten.
///
/// Holds every 64-bit integer, and products of one with a scale of up to 18 digits. It is always
/// kept without trailing zeros in its fraction, so equal numbers are equal structs, and `21.0`
/// prints as `21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i128,
    digits: u8,
}

/// Why a text or a number is not a [`Decimal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is not a decimal number.
    #[error("not a number")]
    Syntax,
    /// The number needs more digits than a [`Decimal`] holds.
    #[error("a number with too many digits")]
    Range,
}

/// 10^36 is the largest power of ten with room left in an `i128` to compare two fractions.
const DIGITS_MAX: u8 = 36;

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self {
        mantissa: 0,
        digits: 0,
    };
    /// One.
    pub const ONE: Self = Self {
        mantissa: 1,
        digits: 0,
    };

    /// `mantissa` / 10^`digits`; `None` if more than 36 fraction digits remain after trailing
    /// zeros are dropped.
    pub fn new(mut mantissa: i128, mut digits: u8) -> Option<Self> {
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        while digits > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            digits -= 1;
        }
        (digits <= DIGITS_MAX).then_some(Self { mantissa, digits })
    }

    /// The whole number and by which power of ten it is divided.
    pub fn parts(self) -> (i128, u8) {
        (self.mantissa, self.digits)
    }

    /// The number if it is whole.
    pub fn to_integer(self) -> Option<i128> {
        (self.digits == 0).then_some(self.mantissa)
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        const EXACT: i128 = 1 << 53;
        // Both operands are exact doubles here, so the one division rounds correctly.
        if self.digits <= 22 && (-EXACT..=EXACT).contains(&self.mantissa) {
            return self.mantissa as f64 / 10f64.powi(i32::from(self.digits));
        }
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The shortest decimal that reads back as `value`; `None` if not finite or out of range.
    pub fn from_f32(value: f32) -> Option<Self> {
        // `Display` of a float is the shortest text that reads back, without an exponent.
        value.is_finite().then(|| value.to_string().parse().ok())?
    }

    /// The shortest decimal that reads back as `value`; `None` if not finite or out of range.
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then(|| value.to_string().parse().ok())?
    }

    /// The exact product; `None` if it does not fit.
    pub fn checked_mul(self, by: Self) -> Option<Self> {
        // Most readings are not scaled.
        if by == Self::ONE {
            return Some(self);
        }
        let mantissa = self.mantissa.checked_mul(by.mantissa)?;
        Self::new(mantissa, self.digits.checked_add(by.digits)?)
    }

    /// Appends what `Display` shows.
    pub(crate) fn append(self, out: &mut String) {
        // Nearly all numbers are that small, and then the machinery of `Display` is most of the work.
        let size = u64::try_from(self.mantissa.unsigned_abs());
        let (Ok(size), Some(one)) = (size, 10u64.checked_pow(self.digits.into())) else {
            return push(out, self);
        };
        let mut digits = itoa::Buffer::new();
        if self.mantissa < 0 {
            out.push('-');
        }
        out.push_str(digits.format(size / one));
        if self.digits > 0 {
            let fraction = digits.format(size % one);
            out.push('.');
            out.extend((fraction.len()..self.digits.into()).map(|_| '0'));
            out.push_str(fraction);
        }
    }

    /// The exact sum; `None` if it does not fit.
    pub fn checked_add(self, to: Self) -> Option<Self> {
        if to.mantissa == 0 {
            return Some(self);
        }
        if self.digits == to.digits {
            return Self::new(self.mantissa.checked_add(to.mantissa)?, self.digits);
        }
        let digits = self.digits.max(to.digits);
        let sum = self.at(digits)?.checked_add(to.at(digits)?)?;
        Self::new(sum, digits)
    }

    /// The exact difference; `None` if it does not fit.
    pub fn checked_sub(self, less: Self) -> Option<Self> {
        let mantissa = less.mantissa.checked_neg()?;
        self.checked_add(Self { mantissa, ..less })
    }

    /// The magnitude; `None` if it does not fit.
    pub fn checked_abs(self) -> Option<Self> {
        let mantissa = self.mantissa.checked_abs()?;
        Some(Self { mantissa, ..self })
    }

    /// `self / by` if that is a whole number that fits, else `None`.
    pub fn checked_div_whole(self, by: Self) -> Option<i128> {
        let digits = self.digits.max(by.digits);
        let (dividend, divisor) = (self.at(digits)?, by.at(digits)?);
        (dividend.checked_rem(divisor)? == 0).then(|| dividend.checked_div(divisor))?
    }

    /// The mantissa with `digits` fraction digits, which must not be fewer than it has.
    fn at(self, digits: u8) -> Option<i128> {
        let power = 10i128.checked_pow(u32::from(digits.checked_sub(self.digits)?))?;
        self.mantissa.checked_mul(power)
    }

    /// The whole part rounded down, and the fraction in units of 10^-36.
    fn split(self) -> (i128, i128) {
        let unit = 10i128.pow(u32::from(self.digits));
        let rest = 10i128.pow(u32::from(DIGITS_MAX - self.digits));
        (
            self.mantissa.div_euclid(unit),
            self.mantissa.rem_euclid(unit) * rest,
        )
    }
}

fn push(out: &mut String, shown: impl fmt::Display) {
    // Writing to a string does not fail.
    let _ = write!(out, "{shown}");
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.split().cmp(&other.split())
    }
}

macro_rules! from_integer {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Decimal {
            fn from(value: $integer) -> Self {
                Self { mantissa: i128::from(value), digits: 0 }
            }
        }
    )*};
}
from_integer!(i8 u8 i16 u16 i32 u32 i64 u64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = usize::from(self.digits);
        let size = self.mantissa.unsigned_abs();
        let sign = if self.mantissa < 0 { "-" } else { "" };
        // Nearly all are that small, and then it takes a fraction of the time.
        if let Ok(size) = u64::try_from(size)
            && let Some(one) = 10u64.checked_pow(self.digits.into())
        {
            let (whole, fraction) = (size / one, size % one);
            return match digits {
                0 => write!(f, "{sign}{whole}"),
                _ => write!(f, "{sign}{whole}.{fraction:0digits$}"),
            };
        }
        let text = format!("{size:0>0$}", digits + 1);
        let (whole, fraction) = text.split_at(text.len() - digits);
        if fraction.is_empty() {
            write!(f, "{sign}{whole}")
        } else {
            write!(f, "{sign}{whole}.{fraction}")
        }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Reads `-12`, `+0.5`, `.5`, `1e3`, `2.5E-7`. No spaces, no `nan`, no `inf`.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (negative, number) = match number.as_bytes().first() {
            Some(b'-') => (true, &number[1..]),
            Some(b'+') => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(DecimalError::Syntax);
        }
        let fraction = fraction.trim_end_matches('0');
        let mut mantissa: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if !digit.is_ascii_digit() {
                return Err(DecimalError::Syntax);
            }
            mantissa = mantissa
                .checked_mul(10)
                .and_then(|ten| ten.checked_add(i128::from(digit - b'0')))
                .ok_or(DecimalError::Range)?;
        }
        if negative {
            mantissa = -mantissa;
        }
        if mantissa == 0 {
            return Ok(Self::ZERO);
        }
        let fraction = i32::try_from(fraction.len()).map_err(|_| DecimalError::Range)?;
        let digits = fraction.checked_sub(exponent).ok_or(DecimalError::Range)?;
        if let Ok(digits) = u8::try_from(digits) {
            return Self::new(mantissa, digits).ok_or(DecimalError::Range);
        }
        10i128
            .checked_pow(digits.unsigned_abs())
            .filter(|_| digits < 0)
            .and_then(|power| mantissa.checked_mul(power))
            .and_then(|mantissa| Self::new(mantissa, 0))
            .ok_or(DecimalError::Range)
    }
}

fn parse_exponent(text: &str) -> Result<i32, DecimalError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::Syntax);
    }
    text.parse().map_err(|_| DecimalError::Range)
}

impl<'de> Deserialize<'de> for Decimal {
    /// From an integer, or from a float through its shortest text: `0.1` is exactly 0.1.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Decimal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Decimal, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Decimal, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Decimal, E> {
        Decimal::from_f64(value)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn text_is_read_exactly_and_printed_without_trailing_zeros() {
        for (text, want) in [
            ("0", "0"),
            ("-0", "0"),
            ("21.50", "21.5"),
            ("+7", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-0.05", "-0.05"),
            ("1e3", "1000"),
            ("2.5E-7", "0.00000025"),
            ("18446744073709551615", "18446744073709551615"),
            ("1844674407370955161.5", "1844674407370955161.5"),
            ("0e999999", "0"),
        ] {
            assert_eq!(dec(text).to_string(), want, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_decimal_is_refused_with_its_reason() {
        for (text, want) in [
            ("", DecimalError::Syntax),
            (".", DecimalError::Syntax),
            ("-", DecimalError::Syntax),
            ("1 ", DecimalError::Syntax),
            ("1,5", DecimalError::Syntax),
            ("0x10", DecimalError::Syntax),
            ("nan", DecimalError::Syntax),
            ("inf", DecimalError::Syntax),
            ("1e", DecimalError::Syntax),
            ("1e+-3", DecimalError::Syntax),
            ("1e40", DecimalError::Range),
            ("1e-37", DecimalError::Range),
            ("1e99999999999", DecimalError::Range),
            ("1e-2147483648", DecimalError::Range),
            ("1e2147483647", DecimalError::Range),
            (
                "1000000000000000000000000000000000000000",
                DecimalError::Range,
            ),
        ] {
            assert_eq!(text.parse::<Decimal>(), Err(want), "{text}");
        }
    }

    #[test]
    fn scaling_a_full_u64_stays_exact() {
        for (raw, scale, offset, want) in [
            (u64::MAX, "0.1", "0", "1844674407370955161.5"),
            (9_007_199_254_740_993, "1", "0", "9007199254740993"),
            (9_007_199_254_740_993, "0.001", "-40", "9007199254700.993"),
            (u64::MAX, "1000000", "1", "18446744073709551615000001"),
        ] {
            let got = Decimal::from(raw)
                .checked_mul(dec(scale))
                .and_then(|product| product.checked_add(dec(offset)));
            assert_eq!(got, Some(dec(want)), "{raw} * {scale} + {offset}");
        }
    }

    #[test]
    fn overflow_is_none_and_never_a_wrong_number() {
        let huge = dec("1e38");
        assert_eq!(huge.checked_mul(huge), None);
        assert_eq!(huge.checked_add(huge), None);
        assert_eq!(huge.checked_add(dec("0.01")), None);
        assert_eq!(dec("1e-20").checked_mul(dec("1e-20")), None);
    }

    #[test]
    fn division_is_only_answered_when_it_is_whole() {
        for (value, scale, want) in [
            ("21.5", "0.1", Some(215)),
            ("21.53", "0.1", None),
            ("1844674407370955161.5", "0.1", Some(i128::from(u64::MAX))),
            ("-3", "0.5", Some(-6)),
            ("3", "0", None),
            ("0", "0.3", Some(0)),
        ] {
            assert_eq!(
                dec(value).checked_div_whole(dec(scale)),
                want,
                "{value} / {scale}"
            );
        }
    }

    #[test]
    fn order_is_numeric_across_different_numbers_of_digits() {
        let sorted = [
            "-1e38", "-2", "-1.5", "-0.001", "0", "1e-36", "0.1", "0.11", "2", "1e38",
        ];
        for pair in sorted.windows(2) {
            assert!(dec(pair[0]) < dec(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn a_float_in_the_configuration_is_its_shortest_text() {
        for (json, want) in [
            ("0.1", "0.1"),
            ("1", "1"),
            ("-40", "-40"),
            ("1e-3", "0.001"),
        ] {
            let got: Decimal = serde_json::from_str(json).unwrap();
            assert_eq!(got, dec(want));
        }
        assert!(serde_json::from_str::<Decimal>("\"1\"").is_err());
        assert!(serde_json::from_str::<Decimal>("1e300").is_err());
    }

    proptest! {
        #[test]
        fn text_survives_a_round_trip(mantissa in any::<i64>(), digits in 0u8..30) {
            let value = Decimal::new(i128::from(mantissa), digits).unwrap();
            prop_assert_eq!(value.to_string().parse::<Decimal>(), Ok(value));
        }

        #[test]
        fn the_short_way_to_text_is_the_same_text(mantissa in any::<i128>(), shift in 0u32..128, digits in 0u8..=36) {
            let value = Decimal::new(mantissa >> shift, digits).unwrap();
            let mut text = String::from("x");
            value.append(&mut text);
            prop_assert_eq!(text, format!("x{value}"));
        }

        #[test]
        fn the_double_is_the_nearest_one(mantissa in any::<i64>(), digits in 0u8..30) {
            let value = Decimal::new(i128::from(mantissa), digits).unwrap();
            prop_assert_eq!(value.to_f64(), value.to_string().parse::<f64>().unwrap());
        }

        #[test]
        fn a_product_divides_back(raw in any::<i64>(), scale in 1u32.., digits in 0u8..9) {
            let scale = Decimal::new(i128::from(scale), digits).unwrap();
            let product = Decimal::from(raw).checked_mul(scale).unwrap();
            prop_assert_eq!(product.checked_div_whole(scale), Some(i128::from(raw)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+.0-9eE]{0,60}") {
            let _ = text.parse::<Decimal>();
        }
    }
}
