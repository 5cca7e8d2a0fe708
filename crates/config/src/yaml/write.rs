//! A tree as a value of serde_yaml, which writes it down.

use serde_yaml::{Mapping, Value};

use super::tree::{Kind, Node};

/// The value of a node, without what was pruned. Anchors and comments are gone.
pub fn to_value(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => Value::Bool(*value),
        Kind::Int(value) => match (u64::try_from(*value), i64::try_from(*value)) {
            (Ok(value), _) => Value::Number(value.into()),
            (_, Ok(value)) => Value::Number(value.into()),
            // serde_yaml has no larger integers, and no key of ours takes one.
            _ => Value::Number((*value as f64).into()),
        },
        Kind::Float(value) => Value::Number((*value).into()),
        Kind::Text(value) => Value::String(value.clone()),
        Kind::List(items) => items
            .iter()
            .filter(|item| !item.pruned)
            .map(|item| to_value(&item.value))
            .collect(),
        Kind::Map(entries) => entries
            .iter()
            .filter(|entry| entry.pruned.is_none())
            .map(|entry| (to_value(&entry.key), to_value(&entry.value)))
            .collect::<Mapping>()
            .into(),
    }
}
