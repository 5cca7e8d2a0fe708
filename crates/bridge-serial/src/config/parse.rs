//! `parse:` of a device or a request.

use std::fmt;

use fieldgate_bridge::names;
use fieldgate_model::Encoding;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::bytes::Escaped;
use crate::check::ByteOrder;
use crate::number::NumberFormat;
use crate::parse::{BinaryField, BinaryKind, COLUMNS_MAX, Delimiter, FixedField, Parser, Record};

/// How frames are taken apart, and how numbers are written in them.
#[derive(Clone, Debug, PartialEq)]
pub struct ParseConfig {
    /// How frames are taken apart.
    pub parser: Parser,
    /// How numbers are written.
    pub numbers: NumberFormat,
    /// How texts are written; `None`: UTF-8 if they can be that, or else Latin-1.
    pub encoding: Option<Encoding>,
}

/// A regular expression that compiles.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParse {
    regex: Option<Pattern>,
    columns: Option<RawColumns>,
    #[serde(default, deserialize_with = "some_entries")]
    fixed: Option<Vec<(String, RawFixed)>>,
    #[serde(default, deserialize_with = "some_entries")]
    binary: Option<Vec<(String, RawBinary)>>,
    #[serde(default, deserialize_with = "some_entries")]
    hex: Option<Vec<(String, RawBinary)>>,
    decimal: Option<char>,
    thousands: Option<char>,
    encoding: Option<Encoding>,
}

/// Reads a mapping with any names, where its key may be left out.
fn some_entries<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<(String, T)>>, D::Error> {
    names::entries(deserializer).map(Some)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawColumns {
    delimiter: Option<DelimiterEntry>,
    quote: Option<char>,
    names: Vec<String>,
    count: Option<CountEntry>,
}

struct DelimiterEntry(Delimiter);

/// A number of columns, or any.
struct CountEntry(Option<usize>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFixed {
    at: usize,
    length: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBinary {
    at: usize,
    #[serde(rename = "as")]
    kind: BinaryKind,
    #[serde(default = "big")]
    order: ByteOrder,
}

fn big() -> ByteOrder {
    ByteOrder::Big
}

/// Bytes that a compiled expression may take.
const REGEX_SIZE_MAX: usize = 1 << 20;
const AT_MAX: usize = crate::frame::MAX;
const NAMES: [&str; 4] = ["nmea", "json", "text", "columns"];
const WAYS: &str = "expected one of `regex`, `columns`, `fixed`, `binary` or `hex`, or one of the words nmea, json, text, columns";

impl Default for ParseConfig {
    /// The frame is one text.
    fn default() -> Self {
        Self {
            parser: Parser::Text,
            numbers: NumberFormat::default(),
            encoding: None,
        }
    }
}

impl ParseConfig {
    /// Takes a frame apart.
    ///
    /// # Errors
    ///
    /// Why it does not fit, for people.
    pub fn parse<'f>(&self, frame: &'f [u8]) -> Result<Record<'f>, String> {
        self.parser.parse(frame, self.encoding)
    }
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it and at which character, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let compiled = RegexBuilder::new(text).size_limit(REGEX_SIZE_MAX).build();
        compiled.map(Self).map_err(|error| explain(&error))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// The library's error is several lines with a caret below the expression.
fn explain(error: &regex::Error) -> String {
    let regex::Error::Syntax(text) = error else {
        return error.to_string();
    };
    let is_caret = |line: &&str| !line.trim().is_empty() && line.trim().chars().all(|c| c == '^');
    let caret = text.lines().find(is_caret).and_then(|line| line.find('^'));
    let reason = text.lines().find_map(|line| line.strip_prefix("error: "));
    match (caret.and_then(|at| at.checked_sub(4)), reason) {
        (Some(at), Some(reason)) => format!("at character {}: {reason}", at + 1),
        (_, Some(reason)) => reason.to_owned(),
        _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

impl TryFrom<RawParse> for ParseConfig {
    type Error = String;

    fn try_from(raw: RawParse) -> Result<Self, String> {
        let given = [
            ("regex", raw.regex.is_some()),
            ("columns", raw.columns.is_some()),
            ("fixed", raw.fixed.is_some()),
            ("binary", raw.binary.is_some()),
            ("hex", raw.hex.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, is_given)| *is_given);
        if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
            return Err(format!("{second}: there is `{first}` already"));
        }
        let numbers = numbers(raw.decimal, raw.thousands)?;
        let parser = if let Some(Pattern(regex)) = raw.regex {
            Parser::Regex(regex)
        } else if let Some(columns) = raw.columns {
            columns.resolve()?
        } else if let Some(fields) = raw.fixed {
            Parser::Fixed(fixed(fields)?)
        } else if let Some(fields) = raw.binary {
            Parser::Binary {
                hex: false,
                fields: binary("binary", fields)?,
            }
        } else if let Some(fields) = raw.hex {
            Parser::Binary {
                hex: true,
                fields: binary("hex", fields)?,
            }
        } else if raw.encoding.is_some() {
            Parser::Text
        } else {
            return Err(WAYS.into());
        };
        if raw.encoding == Some(Encoding::Utf16) {
            return Err("encoding: expected utf-8 or latin-1".into());
        }
        Ok(Self {
            parser,
            numbers,
            encoding: raw.encoding,
        })
    }
}

fn numbers(decimal: Option<char>, thousands: Option<char>) -> Result<NumberFormat, String> {
    let decimal = decimal.unwrap_or('.');
    if !matches!(decimal, '.' | ',') {
        return Err(format!(
            "decimal: expected \".\" or \",\", found \"{decimal}\""
        ));
    }
    if let Some(separator) = thousands {
        if separator == decimal {
            return Err(format!(
                "thousands: \"{separator}\" is before the fraction already"
            ));
        }
        if separator.is_ascii_alphanumeric() || matches!(separator, '+' | '-') {
            return Err(format!(
                "thousands: \"{separator}\" can be a part of a number"
            ));
        }
    }
    Ok(NumberFormat { decimal, thousands })
}

impl RawColumns {
    fn resolve(self) -> Result<Parser, String> {
        for (index, name) in self.names.iter().enumerate() {
            if self.names.iter().skip(index + 1).any(|other| other == name) {
                return Err(format!("columns.names: duplicate name \"{name}\""));
            }
        }
        let delimiter = self
            .delimiter
            .map_or(Delimiter::Character(','), |entry| entry.0);
        let quote = self.quote.or(Some('"'));
        if let (Delimiter::Character(delimiter), Some(quote)) = (delimiter, quote)
            && delimiter == quote
        {
            return Err("columns.quote: it is the delimiter".into());
        }
        // Two lines that ran together have more columns than one.
        let usual = Some(self.names.len()).filter(|count| *count > 0);
        let count = self.count.map_or(usual, |CountEntry(count)| count);
        if count.is_some_and(|count| count < self.names.len()) {
            return Err(format!(
                "columns.count: fewer than the {} names",
                self.names.len()
            ));
        }
        Ok(Parser::Columns {
            delimiter,
            quote,
            names: self.names,
            count,
        })
    }
}

fn fixed(fields: Vec<(String, RawFixed)>) -> Result<Vec<(String, FixedField)>, String> {
    let fields = fields.into_iter().map(|(name, RawFixed { at, length })| {
        if length == 0 || at > AT_MAX || length > AT_MAX {
            return Err(format!(
                "fixed.{name}: expected 1 to {AT_MAX} characters at 0 to {AT_MAX}"
            ));
        }
        Ok((name, FixedField { at, length }))
    });
    fields.collect()
}

fn binary(
    key: &str,
    fields: Vec<(String, RawBinary)>,
) -> Result<Vec<(String, BinaryField)>, String> {
    let fields = fields
        .into_iter()
        .map(|(name, RawBinary { at, kind, order })| {
            if at > AT_MAX {
                return Err(format!("{key}.{name}.at: at most {AT_MAX}"));
            }
            Ok((name, BinaryField { at, kind, order }))
        });
    fields.collect()
}

impl<'de> Deserialize<'de> for ParseConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParseVisitor)
    }
}

