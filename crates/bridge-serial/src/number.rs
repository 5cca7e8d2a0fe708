//! Numbers as instruments print them, read exactly. Pure.

use fieldgate_model::Decimal;

/// How a device writes numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberFormat {
    /// What stands before the fraction: `.` or `,`.
    pub decimal: char,
    /// What stands between groups of three digits, if anything does.
    pub thousands: Option<char>,
}

impl Default for NumberFormat {
    fn default() -> Self {
        Self {
            decimal: '.',
            thousands: None,
        }
    }
}

/// Longer texts are no numbers.
const LENGTH_MAX: usize = 64;

/// Reads a number: blanks around it, a sign before it, apart from it or behind it (`- 12.5`,
/// `12.5-`), and an exponent are all taken. `None` if it is no number, or has more digits than a
/// [`Decimal`] holds.
pub fn parse(text: &str, format: NumberFormat) -> Option<Decimal> {
    let text = text.trim();
    if text.len() > LENGTH_MAX {
        return None;
    }
    let (sign, digits) = split_sign(text)?;
    let mut plain = String::with_capacity(text.len() + 1);
    plain.push(sign);
    let (whole, rest) = match digits.find([format.decimal, 'e', 'E']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    plain.push_str(&ungrouped(whole, format.thousands)?);
    for character in rest.chars() {
        plain.push(if character == format.decimal {
            '.'
        } else {
            character
        });
    }
    // What is a point or a comma to others is none here.
    if format.decimal != '.' && digits.contains('.') && format.thousands != Some('.') {
        return None;
    }
    plain.parse().ok()
}

/// The sign, and the text without it; `None` if there are two.
fn split_sign(text: &str) -> Option<(char, &str)> {
    let is_sign = |c: char| c == '-' || c == '+' || c == '\u{2212}';
    let plain = |c: char| if c == '+' { '+' } else { '-' };
    let (sign, rest) = match (text.chars().next(), text.chars().next_back()) {
        (Some(first), _) if is_sign(first) => (plain(first), text.get(first.len_utf8()..)?),
        (_, Some(last)) if is_sign(last) => {
            (plain(last), text.get(..text.len() - last.len_utf8())?)
        }
        _ => ('+', text),
    };
    let rest = rest.trim();
    let begins = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == ',');
    begins.then_some((sign, rest))
}

/// The whole part without the separators, which must be where they belong.
fn ungrouped(whole: &str, thousands: Option<char>) -> Option<String> {
    let Some(separator) = thousands.filter(|separator| whole.contains(*separator)) else {
        return Some(whole.to_owned());
    };
    let mut groups = whole.split(separator);
    let first = groups.next()?;
    let is_right = (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3);
    is_right.then(|| whole.chars().filter(|c| *c != separator).collect())
}

/// Writes a number for a device: with exactly `digits` of fraction if that is given. `None` if it
/// has more: a value that was not meant must not be sent.
pub fn write(number: Decimal, digits: Option<usize>, format: NumberFormat) -> Option<String> {
    let text = number.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let wanted = digits.unwrap_or(fraction.len());
    if fraction.len() > wanted {
        return None;
    }
    if wanted == 0 {
        return Some(whole.to_owned());
    }
    let decimal = format.decimal;
    Some(format!("{whole}{decimal}{fraction:0<wanted$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(text: &str) -> Option<Decimal> {
        text.parse().ok()
    }

    #[test]
    fn numbers_are_read_as_instruments_print_them() {
        let point = NumberFormat::default();
        let comma = NumberFormat {
            decimal: ',',
            thousands: None,
        };
        let german = NumberFormat {
            decimal: ',',
            thousands: Some('.'),
        };
        let english = NumberFormat {
            decimal: '.',
            thousands: Some(','),
        };
        let swiss = NumberFormat {
            decimal: '.',
            thousands: Some('\''),
        };
        for (text, format, want) in [
            ("12.5", point, "12.5"),
            ("  12.50 ", point, "12.5"),
            ("- 12.5", point, "-12.5"),
            ("-    0.002", point, "-0.002"),
            ("+  3", point, "3"),
            ("12.5-", point, "-12.5"),
            ("12.5 -", point, "-12.5"),
            ("\u{2212}7", point, "-7"),
            ("00012.500", point, "12.5"),
            ("1.25e-3", point, "0.00125"),
            ("-1.25E+03", point, "-1250"),
            (".5", point, "0.5"),
            ("5.", point, "5"),
            ("12,5", comma, "12.5"),
            ("1.234.567,89", german, "1234567.89"),
            ("1,234.5", english, "1234.5"),
            ("1'234.5", swiss, "1234.5"),
            ("1234.5", english, "1234.5"),
            (
                "12345678901234567890.123456789",
                point,
                "12345678901234567890.123456789",
            ),
        ] {
            assert_eq!(parse(text, format), exact(want), "{text}");
        }
        for (text, format) in [
            ("", point),
            ("-", point),
            ("--5", point),
            ("-5-", point),
            ("12,5", point),
            ("12.5", comma),
            ("1.23,4", german),
            ("1,23", english),
            ("12 kg", point),
            ("nan", point),
            ("inf", point),
            ("1 2", point),
            ("0x10", point),
            ("1e", point),
            ("9".repeat(60).as_str(), point),
        ] {
            assert_eq!(parse(text, format), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_written_with_the_digits_that_are_asked_for_and_never_rounded() {
        let comma = NumberFormat {
            decimal: ',',
            thousands: None,
        };
        for (number, digits, want) in [
            ("1.5", Some(2), Some("1,50")),
            ("1.5", None, Some("1,5")),
            ("-0.5", Some(1), Some("-0,5")),
            ("7", Some(0), Some("7")),
            ("7", None, Some("7")),
            ("1.555", Some(2), None),
            ("0.1", Some(0), None),
        ] {
            let got = exact(number).and_then(|number| write(number, digits, comma));
            assert_eq!(got.as_deref(), want, "{number}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_number_or_none(text in "[-+ 0-9.,'eE]{0,20}") {
            let _ = parse(&text, NumberFormat { decimal: ',', thousands: Some('.') });
        }

        #[test]
        fn what_is_written_reads_back(mantissa in any::<i64>(), digits in 0u8..12) {
            let number = Decimal::new(mantissa.into(), digits).unwrap();
            for decimal in ['.', ','] {
                let format = NumberFormat { decimal, thousands: None };
                let text = write(number, None, format).unwrap();
                prop_assert_eq!(parse(&text, format), Some(number), "{}", text);
            }
        }
    }
}
