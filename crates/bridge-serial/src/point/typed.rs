//! What `as` makes of what a frame holds. Pure.

use fieldgate_model::Value;

use super::Unusable;
use crate::config::Kind;
use crate::number::{self, NumberFormat};

/// The most characters of a device's text that a message shows.
const SHOWN_MAX: usize = 80;

/// A text as what the point takes it as.
pub(super) fn text(kind: Kind, text: &str, numbers: NumberFormat) -> Result<Value, Unusable> {
    let value = match kind {
        Kind::Own | Kind::Text => Some(Value::Text(text.to_owned())),
        Kind::Decimal => number::parse(text, numbers).map(Value::Decimal),
        Kind::Bool => Value::Text(text.to_owned()).to_switch().map(Value::Bool),
        Kind::Hex => {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u64::from_str_radix(text, 16).ok().filter(|_| is_plain);
            number.map(|number| Value::Decimal(number.into()))
        }
    };
    value.ok_or_else(|| no(kind, &format!("\"{}\"", shown(text))))
}

/// A value that has a type in the frame as what the point takes it as.
pub(super) fn value(kind: Kind, value: Value) -> Result<Value, Unusable> {
    if !value.is_finite() {
        return Err(no(Kind::Decimal, &value.to_string()));
    }
    let taken = match kind {
        Kind::Own => Some(value.clone()),
        Kind::Text => Some(Value::Text(value.to_string())),
        Kind::Decimal => value.as_f64().map(|_| value.clone()),
        Kind::Bool => value.to_switch().map(Value::Bool),
        Kind::Hex => None,
    };
    taken.ok_or_else(|| no(kind, &value.to_string()))
}

fn no(kind: Kind, found: &str) -> Unusable {
    let what = match kind {
        Kind::Decimal => "number",
        Kind::Bool => "switch",
        Kind::Hex => "text in hexadecimal digits",
        Kind::Own | Kind::Text => "text",
    };
    Unusable::Wrong(format!("{found} is no {what}"))
}

/// A device's text for a message: nothing in it acts on a terminal, and it is not long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default().escape_debug()),
        None => text.escape_debug().to_string(),
    }
}
