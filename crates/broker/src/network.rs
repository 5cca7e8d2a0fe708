//! A range of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network by its address and the length of its prefix, such as `172.17.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Without the bits behind the prefix.
    address: IpAddr,
    /// At least 1: no network is all addresses.
    length: u8,
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && cut(address, self.length) == self.address
    }
}

/// An address without the bits behind a prefix.
fn cut(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(length));
            Ipv4Addr::from_bits(v4.to_bits() & mask.unwrap_or(0)).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(length));
            Ipv6Addr::from_bits(v6.to_bits() & mask.unwrap_or(0)).into()
        }
    }
}

/// A text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a network such as 172.17.0.0/16")]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, length) = text.split_once('/').ok_or(NoNetwork)?;
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = length
            .parse()
            .ok()
            .filter(|length| (1..=longest).contains(length));
        let length = length.ok_or(NoNetwork)?;
        let address = cut(address, length);
        Ok(Self { address, length })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_behind_its_prefix() {
        for (network, address, want) in [
            ("172.17.0.0/16", "172.17.255.1", true),
            ("172.17.0.9/16", "172.17.0.2", true),
            ("172.17.0.0/16", "172.18.0.1", false),
            ("172.17.0.0/16", "::ffff:172.17.0.2", true),
            ("10.0.0.5/32", "10.0.0.5", true),
            ("10.0.0.5/32", "10.0.0.4", false),
            ("128.0.0.0/1", "200.1.1.1", true),
            ("fd00:1::/64", "fd00:1::2", true),
            ("fd00:1::/64", "fd00:2::2", false),
            ("fd00:1::/64", "10.0.0.5", false),
        ] {
            let found: Network = network.parse().unwrap();
            assert_eq!(
                found.contains(address.parse().unwrap()),
                want,
                "{network} {address}"
            );
        }
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/0",
            "10.0.0.0/33",
            "::/0",
            "a/8",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork), "{text}");
        }
        assert_eq!(
            "172.17.3.4/16".parse::<Network>().unwrap().to_string(),
            "172.17.0.0/16"
        );
    }
}
