//! Devices that are on no bus: taken out of the main file, because their keys are not those of a
//! device on a bus, so that their own bridge reads them.

use std::collections::BTreeMap;

use fieldgate_bridge::Misfit;
use fieldgate_model::check_name;
use serde::de::DeserializeOwned;

use super::report::Report;
use super::source::File;
use crate::yaml::{Entry, Mistake, Node, Pruned, read, suggestion};

/// Leaves out the device that the file broke off in, if nothing says yet which bridge's it is.
pub(super) fn leave_unclear(file: &mut File) {
    let Some(devices) = file.root.entry_mut("devices").filter(|_| file.is_cut) else {
        return;
    };
    for device in devices.value.entries_mut() {
        let is_cut = |entry: &Entry| entry.pruned == Some(Pruned::Cut);
        let is_clear = ["bus", "serial", "gpio"].map(|key| device.value.entry(key).is_some());
        if device.value.entries().iter().any(is_cut) && is_clear == [false; 3] {
            device.pruned = Some(Pruned::Cut);
        }
    }
}

/// Takes the devices that have one of `keys` out of the main file, and reports what is wrong in
/// each.
pub(super) fn take<T: DeserializeOwned>(
    keys: &[&str],
    file: &mut File,
    report: &mut Report,
) -> BTreeMap<String, T> {
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
        if !keys.iter().any(|key| device.value.entry(key).is_some()) {
            continue;
        }
        device.pruned = Some(Pruned::Taken);
        let mut mistakes = Vec::new();
        let entry: Option<T> = read(&mut device.value, &[], &mut mistakes);
        for mistake in mistakes {
            let mut mistake = below(&format!("devices.{name}"), &device.value, mistake);
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

/// A mistake in a mapping at `path`; a message about it as a whole may begin with one of its keys.
pub(super) fn below(path: &str, node: &Node, mistake: Mistake) -> Mistake {
    let (mark, key, message) = match mistake.path.as_str() {
        "" => {
            let (mark, keys, message) = node.place(&[], &mistake.message);
            (mark, keys.trim_start_matches('.').to_owned(), message)
        }
        _ => (mistake.mark, mistake.path.clone(), mistake.message.as_str()),
    };
    let dot = if key.is_empty() { "" } else { "." };
    Mistake {
        mark,
        path: format!("{path}{dot}{key}"),
        message: message.to_owned(),
    }
}

/// Reports what is wrong with a key.
pub(super) fn wrong(file: &File, path: &[&str], message: &str, report: &mut Report) {
    let (mark, path, message) = file.root.place(path, message);
    report.add(&file.name, Some(mark), path, message);
}

/// Such devices have names without patterns; `what` they are.
pub(super) fn names<T>(
    file: &File,
    entries: &BTreeMap<String, T>,
    what: &str,
    report: &mut Report,
) {
    for name in entries.keys() {
        let path = ["devices", name.as_str()];
        if let Err(error) = check_name(name) {
            wrong(file, &path, &error.to_string(), report);
        } else if name.contains(['{', '}']) {
            let message = format!("a {what} has a name without placeholders");
            wrong(file, &path, &message, report);
        }
    }
}

/// Reports what does not fit together in a device.
pub(super) fn misfits(file: &File, name: &str, misfits: Vec<Misfit>, report: &mut Report) {
    let device = ["devices", name];
    // What is missing because it was wrong has been reported.
    if !file.root.get(&device).is_some_and(Node::is_whole) {
        return;
    }
    for misfit in misfits {
        misplaced(file, &device, misfit, report);
    }
}

/// Reports what does not fit together below a path.
pub(super) fn misplaced(file: &File, owner: &[&str], misfit: Misfit, report: &mut Report) {
    let nearest = misfit.known.map(|(name, known)| suggestion(&name, &known));
    let keys = misfit.path.iter().map(String::as_str);
    let path: Vec<&str> = owner.iter().copied().chain(keys).collect();
    let message = misfit.message + &nearest.unwrap_or_default();
    wrong(file, &path, &message, report);
}
