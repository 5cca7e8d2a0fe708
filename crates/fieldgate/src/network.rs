//! The addresses of the board: what is there, what may be, and a change that returns unless it is confirmed.
//!
//! The daemon may not change them. It writes what is wanted to its folder in `/run`; a unit of root carries it out with
//! `fieldgate network try`. A change is a file in `/run` until it is confirmed, so that also a power failure brings the
//! old setting back.

pub(crate) mod board;
mod trial;
pub(crate) mod wanted;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::args;
use crate::handover::take;
use crate::stop::Stop;
use wanted::Wanted;

/// Seconds in which a change must be confirmed.
pub(crate) const SECONDS: u64 = 90;
/// What the daemon asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// By which it is confirmed.
    pub(crate) id: String,
    pub(crate) wanted: Wanted,
}

/// What became of the last change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Became {
    pub(crate) id: String,
    pub(crate) wanted: Wanted,
    pub(crate) state: State,
    /// When it returns, in seconds since the start of the system.
    pub(crate) until: u64,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Trying,
    Kept,
    Returned,
    Refused,
}

/// Where everything is, below a root.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    root: PathBuf,
}

impl Places {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The unit that carries changes out: without it the network is the owner's.
    pub(crate) fn unit(&self) -> PathBuf {
        self.at("usr/lib/systemd/system/fieldgate-network.path")
    }

    /// Written by the daemon.
    pub(crate) fn asked(&self) -> PathBuf {
        self.at("run/fieldgate/network")
    }

    /// Written by the daemon: the id of a change that stays.
    pub(crate) fn confirmed(&self) -> PathBuf {
        self.at("run/fieldgate/network-confirmed")
    }

    /// What the daemon asked for, once root has it.
    fn taken(&self) -> PathBuf {
        self.at("run/fieldgate-network/asked")
    }

    /// Written by root.
    pub(crate) fn became(&self) -> PathBuf {
        self.at("run/fieldgate-network/state")
    }

    /// Before every other file, and gone with the power.
    fn trial(&self) -> PathBuf {
        self.at("run/systemd/network/05-fieldgate-trial.network")
    }

    /// Before the file that provisioning writes for all interfaces.
    fn kept(&self, interface: &str) -> PathBuf {
        self.at(&format!(
            "etc/systemd/network/{}{interface}.network",
            fieldgate_provision::CONSOLE_NETWORK
        ))
    }
}

/// Seconds since the start of the system.
pub(crate) fn uptime() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0)
}

/// Carries out `fieldgate network`.
///
/// # Errors
///
/// What the system refuses.
pub(crate) fn act(command: &args::Network) -> Result<(), Stop> {
    let places = Places::new(Path::new("/"));
    let done = match command {
        args::Network::Take => take(&places.asked(), &places.taken()),
        args::Network::Try => trial::carry_out(&places, &mut trial::Networkd),
        args::Network::Return => trial::give_back(&places, &mut trial::Networkd),
    };
    done.map_err(Stop::Other)
}
