//! What the gateway knows of this bridge.

use std::io;
use std::path::Path;

use fieldgate_bridge::{
    Bridge, Bus, Change, Claim, Defaults, Device, Figures, Misfit, Part, Started, Tell, Untested,
};

use crate::shared::Lines;
use crate::{GpioConfig, GpioEntry, show};

impl Device for GpioConfig {
    fn point_names(&self) -> Vec<&str> {
        self.points.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn unit(&self, point: &str) -> Option<&str> {
        let (_, point) = self.points.iter().find(|(name, _)| name == point)?;
        point.unit.as_deref()
    }

    fn lines(&self) -> Vec<String> {
        show::listed(self)
    }
}

impl Bridge for Lines {
    const NAME: &'static str = "gpio";
    const DEVICE: &'static str = "GPIO device";
    const KEYS: &'static [&'static str] = &["gpio"];
    // While another device waits for a slow bus, nothing would end a pulse.
    const GOES_FIRST: bool = true;

    type Bus = ();
    type Type = ();
    type Entry = GpioEntry;
    type Device = GpioConfig;

    fn claims(entry: &GpioEntry) -> Vec<Claim> {
        entry.claims()
    }

    fn resolve(
        entry: &GpioEntry,
        name: &str,
        _number: u8,
        _kind: Option<&()>,
        defaults: &Defaults,
    ) -> Result<GpioConfig, Vec<Misfit>> {
        entry.resolve(name, defaults)
    }

    fn simulated(device: &GpioConfig) -> Result<GpioConfig, String> {
        Ok(GpioConfig {
            simulated: true,
            ..device.clone()
        })
    }

    fn new(state: Option<&Path>) -> Self {
        Self::new(state)
    }

    /// Outputs of a device that stays one stay as they are.
    fn hold(&mut self, devices: &[&str]) {
        for device in devices {
            self.keeper.hold(device);
        }
    }

    async fn change(
        &mut self,
        change: &Change,
        wanted: Part<'_, Self>,
    ) -> Vec<(String, io::Error)> {
        let is_gone = |name: &&String| !wanted.devices.contains_key(name.as_str());
        for name in change.devices.iter().filter(is_gone) {
            self.keeper.release(name);
        }
        self.simulate(wanted.devices.into_values());
        Vec::new()
    }

    fn start(&mut self, device: &GpioConfig, seed: u64) -> io::Result<Option<Started>> {
        let driver = self.driver(device.clone());
        let counts = driver.counts();
        let settings = device.settings(seed);
        let started = Started::new(driver, settings, device.model_points().into());
        Ok(Some(started.counting(move |run| {
            let counts = counts.snapshot();
            Figures::of_device(counts.routine(), counts.faults(), run)
        })))
    }

    async fn test<'a>(
        device: &'a GpioConfig,
        _bus: Option<&'a Bus<()>>,
        tell: &'a mut Tell<'_>,
    ) -> Result<(), Untested> {
        show::test(device, tell).map_err(Untested::Device)
    }
}
