//! The network of the board, for the console.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::path::Path;

use fieldgate_console::{
    Addressing, ChangeView, InterfaceView, Later, Network, NetworkView, NotDone,
};

use crate::handover::{put, read};
use crate::network::wanted::{Prefix, Wanted};
use crate::network::{Asked, Became, Places, State, board, uptime};

/// The network below a root.
#[derive(Clone, Debug)]
pub(super) struct Net {
    places: Places,
}

impl Net {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            places: Places::new(root),
        }
    }

    fn view(&self) -> NetworkView {
        let one = |one: board::Interface| InterfaceView {
            name: one.name,
            wired: one.is_wired,
            up: one.is_up,
            mac: one.mac,
            addresses: one.addresses,
            setting: one.setting.map(shown),
        };
        NetworkView {
            managed: self.places.unit().exists(),
            interfaces: board::interfaces(&self.places)
                .into_iter()
                .map(one)
                .collect(),
            change: self.became().map(|became| ChangeView {
                seconds: match became.state {
                    State::Trying => became.until.saturating_sub(uptime()),
                    _ => 0,
                },
                id: became.id,
                wanted: shown(became.wanted),
                state: match became.state {
                    State::Trying => "trying",
                    State::Kept => "kept",
                    State::Returned => "returned",
                    State::Refused => "refused",
                },
                problem: became.problem,
            }),
        }
    }

    fn became(&self) -> Option<Became> {
        read(&self.places.became())
    }

    fn ask(&self, wanted: Wanted) -> Result<(), NotDone> {
        if !self.places.unit().exists() {
            let text = "the network is not managed here; use the tools of the system";
            return Err(NotDone::Refused(text.to_owned()));
        }
        let is_busy = self
            .became()
            .is_some_and(|became| became.state == State::Trying && became.until > uptime());
        if is_busy {
            let text = "another change waits to be confirmed";
            return Err(NotDone::Refused(text.to_owned()));
        }
        if let Some(text) = board::wrong(&self.places, &wanted) {
            return Err(NotDone::Refused(text));
        }
        // Not a secret: who confirms has logged in.
        let id = format!("{:016x}", RandomState::new().hash_one(uptime()));
        let text = serde_json::to_string(&Asked { id, wanted }).map_err(failed)?;
        put(&self.places.asked(), &text).map_err(failed)
    }

    fn keep(&self, id: &str, at: Option<IpAddr>) -> Result<(), NotDone> {
        let became = self.became().filter(|became| {
            became.id == id && became.state == State::Trying && became.until > uptime()
        });
        let became = became.ok_or(NotDone::Missing)?;
        let new = became.wanted.address.as_deref();
        let new = new.and_then(|text| text.parse::<Prefix>().ok());
        if let (Some(new), Some(at)) = (new, at)
            && new.address != at
        {
            return Err(NotDone::Refused(format!(
                "confirm it at the new address: {}",
                new.address
            )));
        }
        put(&self.places.confirmed(), id).map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> NotDone {
    NotDone::Failed(error.to_string())
}

fn shown(wanted: Wanted) -> Addressing {
    Addressing {
        interface: wanted.interface,
        dhcp: wanted.dhcp,
        address: wanted.address,
        gateway: wanted.gateway,
        dns: wanted.dns,
    }
}

impl Network for Net {
    fn look(&self) -> Later<'_, NetworkView> {
        Box::pin(async { self.view() })
    }

    fn change(&self, wanted: Addressing) -> Later<'_, Result<(), NotDone>> {
        let wanted = Wanted {
            interface: wanted.interface,
            dhcp: wanted.dhcp,
            address: wanted.address,
            gateway: wanted.gateway,
            dns: wanted.dns,
        };
        Box::pin(async move { self.ask(wanted) })
    }

    fn confirm(&self, id: String, at: Option<IpAddr>) -> Later<'_, Result<(), NotDone>> {
        Box::pin(async move { self.keep(&id, at) })
    }
}
