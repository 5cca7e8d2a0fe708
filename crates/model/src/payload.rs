//! Payloads: samples, states and results as bytes.
//!
//! Knows no topic and no clock: the caller says whether the system clock has been set.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{Outcome, Point, Quality, Sample, Value};

/// How samples and states are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadFormat {
    /// A JSON object with value, unit, time and quality.
    #[default]
    Json,
    /// The bare value.
    Raw,
    /// One JSON object for a whole device, and those of its points as [`Self::Json`].
    Device,
}

/// Whether a device can be reached.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceState {
    /// It answers.
    Online,
    /// It does not.
    Offline {
        /// Why, for people.
        error: String,
        /// Since when.
        since: Timestamp,
    },
}

/// The state of the gateway itself, and of its devices under [`PayloadFormat::Raw`].
pub const ONLINE: &[u8] = b"online";
/// The will of the gateway, and the state of an offline device under [`PayloadFormat::Raw`].
pub const OFFLINE: &[u8] = b"offline";

const GOOD: &str = "good";
const STALE: &str = "stale";
const BAD: &str = "bad";
/// The last member while the clock is not set, and the end.
const CLOCK_AND_END: &str = ",\"clock\":\"unsynchronised\"}";

/// Writes samples one after another.
#[derive(Clone, Debug)]
pub struct SampleWriter {
    format: PayloadFormat,
    clock_synchronised: bool,
    /// The time and the quality of the last sample, and how they read: all of one request have the same.
    last: Option<(Timestamp, &'static str, String)>,
}

impl SampleWriter {
    /// For samples of a moment in which the clock was set, or not.
    pub fn new(format: PayloadFormat, clock_synchronised: bool) -> Self {
        Self {
            format,
            clock_synchronised,
            last: None,
        }
    }

    /// Appends the payload of a sample; false, and nothing is appended, if nothing is to be published.
    ///
    /// JSON: `{"value":21.5,"unit":"°C","ts":"2026-11-22T17:16:00.123Z","quality":"good"}`, with
    /// `"clock":"unsynchronised"` until the clock is set. A bad value is `null`. The time has
    /// milliseconds and is UTC. A bad one whose reason is known ends with it:
    /// `"quality":"bad","error":"exception 2 (ILLEGAL DATA ADDRESS)"`.
    ///
    /// Raw: the bare value when it is good. A bad one is an empty payload, which clears the retained
    /// value, so that no reader takes an old one for valid. A stale one is not published: the retained
    /// value stays, and the device's state topic says that it is old.
    pub fn append(&mut self, out: &mut String, point: &Point, sample: &Sample) -> bool {
        if self.format == PayloadFormat::Raw {
            let value = sample.value.as_ref().filter(|value| value.is_finite());
            if let Some(value) = value.filter(|_| sample.quality == Quality::Good) {
                push(out, value);
            }
            return sample.quality != Quality::Stale;
        }
        let (value, quality) = judged(sample);
        out.push_str("{\"value\":");
        push_value(out, value);
        if let Some(unit) = &point.unit {
            out.push_str(",\"unit\":");
            push_text(out, unit);
        }
        out.push_str(self.time_and_quality(sample.at, quality));
        if let Some(error) = sample.error.as_ref().filter(|_| quality == BAD) {
            out.push_str(",\"error\":");
            push_text(out, error);
        }
        out.push_str(match self.clock_synchronised {
            true => "}",
            false => CLOCK_AND_END,
        });
        true
    }

