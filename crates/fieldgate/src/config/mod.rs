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
mod users;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fieldgate_bridge_modbus::{BusConfig, DeviceConfig};
use fieldgate_broker::Users;
use fieldgate_model::{PayloadFormat, Topics};

pub(crate) use diff::{Changes, diff};
pub(crate) use expand::document;
pub(crate) use raw::Address;
pub(crate) use report::Report;
pub(crate) use source::Sources;
pub(crate) use users::{check_user_name, text as users_text};

use crate::yaml::{Mistake, Node};

/// A configuration without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) gateway: String,
    pub(crate) listen: Option<Address>,
    pub(crate) allow_anonymous: bool,
    /// Where the users are.
    pub(crate) users_file: Option<PathBuf>,
    /// What is there, if it was read at all.
    pub(crate) users: Users,
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

/// Reads the file, the device types beside it, and the users that it names.
///
/// # Errors
///
/// All mistakes of all files.
pub(crate) fn load(path: &Path) -> Result<Loaded, Report> {
    load_parts(path, true)
}

/// The same without the users: their file is nobody's business who only wants to see a device.
///
/// # Errors
///
/// All mistakes of all other files.
pub(crate) fn load_plant(path: &Path) -> Result<Loaded, Report> {
    load_parts(path, false)
}

fn load_parts(path: &Path, with_users: bool) -> Result<Loaded, Report> {
    let mut report = Report::default();
    let Some(sources) = source::load(path, &mut report) else {
        return Err(report);
    };
    let mut config = resolve::resolve(sources.clone(), &mut report);
    if let Some(config) = &mut config {
        config.users_file = config.users_file.take().map(|file| beside(path, &file));
        if let Some(file) = config.users_file.as_ref().filter(|_| with_users) {
            config.users = users::load(file, &mut report).unwrap_or_default();
        }
    }
    match config {
        Some(config) if report.is_empty() => Ok(Loaded { config, sources }),
        _ => Err(report),
    }
}

/// Reads a users file.
///
/// # Errors
///
/// All its mistakes.
pub(crate) fn load_users(file: &Path) -> Result<Users, Report> {
    let mut report = Report::default();
    match users::load(file, &mut report) {
        Some(users) if report.is_empty() => Ok(users),
        _ => Err(report),
    }
}

/// Where a configuration says that its users are, whatever else may be wrong with it.
///
/// # Errors
///
/// Why the file cannot be read or parsed.
pub(crate) fn users_file(path: &Path) -> Result<Option<PathBuf>, Report> {
    let mut report = Report::default();
    let Some(main) = source::read(path, &mut report) else {
        return Err(report);
    };
    let named = main.root.get(&["broker", "users"]).and_then(Node::text);
    Ok(named.map(|file| beside(path, Path::new(file))))
}

/// A file that a configuration names.
fn beside(config: &Path, file: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(file)
}

fn add(file: &str, mistakes: Vec<Mistake>, report: &mut Report) {
    for mistake in mistakes {
        report.add(file, Some(mistake.mark), mistake.path, mistake.message);
    }
}
