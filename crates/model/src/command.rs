//! Commands from clients, and what became of them.

use serde_json::value::RawValue;

use crate::{Decimal, Value};

/// Set one point of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Index in the device's list of points.
    pub point: usize,
    /// What to set it to, as the client wrote it; the driver gives it its type.
    pub value: Value,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The device took it.
    Done {
        /// The value as it was written, in the point's own type.
        value: Value,
        /// The value that was read back, if the device can be read.
        readback: Option<Value>,
    },
    /// The device acknowledged the write, but holds another value.
    Mismatch {
        /// The value as it was written.
        value: Value,
        /// The value that the device holds; `None` if it cannot be decoded.
        readback: Option<Value>,
    },
    /// It was refused, or it failed; the text says why, for the client.
    Failed(String),
}

/// Reads the payload of a command.
///
/// A JSON object must have the member `value`, a boolean, a number or a text; other members are
/// ignored, so that a published sample can be sent back as a command. With the member `pulse`,
/// which may be alone, both are given as a [`Value::Object`]. Anything else is a bare
/// value: `true`, `false`, a JSON number, a quoted text, or else the payload itself as text.
/// Numbers stay exact. `007` is no JSON number, so it stays a text; the driver decides whether
/// the point takes a text or reads it as a number.
///
/// # Errors
///
/// The text says what is wrong, for the client: not UTF-8, empty, not JSON, no usable `value`.
pub fn parse_command_value(payload: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "the payload is not UTF-8 text")?;
    let text = text.trim();
    if text.is_empty() {
        return Err("the payload is empty".into());
    }
    if text.starts_with('{') {
        let members: Members =
            serde_json::from_str(text).map_err(|error| format!("not a JSON command: {error}"))?;
        return members.read();
    }
    if text.starts_with('[') || text == "null" {
        return Err("expected a value or {\"value\": ...}".into());
    }
    Ok(scalar(text).unwrap_or_else(|_| Value::Text(text.to_owned())))
}

/// Reads the payload of a command for several points: a JSON object of their names and values, in
/// the order in which they are to be set. A value is a boolean, a number or a text.
///
/// # Errors
///
/// The text says what is wrong, for the client: no object, an empty one, a name that is there
/// twice, a value that is none.
pub fn parse_command_values(payload: &[u8]) -> Result<Vec<(String, Value)>, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "the payload is not UTF-8 text")?;
    let Values(values) = serde_json::from_str(text).map_err(|error| {
        format!("expected an object of points such as {{\"setpoint\": 21.5}}: {error}")
    })?;
    if values.is_empty() {
        return Err("the object names no point".into());
    }
    Ok(values)
}

/// The members of an object in their order.
struct Values(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Values {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> serde::de::Visitor<'de> for ValuesVisitor {
    type Value = Values;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of points")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
        use serde::de::Error;
        let mut names = std::collections::BTreeSet::new();
        let mut values = Vec::new();
        while let Some((name, raw)) = map.next_entry::<String, Box<RawValue>>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("duplicate name \"{name}\"")));
            }
            let value = scalar(raw.get())
                .map_err(|error| A::Error::custom(format!("\"{name}\": {error}")))?;
            values.push((name, value));
        }
        Ok(Values(values))
    }
}

#[derive(serde::Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pulse: Option<&'a RawValue>,
}

/// A `null` is there too, and is then refused.
fn given<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

impl Members<'_> {
    /// A plain value, or an object of both members if there is a pulse.
    fn read(&self) -> Result<Value, String> {
        let value = self.value.map(|value| scalar(value.get())).transpose()?;
        let Some(pulse) = self.pulse else {
            return value.ok_or_else(|| "not a JSON command: missing field `value`".into());
        };
        let pulse = scalar(pulse.get()).map_err(|error| error.replacen("value", "pulse", 1))?;
        let value = value.map(|value| ("value".to_owned(), Some(value)));
        let pulse = ("pulse".to_owned(), Some(pulse));
        Ok(Value::Object(value.into_iter().chain([pulse]).collect()))
    }
}

