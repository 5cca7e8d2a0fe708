//! A bridge's part of the configuration: taken out of the files, and put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use fieldgate_bridge::{Bridge, Bus, Defaults, Misfit};
use fieldgate_model::check_name;

use super::{AnyBus, AnyDevice};
use crate::owners::{self, Owners};
use crate::yaml::Node;
use crate::{Claims, Report, Sources, entries};

/// The files, and which bridge is to read what in them.
pub struct Picked<'a> {
    /// All files.
    pub sources: &'a mut Sources,
    /// Which bridge reads what.
    pub owners: &'a Owners,
    /// Takes the mistakes.
    pub report: &'a mut Report,
}

impl Picked<'_> {
    pub(super) fn read<B: Bridge>(self) -> Entries<B> {
        let Self {
            sources,
            owners,
            report,
        } = self;
        let main = &mut sources.main;
        let is_own = |owners: &BTreeMap<String, &'static str>, name: &str| {
            owners.get(name).is_some_and(|owner| *owner == B::NAME)
        };
        let read: BTreeMap<String, B::Bus> = entries::take(
            "buses",
            owners::BUS_KEYS,
            main,
            |name| is_own(&owners.buses, name),
            report,
        );
        let buses = read.into_iter().map(|(name, config)| {
            let simulated = owners.simulated.get(&name).copied();
            (name, Bus { config, simulated })
        });
        let buses = buses.collect();
        let mut types: BTreeMap<String, B::Type> = entries::take(
            "types",
            owners::TYPE_KEYS,
            main,
            |name| is_own(&owners.types, name),
            report,
        );
        let entries = entries::take(
            "devices",
            owners::DEVICE_KEYS,
            main,
            |name| is_own(&owners.devices, name),
            report,
        );
        for (name, file) in &mut sources.types {
            if !types.contains_key(name) && is_own(&owners.types, name) {
                types.extend(entries::whole(file, report).map(|kind| (name.clone(), kind)));
            }
        }
        Entries {
            buses,
            types,
            entries,
        }
    }
}

/// What a bridge has read.
pub trait Written {
    /// Its buses.
    fn buses(&self) -> Vec<(String, AnyBus)>;

    /// Puts its devices together, and reports what does not fit.
    fn resolve<'f>(&self, around: &mut Around<'_, 'f>) -> BTreeMap<String, AnyDevice>;
}

/// Which entries make which devices.
pub type Origins = BTreeMap<String, String>;

/// What devices are put together in.
pub struct Around<'a, 'f> {
    /// All files, as they were left by the reading.
    pub sources: &'f Sources,
    /// Which bridge reads what.
    pub owners: &'a Owners,
    /// What holds for points that do not say otherwise.
    pub defaults: &'a Defaults,
    /// The devices that there are already.
    pub origins: &'a mut Origins,
    /// Takes what only one device or bus can have.
    pub claims: &'a mut Claims<'f>,
    /// Takes the mistakes.
    pub report: &'a mut Report,
}

/// A bridge's part, as written.
pub(super) struct Entries<B: Bridge> {
    buses: BTreeMap<String, Bus<B::Bus>>,
    types: BTreeMap<String, B::Type>,
    entries: BTreeMap<String, B::Entry>,
}

impl<B: Bridge> Written for Entries<B> {
    fn buses(&self) -> Vec<(String, AnyBus)> {
        let buses = self.buses.iter().map(|(name, bus)| {
            let any = AnyBus {
                kind: B::NAME,
                simulated: bus.simulated,
                bus: Arc::new(bus.clone()),
            };
            (name.clone(), any)
        });
        buses.collect()
    }

    fn resolve<'f>(&self, around: &mut Around<'_, 'f>) -> BTreeMap<String, AnyDevice> {
        // A simulated bus has a line or an address of its own.
        let real = self.buses.iter().filter(|(_, bus)| bus.simulated.is_none());
        for (name, bus) in real {
            around
                .claims
                .add(["buses", name], B::bus_claims(&bus.config));
        }
        let mut devices = BTreeMap::new();
        // By type: the device before, with which another may share its points.
        let mut latest = BTreeMap::new();
        for (pattern, entry) in &self.entries {
            around.claims.add(["devices", pattern], B::claims(entry));
            self.check_bus(pattern, entry, around);
            self.devices(pattern, entry, around, &mut devices, &mut latest);
        }
        let any = devices.into_iter().map(|(name, device)| {
            let device = AnyDevice {
                kind: B::NAME,
                device: Arc::new(device),
            };
            (name, device)
        });
        any.collect()
    }
}

