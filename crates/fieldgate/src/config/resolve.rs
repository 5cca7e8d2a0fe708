//! Puts the parts of a configuration together: references, patterns, types and defaults.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fieldgate_bridge::{Defaults, Misfit, Period};
use fieldgate_bridge_modbus::{BusConfig, DeviceConfig, DeviceEntry, Points, TypeConfig};
use fieldgate_broker::Users;
use fieldgate_model::{Topics, check_name};
use serde::Deserialize;

use super::claims::Claims;
use super::listen::Address;
use super::raw::{Broker, Gateway, Mqtt, Name, Store, VERSION};
use super::report::Report;
use super::source::{File, Sources};
use super::units::UNIT;
use super::{Bus, Config, Place, StoreTimes, apart, gpio, own, serial, unavailable};
use crate::yaml::{Node, Pruned, read, suggestion};

/// A publisher that waits longer for its acknowledgement sends the message again.
const COMMIT_MAX: Duration = Duration::from_secs(10);
/// A value that is older than this after a power failure would surprise.
const RETAINED_MAX: Duration = Duration::from_secs(3_600);

/// The main file. Every section may be left out, so that a mistake in one hides none in another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Option<u64>,
    #[serde(default)]
    gateway: Gateway,
    #[serde(default)]
    broker: Broker,
    #[serde(default)]
    mqtt: Mqtt,
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    types: BTreeMap<Name, TypeConfig>,
    #[serde(default)]
    buses: BTreeMap<Name, BusConfig>,
    #[serde(default)]
    devices: BTreeMap<String, DeviceEntry>,
}

/// Makes a configuration of the files. What it returns counts only while the report is empty.
pub(crate) fn resolve(mut sources: Sources, report: &mut Report) -> Option<Config> {
    apart::leave_unclear(&mut sources.main);
    unavailable::refuse(&mut sources.main, report);
    let simulated = own::take(&mut sources.main, report);
    let on_lines = gpio::take(&mut sources.main, report);
    let on_ports = serial::take(&mut sources.main, report);
    let mut mistakes = Vec::new();
    let document: Option<Document> = read(&mut sources.main.root, own::KEYS, &mut mistakes);
    super::add(&sources.main.name, mistakes, report);
    let types = types(&mut sources, document.as_ref(), report);
    let document = document?;
    let main = Main {
        file: &sources.main,
        sources: &sources,
    };
    main.version(document.version, report);
    let topics = main.topics(&document, report);
    let mut buses = BTreeMap::new();
    for (Name(name), config) in document.buses {
        let simulated = simulated.get(&name).copied();
        buses.insert(name, Bus { config, simulated });
    }
    main.listeners(&document.broker, &buses, report);
    main.store(&document.broker.store, report);
    main.references(report);
    main.units(&document.devices, &buses, report);
    let devices = main.devices(&document.devices, &types, &document.defaults, report);
    let defaults = &document.defaults;
    let mut claims = Claims::new(main.file);
    // A simulated bus has a line or an address of its own.
    for (name, bus) in buses.iter().filter(|(_, bus)| bus.simulated.is_none()) {
        claims.add(["buses", name], bus.config.claims());
    }
    let serial = serial::resolve(main.file, &on_ports, defaults, &mut claims, report);
    let gpio = gpio::resolve(main.file, &on_lines, defaults, &mut claims, report);
    claims.compare(report);
    let apart = serial.keys().chain(gpio.keys());
    for name in apart.filter(|name| devices.contains_key(*name)) {
        main.wrong(
            &["devices", name],
            "another device's pattern makes this name",
            report,
        );
    }
    Some(Config {
        gateway: document.gateway.name.0,
        tls: document
            .broker
            .tls
            .map(|tls| tls.beside(Path::new(&sources.main.name))),
        listen: document.broker.listen,
        allow_anonymous: document.broker.allow_anonymous,
        store: StoreTimes {
            commit: document.broker.store.commit.map(Period::get),
            retained: document.broker.store.retained.map(Period::get),
        },
        takeover: document.broker.takeover.into(),
        limits: document.broker.limits,
        users_file: document.broker.users.map(Into::into),
        users: Users::default(),
        topics: topics?,
        payload: document.mqtt.payload,
        buses,
        devices,
        serial,
        gpio,
    })
}

