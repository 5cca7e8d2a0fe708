//! Serial devices: taken out of the main file, because their keys are not those of a device on a
//! bus, and put together.

use std::collections::BTreeMap;

use fieldgate_bridge::Defaults;
use fieldgate_bridge_serial::{Fault, SerialConfig, SerialEntry};
use fieldgate_model::check_name;

use super::report::Report;
use super::source::File;
use crate::yaml::{Node, Pruned, read, suggestion};

/// The keys that only a serial device has.
const KEYS: &[&str] = &["serial", "frame", "request", "requests", "parse"];

/// Takes the serial devices out of the main file, and reports what is wrong in each.
pub(crate) fn take(file: &mut File, report: &mut Report) -> BTreeMap<String, SerialEntry> {
    let mut found = BTreeMap::new();
    let devices = match file.root.entry_mut("devices") {
        Some(devices) => devices.value.entries_mut(),
        None => &mut [],
    };
    let mut wrong = Vec::new();
    for device in devices.iter_mut().filter(|device| device.pruned.is_none()) {
        let Some(name) = device.key.text().map(str::to_owned) else {
            continue;
        };
        if !KEYS.iter().any(|key| device.value.entry(key).is_some()) {
            continue;
        }
        device.pruned = Some(Pruned::Taken);
        let mut mistakes = Vec::new();
        let entry: Option<SerialEntry> = read(&mut device.value, &[], &mut mistakes);
        for mut mistake in mistakes {
            mistake.path = match mistake.path.as_str() {
                "" => format!("devices.{name}"),
                path => format!("devices.{name}.{path}"),
            };
            // What is wrong with the device as a whole is shown at its name.
            if mistake.mark == device.value.mark {
                mistake.mark = device.key.mark;
            }
            wrong.push(mistake);
        }
        if let Some(entry) = entry {
            found.insert(name, entry);
        }
    }
    super::add(&file.name, wrong, report);
    found
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
    let mut wrong = |path: &[&str], message: &str| {
        let (mark, path, message) = file.root.place(path, message);
        report.add(&file.name, Some(mark), path, message);
    };
    for (name, entry) in entries {
        let path = ["devices", name.as_str()];
        if let Err(error) = check_name(name) {
            wrong(&path, &error.to_string());
        } else if name.contains(['{', '}']) {
            wrong(&path, "a serial device has a name without placeholders");
        }
        if let Some(other) = ports.insert(entry.port(), name) {
            let message = format!("the device \"{other}\" has this port already");
            wrong(&["devices", name, "serial", "port"], &message);
        }
        match entry.resolve(name, defaults) {
            Ok(device) => {
                devices.insert(name.clone(), device);
            }
            // What is missing because it was wrong has been reported.
            Err(faults) if file.root.get(&path).is_some_and(Node::is_whole) => {
                for Fault {
                    path: keys,
                    message,
                    known,
                } in faults
                {
                    let nearest = known.map(|(name, known)| suggestion(&name, &known));
                    let path: Vec<&str> = path
                        .into_iter()
                        .chain(keys.iter().map(String::as_str))
                        .collect();
                    wrong(&path, &(message + &nearest.unwrap_or_default()));
                }
            }
            Err(_) => {}
        }
    }
    devices
}
