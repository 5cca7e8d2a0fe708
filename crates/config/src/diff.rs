//! What has to happen when one configuration takes the place of another.

use std::collections::BTreeSet;

use super::{Config, History};

/// The work of a reload. Devices that are in no list go on undisturbed.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Devices that are gone.
    pub removed: BTreeSet<String>,
    /// Devices that are new.
    pub added: BTreeSet<String>,
    /// Devices that must be stopped and started: they, or their bus, changed.
    pub changed: BTreeSet<String>,
    /// Buses that are new or that changed.
    pub buses: BTreeSet<String>,
    /// Keys whose change has no effect before a restart.
    pub need_restart: Vec<&'static str>,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares what runs with what is wanted.
pub fn diff(old: &Config, new: &Config) -> Changes {
    let mut changes = Changes::default();
    for (key, is_same) in [
        ("gateway.name", old.gateway == new.gateway),
        ("broker.listen", old.listen == new.listen),
        ("broker.tls", old.tls == new.tls),
        ("broker.store", old.store == new.store),
        (
            "broker.local_networks",
            old.local_networks == new.local_networks,
        ),
        ("broker.takeover", old.takeover == new.takeover),
        ("broker.limits", old.limits == new.limits),
        ("console", old.console == new.console),
        ("history", is_kept_alike(old, new)),
        (
            "mqtt.topic",
            // The gateway's name is a part of the topics; it has been named then.
            old.topics == new.topics || old.gateway != new.gateway,
        ),
        ("mqtt.payload", old.payload == new.payload),
        ("mqtt.points", old.point_topics == new.point_topics),
    ] {
        if !is_same {
            changes.need_restart.push(key);
        }
    }
    for (name, bus) in &new.buses {
        if old.buses.get(name) != Some(bus) {
            changes.buses.insert(name.clone());
        }
    }
    for (name, device) in &new.devices {
        let is_on = |bus| changes.buses.contains(bus);
        match old.devices.get(name) {
            Some(other) if other.kind == device.kind => {
                let keeps = |config: &Config| {
                    let history = config.history.as_ref();
                    history.and_then(|history| history.without.get(name).cloned())
                };
                let is_same = other == device
                    && keeps(old) == keeps(new)
                    && old.counters.get(name) == new.counters.get(name);
                if !is_same || device.bus().is_some_and(is_on) {
                    changes.changed.insert(name.clone());
                }
            }
            // One that another bridge serves now is gone and new.
            _ => {
                changes.added.insert(name.clone());
            }
        }
    }
    let is_gone = |name: &str, kind| new.devices.get(name).is_none_or(|new| new.kind != kind);
    let gone = old.devices.iter();
    let gone = gone.filter(|(name, device)| is_gone(name, device.kind));
    changes.removed = gone.map(|(name, _)| name.clone()).collect();
    changes
}

/// Whether history is kept in the same way, whatever the points are of which it is.
fn is_kept_alike(old: &Config, new: &Config) -> bool {
    let how = |config: &Config| {
        let mut history = config.history.clone();
        history
            .iter_mut()
            .for_each(|history| history.without.clear());
        history
    };
    how(old) == how(new)
}

impl Config {
    /// Takes over from `running` what cannot change without a restart.
    pub fn keep(&mut self, running: &Self) {
        self.gateway.clone_from(&running.gateway);
        self.listen.clone_from(&running.listen);
        self.tls.clone_from(&running.tls);
        self.local_networks.clone_from(&running.local_networks);
        self.takeover = running.takeover;
        self.limits.clone_from(&running.limits);
        self.console.clone_from(&running.console);
        self.history = match (self.history.take(), &running.history) {
            (Some(new), Some(running)) => Some(History {
                without: new.without,
                ..running.clone()
            }),
            (None, Some(running)) => Some(running.clone()),
            (_, None) => None,
        };
        self.topics = running.topics.clone();
        self.payload = running.payload;
    }
}
