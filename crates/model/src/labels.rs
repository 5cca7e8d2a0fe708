//! Names for numbers: `enum: {1: day, 2: night}`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::{Decimal, Value};

/// A table of raw values and the labels that are published in their place.
///
/// A raw value without a label is published as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels(Vec<(Value, Value)>);

impl Labels {
    /// From pairs of raw value and label.
    ///
    /// # Errors
    ///
    /// If there is no pair, or a raw value or a label is there twice: a command could not be
    /// told apart.
    pub fn new(pairs: Vec<(Value, Value)>) -> Result<Self, String> {
        if pairs.is_empty() {
            return Err("expected at least one label".into());
        }
        for (index, (raw, label)) in pairs.iter().enumerate() {
            let rest = pairs.get(index + 1..).unwrap_or_default();
            if rest.iter().any(|(other, _)| key(other) == key(raw)) {
                return Err(format!("{raw} is there twice"));
            }
            if rest.iter().any(|(_, other)| same(other, label)) {
                return Err(format!("the label `{label}` is there twice"));
            }
        }
        Ok(Self(pairs))
    }

    /// The label of a raw value.
    pub fn label(&self, raw: &Value) -> Option<&Value> {
        let wanted = key(raw);
        let pair = self.0.iter().find(|(raw, _)| key(raw) == wanted)?;
        Some(&pair.1)
    }

    /// The raw value that a label stands for. `Text` labels also match a boolean or a number of
    /// the same text, as a bare payload cannot say which it is. Case counts only where two labels
    /// differ in nothing else.
    pub fn raw(&self, label: &Value) -> Option<&Value> {
        if let Some((raw, _)) = self.0.iter().find(|(_, own)| same(own, label)) {
            return Some(raw);
        }
        let wanted = label.to_string().to_lowercase();
        let mut alike = self
            .0
            .iter()
            .filter(|(_, own)| own.to_string().to_lowercase() == wanted);
        match (alike.next(), alike.next()) {
            (Some((raw, _)), None) => Some(raw),
            _ => None,
        }
    }

    /// Whether a raw value has a label.
    pub fn has(&self, raw: &Value) -> bool {
        self.label(raw).is_some()
    }

    /// The pairs of raw value and label, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.0.iter().map(|(raw, label)| (raw, label))
    }
}

/// A coil's `true` is the same raw value as `1`, and a quoted `"1"` or `"true"` as a plain one.
fn key(raw: &Value) -> String {
    match raw {
        Value::Bool(value) => u8::from(*value).to_string(),
        Value::Text(text) if matches!(text.as_str(), "true" | "false") => {
            u8::from(text == "true").to_string()
        }
        Value::Text(text) => text
            .parse::<Decimal>()
            .map_or_else(|_| text.clone(), |number| number.to_string()),
        other => other.to_string(),
    }
}

fn same(label: &Value, other: &Value) -> bool {
    label.to_string() == other.to_string()
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor)
    }
}

struct TableVisitor;

impl<'de> Visitor<'de> for TableVisitor {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of labels such as {1: day, 2: night}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Labels::new(pairs).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: i64) -> Value {
        Value::Decimal(value.into())
    }

    fn text(value: &str) -> Value {
        Value::Text(value.into())
    }

    #[test]
    fn a_number_a_coil_and_a_text_find_their_label_and_back() {
        let labels: Labels =
            serde_json::from_str(r#"{"0": "closed", "1": "open", "2": true, "ST": 7}"#).unwrap();
        for (raw, want) in [
            (number(0), Some(text("closed"))),
            (Value::Bool(true), Some(text("open"))),
            (number(2), Some(Value::Bool(true))),
            (text("ST"), Some(number(7))),
            (number(9), None),
        ] {
            assert_eq!(labels.label(&raw), want.as_ref(), "{raw}");
        }
        for (label, want) in [
            (text("open"), Some(text("1"))),
            (Value::Bool(true), Some(text("2"))),
            (text("true"), Some(text("2"))),
            (number(7), Some(text("ST"))),
            (text("ajar"), None),
        ] {
            assert_eq!(labels.raw(&label), want.as_ref(), "{label}");
        }
    }

    #[test]
    fn case_does_not_change_what_a_label_means_unless_it_is_all_that_differs() {
        let read = |json| serde_json::from_str::<Labels>(json).unwrap();
        let swapped = read(r#"{"true": "off", "false": "on"}"#);
        let twins = read(r#"{"1": "On", "2": "ON"}"#);
        for (labels, label, want) in [
            (&swapped, "on", Some("false")),
            (&swapped, "ON", Some("false")),
            (&swapped, "Off", Some("true")),
            (&swapped, "TRUE", None),
            (&twins, "ON", Some("2")),
            (&twins, "On", Some("1")),
            (&twins, "on", None),
        ] {
            assert_eq!(labels.raw(&text(label)), want.map(text).as_ref(), "{label}");
        }
        assert!(swapped.has(&Value::Bool(true)) && swapped.has(&number(1)));
        assert!(!swapped.has(&number(7)));
    }

    #[test]
    fn a_table_that_a_command_could_not_use_is_refused() {
        for (json, want) in [
            ("{}", "at least one"),
            (r#"{"1": "a", "1.0": "b"}"#, "there twice"),
            (r#"{"1": "a", "2": "a"}"#, "label `a` is there twice"),
        ] {
            let error = serde_json::from_str::<Labels>(json).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        }
    }
}