struct ParseVisitor;

impl<'de> Visitor<'de> for ParseVisitor {
    type Value = ParseConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nmea, json, text or columns, or a mapping with `regex`, `columns`, `fixed`, `binary` or `hex`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ParseConfig, E> {
        let parser = match text {
            "nmea" => Parser::Nmea,
            "json" => Parser::Json,
            "text" => Parser::Text,
            "columns" => RawColumns::default().resolve().map_err(E::custom)?,
            _ => return Err(E::unknown_variant(text, &NAMES)),
        };
        Ok(ParseConfig {
            parser,
            ..ParseConfig::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ParseConfig, A::Error> {
        let raw = RawParse::deserialize(de::value::MapAccessDeserializer::new(map))?;
        ParseConfig::try_from(raw).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(PatternVisitor)
    }
}

struct PatternVisitor;

impl Visitor<'_> for PatternVisitor {
    type Value = Pattern;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a regular expression")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Pattern, E> {
        Pattern::parse(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for CountEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = CountEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1 to {COLUMNS_MAX}, or any")
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<CountEntry, E> {
        match usize::try_from(count) {
            Ok(count) if (1..=COLUMNS_MAX).contains(&count) => Ok(CountEntry(Some(count))),
            _ => Err(E::invalid_value(de::Unexpected::Unsigned(count), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CountEntry, E> {
        match text {
            "any" => Ok(CountEntry(None)),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for DelimiterEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DelimiterVisitor)
    }
}

struct DelimiterVisitor;

impl Visitor<'_> for DelimiterVisitor {
    type Value = DelimiterEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one character such as \";\" or \"\\t\", or blanks")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DelimiterEntry, E> {
        let bytes = Escaped::parse(text).map(|text| text.0);
        match (text, bytes.as_deref()) {
            ("blanks", _) => Ok(DelimiterEntry(Delimiter::Blanks)),
            (_, Ok([byte])) => Ok(DelimiterEntry(Delimiter::Character(char::from(*byte)))),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}
