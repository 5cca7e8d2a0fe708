//! Keys that the gateway reads itself before a bridge reads the rest of the mapping.
//!
//! `simulated` on a bus is about this process and not about the bus, `protocol` says whose it is; a device type's maker
//! and source are for people; and ranges of units are a way of writing a list.

use std::net::SocketAddr;

use fieldgate_bridge::Place;

use super::owners::Owners;
use super::report::Report;
use super::source::Sources;
use super::units::Units;
use crate::kinds::{Kind as Bridge, Kinds};
use crate::yaml::{Item, Kind, Mistake, Node, Pruned, read, suggestion};

/// What a device type says about itself.
const NOTES: &[&str] = &["manufacturer", "model", "source"];
/// Takes the gateway's own keys out of the files.
pub(crate) fn take(sources: &mut Sources, kinds: Kinds, report: &mut Report) -> Owners {
    let mut owners = Owners::default();
    let main = &mut sources.main;
    let mut wrong = Vec::new();
    for (name, bus) in children(&mut main.root, "buses") {
        let owner = take_protocol(&format!("buses.{name}"), bus, kinds, &mut wrong);
        if let Some(address) = take_simulated(&name, bus, &mut wrong) {
            owners.simulated.insert(name.clone(), address);
        }
        owners.buses.insert(name, owner);
    }
    for (name, kind) in children(&mut main.root, "types") {
        let path = format!("types.{name}");
        take_notes(&path, kind, &mut wrong);
        owners.history.take_type(&path, &name, kind, &mut wrong);
        let owner = take_protocol(&path, kind, kinds, &mut wrong);
        owners.types.insert(name, owner);
    }
    for (name, device) in children(&mut main.root, "devices") {
        list_units(&format!("devices.{name}"), device, &mut wrong);
        owners.history.take_device(&name, device, &mut wrong);
        let owner = owner_of(device, &owners, kinds);
        owners.devices.insert(name, owner);
    }
    super::add(&main.name, wrong, report);
    for (name, file) in &mut sources.types {
        let mut wrong = Vec::new();
        take_notes("", &mut file.root, &mut wrong);
        owners
            .history
            .take_type("", name, &mut file.root, &mut wrong);
        let owner = take_protocol("", &mut file.root, kinds, &mut wrong);
        super::add(&file.name, wrong, report);
        owners.types.entry(name.clone()).or_insert(owner);
    }
    owners
}

/// The bridge that has one of a device's keys, or that of its bus.
fn owner_of(device: &Node, owners: &Owners, kinds: Kinds) -> &'static str {
    let has = |key: &&str| device.entry(key).is_some();
    let by_key = kinds.iter().find(|kind| kind.keys().iter().any(has));
    let by_bus = || {
        let bus = device.get(&["bus"]).and_then(Node::text);
        bus.and_then(|bus| owners.buses.get(bus)).copied()
    };
    by_key
        .map(|kind| kind.name())
        .or_else(by_bus)
        .unwrap_or(kinds.usual())
}

/// Which bridge a bus or a device type is of.
fn take_protocol(
    path: &str,
    node: &mut Node,
    kinds: Kinds,
    wrong: &mut Vec<Mistake>,
) -> &'static str {
    let Some(entry) = node.entry_mut("protocol") else {
        return kinds.usual();
    };
    entry.pruned = Some(Pruned::Taken);
    let known: Vec<&str> = kinds.on_buses().map(Bridge::name).collect();
    let named = entry.value.text();
    if let Some(name) = named.and_then(|named| known.iter().find(|name| **name == named)) {
        return name;
    }
    let dot = if path.is_empty() { "" } else { "." };
    let nearest = named.map(|named| suggestion(named, &known));
    wrong.push(Mistake {
        mark: entry.value.mark,
        path: format!("{path}{dot}protocol"),
        message: format!(
            "unknown protocol {}{}",
            entry.value,
            nearest.unwrap_or_default()
        ),
    });
    kinds.usual()
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
