//! `history:`, what is kept on the card, which points are left out of it, and which are counters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use fieldgate_bridge::Period;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::limits::{Bytes, Time};
use crate::source::Sources;
use crate::yaml::{Kind, Mistake, Node, Pruned, suggestion};

/// The key, at all its places.
const KEY: &str = "history";
/// The key of a point that only grows, such as the energy that a meter has counted.
const COUNTER: &str = "counter";
const DAY: u64 = 86_400;
/// For how long hours of counters are kept if nothing is said: two years, and with them the months of the year before.
const COUNTERS: Duration = Duration::from_secs(731 * DAY);

/// How history is kept, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Bytes of its files at most.
    pub max: u64,
    /// For how long readings are kept.
    pub keep: Duration,
    /// Bytes of events at most, which are a part of `max`.
    pub events: u64,
    /// Percent of the partition that it leaves free.
    pub reserve: u8,
    /// From one write to the card to the next.
    pub flush: Duration,
    /// Bytes of memory for what no file has yet.
    pub memory: u64,
    /// For how long hours of counters are kept.
    pub keep_counters: Duration,
    /// The points that are left out, by device.
    pub without: PointNames,
}

/// Names of points, by device.
pub type PointNames = BTreeMap<String, BTreeSet<String>>;

impl History {
    /// Whether a point is kept.
    pub fn keeps(&self, device: &str, point: &str) -> bool {
        self.without
            .get(device)
            .is_none_or(|points| !points.contains(point))
    }
}

/// `history:` as it is written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Entry {
    max: Option<Bytes<{ 16 << 20 }, { 1 << 40 }>>,
    keep: Option<Age>,
    keep_counters: Option<Age>,
    events: Option<Bytes<{ 256 << 10 }, { 64 << 20 }>>,
    reserve: Option<Percent>,
    flush: Option<Time<1, 600>>,
    memory: Option<Bytes<{ 4 << 20 }, { 1 << 30 }>>,
}

impl Entry {
    pub(crate) fn resolve(self, without: PointNames) -> History {
        History {
            max: self.max.map_or(2 << 30, |size| size.0),
            keep: self.keep.map_or(Duration::from_secs(30 * DAY), |age| age.0),
            events: self.events.map_or(8 << 20, |size| size.0),
            reserve: self.reserve.map_or(10, |percent| percent.0),
            flush: self.flush.map_or(Duration::from_secs(60), |time| time.0),
            memory: self.memory.map_or(16 << 20, |size| size.0),
            keep_counters: self.keep_counters.map_or(COUNTERS, |age| age.0),
            without,
        }
    }
}

/// An hour to ten years.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Age(Duration);

