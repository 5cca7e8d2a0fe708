//! The configuration: from files to something that cannot be wrong, or to all their mistakes.
//!
//! `source` alone reads YAML files, and [`load_with_files`] the ones that they name. `own` and `unavailable` prepare the trees, `resolve` makes the
//! [`Config`], `expand` writes it down again, and `diff` says what a reload has to do.

mod diff;
mod expand;
mod listen;
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
use fieldgate_broker::{TlsFile, TlsSettings};
use fieldgate_model::{PayloadFormat, Topics};

pub(crate) use diff::{Changes, diff};
pub(crate) use expand::document;
pub(crate) use listen::{Address, Listen};
pub(crate) use report::Report;
pub(crate) use source::Sources;

use crate::yaml::Mistake;

/// A configuration without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) gateway: String,
    pub(crate) listen: Listen,
    /// For the listeners that encrypt.
    pub(crate) tls: Option<TlsSettings>,
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

/// Reads the file and the device types beside it. Files that it names for the broker may be
/// missing: they are often not for whoever only wants to see a device.
///
/// # Errors
///
/// All mistakes of all files.
pub(crate) fn load(path: &Path) -> Result<Loaded, Report> {
    load_and(path, |_, _, _| {})
}

/// As [`load`], for whoever runs the broker: certificates and keys must be of use.
///
/// # Errors
///
/// All mistakes of all files.
pub(crate) fn load_with_files(path: &Path) -> Result<Loaded, Report> {
    load_and(path, check_files)
}

fn check_files(config: &Config, sources: &Sources, report: &mut Report) {
    let Some(Err(error)) = config.tls.as_ref().map(TlsSettings::check) else {
        return;
    };
    let key = match error.what {
        TlsFile::Certificate => "certificate",
        TlsFile::Key => "key",
        TlsFile::ClientCa => "client_ca",
    };
    let main = &sources.main;
    let mark = main.root.mark_of(&["broker", "tls", key]);
    let message = format!("{}: {}", error.file.display(), error.cause);
    report.add(&main.name, Some(mark), format!("broker.tls.{key}"), message);
}

fn load_and(
    path: &Path,
    check: impl FnOnce(&Config, &Sources, &mut Report),
) -> Result<Loaded, Report> {
    let mut report = Report::default();
    let Some(sources) = source::load(path, &mut report) else {
        return Err(report);
    };
    let config = resolve::resolve(sources.clone(), &mut report);
    if let Some(config) = &config {
        check(config, &sources, &mut report);
    }
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
