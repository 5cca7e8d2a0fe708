//! All sessions by client identifier, and how many each owner has.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::access::Principal;
use crate::session_slot::SessionSlot;
use crate::shown::shown;

/// Whose share a session takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    User(Arc<str>),
    /// Clients without a user name, from one address or, as one customer has so many, from one IPv6 network.
    Address(IpAddr),
    /// Clients without a user name of before the last start, and the program itself.
    Unknown,
}

/// The sessions that exist.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: HashMap<Box<str>, Arc<SessionSlot>, RandomState>,
    counts: HashMap<Owner, usize, RandomState>,
}

impl Owner {
    /// The owner of what `principal` leaves behind, who comes from `address` if that is known.
    pub(crate) fn of(principal: &Principal, address: Option<IpAddr>) -> Self {
        match (principal, address) {
            (Principal::User { name, .. }, _) => Self::User(Arc::clone(name)),
            (Principal::Anonymous { .. }, Some(address)) => Self::Address(address),
            (Principal::Anonymous { .. }, None) => Self::Unknown,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {}", shown(name)),
            Self::Address(address) => write!(f, "{address}"),
            Self::Unknown => f.write_str("clients without a user name"),
        }
    }
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, client_id: &str) -> Option<&Arc<SessionSlot>> {
        self.by_id.get(client_id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<SessionSlot>> {
        self.by_id.values()
    }

    /// Sessions of one owner.
    pub(crate) fn count_of(&self, owner: &Owner) -> usize {
        self.counts.get(owner).copied().unwrap_or(0)
    }

    /// The owner that has most.
    pub(crate) fn biggest_owner(&self) -> Option<Owner> {
        let biggest = self.counts.iter().max_by_key(|(_, count)| **count);
        biggest.map(|(owner, _)| owner.clone())
    }

    /// Puts a session in its place. Returns the one that it replaces.
    pub(crate) fn insert(&mut self, cell: Arc<SessionSlot>) -> Option<Arc<SessionSlot>> {
        *self.counts.entry(cell.owner().clone()).or_default() += 1;
        let replaced = self.by_id.insert(cell.client_id().into(), cell);
        if let Some(replaced) = &replaced {
            self.discount(replaced);
        }
        replaced
    }

    /// Takes out `cell`, unless another has its place.
    pub(crate) fn remove(&mut self, cell: &Arc<SessionSlot>) {
        let known = self.by_id.get(cell.client_id());
        if known.is_some_and(|known| Arc::ptr_eq(known, cell)) {
            self.by_id.remove(cell.client_id());
            self.discount(cell);
        }
    }

    fn discount(&mut self, cell: &SessionSlot) {
        if let Some(count) = self.counts.get_mut(cell.owner()) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(cell.owner());
            }
        }
    }
}