/// The device types of the main file and of their own files.
fn types(
    sources: &mut Sources,
    document: Option<&Document>,
    report: &mut Report,
) -> BTreeMap<String, TypeConfig> {
    let mut types = BTreeMap::new();
    for (name, file) in &mut sources.types {
        own::take_type(file, report);
        let mut mistakes = Vec::new();
        let kind: Option<TypeConfig> = read(&mut file.root, own::TYPE_KEYS, &mut mistakes);
        super::add(&file.name, mistakes, report);
        if let Some(kind) = kind {
            types.insert(name.clone(), kind);
        }
    }
    let inline = document.map(|document| &document.types);
    for (Name(name), kind) in inline.into_iter().flatten() {
        if let Some(file) = sources.types.get(name) {
            let mark = sources.main.root.mark_of(&["types", name]);
            let message = format!("the type is already in {}", file.name);
            report.add(
                &sources.main.name,
                Some(mark),
                format!("types.{name}"),
                message,
            );
        }
        types.insert(name.clone(), kind.clone());
    }
    types
}

/// The main file, to show where something stands.
struct Main<'a> {
    file: &'a File,
    sources: &'a Sources,
}

impl Main<'_> {
    /// Reports what is wrong with a key; a message may begin with keys below it.
    fn wrong(&self, path: &[&str], message: &str, report: &mut Report) {
        let (mark, path, message) = self.file.root.place(path, message);
        report.add(&self.file.name, Some(mark), path, message);
    }

    fn version(&self, version: Option<u64>, report: &mut Report) {
        match version {
            Some(VERSION) => {}
            Some(other) => {
                let message = format!("{other} is not known; this version reads {VERSION}");
                self.wrong(&["version"], &message, report);
            }
            // A version that could not be read has been reported.
            None if self.file.is_cut || self.file.root.get(&["version"]).is_some() => {}
            None => {
                let message =
                    format!("the key \"version\" is missing; expected version: {VERSION}");
                self.wrong(&[], &message, report);
            }
        }
    }

    fn topics(&self, document: &Document, report: &mut Report) -> Option<Topics> {
        match Topics::new(&document.mqtt.topic, &document.gateway.name.0) {
            Ok(topics) => Some(topics),
            Err(error) => {
                let text = error.to_string();
                let message = text.strip_prefix("topic: ").unwrap_or(&text);
                self.wrong(&["mqtt", "topic"], message, report);
                None
            }
        }
    }

    /// Listeners that encrypt have a certificate, and no two sockets listen at one place.
    fn listeners(&self, broker: &Broker, buses: &BTreeMap<String, Bus>, report: &mut Report) {
        // What could not be read has been reported.
        let has_tls = self.file.root.get(&["broker", "tls"]).is_some() || self.file.is_cut;
        let mut sockets: Vec<(Vec<&str>, Address)> = Vec::new();
        for (key, entry) in broker.listen.addressed() {
            let path = vec!["broker", "listen", key];
            if key.ends_with("tls") && !has_tls {
                let message = "needs broker.tls with a certificate and a key";
                self.wrong(&path, message, report);
            }
            sockets.push((path, entry.place.address));
        }
        for (name, bus) in buses {
            if let Some(Place::Listen(address)) = bus.simulated {
                sockets.push((vec!["buses", name, "tcp"], Address::One(address)));
            }
        }
        sockets.sort_by_key(|(path, _)| self.file.root.mark_of(path));
        for (index, (path, address)) in sockets.iter().enumerate() {
            let mut before = sockets.iter().take(index);
            if let Some((other, _)) = before.find(|(_, other)| other.collides(*address)) {
                let line = self.file.root.mark_of(other).line;
                let message = format!("{} at line {line} already listens there", other.join("."));
                self.wrong(path, &message, report);
            }
        }
    }

    /// Times for which a publisher or a card would wait too long.
    fn store(&self, store: &Store, report: &mut Report) {
        for (key, time, most, text) in [
            ("commit", store.commit, COMMIT_MAX, "1ms to 10s"),
            ("retained", store.retained, RETAINED_MAX, "100ms to 1h"),
        ] {
            let least = Duration::from_millis(if key == "commit" { 1 } else { 100 });
            let fits = |time: Period| (least..=most).contains(&time.get());
            if !time.is_none_or(fits) {
                let message = format!("expected a time from {text}");
                self.wrong(&["broker", "store", key], &message, report);
            }
        }
    }

    /// A unit number that no device of its bus can have.
    fn units(
        &self,
        entries: &BTreeMap<String, DeviceEntry>,
        buses: &BTreeMap<String, Bus>,
        report: &mut Report,
    ) {
        for (pattern, entry) in entries {
            let Some(bus) = buses.get(&entry.bus) else {
                continue;
            };
            let transport = &bus.config.transport;
            let wrong = entry
                .units
                .iter()
                .find_map(|unit| transport.check_unit(*unit).err());
            if let Some(message) = wrong {
                self.wrong(&["devices", pattern], &message, report);
            }
        }
    }

    fn devices(
        &self,
        entries: &BTreeMap<String, DeviceEntry>,
        types: &BTreeMap<String, TypeConfig>,
        defaults: &Defaults,
        report: &mut Report,
    ) -> BTreeMap<String, DeviceConfig> {
        let mut devices = BTreeMap::new();
        let mut origins: BTreeMap<String, &str> = BTreeMap::new();
        // By type: its points as the device before had them.
        let mut latest: BTreeMap<&str, Points> = BTreeMap::new();
        for (pattern, entry) in entries {
            let path = ["devices", pattern.as_str()];
            let kind = entry.kind.as_ref().map(|name| types.get(name));
            // A type that is not there has been reported, by itself or by its reference.
            if kind == Some(None) {
                continue;
            }
            let kind = kind.flatten();
            if entry.many && !pattern.contains(UNIT) {
                let message = format!("units: several units need {UNIT} in the device's name");
                self.wrong(&path, &message, report);
                continue;
            }
            let is_whole = self.is_whole(pattern, entry);
            for unit in &entry.units {
                let name = pattern.replace(UNIT, &unit.to_string());
                if name.contains(['{', '}']) {
                    let message = format!("the only placeholder of a name is {UNIT}");
                    self.wrong(&path, &message, report);
                    break;
                }
                if let Err(error) = check_name(&name) {
                    self.wrong(&path, &error.to_string(), report);
                    break;
                }
                if let Some(other) = origins.insert(name.clone(), pattern) {
                    let message = format!("the device \"{name}\" is there already, from {other}");
                    self.wrong(&path, &message, report);
                }
                match entry.resolve(&name, *unit, kind, defaults) {
                    Ok(mut device) => {
                        let kind = entry.kind.as_deref().unwrap_or_default();
                        if let Some(points) = latest.get(kind) {
                            device.points.share(points);
                        }
                        latest.insert(kind, device.points.clone());
                        devices.insert(name, device);
                    }
                    Err(misfits) if is_whole => {
                        for misfit in misfits {
                            self.misfit(pattern, entry, misfit, report);
                        }
                    }
                    // What is missing because it was wrong has been reported.
                    Err(_) => {}
                }
            }
        }
        devices
    }

    /// Reports what does not fit together in a device, in its type where that has the point.
    fn misfit(&self, pattern: &str, entry: &DeviceEntry, misfit: Misfit, report: &mut Report) {
        let device = ["devices", pattern];
        let is_of_type = match misfit.path.as_slice() {
            [section, point, ..] if section == "points" => {
                entry.points.iter().all(|(own, _)| own != point)
            }
            _ => false,
        };
        let kind = entry.kind.as_deref().filter(|_| is_of_type);
        let (file, owner) = match kind {
            None => (self.file, &device[..]),
            Some(kind) => match self.sources.types.get(kind) {
                Some(file) => (file, &[][..]),
                None => (self.file, &["types", kind][..]),
            },
        };
        apart::misplaced(file, owner, misfit, report);
    }

    /// Whether nothing of a device and of its type was left out for being wrong.
    fn is_whole(&self, pattern: &str, entry: &DeviceEntry) -> bool {
        let kind = entry.kind.as_ref();
        let kind = kind.and_then(|name| self.sources.device_type(name));
        let own = self.file.root.get(&["devices", pattern]);
        kind.into_iter().chain(own).all(Node::is_whole)
    }

    /// Buses and types that no one wrote down. Names of what was written, but could not be
    /// read, are known; and a device that could not be read has references too.
    fn references(&self, report: &mut Report) {
        // What the rest of the file names is not known.
        if self.file.is_cut {
            return;
        }
        let names = |section: &str| -> Vec<&str> {
            let node = self.file.root.get(&[section]);
            let entries = node.map(Node::entries).unwrap_or_default();
            entries
                .iter()
                .filter_map(|entry| entry.key.text())
                .collect()
        };
        let buses = names("buses");
        let mut types = names("types");
        types.extend(self.sources.types.keys().map(String::as_str));
        types.extend(self.sources.broken.iter().map(String::as_str));
        let devices = self.file.root.get(&["devices"]);
        for device in devices.map(Node::entries).unwrap_or_default() {
            let (Some(name), true) = (device.key.text(), device.pruned != Some(Pruned::Refused))
            else {
                continue;
            };
            for (key, what, known) in [("bus", "bus", &buses), ("type", "device type", &types)] {
                let Some(node) = device.value.get(&[key]) else {
                    continue;
                };
                if let Some(used) = node.text().filter(|used| !known.contains(used)) {
                    let message = format!("unknown {what} {node}{}", suggestion(used, known));
                    let path = format!("devices.{name}.{key}");
                    report.add(&self.file.name, Some(node.mark), path, message);
                }
            }
        }
    }
}
