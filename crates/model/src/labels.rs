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
    /// If there is no pair, or a raw value is there twice.
    pub fn new(pairs: Vec<(Value, Value)>) -> Result<Self, String> {
        if pairs.is_empty() {
            return Err("expected at least one label".into());
        }
        for (index, (raw, _)) in pairs.iter().enumerate() {
            let rest = pairs.get(index + 1..).unwrap_or_default();
            if rest.iter().any(|(other, _)| key(other) == key(raw)) {
                return Err(format!("duplicate value {raw}"));
            }
        }
        Ok(Self(pairs))
    }

    /// Whether a command can be told by its label.
    ///
    /// # Errors
    ///
    /// If a label stands for two raw values.
    pub fn check_commands(&self) -> Result<(), String> {
        for (index, (_, label)) in self.0.iter().enumerate() {
            let rest = self.0.get(index + 1..).unwrap_or_default();
            if rest.iter().any(|(_, other)| same(other, label)) {
                return Err(format!(
                    "duplicate label `{label}`: a command could not tell which is meant"
                ));
            }
        }
        Ok(())
    }

    /// Whether every raw value is a number, as those of a point are that shows numbers.
    ///
    /// # Errors
    ///
    /// The first that is none.
    pub fn check_numbers(&self) -> Result<(), String> {
        let is_number = |raw: &Value| key(raw).parse::<Decimal>().is_ok();
        match self.0.iter().find(|(raw, _)| !is_number(raw)) {
            None => Ok(()),
            Some((raw, _)) => Err(format!(
                "`{raw}` is no number, so it never comes; ranges are not possible: write each \
                 number that has a name"
            )),
        }
    }

    /// The label of a raw value.
    pub fn label(&self, raw: &Value) -> Option<&Value> {
        let wanted = key(raw);
        let pair = self.0.iter().find(|(raw, _)| key(raw) == wanted)?;
        Some(&pair.1)
    }

    /// What a client means with a value: the raw value and its label. Case does not matter, so
    /// that `ON` is not something else than `on`. A label goes before a raw value, as it is what
    /// clients see. `None` if it is neither, or if it is two labels or two raw values that differ
    /// in nothing but case.
    pub fn meant(&self, value: &Value) -> Option<(&Value, &Value)> {
        let text = value.to_string();
        let is_text = |own: &Value| own.to_string().eq_ignore_ascii_case(&text);
        let wanted = key(value);
        // The first way in which it is anything.
        self.only(|_, label| same(label, value))
            .or_else(|| self.only(|_, label| is_text(label)))
            .or_else(|| self.only(|raw, _| key(raw) == wanted))
            .or_else(|| self.only(|raw, _| is_text(raw)))
            .flatten()
    }

    /// The pair for which `is_it` holds; `Some(None)` if there are several.
    fn only(&self, is_it: impl Fn(&Value, &Value) -> bool) -> Option<Option<(&Value, &Value)>> {
        let mut found = self.iter().filter(|(raw, label)| is_it(raw, label));
        let first = found.next()?;
        Some(Some(first).filter(|_| found.next().is_none()))
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
            let raw = labels.meant(&label).map(|(raw, _)| raw.clone());
            assert_eq!(raw, want, "{label}");
        }
    }

    #[test]
    fn case_does_not_change_what_a_client_means() {
        let labels = |json: &str| serde_json::from_str::<Labels>(json).unwrap();
        let switch = Labels::new(vec![
            (Value::Bool(true), text("off")),
            (Value::Bool(false), text("on")),
        ]);
        let switch = &switch.unwrap();
        let crossed = &labels(r#"{"ON": "off", "OFF": "on"}"#);
        let mode = &labels(r#"{"1": "day", "2": "Night"}"#);
        let status = &labels(r#"{"G": "gross", "g": "high", "M": "m", "x": "M"}"#);
        for (labels, value, want) in [
            (switch, text("on"), Some("false")),
            (switch, text("ON"), Some("false")),
            (switch, text("Off"), Some("true")),
            (switch, text("TRUE"), Some("true")),
            (switch, Value::Bool(true), Some("true")),
            (switch, number(1), Some("true")),
            (switch, number(7), None),
            (crossed, text("on"), Some("OFF")),
            (crossed, text("ON"), Some("OFF")),
            (mode, text("DAY"), Some("1")),
            (mode, text("night"), Some("2")),
            (mode, number(2), Some("2")),
            (mode, text("2.0"), Some("2")),
            (mode, number(3), None),
            (status, text("G"), Some("G")),
            (status, text("g"), Some("g")),
            (status, text("m"), Some("M")),
            (status, text("M"), Some("x")),
        ] {
            let got = labels.meant(&value).map(|(raw, _)| raw.to_string());
            assert_eq!(got.as_deref(), want, "{value}");
        }
        let two = labels(r#"{"1": "Auto", "2": "AUTO"}"#);
        assert_eq!(two.meant(&text("auto")), None, "either of two");
    }

    #[test]
    fn a_table_that_a_command_could_not_use_is_refused() {
        for (json, want) in [
            ("{}", "at least one"),
            (r#"{"1": "a", "1.0": "b"}"#, "duplicate"),
        ] {
            let error = serde_json::from_str::<Labels>(json).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        }
        let labels: Labels = serde_json::from_str(r#"{"1": "a", "2": "a", "3": "b"}"#).unwrap();
        assert_eq!(labels.label(&number(2)), Some(&text("a")), "for reading");
        assert_eq!(labels.meant(&text("a")), None, "either of two");
        let error = labels.check_commands().unwrap_err();
        assert!(error.contains("duplicate label `a`"), "{error}");
    }

    #[test]
    fn a_raw_value_that_never_comes_is_refused_for_numbers() {
        for (json, want) in [
            (r#"{"1": "a", "0x10": "b"}"#, Some("`0x10` is no number")),
            (r#"{"0-9": "low"}"#, Some("`0-9` is no number")),
            (r#"{"-1": "a", "2.5": "b", "true": "c"}"#, None),
        ] {
            let labels: Labels = serde_json::from_str(json).unwrap();
            let error = labels.check_numbers().err();
            assert_eq!(error.is_some(), want.is_some(), "{json}: {error:?}");
            assert!(error.unwrap_or_default().contains(want.unwrap_or_default()));
        }
    }
}
