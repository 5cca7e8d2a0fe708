//! Where a request comes from.

use std::fmt;
use std::net::IpAddr;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// None over a Unix socket, where only programs on this machine are.
    pub(crate) address: Option<IpAddr>,
    /// Over HTTPS.
    pub(crate) is_secure: bool,
}

impl Peer {
    /// Whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.address.is_none_or(|address| address.is_loopback())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("unix"),
        }
    }
}
