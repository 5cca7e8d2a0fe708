//! What the gateway knows of this bridge.

use std::any::Any;
use std::io;
use std::path::Path;

use fieldgate_bridge::{
    Bridge, Bus, Change, Claim, Defaults, Device, Figures, Line, Lines, Misfit, Outage, Part,
    Place, Places, Search, Simulated, Started, Tell, Untested, Whose, on_bus,
};
use tokio_util::sync::CancellationToken;

use crate::config::Transport;
use crate::scan::look_around;
use crate::simulate::Simulator;
use crate::{
    MbusBus, MbusBusEntry, MbusBusHandle, MbusConfig, MbusDriver, MbusEntry, MbusSnapshot,
    MbusType, probe,
};

/// The M-Bus lines of one gateway, by name.
#[derive(Debug, Default)]
pub struct MbusLines {
    running: Lines<Running>,
}

#[derive(Debug)]
struct Running {
    handle: MbusBusHandle,
    cancel: CancellationToken,
    simulator: Option<Simulator>,
}

impl Device for MbusConfig {
    fn bus(&self) -> Option<&str> {
        Some(&self.bus)
    }

    fn point_names(&self) -> Vec<&str> {
        self.points.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn requests(&self) -> usize {
        1
    }

    fn rate(&self, _point: &str) -> Option<f64> {
        Some(1.0 / self.poll.as_secs_f64())
    }

    fn unit(&self, point: &str) -> Option<&str> {
        let (_, point) = self.points.iter().find(|(name, _)| name == point)?;
        point.unit.as_deref()
    }
}

impl From<MbusSnapshot> for Figures {
    fn from(counts: MbusSnapshot) -> Self {
        Self {
            routine: counts.routine().into(),
            faults: counts.faults().into(),
            exceptions: None,
        }
    }
}

impl Bridge for MbusLines {
    const NAME: &'static str = "mbus";
    const DEVICE: &'static str = "meter on M-Bus";

    type Bus = MbusBusEntry;
    type Type = MbusType;
    type Entry = MbusEntry;
    type Device = MbusConfig;

    fn bus_claims(bus: &MbusBusEntry) -> Vec<Claim> {
        bus.claims()
    }

    fn bus_of(entry: &MbusEntry) -> Option<&str> {
        Some(&entry.bus)
    }

    fn type_of(entry: &MbusEntry) -> Option<&str> {
        entry.kind.as_deref()
    }

    fn resolve(
        entry: &MbusEntry,
        name: &str,
        _number: u8,
        kind: Option<&MbusType>,
        defaults: &Defaults,
    ) -> Result<MbusConfig, Vec<Misfit>> {
        entry.resolve(name, kind, defaults)
    }

    fn place(bus: &MbusBusEntry) -> Place {
        match &bus.transport {
            Transport::Serial(_) => Place::Line,
            Transport::Tcp(_) => Place::LOCAL,
        }
    }

    fn new(_state: Option<&Path>) -> Self {
        Self::default()
    }

    async fn change(
        &mut self,
        change: &Change,
        wanted: Part<'_, Self>,
    ) -> Vec<(String, io::Error)> {
        self.running.change(change, &wanted).await
    }

    fn start(&mut self, device: &MbusConfig, seed: u64) -> io::Result<Option<Started>> {
        let Some(line) = self.running.get(&device.bus) else {
            return Ok(None);
        };
        let (settings, points) = (device.settings(seed), device.model_points().into());
        let driver = MbusDriver::new(device.clone(), line.handle.clone());
        let (bus, who) = (line.handle.clone(), device.address);
        let started = Started::new(driver, settings, points);
        Ok(Some(
            started.counting(move |_| Figures::from(bus.counters_of(who))),
        ))
    }

    fn counts(&self) -> Vec<(Whose, Figures)> {
        let lines = self.running.iter();
        let counts = lines.map(|(name, line)| {
            let figures = Figures::from(line.handle.counters().bus);
            (Whose::Bus(name.clone()), figures)
        });
        counts.collect()
    }

    fn outages(&self) -> Vec<(String, Outage)> {
        let buses = self.running.iter();
        let outages = buses.filter_map(|(name, bus)| Some((name.clone(), bus.handle.outage()?)));
        outages.collect()
    }

    /// A [`MbusBusHandle`].
    fn handle(&self, bus: &str) -> Option<Box<dyn Any + Send>> {
        let line = self.running.get(bus)?;
        Some(Box::new(line.handle.clone()))
    }

    async fn stop(self) {
        self.running.stop().await;
    }

