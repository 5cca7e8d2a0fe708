//! The configuration with device types and patterns applied, as a document again.
//!
//! It is made from the trees and not from the resolved values, so every key stays as the person
//! wrote it. Reading the result gives the same configuration; a test holds that.

use serde_yaml::{Mapping, Value};

use super::source::Sources;
use super::units::{UNIT, Units};
use crate::yaml::{Node, read, to_value};

/// The document of a configuration that has no mistakes.
pub fn document(sources: &Sources) -> Value {
    let root = &sources.main.root;
    let mut document = Mapping::new();
    for entry in root.entries() {
        match entry.key.text() {
            Some("types") => {}
            Some("devices") => {
                document.insert("devices".into(), devices(sources, &entry.value).into());
            }
            _ => {
                document.insert(to_value(&entry.key), to_value(&entry.value));
            }
        }
    }
    document.into()
}

fn devices(sources: &Sources, devices: &Node) -> Mapping {
    let mut all = Mapping::new();
    for entry in devices.entries() {
        let Some(pattern) = entry.key.text() else {
            continue;
        };
        let device = applied(sources, &entry.value);
        match units(&entry.value) {
            None => {
                all.insert(pattern.into(), device.into());
            }
            Some(units) => {
                for unit in units.iter() {
                    let mut device = device.clone();
                    device.remove("units");
                    device.insert("unit".into(), unit.into());
                    let name = pattern.replace(UNIT, &unit.to_string());
                    all.insert(name.into(), device.into());
                }
            }
        }
    }
    all
}

fn units(device: &Node) -> Option<Units> {
    let mut node = device.get(&["units"])?.clone();
    read(&mut node, &[], &mut Vec::new())
}

/// A device with what its type says, where it does not say so itself.
fn applied(sources: &Sources, device: &Node) -> Mapping {
    let mut own = match to_value(device) {
        Value::Mapping(own) => own,
        _ => Mapping::new(),
    };
    own.remove("type");
    let name = device.get(&["type"]).and_then(Node::text);
    let Some(of_type) = name.and_then(|name| sources.device_type(name)) else {
        return own;
    };
    for entry in of_type.entries() {
        let (Some(key), Value::Mapping(mut merged)) = (entry.key.text(), to_value(&entry.value))
        else {
            continue;
        };
        if let Some(Value::Mapping(of_device)) = own.remove(key) {
            merged.extend(of_device);
        }
        own.insert(key.into(), merged.into());
    }
    own
}
