//! Another door of the same house, such as a web page: it asks about the broker's users, and shows what it counts.

mod snapshot;

pub use snapshot::ClientView;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::counters::Totals;
use crate::hub::Hub;
use fieldgate_broker_access::NotLetIn;
use fieldgate_broker_core::reserved::is_brokers;
use fieldgate_broker_store::Store;

/// What another door may ask of a broker. It may be kept when the broker is gone: then no user is let in.
#[derive(Clone, Debug)]
pub struct Door(Arc<Hub>);

impl Door {
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        Self(Arc::clone(hub))
    }

    /// Whether a user has this password. The attempts of an address count with its logins over MQTT. To be called on a
    /// tokio runtime, whose blocking threads do the work.
    ///
    /// # Errors
    ///
    /// Why the user is not let in.
    pub async fn authenticate(
        &self,
        user: &str,
        password: &[u8],
        peer: IpAddr,
    ) -> Result<(), NotLetIn> {
        self.0.access.authenticate(user, password, peer).await
    }

    /// Counts a failure of an address that showed something else than a password, and says what to tell it.
    pub fn refuse(&self, peer: IpAddr) -> NotLetIn {
        self.0.access.refuse(peer)
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0
    }

    /// Whether a client may publish to a topic, its own rules aside: a name that is valid, and not the broker's or the
    /// program's own.
    pub fn is_open(&self, topic: &str) -> bool {
        fieldgate_mqtt::topic::name_is_valid(topic)
            && !is_brokers(topic)
            && self.0.access.own().levels_of(topic).is_none()
    }

    /// Counts since the start.
    pub fn totals(&self) -> Totals {
        self.0.totals()
    }

    /// Clients connected now, links not counted.
    pub fn connected(&self) -> usize {
        self.0.online.load(Ordering::Relaxed)
    }

    /// Whether what has to outlive the process does.
    pub fn is_keeping(&self) -> bool {
        self.0.store.as_ref().is_none_or(Store::is_keeping)
    }
}
