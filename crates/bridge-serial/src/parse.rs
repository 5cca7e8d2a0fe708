//! From a frame to its fields. Pure.
//!
//! A [`Parser`] takes a frame apart, a [`FieldRef`] names one part. What a point makes of the
//! part is in `point`.

mod binary;
pub mod nmea;

use std::borrow::Cow;

use fieldgate_model::{Decimal, Encoding, Value};
use regex::{Captures, Regex};

pub use binary::{BinaryField, BinaryKind};
pub use nmea::{NmeaError, NmeaField, Sentence};

use crate::bytes::encoded;

/// How a frame is taken apart.
#[derive(Clone, Debug)]
pub enum Parser {
    /// Not at all: the frame is one text.
    Text,
    /// By a regular expression; its captures are the fields.
    Regex(Regex),
    /// Into columns.
    Columns {
        /// What is between two columns.
        delimiter: Delimiter,
        /// The character around a column that may hold the delimiter; doubled, it stands for
        /// itself.
        quote: Option<char>,
        /// Names of the columns, from the first on. A frame with fewer columns does not fit.
        names: Vec<String>,
        /// How many columns a frame has; others do not fit. `None`: any number.
        count: Option<usize>,
    },
    /// As a JSON document.
    Json,
    /// Into texts at fixed places.
    Fixed(Vec<(String, FixedField)>),
    /// Into binary numbers at fixed places.
    Binary {
        /// Whether the frame is written in hexadecimal digits.
        hex: bool,
        /// Its fields.
        fields: Vec<(String, BinaryField)>,
    },
    /// As an NMEA 0183 sentence, whose checksum must be right.
    Nmea,
}

/// What is between two columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// One character.
    Character(char),
    /// Any number of blanks and tabs.
    Blanks,
}

/// A text at a fixed place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedField {
    /// Its first character, from 0.
    pub at: usize,
    /// How many characters it has.
    pub length: usize,
}

/// One part of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldRef {
    /// All of it.
    Whole,
    /// A capture of the regular expression, by its number.
    Capture(usize),
    /// A column, from 0.
    Column(usize),
    /// A JSON pointer.
    Pointer(String),
    /// A text at a fixed place.
    Fixed(FixedField),
    /// A binary number.
    Binary(BinaryField),
    /// A field of a sentence.
    Nmea(NmeaField),
}

/// What a frame holds at one place.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'f> {
    /// This frame is not about it: another sentence, a capture that took no part.
    Absent,
    /// It has the place, and nothing is there.
    Empty,
    /// What is there cannot be.
    Wrong,
    /// A text.
    Text(Cow<'f, str>),
    /// A value with a type of its own.
    Value(Value),
}

/// A frame that was taken apart.
#[derive(Debug)]
pub enum Record<'f> {
    /// Its text.
    Text(Cow<'f, str>),
    /// What the regular expression found.
    Captures(Vec<Option<String>>),
    /// Its columns.
    Columns(Vec<String>),
    /// The document.
    Json(serde_json::Value),
    /// Its bytes, and the encoding of texts in them.
    Bytes(Cow<'f, [u8]>, Option<Encoding>),
    /// The sentence, by its address and its fields.
    Nmea(String),
}

/// The most columns of a frame; the rest is one column.
pub const COLUMNS_MAX: usize = 256;

impl PartialEq for Parser {
    /// Regular expressions are equal if their texts are.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            (
                Self::Columns {
                    delimiter,
                    quote,
                    names,
                    count,
                },
                Self::Columns {
                    delimiter: d,
                    quote: q,
                    names: n,
                    count: c,
                },
            ) => (delimiter, quote, names, count) == (d, q, n, c),
            (Self::Fixed(one), Self::Fixed(other)) => one == other,
            (Self::Binary { hex, fields }, Self::Binary { hex: h, fields: f }) => {
                (hex, fields) == (h, f)
            }
            (Self::Text, Self::Text) | (Self::Json, Self::Json) | (Self::Nmea, Self::Nmea) => true,
            _ => false,
        }
    }
}

