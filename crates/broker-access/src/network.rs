//! Whose an address is.

use std::net::{IpAddr, Ipv6Addr};

/// One customer of IPv6 has 2^64 addresses, so they count as one.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()
        }
        other => other,
    }
}
