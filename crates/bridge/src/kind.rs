//! What a kind of bridge is to the gateway: how its part of a configuration is read, what only one device can have,
//! and how what came of it runs.
//!
//! The gateway holds a list of kinds and knows none of them. A new kind is a crate that implements [`Bridge`], a
//! dependency, and a line in that list.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::{Future, ready};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_model::Point;
use serde::de::DeserializeOwned;

use crate::{
    Claim, Counters, Defaults, Driver, Misfit, Outage, Place, Places, Ports, Settings, Snapshot,
    run,
};

/// Work that one place holds for several kinds.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A bus, and whether its devices are simulated by this process.
#[derive(Clone, Debug, PartialEq)]
pub struct Bus<C> {
    /// Of a simulated bus everything but its address counts: that is the simulator's.
    pub config: C,
    /// Where the simulator is.
    pub simulated: Option<Place>,
}

/// A bridge's part of a configuration.
#[derive(Debug)]
pub struct Part<'c, B: Bridge> {
    /// Its buses, by name.
    pub buses: BTreeMap<&'c str, &'c Bus<B::Bus>>,
    /// Its devices, by name.
    pub devices: BTreeMap<&'c str, &'c B::Device>,
}

impl<B: Bridge> Clone for Part<'_, B> {
    fn clone(&self) -> Self {
        Self {
            buses: self.buses.clone(),
            devices: self.devices.clone(),
        }
    }
}

/// What has to change, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Devices that are gone, and those that are new or were changed. None of them runs now.
    pub devices: Vec<String>,
    /// Buses that are gone.
    pub gone: Vec<String>,
    /// Buses that are new or were changed.
    pub buses: Vec<String>,
}

