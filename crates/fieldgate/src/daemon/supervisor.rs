//! Everything that polls: simulators, buses and devices, and their change on a reload.

use std::any::Any;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Change, Outage, Whose, channel};
use fieldgate_history::{Event, Kind, Tap};
use fieldgate_model::{Point, Topics};
use fieldgate_plant::{About, Plant};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::device::Device;
use super::publisher::Publisher;
use super::stats::Stats;
use crate::history;
use crate::kinds::KINDS;
use fieldgate_config::kinds::Running;
use fieldgate_config::{self as config, Changes, Config};

/// How long all devices together may take to end their transactions, on a reload and at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// Why a device is offline that its bridge did not start.
const NOT_STARTED: &str = "the gateway could not start it";
/// Why devices are offline after a clean shutdown.
const STOPPED: &str = "the gateway was stopped";

/// What runs now.
pub(crate) struct Supervisor {
    config: Config,
    /// The bridges, those first that go first.
    bridges: Vec<(bool, Box<dyn Running>)>,
    devices: BTreeMap<String, Device>,
    publisher: Publisher,
    plant: Plant,
    changed: Arc<Notify>,
    history: Option<Tap>,
    /// The buses whose lines could not be opened when they were looked at last.
    outages: BTreeMap<String, Outage>,
    stats: Stats,
    /// Publishes counters.
    telling: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Nothing yet. What bridges keep is kept in the folder `state`.
    pub(crate) fn new(
        config: &Config,
        state: Option<&Path>,
        publisher: Publisher,
        plant: Plant,
        changed: Arc<Notify>,
        history: Option<Tap>,
    ) -> Self {
        let mut nothing = config.clone();
        nothing.buses.clear();
        nothing.devices.clear();
        let bridges = KINDS.iter();
        let mut bridges: Vec<_> = bridges
            .map(|kind| (kind.goes_first(), kind.running(state)))
            .collect();
        bridges.sort_by_key(|(goes_first, _)| !goes_first);
        Self {
            config: nothing,
            bridges,
            devices: BTreeMap::new(),
            publisher,
            plant,
            changed,
            history,
            outages: BTreeMap::new(),
            stats: Stats::default(),
            telling: None,
        }
    }

    /// Publishes the counters of buses and devices that are due, beside everything else.
    pub(crate) fn publish_counters(&mut self) {
        // Subscribers that are so slow get the next ones.
        if self
            .telling
            .as_ref()
            .is_some_and(|telling| !telling.is_finished())
        {
            return;
        }
        let topics = self.publisher.topics();
        let layout = self.plant.layout();
        let mut now = BTreeMap::new();
        for (whose, figures) in self.bridges.iter().flat_map(|(_, bridge)| bridge.counts()) {
            let topic = match whose {
                Whose::Bus(name) => {
                    if let Some(bus) = layout.buses.get(&name) {
                        bus.count(&figures);
                    }
                    topics.bus_stats(&name)
                }
                Whose::Device(name) => {
                    if let Some(device) = layout.devices.get(&name) {
                        device.count(&figures);
                    }
                    topics.device_stats(&name)
                }
            };
            now.insert(topic, figures);
        }
        for (name, device) in &self.devices {
            if let Some(figures) = device.figures() {
                device.seen.count(&figures);
                now.insert(topics.device_stats(name), figures);
            }
        }
        let due = self.stats.due(now);
        let publisher = self.publisher.clone();
        self.telling = (!due.is_empty()).then(|| {
            tokio::spawn(async move {
                for (topic, figures) in due {
                    publisher.counters(topic, &figures).await;
                }
            })
        });
    }

    /// Tells history which lines cannot be opened since the last look, and which can again.
    pub(crate) fn look_at_lines(&mut self) {
        let Some(history) = &self.history else { return };
        let bridges = self.bridges.iter();
        let now = bridges.flat_map(|(_, bridge)| bridge.outages()).collect();
        let before = std::mem::replace(&mut self.outages, now);
        for (name, outage) in &self.outages {
            if before.get(name) != Some(outage) {
                let event = Event::new(Kind::BusDown, outage.since).named(name);
                history.event(event.saying(&outage.why));
            }
        }
        let is_there = |name: &&String| self.config.buses.contains_key(*name);
        let back = before.keys().filter(is_there);
        for name in back.filter(|name| !self.outages.contains_key(*name)) {
            history.event(Event::new(Kind::BusUp, Timestamp::now()).named(name));
        }
    }

    /// What tools use a bus through.
    pub(crate) fn handles(&self) -> Vec<(String, Box<dyn Any + Send>)> {
        let buses = self.config.buses.keys();
        let handle = |name: &String| {
            let mut bridges = self.bridges.iter();
            let found = bridges.find_map(|(_, bridge)| bridge.handle(name));
            Some((name.clone(), found?))
        };
        buses.filter_map(handle).collect()
    }

