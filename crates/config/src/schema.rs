//! A JSON Schema of the main file, for editors, made of what the readers ask for.
//!
//! It knows the keys and the kinds of their values, not what fits together: that is what `check` is for.

use serde_json::{Map, Value, json};

use super::owners::{BUS_KEYS, POINT_KEYS, TYPE_KEYS};
use super::resolve::Document;
use super::units::Units;
use crate::kinds::{Kind, Kinds};
use crate::yaml::{Others, Shape, shape};

/// The schema, in the draft that editors know best.
pub fn schema(kinds: Kinds) -> Value {
    let mut main = described(&shape::<Document>());
    let sections = [
        (
            "types",
            by_protocol(kinds, |kind| kind.shapes().kind, TYPE_KEYS),
        ),
        (
            "buses",
            by_protocol(kinds, |kind| kind.shapes().bus, BUS_KEYS),
        ),
        ("devices", devices(kinds)),
    ];
    for (section, entry) in sections {
        main["properties"][section]["additionalProperties"] = entry;
    }
    let mut whole = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of the gateway",
        "required": ["version"],
    });
    if let (Value::Object(whole), Value::Object(main)) = (&mut whole, main) {
        whole.extend(main);
    }
    whole
}

/// One entry of a section whose entries say by `protocol` which bridge they are of.
fn by_protocol(kinds: Kinds, part: impl Fn(&dyn Kind) -> Shape, own: Others) -> Value {
    let names: Vec<&str> = kinds.on_buses().map(Kind::name).collect();
    let of = |kind: &dyn Kind| {
        let mut entry = described(&part(kind));
        add_points(&mut entry);
        for key in own
            .iter()
            .filter(|(path, _)| path.is_empty())
            .flat_map(|(_, keys)| *keys)
        {
            entry["properties"][*key] = match *key {
                "protocol" => json!({ "enum": names, "default": kinds.usual() }),
                "simulated" => described(&Shape::Bool),
                _ => described(&Shape::Text),
            };
        }
        entry
    };
    let usual = kinds.on_buses().find(|kind| kind.name() == kinds.usual());
    let usual = usual.map(of).unwrap_or_default();
    kinds
        .on_buses()
        .filter(|kind| kind.name() != kinds.usual())
        .fold(usual, |otherwise, kind| {
            let is_it = json!({
                "required": ["protocol"],
                "properties": { "protocol": { "const": kind.name() } },
            });
            json!({ "if": is_it, "then": of(kind), "else": otherwise })
        })
}

/// A device: by one of its keys it is a bridge's without buses, else it is on a bus.
fn devices(kinds: Kinds) -> Value {
    let mut on_bus: Vec<Value> = kinds
        .on_buses()
        .map(|kind| {
            let mut device = own_device(kind);
            if let Some(units) = device["properties"].get_mut("units") {
                *units = described(&shape::<Units>());
            }
            device
        })
        .collect();
    let on_bus = match on_bus.len() {
        1 => on_bus.remove(0),
        _ => json!({ "anyOf": on_bus }),
    };
    let apart = kinds.iter().filter(|kind| !kind.keys().is_empty());
    apart.fold(on_bus, |otherwise, kind| {
        let keys = kind.keys().iter();
        let has: Vec<Value> = keys.map(|key| json!({ "required": [key] })).collect();
        let device = own_device(kind);
        json!({ "if": { "anyOf": has }, "then": device, "else": otherwise })
    })
}

/// A device with the gateway's own keys.
fn own_device(kind: &dyn Kind) -> Value {
    let mut device = described(&kind.shapes().device);
    add_points(&mut device);
    let names = json!({ "type": "array", "items": { "type": "string" } });
    device["properties"]["history"] = json!({ "anyOf": [{ "type": "boolean" }, names] });
    device
}

/// Adds the gateway's own keys to the points of a device or a type.
fn add_points(entry: &mut Value) {
    let Some(points) = entry["properties"].get_mut("points") else {
        return;
    };
    let point = &mut points["additionalProperties"];
    let add = |point: &mut Value| {
        if let Some(Value::Object(properties)) = point.get_mut("properties") {
            let keys = POINT_KEYS.iter();
            properties.extend(keys.map(|key| ((*key).to_owned(), described(&Shape::Bool))));
        }
    };
    add(point);
    for point in point
        .get_mut("anyOf")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        add(point);
    }
}

/// A shape in the words of JSON Schema. A key without a value is an empty list or mapping.
fn described(shape: &Shape) -> Value {
    match shape {
        Shape::Anything => json!({}),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int(least, most) => {
            let mut text = json!({ "type": "integer" });
            // Those of 64 bits are no limits for a person.
            for (key, limit) in [("minimum", *least), ("maximum", *most)] {
                if let Ok(limit) = i32::try_from(limit) {
                    text[key] = limit.into();
                }
            }
            text
        }
        Shape::Number => json!({ "type": "number" }),
        Shape::Text => json!({ "type": "string" }),
        Shape::Names(names) => json!({ "enum": names }),
        Shape::List(item) => json!({ "type": ["array", "null"], "items": described(item) }),
        Shape::Map(value) => json!({
            "type": ["object", "null"],
            "additionalProperties": described(value),
        }),
        Shape::Struct(keys) => {
            let keys = keys.iter();
            let properties: Map<String, Value> = keys
                .map(|(key, shape)| ((*key).to_owned(), described(shape)))
                .collect();
            json!({
                "type": ["object", "null"],
                "properties": properties,
                "additionalProperties": false,
            })
        }
        Shape::Either(shapes, expected) => {
            let mut either = match shapes.as_slice() {
                [only] => described(only),
                several => json!({ "anyOf": several.iter().map(described).collect::<Vec<_>>() }),
            };
            either["description"] = expected.as_str().into();
            either
        }
    }
}
