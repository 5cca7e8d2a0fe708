//! Whose share of the limits a session takes.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::shown::shown;
use fieldgate_broker_access::Principal;

/// Whose share a session takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    User(Arc<str>),
    /// Clients without a user name, from one address or, as one customer has so many, from one IPv6 network.
    Address(IpAddr),
    /// Clients without a user name of before the last start, and the program itself.
    Unknown,
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
