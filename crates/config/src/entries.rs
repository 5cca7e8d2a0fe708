//! What a bridge reads of the files: single entries, taken out, so that the rest is read without them.

use std::collections::BTreeMap;

use fieldgate_bridge::Misfit;
use fieldgate_model::check_name;
use serde::de::DeserializeOwned;

use super::report::Report;
use super::source::File;
use crate::yaml::{Entry, Mistake, Node, Others, Pruned, read, suggestion};

/// Leaves out the device that the file broke off in, if nothing says yet which bridge's it is.
/// `keys` are those that say it, beside `bus`.
pub(crate) fn leave_unclear(file: &mut File, keys: &[&str]) {
    let Some(devices) = file.root.entry_mut("devices").filter(|_| file.is_cut) else {
        return;
    };
    for device in devices.value.entries_mut() {
        let is_cut = |entry: &Entry| entry.pruned == Some(Pruned::Cut);
        let mut telling = keys.iter().chain(&["bus"]);
        let is_clear = telling.any(|key| device.value.entry(key).is_some());
        if device.value.entries().iter().any(is_cut) && !is_clear {
            device.pruned = Some(Pruned::Cut);
        }
    }
}

/// Takes the entries of a section that are `mine` out of the main file, and reports what is wrong in
/// each. One whose name cannot be a part of a topic stays, and is complained of there.
pub(crate) fn take<T: DeserializeOwned>(
    section: &str,
    others: Others,
    file: &mut File,
    mine: impl Fn(&str) -> bool,
    report: &mut Report,
) -> BTreeMap<String, T> {
    let mut found = BTreeMap::new();
    let entries = match file.root.entry_mut(section) {
        Some(entries) => entries.value.entries_mut(),
        None => &mut [],
    };
    let mut wrong = Vec::new();
    for entry in entries.iter_mut().filter(|entry| entry.pruned.is_none()) {
        let Some(name) = entry.key.text().map(str::to_owned) else {
            continue;
        };
        // The names of devices may be patterns.
        if !mine(&name) || (section != "devices" && check_name(&name).is_err()) {
            continue;
        }
        entry.pruned = Some(Pruned::Taken);
        let mut mistakes = Vec::new();
        let value: Option<T> = read(&mut entry.value, others, &mut mistakes);
        for mistake in mistakes {
            let mut mistake = below(&format!("{section}.{name}"), &entry.value, mistake);
            // What is wrong with the whole is shown at its name.
            if mistake.mark == entry.value.mark {
                mistake.mark = entry.key.mark;
            }
            wrong.push(mistake);
        }
        found.extend(value.map(|value| (name, value)));
    }
    super::add(&file.name, wrong, report);
    found
}

/// Reads a file that is one entry, such as a device type.
pub(crate) fn whole<T: DeserializeOwned>(file: &mut File, report: &mut Report) -> Option<T> {
    let mut mistakes = Vec::new();
    let value = read(&mut file.root, super::owners::TYPE_KEYS, &mut mistakes);
    super::add(&file.name, mistakes, report);
    value
}

/// A mistake in a mapping at `path`; a message about it as a whole may begin with one of its keys.
fn below(path: &str, node: &Node, mistake: Mistake) -> Mistake {
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
pub(crate) fn wrong(file: &File, path: &[&str], message: &str, report: &mut Report) {
    let (mark, path, message) = file.root.place(path, message);
    report.add(&file.name, Some(mark), path, message);
}

/// Reports what does not fit together below a path.
pub(crate) fn misplaced(file: &File, owner: &[&str], misfit: Misfit, report: &mut Report) {
    let nearest = misfit.known.map(|(name, known)| suggestion(&name, &known));
    let keys = misfit.path.iter().map(String::as_str);
    let path: Vec<&str> = owner.iter().copied().chain(keys).collect();
    let message = misfit.message + &nearest.unwrap_or_default();
    wrong(file, &path, &message, report);
}
