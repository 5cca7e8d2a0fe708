//! What the devices of a bridge share while they run, whichever bridge it is.

use std::any::Any;
use std::io;

use fieldgate_bridge::{Bridge, Change, Figures, Outage, Started, Whose, Work};

use super::{AnyDevice, part};
use crate::Config;

/// See [`Bridge`].
pub trait Running: Send {
    /// The name of the bridge.
    fn name(&self) -> &'static str;

    /// These devices are about to be stopped, and started again at once.
    fn hold(&mut self, devices: &[&str]);

    /// Makes what devices share fit `wanted`; returns the buses that could not be started.
    fn change<'a>(
        &'a mut self,
        change: &'a Change,
        wanted: &'a Config,
    ) -> Work<'a, Vec<(String, io::Error)>>;

    /// Starts a device, unless its bus does not run.
    fn start(&mut self, device: &AnyDevice, seed: u64) -> io::Result<Option<Started>>;

    /// The counts of buses, and of the devices that are counted there.
    fn counts(&self) -> Vec<(Whose, Figures)>;

    /// The buses whose lines cannot be opened now.
    fn outages(&self) -> Vec<(String, Outage)>;

    /// What tools of this bridge use a bus through.
    fn handle(&self, bus: &str) -> Option<Box<dyn Any + Send>>;

    /// Ends what the devices shared.
    fn stop(self: Box<Self>) -> Work<'static, ()>;
}

/// A bridge that runs.
pub(super) struct Runs<B>(pub B);

impl<B: Bridge> Running for Runs<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn hold(&mut self, devices: &[&str]) {
        self.0.hold(devices);
    }

    fn change<'a>(
        &'a mut self,
        change: &'a Change,
        wanted: &'a Config,
    ) -> Work<'a, Vec<(String, io::Error)>> {
        Box::pin(self.0.change(change, part::<B>(wanted)))
    }

    fn start(&mut self, device: &AnyDevice, seed: u64) -> io::Result<Option<Started>> {
        match device.of::<B>() {
            Some(device) => self.0.start(device, seed),
            None => Ok(None),
        }
    }

    fn counts(&self) -> Vec<(Whose, Figures)> {
        self.0.counts()
    }

    fn outages(&self) -> Vec<(String, Outage)> {
        self.0.outages()
    }

    fn handle(&self, bus: &str) -> Option<Box<dyn Any + Send>> {
        self.0.handle(bus)
    }

    fn stop(self: Box<Self>) -> Work<'static, ()> {
        Box::pin(self.0.stop())
    }
}
