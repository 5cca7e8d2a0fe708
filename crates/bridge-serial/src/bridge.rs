//! What the gateway knows of this bridge.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use fieldgate_bridge::{
    Bridge, Bus, Change, Claim, Defaults, Device, Figures, Misfit, Part, Places, Simulated,
    Started, Tell, Untested,
};

use crate::talker::Talker;
use crate::{Script, SerialConfig, SerialDriver, SerialEntry, show};

/// A device on a serial port of its own, or one that is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    /// The device.
    pub config: SerialConfig,
    /// What it says if it is simulated here, in the place of the port.
    pub simulated: Option<Script>,
}

/// The simulated instruments of one gateway, by the names of their devices.
#[derive(Debug, Default)]
pub struct Instruments {
    talkers: BTreeMap<String, Talker>,
}

impl Device for Instrument {
    fn point_names(&self) -> Vec<&str> {
        let points = self.config.points.iter();
        points.map(|(name, _)| name.as_str()).collect()
    }

    fn requests(&self) -> usize {
        self.config.requests.len()
    }

    fn unit(&self, point: &str) -> Option<&str> {
        let (_, point) = self.config.points.iter().find(|(name, _)| name == point)?;
        point.unit.as_deref()
    }
}

impl Bridge for Instruments {
    const NAME: &'static str = "serial";
    const DEVICE: &'static str = "serial device";
    const KEYS: &'static [&'static str] = &["serial", "frame", "request", "requests", "parse"];

    type Bus = ();
    type Type = ();
    type Entry = SerialEntry;
    type Device = Instrument;

    fn claims(entry: &SerialEntry) -> Vec<Claim> {
        // A simulated instrument has a port of its own in the place of this one.
        match entry.simulated() {
            None => entry.claims(),
            Some(_) => Vec::new(),
        }
    }

    fn resolve(
        entry: &SerialEntry,
        name: &str,
        _number: u8,
        _kind: Option<&()>,
        defaults: &Defaults,
    ) -> Result<Instrument, Vec<Misfit>> {
        Ok(Instrument {
            config: entry.resolve(name, defaults)?,
            simulated: entry.simulated().cloned(),
        })
    }

    fn simulated(device: &Instrument) -> Result<Instrument, String> {
        match device.simulated {
            Some(_) => Ok(device.clone()),
            None => Err("what it sends is not known: write `simulated: {says: [...]}`".to_owned()),
        }
    }

    fn new(_state: Option<&Path>) -> Self {
        Self::default()
    }

    async fn change(
        &mut self,
        change: &Change,
        _wanted: Part<'_, Self>,
    ) -> Vec<(String, io::Error)> {
        for name in &change.devices {
            if let Some(talker) = self.talkers.remove(name) {
                talker.end().await;
            }
        }
        Vec::new()
    }

    fn start(&mut self, device: &Instrument, seed: u64) -> io::Result<Option<Started>> {
        let mut config = device.config.clone();
        if let Some(script) = &device.simulated {
            let name = &config.name;
            let talker = Talker::start(&config, script).map_err(|error| {
                let text = format!("simulated device {name}: no line for it: {error}");
                io::Error::new(error.kind(), text)
            })?;
            log::info!(DEVICE = name.as_str(); "simulated on {}", talker.port);
            config = talker.device(&config);
            self.talkers.insert(config.name.clone(), talker);
        }
        let (settings, points) = (config.settings(seed), config.model_points().into());
        let raw = config.raw.then(|| config.raw_index());
        let driver = SerialDriver::new(config);
        let counts = driver.counts();
        let started = Started::new(driver, settings, points).raw(raw);
        Ok(Some(started.counting(move |run| {
            let counts = counts.snapshot();
            let timeouts = ("timeouts", run.failed_timeout);
            let faults = counts.rejects().chain([timeouts]);
            Figures::of_device(counts.routine(), faults, run)
        })))
    }

    async fn stop(self) {
        for talker in self.talkers.into_values() {
            talker.end().await;
        }
    }

    async fn test<'a>(
        device: &'a Instrument,
        _bus: Option<&'a Bus<()>>,
        tell: &'a mut Tell<'_>,
    ) -> Result<(), Untested> {
        let Some(script) = &device.simulated else {
            return show::test(&device.config, tell).await;
        };
        let talker = Talker::start(&device.config, script).map_err(Untested::System)?;
        let tested = show::test(&talker.device(&device.config), tell).await;
        talker.end().await;
        tested
    }

    async fn simulate<'a>(
        part: Part<'a, Self>,
        _places: &'a mut Places,
        tell: &'a mut Tell<'_>,
    ) -> io::Result<Vec<Box<dyn Simulated>>> {
        let mut talkers: Vec<Box<dyn Simulated>> = Vec::new();
        for (name, device) in part.devices {
            let Some(script) = &device.simulated else {
                continue;
            };
            let talker = Talker::start(&device.config, script)?;
            tell(&format!("device {name}: {}\n", talker.port));
            talkers.push(Box::new(talker));
        }
        Ok(talkers)
    }
}
