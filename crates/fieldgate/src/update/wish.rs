//! What the web console asks of the board: its slots, an update that was uploaded, a restart. And what it is told.

use std::path::{Path, PathBuf};

use fieldgate_update::{Fit, Progress, Release, Status};
use serde::{Deserialize, Serialize};

/// What the daemon asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// By which what became of it is known.
    pub(crate) id: String,
    pub(crate) act: Act,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    /// Look how the slots are.
    Look,
    /// Look whether the bundle that was uploaded is one for this board.
    Check,
    /// Install it. It is gone then.
    Install,
    /// Have the next start take this slot.
    Next(String),
    /// Restart the gateway.
    RestartGateway,
    /// Restart the board.
    RestartBoard,
}

impl Act {
    /// As it is called towards people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Check => "check",
            Self::Install => "install",
            Self::Next(_) => "next",
            Self::RestartGateway => "restart_gateway",
            Self::RestartBoard => "restart_board",
        }
    }
}

/// What became of the last wish, and how the board is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) wish: Wish,
    pub(crate) state: State,
    /// How far it is.
    pub(crate) step: Option<Progress>,
    /// Why it was refused.
    pub(crate) problem: Option<String>,
    /// How the slots are; none where there are no slots.
    pub(crate) status: Option<Status>,
    /// Why that is not known.
    pub(crate) unknown: Option<String>,
    /// What was uploaded, and can be installed.
    pub(crate) bundle: Option<Uploaded>,
    /// When this was written, in seconds since the start of the system.
    pub(crate) at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Busy,
    Done,
    Refused,
}

/// A bundle whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Uploaded {
    pub(crate) release: Release,
    pub(crate) fit: Fit,
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

    /// The unit that carries wishes out: without it the system is the owner's.
    pub(crate) fn unit(&self) -> PathBuf {
        self.at("usr/lib/systemd/system/fieldgate-update.path")
    }

    /// Written by the daemon.
    pub(crate) fn asked(&self) -> PathBuf {
        self.at("run/fieldgate/update")
    }

    /// What the daemon asked for, once root has it.
    pub(crate) fn taken(&self) -> PathBuf {
        self.at("run/fieldgate-update/asked")
    }

    /// Written by root.
    pub(crate) fn told(&self) -> PathBuf {
        self.at("run/fieldgate-update/state")
    }

    /// The folder for what is uploaded, on the data partition.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.at("data/update")
    }

    /// A bundle, all of which has come.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.uploads().join("uploaded.raucb")
    }

    /// A bundle that is coming.
    pub(crate) fn coming(&self) -> PathBuf {
        self.uploads().join("coming")
    }
}