    async fn test<'a>(
        device: &'a MbusConfig,
        bus: Option<&'a Bus<MbusBusEntry>>,
        tell: &'a mut Tell<'_>,
    ) -> Result<(), Untested> {
        let Some(bus) = bus else {
            let text = format!("there is no bus {}", device.bus);
            return Err(Untested::Device(text));
        };
        let line = Running::start(&device.bus, bus, &[device]).await;
        let line = line.map_err(Untested::System)?;
        let seen = probe(device, &line.handle).await;
        line.stop().await;
        let seen = seen.map_err(|error| Untested::Device(error.to_string()))?;
        for line in seen.lines(device) {
            tell(&line);
            tell("\n");
        }
        let bad = seen.values.iter().filter(|(_, value)| value.is_err());
        let bad = bad.filter_map(|(index, _)| device.points.get(*index));
        let bad: Vec<&str> = bad.map(|(name, _)| name.as_str()).collect();
        if bad.is_empty() {
            return Ok(());
        }
        let text = format!("there is no value for {}", bad.join(", "));
        Err(Untested::Device(text))
    }

    async fn scan<'a>(
        name: &'a str,
        part: Part<'a, Self>,
        search: &'a Search,
        tell: &'a mut Tell<'_>,
    ) -> Result<(), Untested> {
        let Some(bus) = part.buses.get(name) else {
            return Err(Untested::Device(format!("there is no bus {name}")));
        };
        let devices = on_bus(&part, name);
        let mut bauds = search.bauds.clone();
        if bauds.is_empty() {
            bauds.push(bus.config.baud);
        }
        for baud in bauds {
            let mut bus = (*bus).clone();
            bus.config.baud = baud;
            bus.config.timeout = search.timeout.unwrap_or(bus.config.timeout);
            let line = Running::start(name, &bus, &devices).await;
            let line = line.map_err(Untested::System)?;
            let way = match bus.simulated {
                Some(_) => "simulated".to_owned(),
                None => bus.config.transport.to_string(),
            };
            tell(&format!("bus {name} ({way}, {baud} baud): "));
            let found = look_around(&line.handle, &search.units, bus.config.timeout, tell).await;
            line.stop().await;
            found.map_err(|error| Untested::Device(error.to_string()))?;
        }
        Ok(())
    }

    async fn simulate<'a>(
        part: Part<'a, Self>,
        places: &'a mut Places,
        tell: &'a mut Tell<'_>,
    ) -> io::Result<Vec<Box<dyn Simulated>>> {
        let mut simulators: Vec<Box<dyn Simulated>> = Vec::new();
        for (name, bus) in &part.buses {
            let devices = on_bus(&part, name);
            if devices.is_empty() {
                continue;
            }
            let place = match &bus.config.transport {
                Transport::Serial(_) => Place::Line,
                Transport::Tcp(to) => match places.take()? {
                    Some(address) => Place::Listen(address),
                    None => bus.simulated.unwrap_or_else(|| Place::instead_of(to)),
                },
            };
            let simulator = Simulator::start(place, &bus.config, &devices).await?;
            let meters = devices.iter();
            let meters = meters.map(|device| format!("{} ({})", device.name, device.address));
            let meters = meters.collect::<Vec<_>>().join(", ");
            tell(&format!(
                "bus {name}: {}: {meters}\n",
                simulator.bus.transport
            ));
            simulators.push(Box::new(simulator));
        }
        Ok(simulators)
    }
}

impl Line<MbusLines> for Running {
    async fn start(
        name: &str,
        bus: &Bus<MbusBusEntry>,
        devices: &[&MbusConfig],
    ) -> io::Result<Self> {
        let mut config = bus.config.clone();
        let mut simulator = None;
        if let Some(place) = bus.simulated {
            let started = Simulator::start(place, &config, devices).await;
            let started = started.map_err(|error| {
                io::Error::new(error.kind(), format!("simulated bus {name}: {error}"))
            })?;
            log::info!(BUS = name; "simulated on {}", started.bus.transport);
            config = started.bus.clone();
            simulator = Some(started);
        }
        let cancel = CancellationToken::new();
        Ok(Self {
            handle: MbusBus::spawn(name, config, cancel.clone()),
            cancel,
            simulator,
        })
    }

    fn serve(&mut self, devices: &[&MbusConfig], changed: &[String]) {
        let is_changed = |device: &&MbusConfig| changed.contains(&device.name);
        if let Some(simulator) = &self.simulator
            && devices.iter().any(is_changed)
        {
            simulator.update(devices);
        }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.handle.ended().await;
        if let Some(simulator) = self.simulator {
            simulator.end().await;
        }
    }
}

#[cfg(test)]
mod tests;
