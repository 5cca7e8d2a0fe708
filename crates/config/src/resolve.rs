//! Puts the parts of a configuration together: references, patterns, types and defaults.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fieldgate_bridge::{Defaults, Period, Place};
use fieldgate_broker::Users;
use fieldgate_model::{PayloadFormat, Topics};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::claims::Claims;
use super::console::{self, Console};
use super::document::{Broker, Gateway, Mqtt, Name, Store, VERSION};
use super::listen::{self, Address};
use super::owners::Owners;
use super::report::Report;
use super::source::{File, Sources};
use super::{
    Config, History, PointNames, StoreTimes, entries, gateway_keys, history, shipped, unavailable,
    uplinks,
};
use crate::history::Meant;
use crate::kinds::{AnyBus, AnyDevice, Around, Kinds, Origins, Picked};
use crate::yaml::{Node, Pruned, read, suggestion};

/// A publisher that waits longer for its acknowledgement sends the message again.
const COMMIT_MAX: Duration = Duration::from_secs(10);
/// A value that is older than this after a power failure would surprise.
const RETAINED_MAX: Duration = Duration::from_secs(3_600);

/// The main file without what bridges read. Every section may be left out, so that a mistake in one hides none in
/// another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    version: Option<u64>,
    #[serde(default)]
    gateway: Gateway,
    #[serde(default)]
    broker: Broker,
    #[serde(default)]
    mqtt: Mqtt,
    console: Option<Console>,
    history: Option<history::Entry>,
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    uplinks: BTreeMap<Name, uplinks::Uplink>,
    #[serde(default, rename = "types")]
    _types: BTreeMap<Name, IgnoredAny>,
    #[serde(default, rename = "buses")]
    _buses: BTreeMap<Name, IgnoredAny>,
    #[serde(default, rename = "devices")]
    _devices: BTreeMap<String, IgnoredAny>,
}

/// Makes a configuration of the files. What it returns counts only while the report is empty.
pub(crate) fn resolve(mut sources: Sources, kinds: Kinds, report: &mut Report) -> Option<Config> {
    let keys = kinds.iter().flat_map(|kind| kind.keys()).copied();
    entries::leave_unclear(&mut sources.main, &keys.collect::<Vec<_>>());
    unavailable::refuse(&mut sources.main, report);
    let owners = gateway_keys::take(&mut sources, kinds, report);
    let mut written = Vec::new();
    for kind in kinds.iter() {
        written.push(kind.read(Picked {
            sources: &mut sources,
            owners: &owners,
            report,
        }));
    }
    let mut mistakes = Vec::new();
    let document: Option<Document> = read(&mut sources.main.root, &[], &mut mistakes);
    super::add(&sources.main.name, mistakes, report);
    let main = Main {
        file: &sources.main,
        sources: &sources,
    };
    main.types(report);
    let mut document = document?;
    main.version(document.version, report);
    let topics = main.topics(&document, report);
    let buses = written.iter().flat_map(|written| written.buses());
    let buses: BTreeMap<String, AnyBus> = buses.collect();
    main.listeners(&document, &buses, report);
    main.console(&document, report);
    main.store(&document.broker.store, report);
    main.references(report);
    let mut claims = Claims::new(main.file);
    let mut origins = Origins::new();
    let mut around = Around {
        sources: &sources,
        owners: &owners,
        defaults: &document.defaults,
        origins: &mut origins,
        claims: &mut claims,
        report,
    };
    let mut devices = BTreeMap::new();
    for written in &written {
        devices.extend(written.resolve(&mut around));
    }
    claims.compare(report);
    let without = main.left_out(&owners, &origins, &devices, report);
    let counters = owners.history.counters(&sources, named(&origins, &devices));
    let history = document.history.take().map(|entry| entry.resolve(without));
    let topics = topics?;
    let entries = std::mem::take(&mut document.uplinks);
    let around = uplinks::Around::new(&sources.main, &document.gateway.name, &topics);
    let uplinks = uplinks::resolve(entries, &around, report);
    Some(config(
        document,
        (topics, buses, devices, uplinks, (history, counters)),
        &sources,
    ))
}

/// What bridges and others have made of their sections.
type Parts = (
    Topics,
    BTreeMap<String, AnyBus>,
    BTreeMap<String, AnyDevice>,
    BTreeMap<String, fieldgate_uplink::Config>,
    (Option<History>, PointNames),
);

/// The devices, with the entries that they are of.
fn named<'d>(
    origins: &'d Origins,
    devices: &'d BTreeMap<String, AnyDevice>,
) -> impl Iterator<Item = Meant<'d>> {
    devices.iter().filter_map(|(name, device)| {
        let entry = origins.get(name)?;
        Some((name.as_str(), entry.as_str(), device.point_names()))
    })
}

