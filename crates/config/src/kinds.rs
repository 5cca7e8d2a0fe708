//! The bridges of a gateway, and what they all look like from here.
//!
//! `read` makes a bridge's part of the configuration, `running` holds what its devices share while they run; both
//! forget which bridge it is.

mod read;
mod running;

use std::any::Any;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use fieldgate_bridge::{Bridge, Bus, Part, Place, Places, Search, Simulated, Tell, Untested, Work};

use crate::Config;
use crate::yaml::{Shape, shape};
pub use read::{Around, Origins, Picked, Written};
pub use running::Running;

/// The bridges of a gateway. The last one is that of buses and device types without `protocol`.
#[derive(Clone, Copy)]
pub struct Kinds(pub &'static [&'static dyn Kind]);

impl Kinds {
    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = &'static dyn Kind> {
        self.0.iter().copied()
    }

    /// Those whose devices are on buses.
    pub fn on_buses(self) -> impl Iterator<Item = &'static dyn Kind> {
        self.iter().filter(|kind| kind.keys().is_empty())
    }

    /// The name of the usual one.
    pub fn usual(self) -> &'static str {
        self.0.last().map_or("", |kind| kind.name())
    }

    /// The bridge with this name.
    pub fn find(self, name: &str) -> Option<&'static dyn Kind> {
        self.iter().find(|kind| kind.name() == name)
    }
}

/// A bridge, whichever it is.
pub trait Kind: Sync {
    /// Its name, as in `protocol`.
    fn name(&self) -> &'static str;

    /// Keys of which each of its devices has one, if they are on no bus.
    fn keys(&self) -> &'static [&'static str];

    /// Its devices change before those of others.
    fn goes_first(&self) -> bool;

    /// What it reads.
    fn shapes(&self) -> Shapes;

    /// Reads what is its own, and takes it out of the files.
    fn read(&self, picked: Picked<'_>) -> Box<dyn Written>;

    /// What its devices share, before there are any.
    fn running(&self, state: Option<&Path>) -> Box<dyn Running>;

    /// Has its buses and devices simulated, whatever they say. Returns the devices that cannot be, and why; they are no
    /// longer there.
    fn play(&self, config: &mut Config) -> Vec<(String, String)>;

    /// Looks at one of its devices.
    fn test<'a>(
        &self,
        config: &'a Config,
        device: &'a AnyDevice,
        tell: &'a mut Tell<'_>,
    ) -> Work<'a, Result<(), Untested>>;

    /// Looks for devices on one of its buses.
    fn scan<'a>(
        &self,
        config: &'a Config,
        bus: &'a str,
        search: &'a Search,
        tell: &'a mut Tell<'_>,
    ) -> Work<'a, Result<(), Untested>>;

    /// Serves its simulated devices.
    fn simulate<'a>(
        &self,
        config: &'a Config,
        places: &'a mut Places,
        tell: &'a mut Tell<'_>,
    ) -> Work<'a, std::io::Result<Vec<Box<dyn Simulated>>>>;
}

/// What a bridge reads.
pub struct Shapes {
    /// A bus.
    pub bus: Shape,
    /// A device type.
    pub kind: Shape,
    /// A device.
    pub device: Shape,
}

/// A bridge as a kind among others.
pub struct Of<B>(PhantomData<fn() -> B>);

impl<B: Bridge> Of<B> {
    /// As a member of [`Kinds`].
    pub const KIND: &'static dyn Kind = &Self(PhantomData);
}

/// A device of some bridge, with everything decided.
#[derive(Clone, Debug)]
pub struct AnyDevice {
    /// The name of the bridge.
    pub kind: &'static str,
    device: Arc<dyn Comparable>,
}

/// A bus of some bridge.
#[derive(Clone, Debug)]
pub struct AnyBus {
    /// The name of the bridge.
    pub kind: &'static str,
    /// Where this process simulates its devices.
    pub simulated: Option<Place>,
    bus: Arc<dyn ComparableBus>,
}

/// A device that can be compared with one of any other bridge.
trait Comparable: fieldgate_bridge::Device {
    fn is(&self, other: &dyn Comparable) -> bool;
}

impl<D: fieldgate_bridge::Device + PartialEq> Comparable for D {
    fn is(&self, other: &dyn Comparable) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<D>() == Some(self)
    }
}

