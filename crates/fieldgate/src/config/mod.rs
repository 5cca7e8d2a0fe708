//! The configuration: from files to something that cannot be wrong, or to all their mistakes.
//!
//! `source` alone does I/O. `own` and `unavailable` prepare the trees, `resolve` makes the
//! [`Config`], `expand` writes it down again, and `diff` says what a reload has to do.

mod diff;
mod expand;
mod own;
mod raw;
mod report;
mod resolve;
mod source;
mod unavailable;
mod units;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use fieldgate_bridge_modbus::{BusConfig, DeviceConfig};
use fieldgate_model::{PayloadFormat, Topics};

pub(crate) use diff::{Changes, diff};
pub(crate) use expand::document;
pub(crate) use raw::Address;
pub(crate) use report::Report;
pub(crate) use source::Sources;

use crate::yaml::Mistake;

/// A configuration without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) gateway: String,
    pub(crate) listen: Option<Address>,
    pub(crate) allow_anonymous: bool,
    pub(crate) topics: Topics,
    pub(crate) payload: PayloadFormat,
    /// By name.
    pub(crate) buses: BTreeMap<String, Bus>,
    /// By name, patterns applied.
    pub(crate) devices: BTreeMap<String, DeviceConfig>,
}

/// A bus, and whether its devices are simulated here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bus {
    /// Of a simulated bus everything but its address counts: that is the simulator's.
    pub(crate) config: BusConfig,
    /// Where the simulator listens; port 0 takes a free one.
    pub(crate) simulated: Option<SocketAddr>,
}

/// A configuration and the files that it was made from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) sources: Sources,
}

/// Reads the file and the device types beside it.
///
/// # Errors
///
/// All mistakes of all files.
pub(crate) fn load(path: &Path) -> Result<Loaded, Report> {
    let mut report = Report::default();
    let Some(sources) = source::load(path, &mut report) else {
        return Err(report);
    };
    let config = resolve::resolve(sources.clone(), &mut report);
    match config {
        Some(config) if report.is_empty() => Ok(Loaded { config, sources }),
        _ => Err(report),
    }
}

fn add(file: &str, mistakes: Vec<Mistake>, report: &mut Report) {
    for mistake in mistakes {
        report.add(file, Some(mistake.mark), mistake.path, mistake.message);
    }
}
