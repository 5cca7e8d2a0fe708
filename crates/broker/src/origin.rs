//! Where a connection comes from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is known of a client before it has said anything.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) remote: Remote,
    /// The common name of the certificate that the client has shown, which an authority of the
    /// listener has signed.
    pub(crate) subject: Option<Box<str>>,
    /// What the listener says of clients without a name; `None` as the broker does.
    pub(crate) allow_anonymous: Option<bool>,
}

/// The other end of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Remote {
    Tcp(SocketAddr),
    Unix,
}

impl Origin {
    /// Whether the client runs on this machine.
    pub(crate) fn is_local(&self) -> bool {
        match self.remote {
            Remote::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Remote::Unix => true,
        }
    }

    /// The address for counting failed logins; those of a Unix socket are of this machine.
    pub(crate) fn ip(&self) -> IpAddr {
        self.remote.ip()
    }
}

impl Remote {
    /// The address; a Unix socket's is this machine.
    pub(crate) fn ip(&self) -> IpAddr {
        match self {
            Self::Tcp(address) => address.ip().to_canonical(),
            Self::Unix => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix socket"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.remote.fmt(f)
    }
}

/// One customer of IPv6 has 2^64 addresses, so they count as one.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()
        }
        other => other,
    }
}