    /// The topics that it publishes to.
    pub(crate) fn topics(&self) -> &Topics {
        self.publisher.topics()
    }

    /// Makes what runs equal to `wanted`, and touches nothing that is equal already.
    ///
    /// # Errors
    ///
    /// Those of simulators that cannot listen; everything else runs all the same.
    pub(crate) async fn change(&mut self, mut wanted: Config) -> Result<Changes, io::Error> {
        let changes = config::diff(&self.config, &wanted);
        // A bus that is started anew says nothing of the line that it had.
        self.outages.retain(|name, _| !changes.buses.contains(name));
        wanted.keep(&self.config);
        let mut result = Ok(());
        let mut failed = Vec::new();
        for goes_first in [true, false] {
            let is_meant = |(first, _): &&mut (bool, Box<dyn Running>)| *first == goes_first;
            let mut names = Vec::new();
            for (_, bridge) in self.bridges.iter_mut().filter(is_meant) {
                names.push(bridge.name());
                let again = of(&wanted, bridge.name(), &changes.changed);
                bridge.hold(&again);
            }
            let stopping = self.take_out(&changes, &names);
            self.stop(stopping, &wanted).await;
            for (_, bridge) in self.bridges.iter_mut().filter(is_meant) {
                let change = change(bridge.name(), &self.config, &wanted, &changes);
                failed.extend(bridge.change(&change, &wanted).await);
            }
            if goes_first {
                let again = names
                    .iter()
                    .flat_map(|name| of(&wanted, name, &changes.changed));
                for name in again {
                    result = self.start(name, &wanted).and(result);
                }
            }
        }
        let gone = self.config.buses.keys();
        for name in gone.filter(|name| !wanted.buses.contains_key(*name)) {
            self.publisher.clear_bus(name).await;
        }
        // As if it were not configured, so that the next reload tries it again.
        for (name, error) in failed {
            wanted.buses.remove(&name);
            result = Err(error);
        }
        for name in changes.added.iter().chain(&changes.changed) {
            if !self.devices.contains_key(name)
                && let Err(error) = self.start(name, &wanted)
            {
                // It is tried again when it is changed.
                result = Err(error);
            }
            if !self.devices.contains_key(name) {
                if let Some(history) = &self.history {
                    let event = Event::new(Kind::Offline, Timestamp::now()).of(name);
                    history.event(event.saying(NOT_STARTED));
                }
                self.publisher.offline(name, NOT_STARTED).await;
                self.show(name, absent(name, &wanted, &self.plant));
            }
        }
        self.show_buses(&wanted);
        self.config = wanted;
        self.changed.notify_one();
        result.map(|()| changes)
    }

    /// Lets the rest of the process see the buses that there are; those that stay keep their counters.
    fn show_buses(&self, wanted: &Config) {
        self.plant.change(|layout| {
            let old = std::mem::take(&mut layout.buses);
            let buses = wanted.buses.iter().map(|(name, bus)| {
                let same = old.get(name).filter(|old| old.bridge == bus.kind);
                let new = || self.plant.new_bus(bus.kind);
                (name.clone(), same.cloned().unwrap_or_else(new))
            });
            layout.buses = buses.collect();
        });
    }

    /// Devices that are removed or changed, of those that one of `bridges` serves now.
    fn take_out(&mut self, changes: &Changes, bridges: &[&str]) -> Vec<Device> {
        let mut taken = Vec::new();
        for bridge in bridges {
            let gone = of(&self.config, bridge, &changes.removed);
            let again = of(&self.config, bridge, &changes.changed);
            for name in gone.into_iter().chain(again) {
                taken.extend(self.devices.remove(name));
            }
        }
        taken
    }

    /// Starts a device. One whose bus is not there has been complained of with the bus.
    fn start(&mut self, name: &str, wanted: &Config) -> io::Result<()> {
        let Some(device) = wanted.devices.get(name) else {
            return Ok(());
        };
        // Only the jitter of pauses and the phase of polls depend on it.
        let seed = RandomState::new().hash_one(name);
        let mut bridges = self.bridges.iter_mut();
        let bridge = bridges.find(|(_, bridge)| bridge.name() == device.kind);
        let Some((_, bridge)) = bridge else {
            return Ok(());
        };
        if let Some(started) = bridge.start(device, seed)? {
            let (publisher, changed) = (self.publisher.clone(), Arc::clone(&self.changed));
            let place = (device.kind, device.bus());
            let history = self.history.as_ref().map(|tap| {
                let points = started.points.iter().map(|point| point.name.as_str());
                tap.device(name, points, |point| {
                    let mut all = started.points.iter();
                    let unit = all.find(|known| known.name == point);
                    let unit = unit.and_then(|known| known.unit.as_deref());
                    history::keeps(wanted, name, point, unit)
                })
            });
            let device = Device::start(started, place, &self.plant, publisher, changed, history);
            self.show(name, Arc::clone(&device.seen));
            self.devices.insert(name.to_owned(), device);
        }
        Ok(())
    }