/// A bus that can be compared with one of any other bridge.
trait ComparableBus: Any + Debug + Send + Sync {
    fn is(&self, other: &dyn ComparableBus) -> bool;
}

impl<C: Any + Debug + Send + Sync + PartialEq> ComparableBus for fieldgate_bridge::Bus<C> {
    fn is(&self, other: &dyn ComparableBus) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<Self>() == Some(self)
    }
}

impl PartialEq for AnyDevice {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.device.is(&*other.device)
    }
}

impl PartialEq for AnyBus {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.bus.is(&*other.bus)
    }
}

impl std::ops::Deref for AnyDevice {
    type Target = dyn fieldgate_bridge::Device;

    fn deref(&self) -> &Self::Target {
        &*self.device
    }
}

impl AnyDevice {
    /// The device, if it is of this bridge.
    pub fn of<B: Bridge>(&self) -> Option<&B::Device> {
        let device: &dyn Any = &*self.device;
        device.downcast_ref()
    }
}

impl AnyBus {
    /// The bus, if it is of this bridge.
    pub fn of<B: Bridge>(&self) -> Option<&fieldgate_bridge::Bus<B::Bus>> {
        let bus: &dyn Any = &*self.bus;
        bus.downcast_ref()
    }
}

/// The part of a configuration that is a bridge's.
pub fn part<B: Bridge>(config: &Config) -> Part<'_, B> {
    let (buses, devices) = (config.buses.iter(), config.devices.iter());
    Part {
        buses: buses
            .filter(|(_, bus)| bus.kind == B::NAME)
            .filter_map(|(name, bus)| Some((name.as_str(), bus.of::<B>()?)))
            .collect(),
        devices: devices
            .filter(|(_, device)| device.kind == B::NAME)
            .filter_map(|(name, device)| Some((name.as_str(), device.of::<B>()?)))
            .collect(),
    }
}

impl<B: Bridge> Kind for Of<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn keys(&self) -> &'static [&'static str] {
        B::KEYS
    }

    fn goes_first(&self) -> bool {
        B::GOES_FIRST
    }

    fn shapes(&self) -> Shapes {
        Shapes {
            bus: shape::<B::Bus>(),
            kind: shape::<B::Type>(),
            device: shape::<B::Entry>(),
        }
    }

    fn read(&self, picked: Picked<'_>) -> Box<dyn Written> {
        Box::new(picked.read::<B>())
    }

    fn running(&self, state: Option<&Path>) -> Box<dyn Running> {
        Box::new(running::Runs(B::new(state)))
    }

    fn play(&self, config: &mut Config) -> Vec<(String, String)> {
        for any in config.buses.values_mut() {
            if let Some(bus) = any.of::<B>() {
                let place = B::place(&bus.config);
                let bus = Bus {
                    config: bus.config.clone(),
                    simulated: Some(place),
                };
                any.simulated = Some(place);
                any.bus = Arc::new(bus);
            }
        }
        let mut left_out = Vec::new();
        for (name, any) in &mut config.devices {
            match any.of::<B>().map(B::simulated) {
                Some(Ok(device)) => any.device = Arc::new(device),
                Some(Err(why)) => left_out.push((name.clone(), why)),
                None => {}
            }
        }
        for (name, _) in &left_out {
            config.devices.remove(name);
        }
        left_out
    }

    fn test<'a>(
        &self,
        config: &'a Config,
        device: &'a AnyDevice,
        tell: &'a mut Tell<'_>,
    ) -> Work<'a, Result<(), Untested>> {
        let bus = device
            .bus()
            .and_then(|bus| config.buses.get(bus)?.of::<B>());
        match device.of::<B>() {
            Some(device) => Box::pin(B::test(device, bus, tell)),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn scan<'a>(
        &self,
        config: &'a Config,
        bus: &'a str,
        search: &'a Search,
        tell: &'a mut Tell<'_>,
    ) -> Work<'a, Result<(), Untested>> {
        Box::pin(B::scan(bus, part::<B>(config), search, tell))
    }

    fn simulate<'a>(
        &self,
        config: &'a Config,
        places: &'a mut Places,
        tell: &'a mut Tell<'_>,
    ) -> Work<'a, std::io::Result<Vec<Box<dyn Simulated>>>> {
        Box::pin(B::simulate(part::<B>(config), places, tell))
    }
}

#[cfg(test)]
mod tests;
