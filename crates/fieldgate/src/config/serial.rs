//! Serial devices, put together; and what simulated ones say, which is about this process and not
//! about the bridge.

use std::collections::BTreeMap;
use std::time::Duration;

use fieldgate_bridge::{Defaults, Period};
use fieldgate_bridge_serial::bytes::Escaped;
use fieldgate_bridge_serial::{SerialConfig, SerialEntry};
use serde::Deserialize;

use super::apart;
use super::claims::Claims;
use super::report::Report;
use super::source::File;
use crate::yaml::{Pruned, read};

/// The keys that only a serial device has.
const KEYS: &[&str] = &["serial", "frame", "request", "requests", "parse"];

/// A device on a serial port of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Serial {
    pub(crate) config: SerialConfig,
    /// What an instrument says that is simulated here, in the place of the port.
    pub(crate) simulated: Option<Script>,
}

/// What a simulated instrument says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawScript")]
pub(crate) struct Script {
    /// One after the other, and then from the first on again.
    pub(crate) says: Vec<Vec<u8>>,
    /// How often, if it is not asked.
    pub(crate) every: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScript {
    says: Vec<Escaped>,
    every: Option<Period>,
}

const EVERY: Duration = Duration::from_secs(1);

impl TryFrom<RawScript> for Script {
    type Error = String;

    fn try_from(raw: RawScript) -> Result<Self, String> {
        if raw.says.is_empty() {
            return Err("says: expected at least one text".to_owned());
        }
        Ok(Self {
            says: raw.says.into_iter().map(|Escaped(bytes)| bytes).collect(),
            every: raw.every.map_or(EVERY, Period::get),
        })
    }
}

/// Serial devices as they are written.
pub(crate) struct Entries {
    entries: BTreeMap<String, SerialEntry>,
    scripts: BTreeMap<String, Script>,
}

/// Takes the serial devices out of the main file, and reports what is wrong in each.
pub(crate) fn take(file: &mut File, report: &mut Report) -> Entries {
    let scripts = scripts(file, report);
    let entries = apart::take(KEYS, file, report);
    Entries { entries, scripts }
}

fn scripts(file: &mut File, report: &mut Report) -> BTreeMap<String, Script> {
    let mut scripts = BTreeMap::new();
    let mut wrong = Vec::new();
    let devices = match file.root.entry_mut("devices") {
        Some(devices) => devices.value.entries_mut(),
        None => &mut [],
    };
    for device in devices.iter_mut().filter(|device| device.pruned.is_none()) {
        let Some(name) = device.key.text().map(str::to_owned) else {
            continue;
        };
        if device.value.entry("serial").is_none() {
            continue;
        }
        let Some(entry) = device.value.entry_mut("simulated") else {
            continue;
        };
        entry.pruned = Some(Pruned::Taken);
        let mut mistakes = Vec::new();
        let script: Option<Script> = read(&mut entry.value, &[], &mut mistakes);
        let path = format!("devices.{name}.simulated");
        let placed = mistakes.into_iter();
        wrong.extend(placed.map(|mistake| apart::below(&path, &entry.value, mistake)));
        scripts.extend(script.map(|script| (name, script)));
    }
    super::add(&file.name, wrong, report);
    scripts
}

/// Decides everything, and reports what does not fit together.
pub(crate) fn resolve(
    file: &File,
    Entries { entries, scripts }: &Entries,
    defaults: &Defaults,
    claims: &mut Claims<'_>,
    report: &mut Report,
) -> BTreeMap<String, Serial> {
    let mut devices = BTreeMap::new();
    apart::names(file, entries, "serial device", report);
    for (name, entry) in entries {
        let simulated = scripts.get(name).cloned();
        // A simulated instrument has a port of its own in the place of this one.
        if simulated.is_none() {
            claims.add(["devices", name], entry.claims());
        }
        match entry.resolve(name, defaults) {
            Ok(config) => {
                devices.insert(name.clone(), Serial { config, simulated });
            }
            Err(misfits) => apart::misfits(file, name, misfits, report),
        }
    }
    devices
}
