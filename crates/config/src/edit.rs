//! Changes to the text of a configuration that leave everything else in it as it is. Pure.

use std::collections::BTreeSet;

use crate::yaml::{Kind, parse};

/// A device on a bus, to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Its name.
    pub name: String,
    /// Its bus.
    pub bus: String,
    /// Its unit on the bus.
    pub unit: u8,
    /// Its type; without one it has no points yet.
    pub kind: Option<String>,
}

/// The text with devices added at the end of `devices:`.
///
/// # Errors
///
/// Why that is left to a person, in words for one.
pub fn add_devices(text: &str, devices: &[NewDevice]) -> Result<String, String> {
    let root = parse(text).root;
    let known = root.as_ref().and_then(|root| root.get(&["devices"]));
    let mut names: BTreeSet<String> = known
        .into_iter()
        .flat_map(|node| node.entries())
        .filter_map(|entry| entry.key.text().map(str::to_owned))
        .collect();
    for device in devices {
        if !names.insert(device.name.clone()) {
            return Err(format!("there is a device \"{}\" already", device.name));
        }
    }
    let is_empty = known.is_none_or(|node| match &node.kind {
        Kind::Null => true,
        Kind::Map(entries) => entries.is_empty(),
        _ => false,
    });
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let head = lines.iter().position(|line| line.starts_with("devices:"));
    let Some(head) = head else {
        if known.is_some() {
            return Err("`devices` does not stand at the beginning of a line".to_owned());
        }
        let gap = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            end
        };
        return Ok(format!(
            "{text}{gap}devices:{end}{}",
            written(devices, "  ", end)
        ));
    };
    let value = lines
        .get(head)
        .map_or("", |line| line.get("devices:".len()..).unwrap_or_default());
    let value = value.split(" #").next().unwrap_or_default().trim();
    match (value, is_empty) {
        ("", _) => {}
        ("{}" | "null" | "~", true) => {
            let before: String = lines.iter().take(head).copied().collect();
            let after: String = lines.iter().skip(head + 1).copied().collect();
            return Ok(format!(
                "{before}devices:{end}{}{after}",
                written(devices, "  ", end)
            ));
        }
        _ => {
            return Err(
                "`devices` is written in braces or refers to something else: add them by hand"
                    .to_owned(),
            );
        }
    }
    let (last, indent) = block(&lines, head);
    let mut before: String = lines.iter().take(last + 1).copied().collect();
    if !before.ends_with('\n') {
        before.push_str(end);
    }
    let after: String = lines.iter().skip(last + 1).copied().collect();
    Ok(format!("{before}{}{after}", written(devices, &indent, end)))
}

/// The last line of the block whose key is in line `head`, and how far its first key is indented.
fn block(lines: &[&str], head: usize) -> (usize, String) {
    let mut last = head;
    let mut indent = None;
    for (number, line) in lines.iter().enumerate().skip(head + 1) {
        let rest = line.trim_start_matches(' ');
        let is_void = rest.trim().is_empty() || rest.starts_with('#');
        if is_void {
            continue;
        }
        let width = line.len() - rest.len();
        if width == 0 {
            break;
        }
        indent.get_or_insert_with(|| " ".repeat(width));
        last = number;
    }
    (last, indent.unwrap_or_else(|| "  ".to_owned()))
}

fn written(devices: &[NewDevice], indent: &str, end: &str) -> String {
    let mut text = String::new();
    for device in devices {
        let kind = device
            .kind
            .as_ref()
            .map(|kind| format!(", type: {}", plain(kind)));
        text += &format!(
            "{indent}{}: {{bus: {}, unit: {}{}}}{end}",
            plain(&device.name),
            plain(&device.bus),
            device.unit,
            kind.unwrap_or_else(|| ", points: {}".to_owned()),
        );
    }
    text
}

/// A name, in quotes if it could be anything else.
fn plain(name: &str) -> String {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let is_other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match is_word && !is_other.contains(&name.to_lowercase().as_str()) {
        true => name.to_owned(),
        false => serde_json::Value::from(name).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> NewDevice {
        NewDevice {
            name: name.into(),
            bus: "line".into(),
            unit: 7,
            kind: Some("em340".into()),
        }
    }

    #[test]
    fn devices_are_added_and_every_other_byte_stays() {
        const NEW: &str = "{bus: line, unit: 7, type: em340}";
        for (text, want) in [
            ("", "devices:\n  a: NEW\n"),
            ("version: 1", "version: 1\ndevices:\n  a: NEW\n"),
            ("devices:\n", "devices:\n  a: NEW\n"),
            ("devices: {}  # none\nx: 1\n", "devices:\n  a: NEW\nx: 1\n"),
            (
                "devices: # all\n    b: {}\n\n# end\nx:\n  y: 1\n",
                "devices: # all\n    b: {}\n    a: NEW\n\n# end\nx:\n  y: 1\n",
            ),
            (
                "devices:\n  b:\n    unit: 1\n  # last",
                "devices:\n  b:\n    unit: 1\n  a: NEW\n  # last",
            ),
            ("devices:\n  b: {}", "devices:\n  b: {}\n  a: NEW\n"),
            (
                "devices:\r\n  b: {}\r\nx: 1\r\n",
                "devices:\r\n  b: {}\r\n  a: NEW\r\nx: 1\r\n",
            ),
            ("devices:\n- b", "devices:\n  a: NEW\n- b"),
        ] {
            let found = add_devices(text, &[device("a")]).unwrap();
            assert_eq!(found, want.replace("NEW", NEW), "{text}");
        }
        for (text, want) in [
            ("devices: {b: {}}\n", "in braces"),
            ("devices: *other\n", "in braces"),
            ("{devices: {b: {}}}\n", "beginning"),
            ("devices:\n  a: {}\n", "already"),
        ] {
            let found = add_devices(text, &[device("a")]).unwrap_err();
            assert!(found.contains(want), "{found}");
        }
    }

    #[test]
    fn names_are_quoted_where_they_would_be_something_else() {
        for (name, want) in [
            ("meter-1", "meter-1"),
            ("7", "\"7\""),
            ("no", "\"no\""),
            ("zähler", "\"zähler\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
        ] {
            assert_eq!(plain(name), want);
        }
    }
}
