//! Everything that polls: simulators, buses and devices, and their change on a reload.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge_gpio::GpioConfig;
use fieldgate_bridge_modbus::{BusHandle, DeviceConfig, Offline};
use fieldgate_model::Topics;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::commands::Directory;
use super::device::Device;
use super::lines::Lines;
use super::publisher::Publisher;
use super::stats::{Figures, Stats};
use crate::config::{self, Changes, Config, Place, Serial, Served};
use crate::simulate::Simulator;
use crate::talker::Talker;

/// How long all devices together may take to end their transactions, on a reload and at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// What runs now.
pub(crate) struct Plant {
    config: Config,
    buses: BTreeMap<String, Bus>,
    devices: BTreeMap<String, Device>,
    lines: Lines,
    /// Simulated instruments, by their device.
    talkers: BTreeMap<String, Talker>,
    publisher: Publisher,
    directory: Directory,
    changed: Arc<Notify>,
    stats: Stats,
    /// Publishes counters.
    telling: Option<JoinHandle<()>>,
}

struct Bus {
    handle: BusHandle,
    offline: Offline,
    cancel: CancellationToken,
    simulator: Option<Simulator>,
}

impl Plant {
    pub(crate) fn new(
        config: &Config,
        lines: Lines,
        publisher: Publisher,
        directory: Directory,
        changed: Arc<Notify>,
    ) -> Self {
        let mut nothing = config.clone();
        nothing.buses.clear();
        nothing.devices.clear();
        nothing.serial.clear();
        nothing.gpio.clear();
        Self {
            config: nothing,
            buses: BTreeMap::new(),
            devices: BTreeMap::new(),
            lines,
            talkers: BTreeMap::new(),
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
        for (name, bus) in &self.buses {
            let counters = bus.handle.counters();
            for device in on_bus(&self.config, name) {
                let counts = counters.units.get(&device.unit).cloned();
                let figures = Figures::from(&*counts.unwrap_or_default());
                now.insert(topics.device_stats(&device.name), figures);
            }
            now.insert(topics.bus_stats(name), Figures::from(&counters.bus));
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

    /// The buses, for tools.
    pub(crate) fn handles(&self) -> BTreeMap<String, BusHandle> {
        let buses = self.buses.iter();
        buses
            .map(|(name, bus)| (name.clone(), bus.handle.clone()))
            .collect()
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
        self.change_lines(&changes, &wanted).await;
        let others = self.take_out(&changes, |served| served != Some(Served::Lines));
        self.stop(others, &wanted).await;
        for name in changes.removed.iter().chain(&changes.changed) {
            if let Some(talker) = self.talkers.remove(name) {
                talker.stop().await;
            }
        }
        let is_wanted = |name: &String| wanted.buses.contains_key(name);
        let gone = self.buses.keys().filter(|name| !is_wanted(name)).cloned();
        let gone: Vec<String> = gone.chain(changes.buses.iter().cloned()).collect();
        for name in gone {
            if let Some(bus) = self.buses.remove(&name) {
                bus.stop().await;
            }
            if !wanted.buses.contains_key(&name) {
                self.publisher.clear_bus(&name).await;
            }
        }
        let mut result = Ok(());
        let mut failed = Vec::new();
        for name in &changes.buses {
            let Some(config) = wanted.buses.get(name) else {
                continue;
            };
            match Bus::start(name, config, &on_bus(&wanted, name)).await {
                Ok(bus) => {
                    self.buses.insert(name.clone(), bus);
                }
                Err(error) => {
                    failed.push(name.clone());
                    result = Err(error);
                }
            }
        }
        self.config = wanted;
        // As if it were not configured, so that the next reload tries it again.
        for name in failed {
            self.config.buses.remove(&name);
        }
        for name in changes.added.iter().chain(&changes.changed) {
            if !self.devices.contains_key(name)
                && let Err(error) = self.start(name)
            {
                // It is tried again when it is changed.
                result = Err(error);
            }
            if !self.devices.contains_key(name) {
                let why = "the gateway could not start it";
                self.publisher.offline(name, why).await;
            }
        }
        self.changed.notify_one();
        result.map(|()| changes)
    }

    /// Devices that are removed or changed, of those that are `served` in some way now.
    fn take_out(
        &mut self,
        changes: &Changes,
        is_meant: impl Fn(Option<Served>) -> bool,
    ) -> Vec<Device> {
        let names = changes.removed.iter().chain(&changes.changed);
        let names = names.filter(|name| is_meant(self.config.served(name)));
        let names: Vec<&String> = names.collect();
        let taken = names.into_iter().map(|name| self.devices.remove(name));
        taken.flatten().collect()
    }

    /// Stops GPIO devices and starts them again, before anybody waits for a slow bus: meanwhile
    /// nobody would end their pulses. Outputs of a device that stays one stay as they are.
    async fn change_lines(&mut self, changes: &Changes, wanted: &Config) {
        for name in &changes.changed {
            if wanted.gpio.contains_key(name) {
                self.lines.hold(name);
            }
        }
        let stopping = self.take_out(changes, |served| served == Some(Served::Lines));
        self.stop(stopping, wanted).await;
        for name in &changes.removed {
            self.lines.release(name);
        }
        self.lines.simulate(wanted);
        let changed = changes.changed.iter();
        for config in changed.filter_map(|name| wanted.gpio.get(name)) {
            self.start_on_lines(config);
        }
    }

    fn start_on_lines(&mut self, config: &GpioConfig) {
        let driver = self.lines.driver(config.clone());
        let (publisher, changed) = (self.publisher.clone(), Arc::clone(&self.changed));
        let device = Device::start_on_lines(config, driver, publisher, changed);
        self.insert(&config.name, device);
    }

    fn start_on_port(&mut self, name: &str, device: &Serial) -> io::Result<()> {
        let mut config = device.config.clone();
        if let Some(script) = &device.simulated {
            let talker = Talker::start(&config, script).map_err(|error| {
                let text = format!("simulated device {name}: no line for it: {error}");
                io::Error::new(error.kind(), text)
            })?;
            log::info!(DEVICE = name; "simulated on {}", talker.port);
            config = talker.device(&config);
            self.talkers.insert(name.to_owned(), talker);
        }
        let (publisher, changed) = (self.publisher.clone(), Arc::clone(&self.changed));
        let device = Device::start_on_port(config, publisher, changed);
        self.insert(name, device);
        Ok(())
    }

    /// Starts a device. One whose bus is not there has been complained of with the bus.
    fn start(&mut self, name: &str) -> io::Result<()> {
        if let Some(device) = self.config.serial.get(name).cloned() {
            return self.start_on_port(name, &device);
        }
        if let Some(config) = self.config.gpio.get(name).cloned() {
            self.start_on_lines(&config);
            return Ok(());
        }
        let Some(device) = self.config.devices.get(name) else {
            return Ok(());
        };
        let Some(bus) = self.buses.get(&device.bus) else {
            return Ok(());
        };
        if let Some(simulator) = &bus.simulator {
            let same = on_bus(&self.config, &device.bus);
            let same: Vec<_> = same
                .into_iter()
                .filter(|other| other.unit == device.unit)
                .collect();
            simulator.update(&same);
        }
        let device = Device::start_on_bus(
            device.clone(),
            bus.handle.clone(),
            &bus.offline,
            self.publisher.clone(),
            Arc::clone(&self.changed),
        );
        self.insert(name, device);
        Ok(())
    }

    fn insert(&mut self, name: &str, device: Device) {
        let points = Arc::clone(&device.points);
        self.directory
            .insert(name, points, device.requests.clone(), device.raw);
        self.devices.insert(name.to_owned(), device);
    }

    /// Stops devices and clears what nobody will publish any more.
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
            if wanted.served(&name).is_none() {
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
        for bus in self.buses.into_values() {
            bus.stop().await;
        }
        for talker in self.talkers.into_values() {
            talker.stop().await;
        }
    }
}

fn on_bus<'c>(config: &'c Config, bus: &str) -> Vec<&'c DeviceConfig> {
    let devices = config.devices.values();
    devices.filter(|device| device.bus == bus).collect()
}

impl Bus {
    async fn start(
        name: &str,
        bus: &config::Bus,
        devices: &[&DeviceConfig],
    ) -> Result<Self, io::Error> {
        let mut config = bus.config.clone();
        let mut simulator = None;
        if let Some(place) = bus.simulated {
            let started = Simulator::start(place, &config.transport, devices).await;
            let started = started.map_err(|error| {
                let text = match place {
                    Place::Listen(listen) => format!("cannot listen on {listen}: {error}"),
                    Place::Line => format!("no line for it: {error}"),
                };
                io::Error::new(error.kind(), format!("simulated bus {name}: {text}"))
            })?;
            log::info!(BUS = name; "simulated on {}", started.transport);
            config.transport = started.transport.clone();
            simulator = Some(started);
        }
        let cancel = CancellationToken::new();
        Ok(Self {
            offline: config.offline,
            handle: BusHandle::spawn(name, config, cancel.clone()),
            cancel,
            simulator,
        })
    }

    async fn stop(self) {
        self.cancel.cancel();
        drop(self.handle);
        if let Some(simulator) = self.simulator {
            simulator.stop().await;
        }
    }
}