impl Parser {
    /// Takes a frame apart, whose texts are in an encoding. Without one, they are UTF-8 if they
    /// can be, or else Latin-1.
    ///
    /// # Errors
    ///
    /// Why it does not fit, for people.
    pub fn parse<'f>(
        &self,
        frame: &'f [u8],
        encoding: Option<Encoding>,
    ) -> Result<Record<'f>, String> {
        let text = |frame: &'f [u8]| {
            encoded(frame, encoding).ok_or("not UTF-8; is it `encoding: latin-1`?")
        };
        match self {
            Self::Text => Ok(Record::Text(text(frame)?)),
            Self::Regex(regex) => match regex.captures(&text(frame)?) {
                Some(captures) => Ok(Record::Captures(owned(&captures))),
                None => Err("the regex does not match".into()),
            },
            Self::Columns {
                delimiter,
                quote,
                names,
                count,
            } => {
                let columns = columns(&text(frame)?, *delimiter, *quote);
                let found = columns.len();
                // A delimiter behind the last column makes no further one.
                let ends_empty = columns.last().is_some_and(String::is_empty);
                let fits = |count: usize| found == count || (found == count + 1 && ends_empty);
                if found < names.len() || count.is_some_and(|count| !fits(count)) {
                    let expected = count.unwrap_or(names.len());
                    return Err(format!("{found} columns, expected {expected}"));
                }
                Ok(Record::Columns(columns))
            }
            Self::Json => serde_json::from_slice(frame)
                .map(Record::Json)
                .map_err(|error| format!("not JSON: {error}")),
            Self::Fixed(_) => Ok(Record::Text(text(frame)?)),
            Self::Binary { hex: false, .. } => Ok(Record::Bytes(frame.into(), encoding)),
            Self::Binary { hex: true, .. } => match from_hex(frame) {
                Some(bytes) => Ok(Record::Bytes(bytes.into(), encoding)),
                None => Err("not pairs of hexadecimal digits".into()),
            },
            Self::Nmea => {
                let line = text(frame)?;
                Sentence::parse(&line).map_err(|error| error.to_string())?;
                Ok(Record::Nmea(line.into_owned()))
            }
        }
    }

    /// The place of a field; `None` if there is none of that name.
    pub fn field(&self, name: &str) -> Option<FieldRef> {
        match self {
            Self::Text => (name == "text").then_some(FieldRef::Whole),
            Self::Regex(regex) => {
                let mut names = regex.capture_names();
                let by_name = names.position(|own| own == Some(name));
                let by_number = name.parse().ok().filter(|at| *at < regex.captures_len());
                by_name.or(by_number).map(FieldRef::Capture)
            }
            Self::Columns { names, count, .. } => {
                let most = count.unwrap_or(COLUMNS_MAX);
                let by_name = names.iter().position(|own| own == name);
                let by_number = name.parse::<usize>().ok().and_then(|at| at.checked_sub(1));
                let by_number = by_number.filter(|at| *at < most);
                by_name.or(by_number).map(FieldRef::Column)
            }
            Self::Json if name.is_empty() => None,
            Self::Json if name.starts_with('/') => Some(FieldRef::Pointer(name.to_owned())),
            Self::Json => Some(FieldRef::Pointer(format!("/{name}"))),
            Self::Fixed(fields) => by_name(fields, name).map(FieldRef::Fixed),
            Self::Binary { fields, .. } => by_name(fields, name).map(FieldRef::Binary),
            Self::Nmea => None,
        }
    }

    /// The names that [`Self::field`] knows, for a message.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Text => vec!["text".to_owned()],
            Self::Regex(regex) => regex.capture_names().flatten().map(str::to_owned).collect(),
            Self::Columns { names, .. } => names.clone(),
            Self::Fixed(fields) => fields.iter().map(|(name, _)| name.clone()).collect(),
            Self::Binary { fields, .. } => fields.iter().map(|(name, _)| name.clone()).collect(),
            Self::Json | Self::Nmea => Vec::new(),
        }
    }
}

fn by_name<T: Copy>(fields: &[(String, T)], name: &str) -> Option<T> {
    let found = fields.iter().find(|(own, _)| own == name)?;
    Some(found.1)
}

