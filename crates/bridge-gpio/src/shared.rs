//! What the GPIO devices of one gateway share: the lines, simulated or not, the outputs between two runs of a device,
//! and the counts that are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::{
    Backend, Folder, GpioConfig, GpioDriver, Handover, Kernel, Kind, Memory, SimChip, Store,
};

/// The folder of the counts, in that of the state.
const FOLDER: &str = "gpio";

/// What devices are started with.
#[derive(Debug)]
pub struct Lines {
    store: Arc<dyn Store>,
    is_lasting: bool,
    pub(crate) keeper: Handover,
    /// Simulated chips by their labels. Devices with one label share a chip, as real ones do.
    chips: BTreeMap<Option<String>, SimChip>,
}

impl Lines {
    /// Counts are kept in the folder `state`, or end with the process.
    pub(crate) fn new(state: Option<&Path>) -> Self {
        let store: Arc<dyn Store> = match state {
            Some(state) => Arc::new(Folder::new(state.join(FOLDER))),
            None => Arc::new(Memory::default()),
        };
        Self {
            store,
            is_lasting: state.is_some(),
            keeper: Handover::default(),
            chips: BTreeMap::new(),
        }
    }

    /// Makes the simulated chips of these devices and lets those go that none has any more.
    pub(crate) fn simulate<'d>(&mut self, devices: impl Iterator<Item = &'d GpioConfig>) {
        let mut wires: BTreeMap<Option<String>, BTreeMap<_, _>> = BTreeMap::new();
        for device in devices.filter(|device| device.simulated) {
            let of_chip = wires.entry(device.chip.clone()).or_default();
            of_chip.extend(device.wires.clone());
        }
        let labels: BTreeSet<_> = wires.keys().cloned().collect();
        // It stops to play when this was the last that had it.
        self.chips.retain(|label, _| labels.contains(label));
        for (label, wires) in wires {
            let chip = self.chips.entry(label).or_insert_with(|| {
                let chip = SimChip::new();
                tokio::spawn(chip.clone().play());
                chip
            });
            chip.wire(wires);
        }
    }

    /// What runs a device.
    pub(crate) fn driver(&self, config: GpioConfig) -> GpioDriver {
        let is_kept = |kind: &Kind| matches!(kind, Kind::Count(count) if count.persist.is_some());
        let is_told = !self.is_lasting && !config.simulated;
        if is_told && config.points.iter().any(|(_, point)| is_kept(&point.kind)) {
            log::warn!(DEVICE = config.name.as_str(); "`persist` keeps counts until the gateway ends, and no longer: it was started without --state");
        }
        let chip = self.chips.get(&config.chip);
        let backend: Arc<dyn Backend> = match chip.filter(|_| config.simulated) {
            Some(chip) => Arc::new(chip.clone()),
            None => Arc::new(Kernel),
        };
        let (store, keeper) = (Arc::clone(&self.store), self.keeper.clone());
        GpioDriver::new(config, backend, store, keeper)
    }
}
