//! GPIO devices, put together: a line or a channel is one device's only.

use std::collections::BTreeMap;

use fieldgate_bridge::Defaults;
use fieldgate_bridge_gpio::{GpioConfig, GpioEntry};

use super::apart;
use super::claims::Claims;
use super::report::Report;
use super::source::File;

/// Takes the GPIO devices out of the main file, and reports what is wrong in each.
pub(crate) fn take(file: &mut File, report: &mut Report) -> BTreeMap<String, GpioEntry> {
    apart::take(&["gpio"], file, report)
}

/// Decides everything, and reports what does not fit together.
pub(crate) fn resolve(
    file: &File,
    entries: &BTreeMap<String, GpioEntry>,
    defaults: &Defaults,
    claims: &mut Claims<'_>,
    report: &mut Report,
) -> BTreeMap<String, GpioConfig> {
    let mut devices = BTreeMap::new();
    apart::names(file, entries, "GPIO device", report);
    for (name, entry) in entries {
        claims.add(["devices", name], entry.claims());
        match entry.resolve(name, defaults) {
            Ok(device) => {
                devices.insert(name.clone(), device);
            }
            Err(misfits) => apart::misfits(file, name, misfits, report),
        }
    }
    devices
}

#[cfg(test)]
pub(super) mod tests;