fn owned(captures: &Captures<'_>) -> Vec<Option<String>> {
    let texts = captures
        .iter()
        .map(|found| Some(found?.as_str().to_owned()));
    texts.collect()
}

impl Record<'_> {
    /// What it holds at one place.
    pub fn get(&self, field: &FieldRef) -> Found<'_> {
        match (self, field) {
            (Self::Text(text), FieldRef::Whole) => some(text),
            (Self::Captures(found), FieldRef::Capture(at)) => match found.get(*at) {
                Some(Some(text)) => some(text),
                _ => Found::Absent,
            },
            (Self::Columns(columns), FieldRef::Column(at)) => {
                columns.get(*at).map_or(Found::Absent, |text| some(text))
            }
            (Self::Json(document), FieldRef::Pointer(pointer)) => json(document.pointer(pointer)),
            (Self::Text(text), FieldRef::Fixed(FixedField { at, length })) => {
                let part: String = text.chars().skip(*at).take(*length).collect();
                if text.chars().count() <= *at {
                    Found::Absent
                } else {
                    // What a place of fixed length is padded with, also in Latin-1.
                    let is_padding = |c: char| matches!(c, '\u{FF}' | '\0') || c.is_whitespace();
                    owned_text(part.trim_end_matches(is_padding).to_owned())
                }
            }
            (Self::Bytes(bytes, encoding), FieldRef::Binary(field)) => {
                match field.read(bytes, *encoding) {
                    Some(Value::Text(text)) => owned_text(text),
                    Some(value) => Found::Value(value),
                    None if bytes.len() < field.end() => Found::Absent,
                    None => Found::Wrong,
                }
            }
            (Self::Nmea(line), FieldRef::Nmea(field)) => match Sentence::parse(line) {
                Ok(sentence) => sentence.get(field),
                Err(_) => Found::Absent,
            },
            _ => Found::Absent,
        }
    }
}

/// A text without the blanks around it.
fn some(text: &str) -> Found<'_> {
    match text.trim() {
        "" => Found::Empty,
        text => Found::Text(text.into()),
    }
}

fn owned_text(text: String) -> Found<'static> {
    match text.trim() {
        "" => Found::Empty,
        text => Found::Text(text.to_owned().into()),
    }
}

fn json(value: Option<&serde_json::Value>) -> Found<'_> {
    match value {
        None => Found::Absent,
        Some(serde_json::Value::Null) => Found::Empty,
        Some(serde_json::Value::Bool(value)) => Found::Value(Value::Bool(*value)),
        Some(serde_json::Value::String(text)) => some(text),
        // Its text is the shortest that reads back: up to 15 digits are as the device wrote them.
        Some(serde_json::Value::Number(number)) => match number.to_string().parse::<Decimal>() {
            Ok(number) => Found::Value(Value::Decimal(number)),
            Err(_) => Found::Wrong,
        },
        Some(_) => Found::Wrong,
    }
}

/// Columns with the blanks around them taken away, but not those inside of quotes.
fn columns(line: &str, delimiter: Delimiter, quote: Option<char>) -> Vec<String> {
    let Delimiter::Character(delimiter) = delimiter else {
        return line
            .split_whitespace()
            .take(COLUMNS_MAX)
            .map(str::to_owned)
            .collect();
    };
    let mut columns = Vec::new();
    let mut column = String::new();
    let mut characters = line.chars().peekable();
    let mut is_quoted = false;
    while let Some(character) = characters.next() {
        if Some(character) == quote {
            let opens = !is_quoted && column.trim().is_empty();
            if is_quoted && characters.peek() == Some(&character) {
                characters.next();
                column.push(character);
            } else if is_quoted || opens {
                is_quoted = !is_quoted;
            } else {
                column.push(character);
            }
        } else if character == delimiter && !is_quoted && columns.len() + 1 < COLUMNS_MAX {
            columns.push(std::mem::take(&mut column));
        } else {
            column.push(character);
        }
    }
    columns.push(column);
    columns
        .iter()
        .map(|column| column.trim().to_owned())
        .collect()
}

/// Bytes from hexadecimal digits of either case, with blanks anywhere between two bytes.
fn from_hex(frame: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = frame
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests;