impl<B: Bridge> Entries<B> {
    fn check_bus(&self, pattern: &str, entry: &B::Entry, around: &mut Around<'_, '_>) {
        let bus = B::bus_of(entry).and_then(|bus| self.buses.get(bus));
        let checked = bus.map_or(Ok(()), |bus| B::check_bus(entry, &bus.config));
        if let Err(misfit) = checked {
            let main = &around.sources.main;
            entries::misplaced(main, &["devices", pattern], misfit, around.report);
        }
    }

    /// Adds the devices of one entry.
    fn devices<'e>(
        &'e self,
        pattern: &str,
        entry: &'e B::Entry,
        around: &mut Around<'_, '_>,
        devices: &mut BTreeMap<String, B::Device>,
        latest: &mut BTreeMap<&'e str, B::Device>,
    ) {
        let main = &around.sources.main;
        let path = ["devices", pattern];
        let named = B::type_of(entry);
        let kind = named.map(|name| self.types.get(name));
        // A type that is not there has been reported, by itself or by its reference.
        if matches!(kind, Some(None)) {
            self.check_type(pattern, named, around);
            return;
        }
        let names = match B::names(entry, pattern) {
            Ok(names) => names,
            Err(misfit) => return entries::misplaced(main, &path, misfit, around.report),
        };
        let is_whole = is_whole(around.sources, pattern, named);
        for (name, number) in names {
            if let Err(error) = check_name(&name) {
                entries::wrong(main, &path, &error.to_string(), around.report);
                break;
            }
            let other = around.origins.insert(name.clone(), pattern.to_owned());
            if let Some(other) = other {
                let message = format!("the device \"{name}\" is there already, from {other}");
                entries::wrong(main, &path, &message, around.report);
            }
            match B::resolve(entry, &name, number, kind.flatten(), around.defaults) {
                Ok(mut device) => {
                    let kind = named.unwrap_or_default();
                    if let Some(other) = latest.get(kind) {
                        B::share(&mut device, other);
                    }
                    latest.insert(kind, device.clone());
                    devices.insert(name, device);
                }
                Err(misfits) if is_whole => {
                    for misfit in misfits {
                        place(around.sources, pattern, named, misfit, around.report);
                    }
                }
                // What is missing because it was wrong has been reported.
                Err(_) => {}
            }
        }
    }

    /// A type of another bridge is known, and of no use here.
    fn check_type(&self, pattern: &str, named: Option<&str>, around: &mut Around<'_, '_>) {
        let owner = named.and_then(|name| around.owners.types.get(name));
        if let Some(other) = owner.filter(|owner| **owner != B::NAME) {
            let message = format!("this is a type of {other}; the device speaks {}", B::NAME);
            let misfit = Misfit::new(&["type"], message);
            let main = &around.sources.main;
            entries::misplaced(main, &["devices", pattern], misfit, around.report);
        }
    }
}

/// Whether nothing of a device and of its type was left out for being wrong.
fn is_whole(sources: &Sources, pattern: &str, kind: Option<&str>) -> bool {
    let kind = kind.and_then(|name| sources.device_type(name));
    let own = sources.main.root.get(&["devices", pattern]);
    kind.into_iter().chain(own).all(Node::is_whole)
}

/// Reports what does not fit together in a device, in its type where that has the point.
fn place(
    sources: &Sources,
    pattern: &str,
    kind: Option<&str>,
    misfit: Misfit,
    report: &mut Report,
) {
    let device = ["devices", pattern];
    let is_of_type = match misfit.path.as_slice() {
        [section, point, ..] if section == "points" => {
            let own = ["devices", pattern, "points", point];
            sources.main.root.get(&own).is_none()
        }
        _ => false,
    };
    let (file, owner) = match kind.filter(|_| is_of_type) {
        None => (&sources.main, &device[..]),
        Some(kind) => match sources.types.get(kind) {
            Some(file) => (file, &[][..]),
            None => (&sources.main, &["types", kind][..]),
        },
    };
    entries::misplaced(file, owner, misfit, report);
}
