//! Serial devices, put together.

use std::collections::BTreeMap;

use fieldgate_bridge::Defaults;
use fieldgate_bridge_serial::{SerialConfig, SerialEntry};

use super::apart;
use super::report::Report;
use super::source::File;

/// The keys that only a serial device has.
const KEYS: &[&str] = &["serial", "frame", "request", "requests", "parse"];

/// Takes the serial devices out of the main file, and reports what is wrong in each.
pub(crate) fn take(file: &mut File, report: &mut Report) -> BTreeMap<String, SerialEntry> {
    apart::take(KEYS, file, report)
}

/// Decides everything, and reports what does not fit together.
pub(crate) fn resolve(
    file: &File,
    entries: &BTreeMap<String, SerialEntry>,
    defaults: &Defaults,
    report: &mut Report,
) -> BTreeMap<String, SerialConfig> {
    let mut devices = BTreeMap::new();
    let mut ports: BTreeMap<&str, &str> = BTreeMap::new();
    apart::names(file, entries, "serial device", report);
    for (name, entry) in entries {
        if let Some(other) = ports.insert(entry.port(), name) {
            let message = format!("the device \"{other}\" has this port already");
            let path = ["devices", name, "serial", "port"];
            apart::wrong(file, &path, &message, report);
        }
        match entry.resolve(name, defaults) {
            Ok(device) => {
                devices.insert(name.clone(), device);
            }
            Err(faults) => {
                let faults = faults.into_iter();
                let faults = faults.map(|fault| (fault.path, fault.message, fault.known));
                apart::misfits(file, name, faults, report);
            }
        }
    }
    devices
}
