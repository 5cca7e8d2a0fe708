//! What is sent for a command: a template with the value in it. Pure.

use std::fmt;

use fieldgate_model::{Decimal, Value};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::bytes::Escaped;
use crate::number::{self, NumberFormat};

/// A text to send, such as `SET {value:.2}\r\n`. `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    Value(Format),
}

/// `{value}`, `{value:.2}`, `{value:8.2}` (blanks before it), `{value:08.2}` (zeros before it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Format {
    is_zeroed: bool,
    width: usize,
    digits: Option<usize>,
}

/// The widest value, and the most digits of a fraction.
const WIDTH_MAX: usize = 40;
const DIGITS_MAX: usize = 18;
/// The longest text that a client may send to a device.
const TEXT_MAX: usize = 256;

impl Template {
    /// From its text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let inside = from.strip_prefix('{').and_then(|from| from.split_once('}'));
                let (inside, after) =
                    inside.ok_or("a single brace; expected {value}, or {{ and }} for braces")?;
                parts.push(Part::Bytes(Escaped::parse(&plain)?.0));
                plain.clear();
                parts.push(Part::Value(Format::parse(inside)?));
                rest = after;
            }
        }
        plain.push_str(rest);
        parts.push(Part::Bytes(Escaped::parse(&plain)?.0));
        parts.retain(|part| !matches!(part, Part::Bytes(bytes) if bytes.is_empty()));
        if parts.is_empty() {
            return Err("there is nothing to send".into());
        }
        Ok(Self { parts })
    }

    /// Whether the value is a part of what is sent; a button's is not.
    pub fn has_value(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(_)))
    }

    /// What to send for a value.
    ///
    /// # Errors
    ///
    /// If the value cannot be written that way, for the client: too many digits, too wide, or
    /// control characters, with which a client could send a command of its own.
    pub fn render(&self, value: &Value, format: NumberFormat) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Bytes(plain) => bytes.extend_from_slice(plain),
                Part::Value(own) => bytes.extend_from_slice(own.render(value, format)?.as_bytes()),
            }
        }
        Ok(bytes)
    }
}

impl Format {
    fn parse(inside: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{{{inside}}}` is none of {{value}}, {{value:.2}}, {{value:8.2}}, {{value:08.2}}"
            )
        };
        let spec = match inside.strip_prefix("value") {
            Some("") => return Ok(Self::default()),
            Some(spec) => spec.strip_prefix(':').ok_or_else(wrong)?,
            None => return Err(wrong()),
        };
        let (width, digits) = match spec.split_once('.') {
            Some((width, digits)) => (width, Some(digits.parse().map_err(|_| wrong())?)),
            None => (spec, None),
        };
        let format = Self {
            is_zeroed: width.starts_with('0'),
            width: if width.is_empty() {
                0
            } else {
                width.parse().map_err(|_| wrong())?
            },
            digits,
        };
        if format.width > WIDTH_MAX || digits > Some(DIGITS_MAX) {
            return Err(format!(
                "`{{{inside}}}`: at most {WIDTH_MAX} wide and {DIGITS_MAX} digits"
            ));
        }
        Ok(format)
    }

    fn render(&self, value: &Value, format: NumberFormat) -> Result<String, String> {
        let text = match value {
            Value::Decimal(number) => self.number(*number, format)?,
            other if self.digits.is_some() => match other.to_decimal() {
                Some(number) => self.number(number, format)?,
                None => return Err(format!("{other} is no number")),
            },
            other => other.to_string(),
        };
        if text.len() > TEXT_MAX {
            return Err(format!("longer than {TEXT_MAX} bytes"));
        }
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err("only printable ASCII characters can be sent".into());
        }
        let missing = self.width.saturating_sub(text.len());
        if self.width > 0 && text.len() > self.width {
            return Err(format!(
                "{text} is wider than the {} characters of the command",
                self.width
            ));
        }
        if !self.is_zeroed {
            return Ok(format!("{}{text}", " ".repeat(missing)));
        }
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text.as_str()),
        };
        Ok(format!("{sign}{}{digits}", "0".repeat(missing)))
    }

    fn number(&self, number: Decimal, format: NumberFormat) -> Result<String, String> {
        number::write(number, self.digits, format).ok_or_else(|| {
            let digits = self.digits.unwrap_or_default();
            format!("{number} has more than {digits} digits after the point")
        })
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TemplateVisitor)
    }
}

struct TemplateVisitor;

impl Visitor<'_> for TemplateVisitor {
    type Value = Template;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what to send, such as \"SET {value:.2}\\r\\n\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Template, E> {
        Template::parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_template_says_or_refused() {
        let number = |text: &str| Value::Decimal(text.parse().unwrap());
        let text = |text: &str| Value::Text(text.into());
        for (template, value, want) in [
            ("SET {value:.2}\\r\\n", number("21.5"), Ok("SET 21.50\r\n")),
            ("S{value}\r", number("-3"), Ok("S-3\r")),
            ("{value:6.1}", number("2.5"), Ok("   2.5")),
            ("{value:06.1}", number("-2.5"), Ok("-002.5")),
            ("{value:03}", number("7"), Ok("007")),
            ("{{{value}}}", number("1"), Ok("{1}")),
            ("T\\r\\n", number("1"), Ok("T\r\n")),
            ("M {value}", text("day"), Ok("M day")),
            ("\\x02{value}\\x03", Value::Bool(true), Ok("\x02true\x03")),
            (
                "{value:.1}",
                number("21.55"),
                Err("21.55 has more than 1 digits"),
            ),
            ("{value:.1}", text("warm"), Err("warm is no number")),
            ("{value:3}", number("1000"), Err("wider than the 3")),
            ("M {value}", text("1\r\nRESET"), Err("printable ASCII")),
            ("M {value}", text("é"), Err("printable ASCII")),
        ] {
            let got = Template::parse(template)
                .unwrap()
                .render(&value, NumberFormat::default());
            match want {
                Ok(want) => assert_eq!(got, Ok(want.as_bytes().to_vec()), "{template}"),
                Err(want) => assert!(
                    got.clone().unwrap_err().contains(want),
                    "{template}: {got:?}"
                ),
            }
        }
    }

    #[test]
    fn a_template_that_says_nothing_is_refused() {
        for (template, want) in [
            ("", "nothing to send"),
            ("SET {value", "a single brace"),
            ("SET }", "a single brace"),
            ("SET {vlaue}", "is none of"),
            ("SET {value:x}", "is none of"),
            ("SET {value:.99}", "at most"),
            ("SET {value} \\q", "unknown escape"),
        ] {
            let error = Template::parse(template).unwrap_err();
            assert!(error.contains(want), "{template}: {error}");
        }
    }
}
