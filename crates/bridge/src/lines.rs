//! The buses of a bridge that run: started, changed and ended as a configuration says.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;

use crate::{Bridge, Bus, Change, Device, Part};

/// A bus of the bridge `B` that runs.
pub trait Line<B: Bridge>: Sized + Send {
    /// Starts it, with its devices if they are simulated.
    ///
    /// # Errors
    ///
    /// Those of a simulated place.
    fn start(
        name: &str,
        bus: &Bus<B::Bus>,
        devices: &[&B::Device],
    ) -> impl Future<Output = io::Result<Self>> + Send;

    /// These are its devices from now on. Those that are new or were changed are among `changed`.
    fn serve(&mut self, devices: &[&B::Device], changed: &[String]);

    /// Ends it. Where its devices are simulated, that place is free when this is over.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// The buses of one gateway that run, by name.
#[derive(Debug)]
pub struct Lines<L>(BTreeMap<String, L>);

impl<L> Default for Lines<L> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<L> Lines<L> {
    /// The bus of this name, if it runs.
    pub fn get(&self, name: &str) -> Option<&L> {
        self.0.get(name)
    }

    /// All that run, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &L)> {
        self.0.iter()
    }

    /// All that run, in the order of their names.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut L> {
        self.0.values_mut()
    }

    /// Ends buses that are gone or changed, and starts those that are to be. Returns those that could not be started,
    /// and why.
    pub async fn change<B: Bridge>(
        &mut self,
        change: &Change,
        wanted: &Part<'_, B>,
    ) -> Vec<(String, io::Error)>
    where
        L: Line<B>,
    {
        for name in change.gone.iter().chain(&change.buses) {
            if let Some(line) = self.0.remove(name) {
                line.stop().await;
            }
        }
        let mut failed = Vec::new();
        for name in &change.buses {
            let Some(bus) = wanted.buses.get(name.as_str()) else {
                continue;
            };
            match L::start(name, bus, &on_bus(wanted, name)).await {
                Ok(line) => drop(self.0.insert(name.clone(), line)),
                Err(error) => failed.push((name.clone(), error)),
            }
        }
        for (name, line) in &mut self.0 {
            line.serve(&on_bus(wanted, name), &change.devices);
        }
        failed
    }

    /// Ends all.
    pub async fn stop<B: Bridge>(self)
    where
        L: Line<B>,
    {
        for line in self.0.into_values() {
            line.stop().await;
        }
    }
}

/// The devices of a bus.
pub fn on_bus<'c, B: Bridge>(part: &Part<'c, B>, bus: &str) -> Vec<&'c B::Device> {
    let devices = part.devices.values().copied();
    devices.filter(|device| device.bus() == Some(bus)).collect()
}
