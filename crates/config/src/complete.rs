//! What can stand at a place of a configuration while it is being edited. Pure.
//!
//! A text that is being written is seldom right, so it is not parsed: a scanner walks over it up to the place and
//! knows below which keys that is. What can stand there is what the schema says, and the names that the text gives to
//! buses and types.

mod scan;

use std::collections::BTreeMap;

use serde_json::Value;

use scan::{Place, Scan};

/// Candidates of one answer.
const ITEMS_MAX: usize = 200;

/// What can stand at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Where the word begins that a candidate replaces, in characters of the text.
    pub from: usize,
    /// In the order of their texts.
    pub items: Vec<Candidate>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What is put there, without a colon.
    pub text: String,
    /// Whether it is a key.
    pub is_key: bool,
    /// What it means, for people; may be empty.
    pub detail: String,
}

/// What can stand in `text` at a place (in characters), as `schema` says. `types` are the device types beside it.
pub fn complete(text: &str, place: usize, schema: &Value, types: &[&str]) -> Completion {
    let end = text
        .char_indices()
        .nth(place)
        .map_or(text.len(), |(at, _)| at);
    let before = text.get(..end).unwrap_or_default();
    let Some(found) = Scan::of(before).place() else {
        return Completion {
            from: before.chars().count(),
            items: Vec::new(),
        };
    };
    let mut schemas = vec![schema];
    for key in &found.path {
        schemas = below(&schemas, key);
    }
    let mut items = match &found.key {
        None => keys(&schemas, &found),
        Some(key) => {
            let mut items = values(&below(&schemas, key));
            let names = match key.as_str() {
                "bus" => names(text, "buses"),
                "type" => {
                    let own = names(text, "types").into_iter();
                    own.chain(types.iter().map(|name| (*name).to_owned()))
                        .collect()
                }
                _ => Vec::new(),
            };
            for name in names {
                items.entry(name).or_default();
            }
            items
        }
    };
    let wanted = found.word.to_lowercase();
    items.retain(|text, _| text.to_lowercase().contains(&wanted));
    let is_key = found.key.is_none();
    let items = items.into_iter().take(ITEMS_MAX);
    Completion {
        from: before.chars().count() - found.word.chars().count(),
        items: items
            .map(|(text, detail)| Candidate {
                text,
                is_key,
                detail,
            })
            .collect(),
    }
}

/// The names below a section of the whole text.
fn names(text: &str, section: &str) -> Vec<String> {
    let all = Scan::of(text).keys.into_iter();
    let own =
        all.filter(|(path, _)| path.len() == 1 && path.first().is_some_and(|top| top == section));
    own.map(|(_, key)| key).collect()
}

/// All schemas that a schema may stand for.
fn flat<'s>(schema: &'s Value, out: &mut Vec<&'s Value>) {
    out.push(schema);
    for key in ["anyOf", "oneOf", "allOf"] {
        let some = schema.get(key).and_then(Value::as_array);
        some.into_iter()
            .flatten()
            .for_each(|schema| flat(schema, out));
    }
    for key in ["then", "else"] {
        if let Some(schema) = schema.get(key) {
            flat(schema, out);
        }
    }
}

fn all<'s>(schemas: &[&'s Value]) -> Vec<&'s Value> {
    let mut out = Vec::new();
    schemas.iter().for_each(|schema| flat(schema, &mut out));
    out
}

/// What is below a key.
fn below<'s>(schemas: &[&'s Value], key: &str) -> Vec<&'s Value> {
    let all = all(schemas).into_iter();
    let found = all.filter_map(|schema| {
        if key == scan::ITEM {
            return schema.get("items");
        }
        let own = schema.get("properties").and_then(|known| known.get(key));
        own.or_else(|| {
            schema
                .get("additionalProperties")
                .filter(|other| other.is_object())
        })
    });
    found.collect()
}

fn keys(schemas: &[&Value], place: &Place) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for schema in all(schemas) {
        let known = schema.get("properties").and_then(Value::as_object);
        for (key, schema) in known.into_iter().flatten() {
            if !place.siblings.contains(key) {
                let detail = found.entry(key.clone()).or_insert_with(String::new);
                if detail.is_empty() {
                    *detail = described(schema);
                }
            }
        }
    }
    found
}

fn values(schemas: &[&Value]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for schema in all(schemas) {
        let names = schema.get("enum").and_then(Value::as_array);
        for name in names.into_iter().flatten().filter_map(Value::as_str) {
            found.insert(name.to_owned(), String::new());
        }
        if schema.get("type").is_some_and(|kind| kind == "boolean") {
            for name in ["false", "true"] {
                found.insert(name.to_owned(), String::new());
            }
        }
    }
    found
}

