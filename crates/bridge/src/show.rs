//! Words for a person at a terminal.

use fieldgate_model::Value;

/// `1 point`, `2 points`.
pub fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// A value; text in quotes, so that its ends can be seen.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}
