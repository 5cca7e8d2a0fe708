//! Everything that polls: simulators, buses and devices, and their change on a reload.

use std::any::Any;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Change, Whose};
use fieldgate_model::Topics;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::commands::Directory;
use super::device::Device;
use super::publisher::Publisher;
use super::stats::Stats;
use crate::kinds::KINDS;
use fieldgate_config::kinds::Running;
use fieldgate_config::{self as config, Changes, Config};

/// How long all devices together may take to end their transactions, on a reload and at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// What runs now.
pub(crate) struct Supervisor {
    config: Config,
    /// The bridges, those first that go first.
    bridges: Vec<(bool, Box<dyn Running>)>,
    devices: BTreeMap<String, Device>,
    publisher: Publisher,
    directory: Directory,
    changed: Arc<Notify>,
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
        directory: Directory,
        changed: Arc<Notify>,
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
            directory,
            changed,
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
        let mut now = BTreeMap::new();
        for (whose, figures) in self.bridges.iter().flat_map(|(_, bridge)| bridge.counts()) {
            let topic = match whose {
                Whose::Bus(name) => topics.bus_stats(&name),
                Whose::Device(name) => topics.device_stats(&name),
            };
            now.insert(topic, figures);
        }
        for (name, device) in &self.devices {
            let figures = device.figures();
            now.extend(figures.map(|figures| (topics.device_stats(name), figures)));
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

    /// Devices that answer, and all.
    pub(crate) fn count(&self) -> (usize, usize) {
        let online = self.devices.values().filter(|device| device.is_online());
        (online.count(), self.devices.len())
    }

    /// Makes what runs equal to `wanted`, and touches nothing that is equal already.
    ///
    /// # Errors
    ///
    /// Those of simulators that cannot listen; everything else runs all the same.
    pub(crate) async fn change(&mut self, mut wanted: Config) -> Result<Changes, io::Error> {
        let changes = config::diff(&self.config, &wanted);
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
                let why = "the gateway could not start it";
                self.publisher.offline(name, why).await;
            }
        }
        self.config = wanted;
        self.changed.notify_one();
        result.map(|()| changes)
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
            self.insert(name, Device::start(started, publisher, changed));
        }
        Ok(())
    }

    fn insert(&mut self, name: &str, device: Device) {
        let points = Arc::clone(&device.points);
        self.directory
            .insert(name, points, device.requests.clone(), device.raw);
        self.devices.insert(name.to_owned(), device);
    }

    /// Stops devices and clears the topics that have no device any more.
    async fn stop(&self, stopping: Vec<Device>, wanted: &Config) {
        for device in &stopping {
            self.directory.remove(&device.name);
            device.cancel();
        }
        let until = Instant::now() + DRAIN;
        for device in stopping {
            let name = device.name.clone();
            let points = Arc::clone(&device.points);
            device.stopped(until).await;
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
            }
        }
    }

    /// Stops everything, each device between two transactions, and says so.
    pub(crate) async fn drain(mut self) {
        let devices = std::mem::take(&mut self.devices);
        for device in devices.values() {
            self.directory.remove(&device.name);
            device.cancel();
        }
        let until = Instant::now() + DRAIN;
        for (name, device) in devices {
            device.stopped(until).await;
            self.publisher
                .offline(&name, "the gateway was stopped")
                .await;
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