const AGE: &str = "a time from 1h to 3650d, such as 30d";

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Age;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(AGE)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Age, E> {
                let days = text
                    .strip_suffix('d')
                    .and_then(|days| days.parse::<u64>().ok());
                let days = days
                    .and_then(|days| days.checked_mul(DAY))
                    .map(Duration::from_secs);
                let age = days.or_else(|| Period::parse(text).map(Period::get));
                let range = Duration::from_secs(3_600)..=Duration::from_secs(3_650 * DAY);
                let age = age.filter(|age| range.contains(age));
                age.map(Age)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// 0 to 90 percent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Percent(u8);

const PERCENT: &str = "a percentage from \"0%\" to \"90%\"";

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Percent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(PERCENT)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Percent, E> {
                let number = text
                    .strip_suffix('%')
                    .and_then(|number| number.trim().parse().ok());
                let number = number.filter(|number| *number <= 90).map(Percent);
                number.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// What devices and types say of history, taken out of the files.
#[derive(Debug, Default)]
pub struct Choices {
    devices: BTreeMap<String, Choice>,
    types: BTreeMap<String, Points>,
}

#[derive(Debug, Default)]
struct Choice {
    whole: Option<Whole>,
    points: Points,
}

/// What points say, by name.
#[derive(Debug, Default)]
struct Points {
    kept: BTreeMap<String, bool>,
    counters: BTreeMap<String, bool>,
}

impl Points {
    fn take(path: &str, node: &mut Node, wrong: &mut Vec<Mistake>) -> Self {
        Self {
            kept: take_points(KEY, path, node, wrong),
            counters: take_points(COUNTER, path, node, wrong),
        }
    }
}

/// A device: its name, the entry that it is of, and its points.
pub(crate) type Meant<'d> = (&'d str, &'d str, Vec<&'d str>);

/// `history` of a device.
#[derive(Debug)]
enum Whole {
    /// All points or none.
    All(bool),
    /// These.
    Only(Vec<String>),
}

impl Choices {
    /// Takes `history` out of a device and its points.
    pub(crate) fn take_device(&mut self, name: &str, device: &mut Node, wrong: &mut Vec<Mistake>) {
        let path = format!("devices.{name}");
        let choice = Choice {
            whole: take_whole(&path, device, wrong),
            points: Points::take(&path, device, wrong),
        };
        self.devices.insert(name.to_owned(), choice);
    }

    /// Takes `history` out of the points of a device type.
    pub(crate) fn take_type(
        &mut self,
        path: &str,
        name: &str,
        kind: &mut Node,
        wrong: &mut Vec<Mistake>,
    ) {
        let points = Points::take(path, kind, wrong);
        self.types.entry(name.to_owned()).or_insert(points);
    }

    /// The points that are left out, by device. Names of points that a device does not have go to `unknown`, with its
    /// entry.
    pub(crate) fn without<'d>(
        &self,
        sources: &Sources,
        devices: impl Iterator<Item = Meant<'d>>,
        unknown: &mut Vec<(String, String)>,
    ) -> PointNames {
        let mut checked = BTreeSet::new();
        let devices = devices.inspect(|(_, entry, points)| {
            let choice = self.devices.get(*entry).filter(|_| checked.insert(*entry));
            let messages = choice.into_iter().flat_map(|choice| choice.unknown(points));
            unknown.extend(messages.map(|message| ((*entry).to_owned(), message)));
        });
        self.which(sources, devices, |choice, point, of_type| {
            !choice.keeps(point, of_type)
        })
    }

    /// The points that are counters, by device.
    pub(crate) fn counters<'d>(
        &self,
        sources: &Sources,
        devices: impl Iterator<Item = Meant<'d>>,
    ) -> PointNames {
        self.which(sources, devices, |choice, point, of_type| {
            let own = choice.points.counters.get(point);
            let of_type = || of_type?.counters.get(point);
            own.or_else(of_type).copied().unwrap_or(false)
        })
    }

    fn which<'d>(
        &self,
        sources: &Sources,
        devices: impl Iterator<Item = Meant<'d>>,
        is_it: impl Fn(&Choice, &str, Option<&Points>) -> bool,
    ) -> PointNames {
        let mut found = PointNames::new();
        for (name, entry, points) in devices {
            let Some(choice) = self.devices.get(entry) else {
                continue;
            };
            let root = &sources.main.root;
            let kind = root.get(&["devices", entry, "type"]).and_then(Node::text);
            let of_type = kind.and_then(|kind| self.types.get(kind));
            let points = points.iter().filter(|point| is_it(choice, point, of_type));
            let points: BTreeSet<String> = points.map(|point| (*point).to_owned()).collect();
            if !points.is_empty() {
                found.insert(name.to_owned(), points);
            }
        }
        found
    }
}

impl Choice {
    fn keeps(&self, point: &str, of_type: Option<&Points>) -> bool {
        match &self.whole {
            Some(Whole::Only(names)) => names.iter().any(|name| name == point),
            Some(Whole::All(false)) => false,
            Some(Whole::All(true)) | None => {
                let own = self.points.kept.get(point);
                let of_type = || of_type?.kept.get(point);
                own.or_else(of_type).copied().unwrap_or(true)
            }
        }
    }

