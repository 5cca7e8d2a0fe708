//! Finds the fields of a point.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::parse::ParseConfig;
use crate::parse::{FieldRef, NmeaField, Parser, nmea};
use fieldgate_bridge::Misfit;

/// What a point shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One field.
    Field(FieldRef),
    /// Several, as one object. Without the first, there is no value.
    Object(Vec<(String, FieldRef)>),
}

/// The name of a field, or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(pub(super) String);

/// Finds the fields of one point.
pub(super) struct Finder<'a> {
    pub(super) point: &'a str,
    pub(super) sentence: Option<&'a str>,
    pub(super) parse: &'a ParseConfig,
    pub(super) misfits: &'a mut Vec<Misfit>,
}

impl Finder<'_> {
    pub(super) fn check_sentence(&mut self) -> Option<()> {
        let path = ["points", self.point, "sentence"];
        let message = match (&self.parse.parser, self.sentence) {
            (Parser::Nmea, None) => {
                let text = "expected `sentence`, such as GGA, or GNGGA for one talker only";
                self.misfits
                    .push(Misfit::new(&["points", self.point], text));
                return None;
            }
            (Parser::Nmea, Some(sentence)) => {
                let is_plain = sentence
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
                if is_plain && (3..=8).contains(&sentence.len()) {
                    return Some(());
                }
                "expected three capital letters such as GGA, or talker and type such as GNGGA"
            }
            (_, Some(_)) => "only with `parse: nmea`",
            (_, None) => return Some(()),
        };
        self.misfits.push(Misfit::new(&path, message));
        None
    }

    pub(super) fn find(&mut self, key: &[&str], name: &str) -> Option<FieldRef> {
        let found = match (&self.parse.parser, self.sentence) {
            (Parser::Nmea, Some(sentence)) => match name.parse::<usize>() {
                Ok(index) if (1..=80).contains(&index) => Some(NmeaField::at(sentence, index)),
                _ => NmeaField::named(sentence, name),
            }
            .map(FieldRef::Nmea),
            (parser, _) => parser.field(name),
        };
        if found.is_none() {
            let path: Vec<&str> = ["points", self.point].iter().chain(key).copied().collect();
            self.misfits
                .push(Misfit::unknown(&path, "field", name, self.known()));
        }
        found
    }

    /// What the point shows; `Some(None)` if it is only written.
    pub(super) fn source(
        &mut self,
        field: Option<&Name>,
        fields: Option<&[Name]>,
        is_written: bool,
    ) -> Option<Option<Source>> {
        let source = match (field, fields) {
            (Some(Name(field)), _) => Some(Source::Field(self.find(&["field"], field)?)),
            (None, Some(fields)) => Some(Source::Object(self.object(fields)?)),
            (None, None) if self.parse.parser == Parser::Text && !is_written => {
                Some(Source::Field(FieldRef::Whole))
            }
            (None, None) if is_written => None,
            (None, None) => {
                let known = self.known().join(", ");
                let message = match known.as_str() {
                    "" => "expected `field`".to_owned(),
                    known => format!("expected `field`, one of {known}"),
                };
                self.misfits
                    .push(Misfit::new(&["points", self.point], message));
                return None;
            }
        };
        Some(source)
    }

    fn object(&mut self, names: &[Name]) -> Option<Vec<(String, FieldRef)>> {
        let found = names
            .iter()
            .map(|Name(name)| Some((name.clone(), self.find(&["fields"], name)?)));
        // All are looked for, so that every wrong one is told.
        let found: Vec<_> = found.collect();
        found.into_iter().collect()
    }

    fn known(&self) -> Vec<String> {
        match (&self.parse.parser, self.sentence) {
            (Parser::Nmea, Some(sentence)) => {
                let mut names: Vec<String> = nmea::names(sentence)
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect();
                names.push("a number from 1".to_owned());
                names
            }
            (parser, _) => parser.names(),
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field, or its number from 1")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Name, E> {
        Ok(Name(number.to_string()))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(Name(name.to_owned()))
    }
}
