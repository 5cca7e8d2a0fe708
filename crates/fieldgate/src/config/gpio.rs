//! GPIO devices, put together: a line or a channel is one device's only.

use std::collections::BTreeMap;

use fieldgate_bridge::Defaults;
use fieldgate_bridge_gpio::config::LineRef;
use fieldgate_bridge_gpio::{GpioConfig, GpioEntry, Kind};

use super::apart;
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
    report: &mut Report,
) -> BTreeMap<String, GpioConfig> {
    let mut devices = BTreeMap::new();
    apart::names(file, entries, "GPIO device", report);
    for (name, entry) in entries {
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
    claims(file, &devices, report);
    devices
}

/// What a point has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'c> {
    Line(bool, Option<&'c str>, &'c LineRef),
    Channel(bool, u8),
}

/// Two points of one device are their bridge's business; two devices know nothing of each other.
fn claims(file: &File, devices: &BTreeMap<String, GpioConfig>, report: &mut Report) {
    let mut taken: BTreeMap<Claim<'_>, &str> = BTreeMap::new();
    for (name, device) in devices {
        for (point, config) in &device.points {
            let claim = match &config.kind {
                Kind::Pwm(pwm) => Claim::Channel(device.simulated, pwm.channel),
                kind => match kind.line() {
                    Some(line) => Claim::Line(device.simulated, device.chip.as_deref(), &line.line),
                    None => continue,
                },
            };
            let other = taken.insert(claim, name).filter(|other| *other != name);
            if let Some(other) = other {
                let path = ["devices", name, "points", point, config.kind.key()];
                let what = match claim {
                    Claim::Line(..) => "line",
                    Claim::Channel(..) => "channel",
                };
                let message = format!("the device \"{other}\" has this {what} already");
                apart::wrong(file, &path, &message, report);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