fn config(
    document: Document,
    (topics, buses, devices, uplinks, (history, counters)): Parts,
    sources: &Sources,
) -> Config {
    let path = Path::new(&sources.main.name);
    let tls = document.broker.tls.map(|tls| tls.beside(path));
    Config {
        gateway: document.gateway.name.0,
        certificate: listen::certificate(tls.as_ref(), path),
        tls,
        listen: document.broker.listen,
        allow_anonymous: document.broker.allow_anonymous,
        store: StoreTimes {
            commit: document.broker.store.commit.map(Period::get),
            retained: document.broker.store.retained.map(Period::get),
        },
        local_networks: document.broker.local_networks.0,
        takeover: document.broker.takeover.into(),
        limits: document.broker.limits,
        console: document.console,
        history,
        counters,
        users_file: document.broker.users.map(Into::into),
        users: Users::default(),
        topics,
        payload: document.mqtt.payload,
        point_topics: document.mqtt.points.unwrap_or(true),
        buses,
        devices,
        uplinks,
    }
}

/// The main file, to show where something stands.
struct Main<'a> {
    file: &'a File,
    sources: &'a Sources,
}

impl Main<'_> {
    /// No type is in the main file and in one of its own.
    fn types(&self, report: &mut Report) {
        let inline = self.file.root.get(&["types"]);
        for entry in inline.map(Node::entries).unwrap_or_default() {
            let name = entry
                .key
                .text()
                .filter(|_| entry.pruned == Some(Pruned::Taken));
            let Some((name, file)) = name.and_then(|name| self.sources.types.get_key_value(name))
            else {
                continue;
            };
            let message = format!("the type is already in {}", file.name);
            self.wrong(&["types", name], &message, report);
        }
    }

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
        let is_alone = document.mqtt.payload != PayloadFormat::Device;
        if is_alone && document.mqtt.points == Some(false) {
            let message = "without payload: device nothing would be published";
            self.wrong(&["mqtt", "points"], message, report);
        }
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
    fn listeners(&self, written: &Document, buses: &BTreeMap<String, AnyBus>, report: &mut Report) {
        let broker = &written.broker;
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
        for (key, address) in written
            .console
            .iter()
            .flat_map(|console| console.listen.addressed())
        {
            sockets.push((vec!["console", "listen", key], address));
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
                let name = other.join(".");
                let message = match self.file.root.get(other) {
                    Some(_) => format!("{name} at line {line} already listens there"),
                    None => format!(
                        "{name} already listens there: its port is 1883 where it is not written"
                    ),
                };
                self.wrong(path, &message, report);
            }
        }
    }

    /// What of the console does not fit the rest.
    fn console(&self, written: &Document, report: &mut Report) {
        // What is there and is none of them has been reported.
        let listen = self.file.root.get(&["console", "listen"]);
        let is_empty = listen.is_none_or(|listen| listen.entries().is_empty());
        let about = console::About { is_empty };
        let console = written.console.iter();
        for (key, text) in console.flat_map(|one| console::misfits(one, &about)) {
            let path = [&["console"], key.as_slice()].concat();
            self.wrong(&path, text, report);
        }
    }

    /// The points that history leaves out, by device.
    fn left_out(
        &self,
        owners: &Owners,
        origins: &Origins,
        devices: &BTreeMap<String, AnyDevice>,
        report: &mut Report,
    ) -> PointNames {
        let mut unknown = Vec::new();
        let devices = named(origins, devices);
        let without = owners.history.without(self.sources, devices, &mut unknown);
        for (entry, message) in unknown {
            self.wrong(&["devices", &entry, "history"], &message, report);
        }
        without
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
        let own_types = types.clone();
        for name in shipped::names() {
            types.push(name);
        }
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
                    let expected = match key {
                        "type" => type_expected(used, &own_types, known),
                        _ => suggestion(used, known),
                    };
                    let message = format!("unknown {what} {node}{expected}");
                    let path = format!("devices.{name}.{key}");
                    report.add(&self.file.name, Some(node.mark), path, message);
                }
            }
        }
    }
}

/// As [`suggestion`], without the names of all types of the program.
fn type_expected(used: &str, own: &[&str], all: &[&str]) -> String {
    let own: String = own.iter().map(|name| format!("{name}, or ")).collect();
    let nearest = suggestion(used, all);
    let nearest = nearest
        .find("; did you mean")
        .and_then(|at| nearest.get(at..));
    let nearest = nearest.unwrap_or_default();
    format!("; expected {own}one that `fieldgate types` lists{nearest}")
}
