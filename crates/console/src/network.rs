//! The addresses of the machine, as the rest of the program knows and changes them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::files::NotDone;
use crate::later::Later;

/// What an interface is to have, or has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addressing {
    /// The name of the interface.
    pub interface: String,
    /// The address comes from a server; else it is fixed.
    #[serde(default)]
    pub dhcp: bool,
    /// With the length of its network.
    #[serde(default)]
    pub address: Option<String>,
    /// The way to other networks.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<String>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceView {
    /// Its name.
    pub name: String,
    /// It has a cable, and can be set here.
    pub wired: bool,
    /// The cable is plugged in, or a network joined.
    pub up: bool,
    /// Its hardware address.
    pub mac: String,
    /// The addresses that it has now.
    pub addresses: Vec<String>,
    /// How it is set.
    pub setting: Option<Addressing>,
}

/// A change and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeView {
    /// By which it is confirmed.
    pub id: String,
    /// What was wanted.
    pub wanted: Addressing,
    /// `trying`, `kept`, `returned` or `refused`.
    pub state: &'static str,
    /// Seconds in which it can be confirmed.
    pub seconds: u64,
    /// Why it was refused, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NetworkView {
    /// Whether it can be changed here; else the owner of the system does it.
    pub managed: bool,
    /// The interfaces, by name.
    pub interfaces: Vec<InterfaceView>,
    /// The last change since the machine was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeView>,
}

/// The network. What may take long says so by its type.
pub trait Network: Send + Sync {
    /// What is there.
    fn look(&self) -> Later<'_, NetworkView>;

    /// Tries a setting. It returns to the old one unless it is confirmed.
    fn change(&self, wanted: Addressing) -> Later<'_, Result<(), NotDone>>;

    /// Keeps a change. `at` is the address that the one who confirms has asked for, if it is an address.
    fn confirm(&self, id: String, at: Option<IpAddr>) -> Later<'_, Result<(), NotDone>>;
}
