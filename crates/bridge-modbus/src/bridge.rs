//! What the gateway knows of this bridge.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::path::Path;

use fieldgate_bridge::{
    Bridge, Bus, Change, Claim, Defaults, Device, Figures, Line, Lines, Misfit, Outage, Part,
    Place, Places, Poll, Simulated, Started, Tell, Whose, on_bus,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::simulate::Simulator;
use crate::{
    Breaks, BusConfig, BusHandle, Counts, DeviceConfig, DeviceEntry, ModbusDriver, Periods,
    Transport, TypeConfig, plan,
};

/// The placeholder in the name of a device that stands for several units.
const UNIT: &str = "{unit}";

/// The buses of one gateway, by name.
#[derive(Debug)]
pub struct Buses {
    /// From where the periods of all devices are counted.
    begun: Instant,
    running: Lines<Running>,
    /// How many devices have their place for themselves.
    alone: usize,
}

#[derive(Debug)]
struct Running {
    handle: BusHandle,
    cancel: CancellationToken,
    simulator: Option<Box<Simulator>>,
    /// The units of its devices, with their names.
    units: Box<[(String, u8)]>,
    /// It has one device, which no other bus reaches at the same place.
    is_alone: bool,
}

impl Running {
    /// What is behind it: two buses may lead to one gateway, and to one line behind it.
    fn place(&self) -> String {
        match &self.handle.config().transport {
            Transport::Tcp(to) | Transport::RtuOverTcp(to) => to.to_string(),
            serial @ Transport::Serial(_) => serial.to_string(),
        }
    }
}

/// Which buses have one device that has its place for itself. Of each bus: its place, and how many devices it has.
fn which_are_alone(buses: &[(String, usize)]) -> Vec<bool> {
    let mut devices: HashMap<&str, usize> = HashMap::new();
    for (place, count) in buses {
        *devices.entry(place).or_default() += count;
    }
    let is_alone = |(place, count): &(String, usize)| *count == 1 && devices[place.as_str()] == 1;
    buses.iter().map(is_alone).collect()
}

impl Device for DeviceConfig {
    fn bus(&self) -> Option<&str> {
        Some(&self.bus)
    }

    fn point_names(&self) -> Vec<&str> {
        self.points.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn requests(&self) -> usize {
        let all: Vec<usize> = (0..self.points.len()).collect();
        plan(self, &all, &Breaks::default()).len()
    }

    fn rate(&self, point: &str) -> Option<f64> {
        let (_, point) = self.points.iter().find(|(name, _)| name == point)?;
        Some(match point.poll {
            Some(Poll::Every(period)) => 1.0 / period.get().as_secs_f64(),
            Some(Poll::Once) | None => 0.0,
        })
    }

    fn unit(&self, point: &str) -> Option<&str> {
        let (_, point) = self.points.iter().find(|(name, _)| name == point)?;
        point.unit.as_deref()
    }
}

impl From<&Counts> for Figures {
    fn from(counts: &Counts) -> Self {
        let faults = counts.faults().to_vec();
        let all = counts.figures().into_iter();
        Self {
            routine: all.filter(|figure| !faults.contains(figure)).collect(),
            faults,
            exceptions: Some(counts.exceptions.clone()),
        }
    }
}

impl Bridge for Buses {
    const NAME: &'static str = "modbus";
    const DEVICE: &'static str = "Modbus device";

    type Bus = BusConfig;
    type Type = TypeConfig;
    type Entry = DeviceEntry;
    type Device = DeviceConfig;

    fn bus_claims(bus: &BusConfig) -> Vec<Claim> {
        bus.claims()
    }

    fn bus_of(entry: &DeviceEntry) -> Option<&str> {
        Some(&entry.bus)
    }

    fn type_of(entry: &DeviceEntry) -> Option<&str> {
        entry.kind.as_deref()
    }

    fn names(entry: &DeviceEntry, pattern: &str) -> Result<Vec<(String, u8)>, Misfit> {
        if entry.many && !pattern.contains(UNIT) {
            let message = format!("several units need {UNIT} in the device's name");
            return Err(Misfit::new(&["units"], message));
        }
        let name = |unit: &u8| (pattern.replace(UNIT, &unit.to_string()), *unit);
        let names: Vec<_> = entry.units.iter().map(name).collect();
        if names.iter().any(|(name, _)| name.contains(['{', '}'])) {
            let message = format!("the only placeholder of a name is {UNIT}");
            return Err(Misfit::new(&[], message));
        }
        Ok(names)
    }

    fn check_bus(entry: &DeviceEntry, bus: &BusConfig) -> Result<(), Misfit> {
        let mut units = entry.units.iter();
        match units.any(|unit| bus.transport.is_broadcast(*unit)) {
            true => entry.check_broadcast(),
            false => Ok(()),
        }
    }

    fn resolve(
        entry: &DeviceEntry,
        name: &str,
        unit: u8,
        kind: Option<&TypeConfig>,
        defaults: &Defaults,
    ) -> Result<DeviceConfig, Vec<Misfit>> {
        entry.resolve(name, unit, kind, defaults)
    }

    fn place(bus: &BusConfig) -> Place {
        match &bus.transport {
            Transport::Serial(_) => Place::Line,
            Transport::Tcp(_) | Transport::RtuOverTcp(_) => Place::LOCAL,
        }
    }

    fn share(device: &mut DeviceConfig, other: &DeviceConfig) {
        device.points.share(&other.points);
    }

    fn new(_state: Option<&Path>) -> Self {
        Self {
            begun: Instant::now(),
            running: Lines::default(),
            alone: 0,
        }
    }

    async fn change(
        &mut self,
        change: &Change,
        wanted: Part<'_, Self>,
    ) -> Vec<(String, io::Error)> {
        let failed = self.running.change(change, &wanted).await;
        let buses = self.running.iter();
        let buses: Vec<_> = buses
            .map(|(_, bus)| (bus.place(), bus.units.len()))
            .collect();
        let alone = which_are_alone(&buses);
        self.alone = alone.iter().filter(|is_alone| **is_alone).count();
        for (bus, is_alone) in self.running.values_mut().zip(alone) {
            bus.is_alone = is_alone;
        }
        failed
    }

    fn start(&mut self, device: &DeviceConfig, seed: u64) -> io::Result<Option<Started>> {
        let Some(bus) = self.running.get(&device.bus) else {
            return Ok(None);
        };
        let alone = bus.is_alone.then_some(self.alone);
        let periods = Periods {
            origin: self.begun,
            phase: device.phase(seed, alone),
        };
        let settings = device.settings(&bus.handle.config().offline, seed);
        let driver = ModbusDriver::new(device.clone(), bus.handle.clone()).with_periods(periods);
        Ok(Some(Started::new(driver, settings, device.points.model())))
    }

    fn counts(&self) -> Vec<(Whose, Figures)> {
        let mut counts = Vec::new();
        for (name, bus) in self.running.iter() {
            let counters = bus.handle.counters();
            for (device, unit) in &bus.units {
                let unit = counters.units.get(unit).cloned().unwrap_or_default();
                counts.push((Whose::Device(device.clone()), Figures::from(&*unit)));
            }
            counts.push((Whose::Bus(name.clone()), Figures::from(&counters.bus)));
        }
        counts
    }

    fn outages(&self) -> Vec<(String, Outage)> {
        let buses = self.running.iter();
        let outages = buses.filter_map(|(name, bus)| Some((name.clone(), bus.handle.outage()?)));
        outages.collect()
    }

    /// A [`BusHandle`].
    fn handle(&self, bus: &str) -> Option<Box<dyn Any + Send>> {
        let bus = self.running.get(bus)?;
        Some(Box::new(bus.handle.clone()))
    }

    async fn stop(self) {
        self.running.stop().await;
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
            let transport = &bus.config.transport;
            let place = match transport {
                Transport::Serial(_) => Place::Line,
                Transport::Tcp(to) | Transport::RtuOverTcp(to) => match places.take()? {
                    Some(address) => Place::Listen(address),
                    None => bus.simulated.unwrap_or_else(|| Place::instead_of(to)),
                },
            };
            let simulator = Simulator::start(place, transport, &devices).await?;
            let units = devices.iter();
            let units = units.map(|device| format!("{} (unit {})", device.name, device.unit));
            let units = units.collect::<Vec<_>>().join(", ");
            tell(&format!("bus {name}: {}: {units}\n", simulator.transport));
            simulators.push(Box::new(simulator));
        }
        Ok(simulators)
    }
}

impl Line<Buses> for Running {
    async fn start(
        name: &str,
        bus: &Bus<BusConfig>,
        devices: &[&DeviceConfig],
    ) -> io::Result<Self> {
        let mut config = bus.config.clone();
        let mut simulator = None;
        if let Some(place) = bus.simulated {
            let started = Simulator::start(place, &config.transport, devices).await;
            let started = started.map_err(|error| {
                io::Error::new(error.kind(), format!("simulated bus {name}: {error}"))
            })?;
            log::info!(BUS = name; "simulated on {}", started.transport);
            config.transport = started.transport.clone();
            simulator = Some(Box::new(started));
        }
        let cancel = CancellationToken::new();
        Ok(Self {
            handle: BusHandle::spawn(name, config, cancel.clone()),
            cancel,
            simulator,
            units: Box::default(),
            is_alone: false,
        })
    }

    fn serve(&mut self, devices: &[&DeviceConfig], changed: &[String]) {
        let units = devices.iter();
        self.units = units.map(|on| (on.name.clone(), on.unit)).collect();
        let Some(simulator) = &self.simulator else {
            return;
        };
        let is_changed = |device: &&&DeviceConfig| changed.contains(&device.name);
        for device in devices.iter().filter(is_changed) {
            let same = devices.iter().filter(|other| other.unit == device.unit);
            simulator.update(&same.copied().collect::<Vec<_>>());
        }
    }

    async fn stop(self) {
        self.cancel.cancel();
        drop(self.handle);
        if let Some(simulator) = self.simulator {
            simulator.end().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_alone_if_no_other_is_at_its_place() {
        let buses = [
            ("a:502", 1),
            ("b:502", 2),
            ("c:502", 1),
            ("c:502", 1),
            ("d:502", 0),
            ("d:502", 1),
            ("/dev/ttyS0", 1),
        ];
        let buses = buses.map(|(place, devices)| (place.to_owned(), devices));
        assert_eq!(
            which_are_alone(&buses),
            [true, false, false, false, false, true, true]
        );
    }
}
