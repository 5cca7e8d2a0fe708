//! What the log says of limits and refusals, each of them once.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::session_slot::SessionSlot;
use crate::hub::Hub;
use crate::origin::Remote;
use crate::shown::shown;

impl Hub {
    /// Says, once for each address and limit, that connections are refused.
    pub(crate) fn note_refused_connections(&self, key: &str, address: Option<IpAddr>) {
        if !self.access.is_first((key, address)) {
            return;
        }
        match address {
            Some(address) => log::warn!(
                "connections of {address} are refused: it has as many as broker.limits.{key} allows"
            ),
            None => log::warn!(
                "connections are refused: there is no room for more within broker.limits.{key}"
            ),
        }
    }

    /// Another connection brings the identifier of a client that is connected. Two devices that both have it do that to
    /// each other for ever, so the log says where they are, once.
    pub(crate) fn note_takeover(&self, slot: &SessionSlot, old: Remote, new: Remote) {
        let client = slot.client_id();
        if old.ip() != new.ip() && self.access.is_first((client, old.ip(), new.ip())) {
            let client = shown(client);
            log::warn!(CLIENT = client.as_str(); "client {client} was connected from {old}, and now comes from {new}: \
                 the older connection ends. If it goes on, two devices have the same client identifier");
        }
    }

    /// A client met a limit, which `key` sets. Of each client and limit the log hears once.
    pub(crate) fn note_limit(&self, slot: &SessionSlot, topic: &str, key: &str) {
        let client = slot.client_id();
        if self.access.is_first((key, client)) {
            let (client, topic) = (shown(client), shown(topic));
            log::warn!(TOPIC = topic.as_str(); "client {client}: refused on {topic}: it has reached broker.limits.{key}");
        }
    }

    /// A message was published, but could not be retained.
    pub(crate) fn note_retained_full(&self, topic: &str) {
        let refused = &self.own_counters().retained_refused;
        if refused.fetch_add(1, Ordering::Relaxed) == 0 {
            let topic = shown(topic);
            log::warn!(TOPIC = topic.as_str(); "{topic}: not retained: retained messages take as much memory as they may, \
                 three eighths of broker.limits.memory");
        }
    }
}