    /// Lets the rest of the process see a device, in the place of what it has seen of it.
    fn show(&self, name: &str, device: Arc<fieldgate_plant::Device>) {
        if let Some(old) = self.plant.device(name) {
            device.inherit(&old);
        }
        self.plant.change(|layout| {
            layout.devices.insert(name.to_owned(), device);
        });
    }

    /// Stops devices and clears the topics that have no device any more.
    async fn stop(&self, stopping: Vec<Device>, wanted: &Config) {
        for device in &stopping {
            device.cancel();
        }
        let until = Instant::now() + DRAIN;
        for device in stopping {
            let seen = Arc::clone(&device.seen);
            let (name, points) = (seen.about().name.clone(), seen.points());
            device.stopped(until).await;
            seen.abandon("the gateway stopped it for a reload");
            let stay = wanted.points(&name);
            let gone: Vec<_> = points
                .iter()
                .filter(|point| !stay.contains(&point.name.as_str()))
                .cloned()
                .collect();
            self.publisher.clear_points(&name, &gone).await;
            self.publisher.stale_points(&name, &stay).await;
            if !wanted.devices.contains_key(&name) {
                self.publisher.clear_state(&name).await;
                self.plant.change(|layout| {
                    layout.devices.remove(&name);
                });
            }
        }
    }

    /// Stops everything, each device between two transactions, and says so.
    pub(crate) async fn drain(mut self) {
        let devices = std::mem::take(&mut self.devices);
        for device in devices.values() {
            device.cancel();
        }
        let until = Instant::now() + DRAIN;
        for (name, device) in devices {
            let seen = Arc::clone(&device.seen);
            device.stopped(until).await;
            seen.abandon(STOPPED);
            self.publisher.offline(&name, STOPPED).await;
            // Where subscribers are too slow for all of it, the next start says the rest.
            let points = self.config.points(&name);
            let stale = self.publisher.stale_points(&name, &points);
            let _ = tokio::time::timeout_at(until, stale).await;
        }
        for (_, bridge) in self.bridges {
            bridge.stop().await;
        }
    }
}

/// A device that could not be started, for those who look for it.
fn absent(name: &str, wanted: &Config, plant: &Plant) -> Arc<fieldgate_plant::Device> {
    let device = wanted.devices.get(name);
    let point = |name: &str| Point {
        name: name.to_owned(),
        unit: None,
        writable: false,
        labels: None,
    };
    let absent = plant.new_device(About {
        name: name.to_owned(),
        bridge: device.map_or("", |device| device.kind).to_owned(),
        bus: device.and_then(|device| device.bus()).map(str::to_owned),
        points: wanted.points(name).into_iter().map(point).collect(),
        // Without another end: it takes nothing.
        requests: channel(1).0,
        raw: None,
    });
    absent.abandon(NOT_STARTED);
    absent
}

/// Those of some devices that a bridge serves.
fn of<'c>(
    config: &Config,
    bridge: &str,
    names: impl IntoIterator<Item = &'c String>,
) -> Vec<&'c str> {
    let is_own = |name: &&String| {
        let device = config.devices.get(name.as_str());
        device.is_some_and(|device| device.kind == bridge)
    };
    let own = names.into_iter().filter(is_own);
    own.map(String::as_str).collect()
}

/// What changes for a bridge.
fn change(bridge: &str, old: &Config, wanted: &Config, changes: &Changes) -> Change {
    let Changes {
        added,
        changed,
        removed,
        ..
    } = changes;
    let was = of(old, bridge, removed);
    let is = of(wanted, bridge, added.iter().chain(changed));
    let has = |config: &Config, name: &String| {
        let bus = config.buses.get(name);
        bus.is_some_and(|bus| bus.kind == bridge)
    };
    let owned = |name: &&str| (*name).to_owned();
    Change {
        devices: was.iter().chain(&is).map(owned).collect(),
        gone: old
            .buses
            .keys()
            .filter(|name| has(old, name) && !has(wanted, name))
            .cloned()
            .collect(),
        buses: changes
            .buses
            .iter()
            .filter(|name| has(wanted, name))
            .cloned()
            .collect(),
    }
}