    /// What is wrong with the names of points.
    fn unknown(&self, points: &[&str]) -> Vec<String> {
        let names = match &self.whole {
            Some(Whole::Only(names)) => names.as_slice(),
            _ => &[],
        };
        let unknown = names.iter().filter(|name| !points.contains(&name.as_str()));
        let message =
            |name: &String| format!("unknown point \"{name}\"{}", suggestion(name, points));
        unknown.map(message).collect()
    }
}

fn take_whole(path: &str, device: &mut Node, wrong: &mut Vec<Mistake>) -> Option<Whole> {
    let entry = device.entry_mut(KEY)?;
    entry.pruned = Some(Pruned::Taken);
    let names = |kind: &Kind| match kind {
        Kind::List(items) => {
            let names = items
                .iter()
                .map(|item| item.value.text().map(str::to_owned));
            names.collect::<Option<Vec<String>>>()
        }
        _ => None,
    };
    match &entry.value.kind {
        Kind::Bool(on) => Some(Whole::All(*on)),
        kind => {
            let names = names(kind);
            if names.is_none() {
                wrong.push(Mistake {
                    mark: entry.value.mark,
                    path: format!("{path}.{KEY}"),
                    message: format!(
                        "expected true, false or a list of the points that are kept, found {}",
                        entry.value
                    ),
                });
            }
            names.map(Whole::Only)
        }
    }
}

/// Takes a key that is true or false out of the points of a device or a type.
fn take_points(
    key: &str,
    path: &str,
    node: &mut Node,
    wrong: &mut Vec<Mistake>,
) -> BTreeMap<String, bool> {
    let points = match node.entry_mut("points") {
        Some(points) => points.value.entries_mut(),
        None => &mut [],
    };
    let mut found = BTreeMap::new();
    for point in points.iter_mut().filter(|point| point.pruned.is_none()) {
        let Some(name) = point.key.text().map(str::to_owned) else {
            continue;
        };
        let Some(entry) = point.value.entry_mut(key) else {
            continue;
        };
        entry.pruned = Some(Pruned::Taken);
        if let Kind::Bool(on) = entry.value.kind {
            found.insert(name, on);
            continue;
        }
        let dot = if path.is_empty() { "" } else { "." };
        wrong.push(Mistake {
            mark: entry.value.mark,
            path: format!("{path}{dot}points.{name}.{key}"),
            message: format!("expected true or false, found {}", entry.value),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_as_documented_and_every_key_is_read() {
        let read = |text: &str| {
            serde_json::from_str::<Entry>(text).map(|entry| entry.resolve(BTreeMap::new()))
        };
        let day = |days: u64| Duration::from_secs(days * DAY);
        let usual = History {
            max: 2 << 30,
            keep: day(30),
            events: 8 << 20,
            reserve: 10,
            flush: Duration::from_secs(60),
            memory: 16 << 20,
            keep_counters: day(731),
            without: BTreeMap::new(),
        };
        assert_eq!(read("{}").unwrap(), usual);
        let all = r#"{"max": "1GiB", "keep": "400d", "events": "1M", "reserve": "5%", "flush": "10s", "memory": "8M", "keep_counters": "3650d"}"#;
        let want = History {
            max: 1 << 30,
            keep: day(400),
            events: 1 << 20,
            reserve: 5,
            flush: Duration::from_secs(10),
            memory: 8 << 20,
            keep_counters: day(3_650),
            without: BTreeMap::new(),
        };
        assert_eq!(read(all).unwrap(), want);
        for (text, want) in [
            (r#"{"keep": "30"}"#, AGE),
            (r#"{"keep": "5m"}"#, AGE),
            (r#"{"keep": "4000d"}"#, AGE),
            (r#"{"reserve": "91%"}"#, PERCENT),
            (r#"{"reserve": "10"}"#, PERCENT),
            (r#"{"max": "1M"}"#, "16M to 1024G"),
            (r#"{"events": "1G"}"#, "256K to 64M"),
            (r#"{"flush": "1h"}"#, "1s to 600s"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
