//! Keys that the gateway reads itself before a bridge reads the rest of the mapping.
//!
//! `simulated` on a bus is about this process and not about Modbus; a device type's maker and
//! source are for people; and ranges of units are a way of writing a list.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::report::Report;
use super::source::File;
use super::units::Units;
use crate::yaml::{Item, Kind, Mistake, Node, Others, Pruned, read};

/// What a device type says about itself.
const NOTES: &[&str] = &["manufacturer", "model", "source"];
/// The gateway's own keys in the main file.
pub(crate) const KEYS: Others = &[(&["buses", "*"], &["simulated"]), (&["types", "*"], NOTES)];
/// The gateway's own keys in the file of a device type.
pub(crate) const TYPE_KEYS: Others = &[(&[], NOTES)];

/// The buses whose units this process simulates, and where.
pub(crate) type Simulated = BTreeMap<String, Place>;

/// Where simulated units are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind a server on this address; port 0 takes a free one.
    Listen(SocketAddr),
    /// On a line without a cable, in place of the serial port.
    Line,
}

/// Takes the gateway's own keys out of the main file.
pub(crate) fn take(file: &mut File, report: &mut Report) -> Simulated {
    let mut simulated = Simulated::new();
    let mut wrong = Vec::new();
    for (name, bus) in children(&mut file.root, "buses") {
        if let Some(address) = take_simulated(&name, bus, &mut wrong) {
            simulated.insert(name, address);
        }
    }
    for (name, kind) in children(&mut file.root, "types") {
        take_notes(&format!("types.{name}"), kind, &mut wrong);
    }
    for (name, device) in children(&mut file.root, "devices") {
        list_units(&format!("devices.{name}"), device, &mut wrong);
    }
    super::add(&file.name, wrong, report);
    simulated
}

/// Takes them out of the file of a device type.
pub(crate) fn take_type(file: &mut File, report: &mut Report) {
    let mut wrong = Vec::new();
    take_notes("", &mut file.root, &mut wrong);
    super::add(&file.name, wrong, report);
}

fn children<'n>(
    root: &'n mut Node,
    key: &str,
) -> impl Iterator<Item = (String, &'n mut Node)> + use<'n> {
    let entries = match root.entry_mut(key) {
        Some(entry) => entry.value.entries_mut(),
        None => &mut [],
    };
    entries
        .iter_mut()
        .filter(|entry| entry.pruned.is_none())
        .filter_map(|entry| Some((entry.key.text()?.to_owned(), &mut entry.value)))
}

fn take_simulated(name: &str, bus: &mut Node, wrong: &mut Vec<Mistake>) -> Option<Place> {
    let entry = bus.entry_mut("simulated")?;
    entry.pruned = Some(Pruned::Taken);
    let path = |key: &str| format!("buses.{name}.{key}");
    let on = match entry.value.kind {
        Kind::Bool(on) => on,
        _ => {
            wrong.push(Mistake {
                mark: entry.value.mark,
                path: path("simulated"),
                message: format!("expected true or false, found {}", entry.value),
            });
            return None;
        }
    };
    if on && bus.get(&["serial"]).is_some() {
        return Some(Place::Line);
    }
    let tcp = bus.entry_mut("tcp").filter(|_| on)?;
    let address = tcp.value.text().map(str::parse::<SocketAddr>);
    match address {
        Some(Ok(address)) => {
            // The bridge takes no port 0, as it is none to connect to. The address is replaced
            // by the simulator's before it connects.
            if address.port() == 0 {
                let text = SocketAddr::new(address.ip(), 1).to_string();
                tcp.value.kind = Kind::Text(text);
            }
            Some(Place::Listen(address))
        }
        Some(Err(_)) => {
            wrong.push(Mistake {
                mark: tcp.value.mark,
                path: path("tcp"),
                message: format!(
                    "a simulated bus listens on an address such as \"127.0.0.1:0\", found {}",
                    tcp.value
                ),
            });
            tcp.pruned = Some(Pruned::Value);
            None
        }
        // The bridge says what it expects instead of something that is no text.
        None => None,
    }
}

fn take_notes(path: &str, kind: &mut Node, wrong: &mut Vec<Mistake>) {
    for note in NOTES {
        let Some(entry) = kind.entry_mut(note) else {
            continue;
        };
        entry.pruned = Some(Pruned::Taken);
        if entry.value.text().is_none() {
            let path = if path.is_empty() {
                (*note).to_owned()
            } else {
                format!("{path}.{note}")
            };
            wrong.push(Mistake {
                mark: entry.value.mark,
                path,
                message: format!("expected text, found {}", entry.value),
            });
        }
    }
}

/// Replaces `3-5` by `[3, 4, 5]`.
fn list_units(path: &str, device: &mut Node, wrong: &mut Vec<Mistake>) {
    let Some(entry) = device.entry_mut("units") else {
        return;
    };
    let mut found = Vec::new();
    let units: Option<Units> = read(&mut entry.value, &[], &mut found);
    match units.filter(|_| found.is_empty()) {
        Some(units) => {
            let mark = entry.value.mark;
            let items = units.iter().map(|unit| Item {
                value: Node {
                    mark,
                    kind: Kind::Int(unit.into()),
                },
                pruned: false,
            });
            entry.value.kind = Kind::List(items.collect());
        }
        None => {
            entry.pruned = Some(Pruned::Value);
            for mistake in &mut found {
                mistake.path = format!("{path}.units{}", mistake.path);
            }
        }
    }
    wrong.append(&mut found);
}