/// A bridge.
///
/// The functions without `self` read a configuration. The rest is what its devices share while they run: one exists for
/// each running gateway.
pub trait Bridge: Sized + Send + 'static {
    /// Its name, as in `protocol` of a bus or a device type.
    const NAME: &'static str;
    /// What one of its devices is called in a message.
    const DEVICE: &'static str;
    /// Keys of which each device has at least one, if its devices are on no bus.
    const KEYS: &'static [&'static str] = &[];
    /// On a reload its devices stop and start before those of others, and wait for no slow bus.
    const GOES_FIRST: bool = false;

    /// A bus as written, in itself right.
    type Bus: DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + 'static;
    /// A device type as written, in itself right.
    type Type: DeserializeOwned;
    /// A device as written, in itself right.
    type Entry: DeserializeOwned;
    /// A device with everything decided.
    type Device: Device + Clone + PartialEq;

    /// What only one bus or device can have, of a bus that is not simulated.
    fn bus_claims(_bus: &Self::Bus) -> Vec<Claim> {
        Vec::new()
    }

    /// What only one bus or device can have.
    fn claims(_entry: &Self::Entry) -> Vec<Claim> {
        Vec::new()
    }

    /// The name of a device's bus.
    fn bus_of(_entry: &Self::Entry) -> Option<&str> {
        None
    }

    /// The name of a device's type.
    fn type_of(_entry: &Self::Entry) -> Option<&str> {
        None
    }

    /// The devices that stand under the name `pattern`: their names, and a number by which the bridge knows which one
    /// it is.
    ///
    /// # Errors
    ///
    /// If the pattern does not fit the entry.
    fn names(_entry: &Self::Entry, pattern: &str) -> Result<Vec<(String, u8)>, Misfit> {
        if pattern.contains(['{', '}']) {
            let message = format!("a {} has a name without placeholders", Self::DEVICE);
            return Err(Misfit::new(&[], message));
        }
        Ok(vec![(pattern.to_owned(), 0)])
    }

    /// Whether a device can be on this bus.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    fn check_bus(_entry: &Self::Entry, _bus: &Self::Bus) -> Result<(), Misfit> {
        Ok(())
    }

    /// Decides everything for the device `name`, which is number `number` of its entry.
    ///
    /// # Errors
    ///
    /// All parts that do not fit each other. Those about points that come from its type have the keys that they have
    /// there.
    fn resolve(
        entry: &Self::Entry,
        name: &str,
        number: u8,
        kind: Option<&Self::Type>,
        defaults: &Defaults,
    ) -> Result<Self::Device, Vec<Misfit>>;

    /// Where the devices of a bus are when all of a configuration is simulated: never at the bus's own place.
    fn place(_bus: &Self::Bus) -> Place {
        Place::LOCAL
    }

    /// A device when all of a configuration is simulated.
    ///
    /// # Errors
    ///
    /// Why it cannot be.
    fn simulated(device: &Self::Device) -> Result<Self::Device, String> {
        Ok(device.clone())
    }

    /// Lets a device share memory with another of the same type.
    fn share(_device: &mut Self::Device, _other: &Self::Device) {}

    /// What no device has yet. What has to outlive the process is kept in the folder `state`.
    fn new(state: Option<&Path>) -> Self;

    /// These devices are about to be stopped, and started again at once.
    fn hold(&mut self, _devices: &[&str]) {}

    /// Makes what devices share fit `wanted`: ends buses that are gone or changed, and starts those that are to be.
    /// Returns the buses that could not be started, and why.
    fn change(
        &mut self,
        change: &Change,
        wanted: Part<'_, Self>,
    ) -> impl Future<Output = Vec<(String, io::Error)>> + Send;

    /// Starts a device; `None` if its bus does not run. Only the jitter of pauses and the phase of polls depend on
    /// `seed`.
    ///
    /// # Errors
    ///
    /// If what it needs beside its bus could not be had.
    fn start(&mut self, device: &Self::Device, seed: u64) -> io::Result<Option<Started>>;

    /// The counts of buses, and of the devices that are counted there.
    fn counts(&self) -> Vec<(Whose, Figures)> {
        Vec::new()
    }

    /// The buses whose lines cannot be opened now, and why.
    fn outages(&self) -> Vec<(String, Outage)> {
        Vec::new()
    }

    /// What tools of this bridge use a bus through.
    fn handle(&self, _bus: &str) -> Option<Box<dyn Any + Send>> {
        None
    }

    /// Ends what the devices shared. None of them runs any more.
    fn stop(self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Looks at a device once, and tells what it sees in lines for a person.
    ///
    /// # Errors
    ///
    /// If something of it could not be seen.
    fn test<'a>(
        _device: &'a Self::Device,
        _bus: Option<&'a Bus<Self::Bus>>,
        _tell: &'a mut Tell<'_>,
    ) -> impl Future<Output = Result<(), Untested>> + Send + 'a {
        let text = format!("a {} is not tested by itself", Self::DEVICE);
        ready(Err(Untested::Device(text)))
    }

    /// Looks for devices on the bus `name`, which it opens for itself, and tells what it finds in lines for a person.
    ///
    /// # Errors
    ///
    /// If the bus cannot be used, or cannot be searched in this way.
    fn scan<'a>(
        name: &'a str,
        _part: Part<'a, Self>,
        _search: &'a Search,
        _tell: &'a mut Tell<'_>,
    ) -> impl Future<Output = Result<(), Untested>> + Send + 'a {
        let text = format!("bus {name} ({}) cannot be searched", Self::NAME);
        ready(Err(Untested::Device(text)))
    }

    /// Serves simulated devices for `part` until they are stopped, and tells where. A bus that does not say where its
    /// devices are simulated takes its place from `places`.
    ///
    /// # Errors
    ///
    /// Those of the places.
    fn simulate<'a>(
        _part: Part<'a, Self>,
        _places: &'a mut Places,
        _tell: &'a mut Tell<'_>,
    ) -> impl Future<Output = io::Result<Vec<Box<dyn Simulated>>>> + Send + 'a {
        ready(Ok(Vec::new()))
    }
}

/// How to look for devices on a bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The addresses to ask. Without any, the protocol's own way to find all devices.
    pub units: Vec<u8>,
    /// Baud rates to try, one after the other, in place of the configured one.
    pub bauds: Vec<u32>,
    /// How long an answer may take to begin, in place of what is configured.
    pub timeout: Option<Duration>,
}

/// Takes text for a person at a terminal.
pub type Tell<'t> = dyn FnMut(&str) + Send + 't;

/// Why a device did not pass its test.
#[derive(Debug)]
pub enum Untested {
    /// What the device, or its absence, showed.
    Device(String),
    /// What this machine lacks.
    System(io::Error),
}

