//! Who is connected and what is retained, for a person who looks: read on demand, so that it costs messages nothing.
//!
//! Each session is locked for as long as its numbers are copied, one after the other, as for `$SYS`.

use std::collections::BTreeMap;

use super::Door;
use crate::access::Principal;
use crate::hub::session_slot::{SessionSlot, Sink};
use fieldgate_broker_core::router::LevelView;

/// Subscriptions of one client that are told.
const SUBSCRIPTIONS_MAX: usize = 100;

/// A client, or a session that waits for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientView {
    /// The client identifier.
    pub client_id: String,
    /// Who it is; none without a user name.
    pub user: Option<String>,
    /// Where it is; none while it is not connected.
    pub remote: Option<String>,
    /// Topic filters with their quality of service, in order; at most 100.
    pub subscriptions: Vec<(String, u8)>,
    /// How many there are.
    pub subscription_count: usize,
    /// Messages that wait for it or are under way to it.
    pub waiting: usize,
    /// What the session takes in memory, in bytes, about.
    pub bytes: usize,
}

impl Door {
    /// Clients whose identifier or user has `wanted` in it, by identifier, from behind `after` on, at most `limit`. And
    /// how many there are of them.
    pub fn clients(&self, wanted: &str, after: &str, limit: usize) -> (Vec<ClientView>, usize) {
        let slots = self.hub().slots();
        let mut found = BTreeMap::new();
        let mut count = 0;
        for slot in &slots {
            let user = user(slot);
            let fits = |text: &str| text.contains(wanted);
            if !fits(slot.client_id()) && !user.as_deref().is_some_and(fits) {
                continue;
            }
            count += 1;
            if slot.client_id() > after {
                found.insert(slot.client_id(), slot);
                if found.len() > limit {
                    found.pop_last();
                }
            }
        }
        (found.into_values().map(|slot| view(slot)).collect(), count)
    }

    /// The levels below a prefix (`a/b`; none for the first level) among the topics of retained messages, by name, from behind `after`
    /// on, at most `limit`.
    pub fn retained_levels(
        &self,
        prefix: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<LevelView> {
        self.hub().retained().levels_below(prefix, after, limit)
    }
}

fn user(slot: &SessionSlot) -> Option<String> {
    match slot.principal() {
        Principal::User { name, .. } => Some(name.as_ref().to_owned()),
        Principal::Anonymous { .. } => None,
    }
}

fn view(slot: &SessionSlot) -> ClientView {
    let user = user(slot);
    let inner = slot.lock();
    let remote = match &inner.sink {
        Sink::Wire(wire) => Some(wire.remote.to_string()),
        Sink::Link(_) | Sink::Away => None,
    };
    let mut subscriptions: Vec<_> = inner
        .subscriptions
        .iter()
        .map(|(filter, grant)| (filter.to_string(), grant.qos as u8))
        .collect();
    let (waiting, bytes) = (inner.session.backlog(), inner.weight());
    drop(inner);
    let subscription_count = subscriptions.len();
    subscriptions.sort_unstable();
    subscriptions.truncate(SUBSCRIPTIONS_MAX);
    ClientView {
        client_id: slot.client_id().to_owned(),
        user,
        remote,
        subscriptions,
        subscription_count,
        waiting,
        bytes,
    }
}
