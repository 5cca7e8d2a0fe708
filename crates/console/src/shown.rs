//! Devices, points and readings as they are told.

use std::collections::BTreeMap;

use fieldgate_model::{Point, Quality, Value, payload};
use fieldgate_plant::{Device, Reading, State};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

/// Digits of a number that a browser keeps.
const DIGITS: usize = 15;

/// A value as JSON.
pub(crate) fn json(value: Option<&Value>) -> Option<Box<RawValue>> {
    value?;
    RawValue::from_string(payload::value(value)).ok()
}

/// UTC with milliseconds.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A reading, or that there is none yet.
#[derive(Debug, Serialize)]
pub(crate) struct ShownReading {
    value: Option<Box<RawValue>>,
    /// The same as text, where a browser would lose digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    quality: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl ShownReading {
    pub(crate) fn new(reading: Option<&Reading>) -> Self {
        let value = reading.and_then(|reading| reading.value.as_ref());
        let text = value.filter(|value| matches!(value, Value::Decimal(_) | Value::F64(_)));
        let text = text.map(Value::to_string);
        let digits = |text: &String| text.bytes().filter(u8::is_ascii_digit).count();
        Self {
            value: json(value),
            text: text.filter(|text| digits(text) > DIGITS),
            quality: quality(reading),
            at: reading.map(|reading| time(reading.at)),
            error: reading.and_then(|reading| reading.error.as_deref().map(str::to_owned)),
        }
    }
}

/// How far a reading can be trusted, in a word.
pub(crate) fn quality(reading: Option<&Reading>) -> &'static str {
    match reading.map(|reading| reading.quality) {
        None => "none",
        Some(Quality::Good) => "good",
        Some(Quality::Stale) => "stale",
        Some(Quality::Bad) => "bad",
    }
}

/// A point with its reading.
#[derive(Debug, Serialize)]
pub(crate) struct ShownPoint<'p> {
    pub(crate) device: &'p str,
    pub(crate) point: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<&'p str>,
    pub(crate) writable: bool,
    #[serde(flatten)]
    pub(crate) reading: ShownReading,
}

impl<'p> ShownPoint<'p> {
    pub(crate) fn new(device: &'p Device, point: &'p Point, reading: Option<&Reading>) -> Self {
        Self {
            device: &device.about().name,
            point: &point.name,
            unit: point.unit.as_deref(),
            writable: point.writable,
            reading: ShownReading::new(reading),
        }
    }
}

/// A new reading, as a stream tells it.
#[derive(Debug, Serialize)]
pub(crate) struct ShownChange<'p> {
    pub(crate) device: &'p str,
    pub(crate) point: &'p str,
    #[serde(flatten)]
    pub(crate) reading: ShownReading,
}

/// The values that a point's labels stand for.
pub(crate) fn options(point: &Point) -> Option<Vec<Box<RawValue>>> {
    let labels = point.labels.as_ref()?;
    Some(
        labels
            .iter()
            .filter_map(|(_, label)| json(Some(label)))
            .collect(),
    )
}

/// How a device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ShownState {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl ShownState {
    /// Whether it is called that.
    pub(crate) fn is(&self, state: &str) -> bool {
        self.state == state
    }
}

impl From<State> for ShownState {
    fn from(state: State) -> Self {
        let (state, error, since) = match state {
            State::Starting => ("starting", None, None),
            State::Online => ("online", None, None),
            State::Offline { error, since } => ("offline", Some(error), Some(time(since))),
        };
        Self {
            state,
            error,
            since,
        }
    }
}

/// A device in a list.
#[derive(Debug, Serialize)]
pub(crate) struct ShownDevice<'d> {
    pub(crate) device: &'d str,
    bridge: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<&'d str>,
    points: usize,
    #[serde(flatten)]
    state: ShownState,
}

impl<'d> ShownDevice<'d> {
    pub(crate) fn new(device: &'d Device) -> Self {
        let about = device.about();
        Self {
            device: &about.name,
            bridge: &about.bridge,
            bus: about.bus.as_deref(),
            points: about.points.len(),
            state: device.state().into(),
        }
    }
}

/// Counters by name.
pub(crate) type Counters = BTreeMap<String, u64>;

/// The counters of a bus or of a device: those of what is as it should be, and the others.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ShownFigures {
    pub(crate) routine: Counters,
    pub(crate) faults: Counters,
}

impl ShownFigures {
    pub(crate) fn new(
        routine: &[(&'static str, u64)],
        faults: &[(&'static str, u64)],
        exceptions: Option<&BTreeMap<u8, u64>>,
    ) -> Self {
        let named = |figures: &[(&'static str, u64)]| -> Counters {
            let all = figures.iter();
            all.map(|(name, count)| ((*name).to_owned(), *count))
                .collect()
        };
        let mut faults = named(faults);
        for (code, count) in exceptions.into_iter().flatten() {
            faults.insert(format!("exception_{code}"), *count);
        }
        Self {
            routine: named(routine),
            faults,
        }
    }
}
