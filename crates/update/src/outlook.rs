//! What happens at the next start.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::slot::Slot;

/// Starts that the boot loader gives a system before it takes the other one (`deploy/boot/slots.cmd`).
pub(crate) const STARTS: u32 = 3;

/// What the next start does, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outlook {
    /// What runs has shown that it works.
    Stays {
        /// What runs: its version, if known, and its slot. The same below.
        slot: String,
    },
    /// What runs has not yet: it goes back to the other slot when its starts are used up.
    Trial {
        /// What runs.
        slot: String,
        /// Starts that it still has.
        starts_left: u32,
        /// What runs if they are used up.
        other: String,
    },
    /// The next start takes the other slot.
    Switches {
        /// What runs.
        slot: String,
        /// What the next start takes.
        other: String,
    },
    /// The other slot was tried and did not come up.
    FellBack {
        /// What runs.
        slot: String,
        /// What did not come up.
        other: String,
    },
    /// An installation into the other slot did not end.
    HalfWritten {
        /// What runs.
        slot: String,
        /// The slot that was written to.
        other: String,
    },
    /// The boot loader has used up both.
    NoneGood,
}

impl Outlook {
    pub(crate) fn of(slots: &[Slot]) -> Self {
        let named = |slot: &Slot| match &slot.version {
            Some(version) => format!("{version} in slot {}", slot.name),
            None => format!("slot {}", slot.name),
        };
        let Some(running) = slots.iter().find(|slot| slot.is_running) else {
            return Self::NoneGood;
        };
        let slot = named(running);
        let other = slots.iter().find(|slot| !slot.is_running);
        let Some(idle) = other else {
            return Self::Stays { slot };
        };
        if !running.is_good && !idle.is_good {
            return Self::NoneGood;
        }
        let other = named(idle);
        if idle.is_next {
            return Self::Switches { slot, other };
        }
        if !idle.is_whole {
            let other = format!("slot {}", idle.name);
            return Self::HalfWritten { slot, other };
        }
        match running.starts_left {
            Some(starts_left) if starts_left < STARTS => Self::Trial {
                slot,
                starts_left,
                other,
            },
            _ if !idle.is_good && idle.installed.is_some() => Self::FellBack { slot, other },
            _ => Self::Stays { slot },
        }
    }
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stays { slot } => write!(f, "{slot} stays"),
            Self::Trial {
                slot,
                starts_left,
                other,
            } => write!(
                f,
                "{slot} is on trial until its broker and its console answer: starts left {starts_left}, then {other}"
            ),
            Self::Switches { slot, other } => write!(
                f,
                "the next start takes {other}: it has three starts to come up, or {slot} runs again"
            ),
            Self::FellBack { slot, other } => write!(
                f,
                "{other} did not come up, so {slot} runs again; `journalctl -b -1` may say why"
            ),
            Self::HalfWritten { slot, other } => {
                write!(f, "{other} is half written: install again; {slot} stays")
            }
            Self::NoneGood => f.write_str(
                "no slot counts as good: the boot loader tries both again, slot A first",
            ),
        }
    }
}