/// Reads a JSON scalar. A number is read from its text, as a double would lose digits.
fn scalar(json: &str) -> Result<Value, String> {
    let first = json.bytes().next().unwrap_or_default();
    match first {
        b't' | b'f' => serde_json::from_str(json).map(Value::Bool),
        b'"' => serde_json::from_str(json).map(Value::Text),
        b'-' | b'0'..=b'9' => {
            return match serde_json::from_str::<&RawValue>(json) {
                Ok(number) => large_or_exact(number.get()),
                Err(error) => Err(format!("value: {error}")),
            };
        }
        _ => return Err("value: expected a boolean, a number or a text".into()),
    }
    .map_err(|error| format!("value: {error}"))
}

/// A number of any size: an exact one, or else the nearest double.
fn large_or_exact(text: &str) -> Result<Value, String> {
    match text.parse::<Decimal>() {
        Ok(exact) => Ok(Value::Decimal(exact)),
        Err(error) => match text.parse::<f64>() {
            Ok(double) if double.is_finite() => Ok(Value::F64(double)),
            _ => Err(format!("value: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bare_and_json_payloads_are_read_exactly() {
        let number = |text: &str| Value::Decimal(text.parse().unwrap());
        let text = |text: &str| Value::Text(text.into());
        for (payload, want) in [
            ("1", number("1")),
            (" 21.5\n", number("21.5")),
            ("-3e2", number("-300")),
            ("18446744073709551615", number("18446744073709551615")),
            ("true", Value::Bool(true)),
            ("truely", text("truely")),
            ("day", text("day")),
            ("ON", text("ON")),
            ("007", text("007")),
            ("1 2", text("1 2")),
            ("\"007\"", text("007")),
            ("NaN", text("NaN")),
            ("{\"value\": 9007199254740993}", number("9007199254740993")),
            ("{\"value\":0.1,\"unit\":\"V\",\"ts\":null}", number("0.1")),
            (
                "{\"value\": 12345678901234567.25}",
                number("12345678901234567.25"),
            ),
            ("{\"value\":\"night\"}", text("night")),
            ("{\"value\":false}", Value::Bool(false)),
            (
                "{\"pulse\":\"500ms\"}",
                Value::Object(vec![("pulse".into(), Some(text("500ms")))]),
            ),
            (
                "{\"pulse\":\"2s\",\"value\":1}",
                Value::Object(vec![
                    ("value".into(), Some(number("1"))),
                    ("pulse".into(), Some(text("2s"))),
                ]),
            ),
        ] {
            assert_eq!(
                parse_command_value(payload.as_bytes()),
                Ok(want),
                "{payload}"
            );
        }
    }

    #[test]
    fn what_is_no_command_is_refused_with_a_reason() {
        for (payload, want) in [
            (&b"\xFF"[..], "UTF-8"),
            (b"", "empty"),
            (b" \n", "empty"),
            (b"null", "expected a value"),
            (b"[1]", "expected a value"),
            (b"{", "not a JSON command"),
            (b"{}", "missing field `value`"),
            (b"{\"value\":1,\"value\":2}", "duplicate"),
            (b"{\"value\":null}", "expected a boolean"),
            (b"{\"value\":{}}", "expected a boolean"),
            (b"{\"value\":[1]}", "expected a boolean"),
            (b"{\"pulse\":null}", "pulse: expected"),
            (b"{\"pulse\":\"1s\",\"value\":{}}", "value: expected"),
            (b"{\"value\":1e999}", "too many digits"),
        ] {
            let error = parse_command_value(payload).unwrap_err();
            assert!(error.contains(want), "{payload:?}: {error}");
        }
    }

    #[test]
    fn several_points_are_read_in_their_order() {
        let number = |text: &str| Value::Decimal(text.parse().unwrap());
        let payload = b" {\"z\": 1.50, \"a\": true, \"m\": \"day\"}";
        let want = [
            ("z".to_owned(), number("1.5")),
            ("a".to_owned(), Value::Bool(true)),
            ("m".to_owned(), Value::Text("day".into())),
        ];
        assert_eq!(parse_command_values(payload), Ok(want.to_vec()));
        for (payload, want) in [
            (&b"1"[..], "expected an object of points"),
            (b"", "expected an object of points"),
            (b"\xFF", "UTF-8"),
            (b"{}", "names no point"),
            (b"{\"a\":1,\"a\":2}", "duplicate name \"a\""),
            (b"{\"a\":[1]}", "\"a\": value: expected"),
            (b"{\"a\":1} x", "trailing"),
        ] {
            let error = parse_command_values(payload).unwrap_err();
            assert!(error.contains(want), "{payload:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_command_values(&payload);
            let _ = parse_command_value(&payload);
        }
    }
}