/// What serves until it is stopped.
pub trait Simulated: Send {
    /// Ends it; its place is free when this is over.
    fn stop(self: Box<Self>) -> Work<'static, ()>;
}

/// A device of whatever bridge, with everything decided.
pub trait Device: Any + Debug + Send + Sync {
    /// The name of its bus, if it is on one.
    fn bus(&self) -> Option<&str> {
        None
    }

    /// The names of its points, in the order of the file.
    fn point_names(&self) -> Vec<&str>;

    /// How many requests it is planned to be asked, for a person.
    fn requests(&self) -> usize {
        0
    }

    /// How many readings a second a point has at most; `None` if its device decides.
    fn rate(&self, _point: &str) -> Option<f64> {
        None
    }

    /// The unit of a point's values; `None` if it has none, or its device decides.
    fn unit(&self, point: &str) -> Option<&str>;

    /// What it takes of the machine, such as GPIO lines, each in one line for a person.
    fn lines(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Whose counts they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Those of the bus with this name.
    Bus(String),
    /// Those of the device with this name.
    Device(String),
}

/// Counters of a bus or a device at one moment, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What is as it should be.
    pub routine: Vec<(&'static str, u64)>,
    /// What is not.
    pub faults: Vec<(&'static str, u64)>,
    /// Refusals by code, where there are codes.
    pub exceptions: Option<BTreeMap<u8, u64>>,
}

impl Figures {
    /// All but those by code.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let all = self.routine.iter().chain(&self.faults);
        all.copied().collect()
    }

    /// Those of a device with a port or lines of its own: what it counts itself, and `lost` of its run.
    pub fn of_device(
        routine: impl IntoIterator<Item = (&'static str, u64)>,
        faults: impl IntoIterator<Item = (&'static str, u64)>,
        run: &Snapshot,
    ) -> Self {
        let lost = ("lost", run.failed_open + run.failed_lost);
        Self {
            routine: routine.into_iter().collect(),
            faults: faults.into_iter().chain([lost]).collect(),
            exceptions: None,
        }
    }
}

/// A device's counts now, from those of its run.
type Tally = Box<dyn Fn(&Snapshot) -> Figures + Send + Sync>;
/// Runs a device to its end.
type Run = Box<dyn FnOnce(Settings, Arc<Counters>, Ports) -> Work<'static, ()> + Send>;

/// A device that is ready to run.
pub struct Started {
    /// How it is run.
    pub settings: Settings,
    /// Its points.
    pub points: Arc<[Point]>,
    /// The index that stands for raw bytes, where they are handed through.
    pub raw: Option<usize>,
    tally: Option<Tally>,
    run: Run,
}

/// How a running device is counted; of one on a bus, nothing is counted here.
#[derive(Default)]
pub struct Tallied(Option<Tally>);

impl Tallied {
    /// The counts now, with those of the device's run.
    pub fn figures(&self, run: &Snapshot) -> Option<Figures> {
        self.0.as_ref().map(|tally| tally(run))
    }
}

impl Debug for Tallied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tallied").field(&self.0.is_some()).finish()
    }
}

impl Started {
    /// A device with its driver.
    pub fn new(driver: impl Driver, settings: Settings, points: Arc<[Point]>) -> Self {
        Self {
            settings,
            points,
            raw: None,
            tally: None,
            run: Box::new(move |settings, counters, ports| {
                Box::pin(run(driver, settings, counters, ports))
            }),
        }
    }

    /// Which counts as `tally` says.
    #[must_use]
    pub fn counting(
        mut self,
        tally: impl Fn(&Snapshot) -> Figures + Send + Sync + 'static,
    ) -> Self {
        self.tally = Some(Box::new(tally));
        self
    }

    /// Which hands through raw bytes under this index.
    #[must_use]
    pub fn raw(mut self, index: Option<usize>) -> Self {
        self.raw = index;
        self
    }

    /// The run, and how it is counted.
    pub fn run(self, counters: Arc<Counters>, ports: Ports) -> (Work<'static, ()>, Tallied) {
        let work = (self.run)(self.settings, counters, ports);
        (work, Tallied(self.tally))
    }
}