/// What a value is, in a few words.
fn described(schema: &Value) -> String {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    if let Some(text) = text("description") {
        return text.to_owned();
    }
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        let names: Vec<_> = names.iter().filter_map(Value::as_str).take(8).collect();
        return names.join(", ");
    }
    match text("type") {
        Some("boolean") => "true or false".to_owned(),
        Some("integer" | "number") => "a number".to_owned(),
        Some("string") => "a text".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"properties": {
            "gateway": {"type": "string"},
            "broker": {"properties": {"allow_anonymous": {"type": "boolean"}, "tls": {"properties": {"key": {}}}}},
            "buses": {"additionalProperties": {"if": {}, "then": {"properties": {"baud": {"type": "integer"}}},
                "else": {"properties": {"parity": {"enum": ["none", "even", "odd"]}, "tcp": {}}}}},
            "types": {"additionalProperties": {}},
            "devices": {"additionalProperties": {"properties": {"bus": {}, "type": {}, "unit": {"description": "1 to 247"},
                "points": {"additionalProperties": {"anyOf": [{"type": "integer"}, {"properties": {
                    "holding": {}, "as": {"enum": ["f32", "u16"]}}}]}}}}},
            "uplinks": {"additionalProperties": {"properties": {"forward": {"items": {"properties": {"topics": {}, "qos": {}}}}}}},
        }})
    }

    /// What is offered at the place of `|`.
    fn offered(text: &str) -> (usize, Vec<String>) {
        let place = text.chars().position(|c| c == '|').unwrap();
        let text = text.replacen('|', "", 1);
        let found = complete(&text, place, &schema(), &["em340"]);
        let items = found.items.into_iter();
        (place - found.from, items.map(|item| item.text).collect())
    }

    #[test]
    fn keys_and_values_are_those_of_the_place() {
        const TOP: &str = "buses:\n  line: {tcp: x}\n  other:\n    tcp: y\ntypes: {own: {}}\n";
        for (text, typed, want) in [
            ("|", 0, "broker buses devices gateway types uplinks"),
            ("g|", 1, "gateway"),
            ("gateway: a\n|", 0, "broker buses devices types uplinks"),
            ("broker:\n  |", 0, "allow_anonymous tls"),
            ("broker:\n  allow_anonymous: |", 0, "false true"),
            ("broker:\n  allow_anonymous: t|", 1, "true"),
            ("broker:\n  tls:\n    k|", 1, "key"),
            ("broker: {allow_anonymous: true, |", 0, "tls"),
            ("broker: {tls: {|", 0, "key"),
            ("broker: {tls: {key: a}, allow|", 5, "allow_anonymous"),
            ("buses:\n  ä: {|", 0, "baud parity tcp"),
            ("buses:\n  a:\n    parity: |", 0, "even none odd"),
            ("buses:\n  a:\n    parity: e|", 1, "even none"),
            ("devices:\n  d:\n    points:\n      p: {as: |", 0, "f32 u16"),
            (
                "devices:\n  d:\n    points:\n      p:\n        hold|",
                4,
                "holding",
            ),
            (
                "devices:\n  # a: {b\n  d: {unit: 1, # {\n    |",
                0,
                "bus points type",
            ),
            ("devices:\n  d: {unit: \"}\", |", 0, "bus points type"),
            ("uplinks:\n  c:\n    forward:\n      - |", 0, "qos topics"),
            (
                "uplinks:\n  c:\n    forward:\n    - topics: x\n      q|",
                1,
                "qos",
            ),
            (
                "uplinks:\n  c:\n    forward: [{topics: x}, {|",
                0,
                "qos topics",
            ),
            ("devices:\n  d:\n    nothing: |", 0, ""),
            ("# |", 0, ""),
        ] {
            let (length, items) = offered(text);
            assert_eq!((length, items.join(" ").as_str()), (typed, want), "{text}");
        }
        for (text, want) in [
            ("bus: |", "line other"),
            ("type: |", "em340 own"),
            ("bus: o|", "other"),
        ] {
            let text = format!("{TOP}devices:\n  d:\n    {text}");
            assert_eq!(offered(&text).1.join(" "), want, "{text}");
        }
    }

    #[test]
    fn any_text_is_walked_over() {
        for text in [
            "{{{{[[[[",
            "}}]]:,",
            "'",
            "\"\\",
            "a: 'x\nb: {",
            "- - - :",
            "\u{feff}a:\r\n\tb:",
            "? x\n: y",
            "&a *b !c |\n x",
        ] {
            for place in 0..text.chars().count() + 2 {
                complete(text, place, &schema(), &[]);
            }
        }
        let deep = "{a: ".repeat(10_000);
        complete(&deep, deep.len(), &schema(), &[]);
    }
}