    fn time_and_quality(&mut self, at: Timestamp, quality: &'static str) -> &str {
        let known = self.last.take();
        let known = known.filter(|(then, as_good, _)| *then == at && *as_good == quality);
        let (_, _, text) = self.last.insert(known.unwrap_or_else(|| {
            let text = format!(",\"ts\":\"{}\",\"quality\":\"{quality}\"", time(at));
            (at, quality, text)
        }));
        text
    }
}

/// Writes the message of a whole device.
///
/// `{"ts":"2026-11-22T17:16:00.123Z","points":{"level":2.64,"pump":null},"quality":{"pump":"bad"},
/// "error":{"pump":"exception 2 (ILLEGAL DATA ADDRESS)"}}`, with `"clock":"unsynchronised"` until the clock is set.
/// `points` holds the last value of each point that was read since the gateway started, `null` where it is bad; `quality`
/// those that are not good, and `error` why, if that is known; both are left out while they are empty. `ts` is the time of
/// the newest value.
#[derive(Debug, Default)]
pub struct DeviceWriter {
    points: String,
    quality: String,
    error: String,
    newest: Option<Timestamp>,
}

impl DeviceWriter {
    /// Forgets all, but not its room, as far as that is not more than `keep` bytes a part.
    pub fn clear(&mut self, keep: usize) {
        for part in [&mut self.points, &mut self.quality, &mut self.error] {
            part.clear();
            part.shrink_to(keep);
        }
        self.newest = None;
    }

    /// Adds the last sample of a point.
    pub fn add(&mut self, point: &Point, sample: &Sample) {
        let (value, quality) = judged(sample);
        member(&mut self.points, &point.name);
        push_value(&mut self.points, value);
        self.newest = self.newest.max(Some(sample.at));
        if quality == GOOD {
            return;
        }
        member(&mut self.quality, &point.name);
        self.quality.push('"');
        self.quality.push_str(quality);
        self.quality.push('"');
        if let Some(error) = sample.error.as_ref().filter(|_| quality == BAD) {
            member(&mut self.error, &point.name);
            push_text(&mut self.error, error);
        }
    }

    /// Appends the payload; false, and nothing is appended, if no point was added.
    pub fn append(&self, out: &mut String, clock_synchronised: bool) -> bool {
        let Some(newest) = self.newest else {
            return false;
        };
        out.push_str("{\"ts\":\"");
        push(out, time(newest));
        out.push_str("\",\"points\":{");
        out.push_str(&self.points);
        out.push('}');
        for (name, members) in [("quality", &self.quality), ("error", &self.error)] {
            if !members.is_empty() {
                out.push_str(",\"");
                out.push_str(name);
                out.push_str("\":{");
                out.push_str(members);
                out.push('}');
            }
        }
        out.push_str(match clock_synchronised {
            true => "}",
            false => CLOCK_AND_END,
        });
        true
    }
}

/// Begins a member of a JSON object.
fn member(object: &mut String, name: &str) {
    if !object.is_empty() {
        object.push(',');
    }
    push_text(object, name);
    object.push(':');
}

/// The value that a sample has under JSON, and its quality.
fn judged(sample: &Sample) -> (Option<&Value>, &'static str) {
    let value = sample.value.as_ref().filter(|value| value.is_finite());
    match sample.quality {
        Quality::Good if value.is_some() => (value, GOOD),
        Quality::Stale => (value, STALE),
        Quality::Good | Quality::Bad => (None, BAD),
    }
}

/// The payload of a device's state: `online`, or `offline` with, under JSON, error and time:
/// `{"state":"offline","error":"no answer within 300 ms","since":"2026-11-22T17:16:00.123Z"}`.
pub fn render_state(format: PayloadFormat, state: &DeviceState) -> Vec<u8> {
    match (format, state) {
        (_, DeviceState::Online) => ONLINE.to_vec(),
        (PayloadFormat::Raw, DeviceState::Offline { .. }) => OFFLINE.to_vec(),
        (_, DeviceState::Offline { error, since }) => {
            let mut json = String::from("{\"state\":\"offline\",\"error\":");
            push_text(&mut json, error);
            json.push_str(",\"since\":\"");
            push(&mut json, time(*since));
            json.push_str("\"}");
            json.into_bytes()
        }
    }
}

/// The answer to a command, JSON in every format: `{"status":"ok","value":1,"readback":1}` or
/// `{"status":"error","error":"…"}`. A write that reads back differently is an error with both.
pub fn render_outcome(outcome: &Outcome) -> Vec<u8> {
    let mut json = String::with_capacity(64);
    match outcome {
        Outcome::Done { value, readback } => {
            json.push_str("{\"status\":\"ok\",\"value\":");
            push_value(&mut json, Some(value));
            if readback.is_some() {
                json.push_str(",\"readback\":");
                push_value(&mut json, readback.as_ref());
            }
        }
        Outcome::Mismatch { value, readback } => {
            let held = readback
                .as_ref()
                .map_or_else(|| "an invalid value".to_owned(), Value::to_string);
            json.push_str("{\"status\":\"error\",\"error\":");
            push_text(&mut json, &format!("wrote {value} but read back {held}"));
            json.push_str(",\"value\":");
            push_value(&mut json, Some(value));
            json.push_str(",\"readback\":");
            push_value(&mut json, readback.as_ref());
        }
        Outcome::Failed(error) => {
            json.push_str("{\"status\":\"error\",\"error\":");
            push_text(&mut json, error);
        }
    }
    json.push('}');
    json.into_bytes()
}

/// The answer to a command for several points: what became of each, by its name, and `ok` only if
/// all are: `{"status":"ok","points":{"pump":{"status":"ok","value":true,"readback":true}}}`.
pub fn render_outcomes(outcomes: &[(&str, &Outcome)]) -> Vec<u8> {
    let is_done = |(_, outcome): &(&str, &Outcome)| matches!(outcome, Outcome::Done { .. });
    let status = if outcomes.iter().all(is_done) {
        "ok"
    } else {
        "error"
    };
    let mut json = format!("{{\"status\":\"{status}\",\"points\":{{").into_bytes();
    for (index, (name, outcome)) in outcomes.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        let mut key = String::new();
        push_text(&mut key, name);
        json.extend(key.bytes());
        json.push(b':');
        json.extend(render_outcome(outcome));
    }
    json.extend(b"}}");
    json
}

