//! Where a connection comes from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::network::Network;

/// What is known of a client before it has said anything.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) remote: Remote,
    /// The client runs on this machine.
    pub(crate) is_local: bool,
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
    /// The address for counting failed logins; those of a Unix socket are of this machine.
    pub(crate) fn ip(&self) -> IpAddr {
        self.remote.ip()
    }
}

impl Remote {
    /// Whether it is on this machine. A connection from an address of this machine to itself has that address at both
    /// ends, `own` being that of this end.
    pub(crate) fn is_local(&self, own: Option<IpAddr>, networks: &[Network]) -> bool {
        let Self::Tcp(address) = self else {
            return true;
        };
        let ip = address.ip().to_canonical();
        ip.is_loopback()
            || own.is_some_and(|own| own.to_canonical() == ip)
            || networks.iter().any(|network| network.contains(ip))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_this_machine_come_by_loopback_by_its_own_addresses_and_from_its_containers() {
        let networks = ["172.17.0.0/16".parse().unwrap()];
        for (peer, own, want) in [
            ("127.0.0.1:5", "127.0.0.1", true),
            ("127.8.0.1:5", "127.0.0.1", true),
            ("[::1]:5", "::1", true),
            ("192.168.1.10:5", "192.168.1.10", true),
            ("[::ffff:192.168.1.10]:5", "192.168.1.10", true),
            ("192.168.1.11:5", "192.168.1.10", false),
            ("172.17.0.2:5", "172.17.0.1", true),
            ("172.18.0.2:5", "172.18.0.1", false),
        ] {
            let remote = Remote::Tcp(peer.parse().unwrap());
            let own = Some(own.parse().unwrap());
            assert_eq!(remote.is_local(own, &networks), want, "{peer}");
        }
        assert!(Remote::Unix.is_local(None, &[]));
    }
}
