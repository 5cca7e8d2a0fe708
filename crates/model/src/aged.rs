//! Payloads of before: what a retained reading is worth when its device is not watched any more. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a retained payload turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aged {
    /// A good reading, and the payload that calls it stale. Value and time are the same.
    Good(String),
    /// A reading that is stale or bad already.
    Doubtful,
    /// Not a reading as [`crate::payload::SampleWriter`] writes it under JSON.
    Other,
}

/// The members that every JSON reading has.
#[derive(Deserialize)]
struct Reading<'a> {
    #[serde(borrow, rename = "value")]
    _value: &'a RawValue,
    #[serde(borrow, rename = "ts")]
    _time: &'a RawValue,
    quality: &'a str,
}

const GOOD: &str = ",\"quality\":\"good\"";
const STALE: &str = ",\"quality\":\"stale\"";

/// Judges a payload that was published as a JSON reading.
pub fn aged(payload: &[u8]) -> Aged {
    let Ok(text) = std::str::from_utf8(payload) else {
        return Aged::Other;
    };
    match serde_json::from_str::<Reading>(text) {
        Ok(reading) if reading.quality == "good" => {}
        Ok(_) => return Aged::Doubtful,
        Err(_) => return Aged::Other,
    }
    // The quality stands behind the value and the unit, which may hold the same words.
    match text.rfind(GOOD) {
        Some(at) => {
            let (before, behind) = (&text[..at], &text[at + GOOD.len()..]);
            Aged::Good(format!("{before}{STALE}{behind}"))
        }
        None => Aged::Other,
    }
}

/// The members of the message of a device.
#[derive(Deserialize, Serialize)]
struct Message<'a> {
    #[serde(borrow)]
    ts: &'a RawValue,
    points: BTreeMap<String, &'a RawValue>,
    #[serde(default)]
    quality: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    error: BTreeMap<String, &'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock: Option<&'a RawValue>,
}

/// The same for a payload that was published as the message of a device, see [`crate::payload::DeviceWriter`]: its good
/// points are stale from now on, those that `stay` only.
pub fn aged_device(payload: &[u8], stay: &[&str]) -> Aged {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    let Ok(mut message) = serde_json::from_str::<Message>(text) else {
        return Aged::Other;
    };
    let before = message.points.len();
    let stays = |name: &String| stay.contains(&name.as_str());
    message.points.retain(|name, _| stays(name));
    message.quality.retain(|name, _| stays(name));
    message.error.retain(|name, _| stays(name));
    if message.points.is_empty() {
        return Aged::Other;
    }
    let is_known = message.points.len() == before && message.quality.len() == before;
    for name in message.points.keys() {
        let quality = message.quality.entry(name.clone());
        quality.or_insert_with(|| "stale".to_owned());
    }
    match serde_json::to_string(&message) {
        _ if is_known => Aged::Doubtful,
        Ok(text) => Aged::Good(text),
        Err(_) => Aged::Other,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::payload::SampleWriter;
    use crate::{PayloadFormat, Point, Quality, Sample, Value};

    #[test]
    fn a_good_reading_becomes_the_stale_one_that_its_device_would_have_published() {
        let text = |text: &str| Value::Text(text.into());
        let object = |name: &str| Value::Object(vec![(name.into(), Some(text("good")))]);
        for value in [
            Value::Bool(true),
            text("good"),
            text(",\"quality\":\"good\""),
            object("quality"),
        ] {
            for (unit, clock) in [(None, true), (Some(",\"quality\":\"good\""), false)] {
                let payload = |quality| {
                    let point = Point {
                        name: "p".into(),
                        unit: unit.map(str::to_owned),
                        writable: false,
                        labels: None,
                    };
                    let sample = Sample {
                        point: 0,
                        value: Some(value.clone()),
                        quality,
                        at: Timestamp::UNIX_EPOCH,
                        error: None,
                    };
                    let mut out = String::new();
                    SampleWriter::new(PayloadFormat::Json, clock).append(&mut out, &point, &sample);
                    out
                };
                let want = Aged::Good(payload(Quality::Stale));
                assert_eq!(aged(payload(Quality::Good).as_bytes()), want, "{value}");
                assert_eq!(
                    aged(payload(Quality::Stale).as_bytes()),
                    Aged::Doubtful,
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_reading_is_told_apart() {
        for (payload, want) in [
            (
                r#"{"value":null,"ts":"2026-11-22T17:16:00.123Z","quality":"bad","error":"e"}"#,
                Aged::Doubtful,
            ),
            (r#"{"value":999}"#, Aged::Other),
            (r#"{"value":999,"quality":"good"}"#, Aged::Other),
            (r#"{"value":1, "ts":"x", "quality": "good"}"#, Aged::Other),
            ("21.5", Aged::Other),
            ("[]", Aged::Other),
            ("", Aged::Other),
        ] {
            assert_eq!(aged(payload.as_bytes()), want, "{payload}");
        }
        assert_eq!(aged(&[0xFF]), Aged::Other);
    }

    #[test]
    fn the_good_points_of_a_device_become_stale_and_those_that_are_gone_go() {
        let ts = r#""ts":"2026-11-22T17:16:00.123Z""#;
        for (payload, stay, want) in [
            (
                format!(
                    r#"{{{ts},"points":{{"a":18446744073709551615,"b":null}},"quality":{{"b":"bad"}},"error":{{"b":"e"}}}}"#
                ),
                &["a", "b"][..],
                Aged::Good(format!(
                    r#"{{{ts},"points":{{"a":18446744073709551615,"b":null}},"quality":{{"a":"stale","b":"bad"}},"error":{{"b":"e"}}}}"#
                )),
            ),
            (
                format!(r#"{{{ts},"points":{{"a":1,"gone":2}},"clock":"unsynchronised"}}"#),
                &["a"],
                Aged::Good(format!(
                    r#"{{{ts},"points":{{"a":1}},"quality":{{"a":"stale"}},"clock":"unsynchronised"}}"#
                )),
            ),
            (
                format!(r#"{{{ts},"points":{{"a":1}},"quality":{{"a":"stale"}}}}"#),
                &["a"],
                Aged::Doubtful,
            ),
            (
                format!(r#"{{{ts},"points":{{"gone":1}}}}"#),
                &["a"],
                Aged::Other,
            ),
            (r#"{"value":1}"#.to_owned(), &["a"], Aged::Other),
            (String::new(), &["a"], Aged::Other),
        ] {
            assert_eq!(aged_device(payload.as_bytes(), stay), want, "{payload}");
        }
    }
}