/// Counters as a flat JSON object; those by code, if there are such, are an object of their own.
pub fn render_stats(
    counts: &[(&str, u64)],
    by_code: Option<(&str, &BTreeMap<u8, u64>)>,
) -> Vec<u8> {
    let member = |name: &str, value: String| {
        let mut member = String::new();
        push_text(&mut member, name);
        member + ":" + &value
    };
    let counts = counts.iter();
    let mut members: Vec<String> = counts
        .map(|(name, count)| member(name, count.to_string()))
        .collect();
    if let Some((name, codes)) = by_code {
        let codes: Vec<String> = codes
            .iter()
            .map(|(code, count)| format!("\"{code}\":{count}"))
            .collect();
        members.push(member(name, format!("{{{}}}", codes.join(","))));
    }
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// UTC with milliseconds, `2026-11-22T17:16:00.123Z`.
fn time(at: Timestamp) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "{at:.3}"))
}

fn push(out: &mut String, shown: impl fmt::Display) {
    // Writing to a string does not fail.
    let _ = write!(out, "{shown}");
}

/// A value as JSON; none, or one that is not finite, is `null`.
pub fn value(value: Option<&Value>) -> String {
    let mut json = String::new();
    push_value(&mut json, value);
    json
}

fn push_value(json: &mut String, value: Option<&Value>) {
    match value {
        Some(Value::Object(members)) => {
            json.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                push_text(json, name);
                json.push(':');
                push_value(json, value.as_ref());
            }
            json.push('}');
        }
        Some(value @ (Value::Text(_) | Value::Bytes(_))) => push_text(json, &value.to_string()),
        Some(Value::Decimal(value)) => value.append(json),
        Some(value) if value.is_finite() => push(json, value),
        Some(_) | None => json.push_str("null"),
    }
}

fn push_text(json: &mut String, text: &str) {
    if text
        .bytes()
        .any(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'))
    {
        // `Display` of a JSON value escapes it.
        return push(json, serde_json::Value::from(text));
    }
    json.push('"');
    json.push_str(text);
    json.push('"');
}

#[cfg(test)]
mod tests;
