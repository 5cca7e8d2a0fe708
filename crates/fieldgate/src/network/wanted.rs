//! An address that a person wants for an interface. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Name servers at most, as the resolver takes them.
const SERVERS_MAX: usize = 3;

/// A setting of an interface, as it comes from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) interface: String,
    /// The address comes from a server; else it is fixed.
    #[serde(default)]
    pub(crate) dhcp: bool,
    /// With the length of its network: `192.168.1.5/24`.
    #[serde(default)]
    pub(crate) address: Option<String>,
    #[serde(default)]
    pub(crate) gateway: Option<String>,
    #[serde(default)]
    pub(crate) dns: Vec<String>,
}

/// An address with the length of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) address: IpAddr,
    pub(crate) length: u8,
}

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let length: u8 = length.parse().map_err(|_| ())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (1..=longest).contains(&length).then_some(()).ok_or(())?;
        Ok(Self { address, length })
    }
}

impl Prefix {
    /// Whether an address is in the network.
    pub(crate) fn has(self, other: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
            IpAddr::V6(address) => u128::from(address),
        };
        let mask = u128::MAX << (128 - u32::from(self.length).min(128));
        self.address.is_ipv4() == other.is_ipv4() && (bits(self.address) ^ bits(other)) & mask == 0
    }

    /// The first and the last address of an IPv4 network, which no board may have.
    fn ends(self) -> Option<[Ipv4Addr; 2]> {
        let IpAddr::V4(address) = self.address else {
            return None;
        };
        let host = u32::MAX.checked_shr(self.length.into()).unwrap_or(0);
        let first = u32::from(address) & !host;
        (self.length < 31).then(|| [first, first | host].map(Ipv4Addr::from))
    }
}

/// Whether a board may have an address: not one of all, of many, of this machine or of one cable.
fn misfit(address: IpAddr) -> Option<&'static str> {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    [
        (address.is_unspecified(), "stands for no address"),
        (address.is_loopback(), "is for programs on one machine"),
        (address.is_multicast(), "is of a group"),
        (is_link_local, "is for one cable, and made by itself"),
        (is_broadcast, "is for all"),
    ]
    .into_iter()
    .find_map(|(is_it, text)| is_it.then_some(text))
}

impl Wanted {
    /// What is wrong with it, beginning with the key. `others` are the addresses of the other interfaces.
    pub(crate) fn wrong(&self, others: &[(String, Prefix)]) -> Option<String> {
        if !is_name(&self.interface) {
            return Some("interface: expected the name of one that is there".to_owned());
        }
        if self.dhcp {
            let is_alone = self.address.is_none() && self.gateway.is_none() && self.dns.is_empty();
            let text = "address: either by DHCP, or fixed";
            return (!is_alone).then(|| text.to_owned());
        }
        self.wrong_fixed(others).err()
    }

    fn wrong_fixed(&self, others: &[(String, Prefix)]) -> Result<(), String> {
        let example = "expected an address with the length of its network, such as 192.168.1.5/24";
        let text = self.address.as_deref().unwrap_or_default();
        let own: Prefix = text
            .parse()
            .map_err(|()| format!("address: {example}, found \"{text}\""))?;
        if let Some(why) = misfit(own.address) {
            return Err(format!("address: {} {why}", own.address));
        }
        let ends = own
            .ends()
            .unwrap_or([Ipv4Addr::UNSPECIFIED; 2])
            .map(IpAddr::V4);
        if ends.contains(&own.address) {
            return Err(format!(
                "address: {} is the first or the last of its network, which no device may have",
                own.address
            ));
        }
        for (name, other) in others.iter().filter(|(name, _)| *name != self.interface) {
            if other.address == own.address {
                return Err(format!("address: {name} has {}", own.address));
            }
            if other.has(own.address) || own.has(other.address) {
                return Err(format!(
                    "address: {text} and {}/{} of {name} are one network",
                    other.address, other.length
                ));
            }
        }
        if let Some(text) = &self.gateway {
            gateway(text, own, ends)?;
        }
        let mut seen = BTreeSet::new();
        if self.dns.len() > SERVERS_MAX {
            return Err(format!("dns: at most {SERVERS_MAX} addresses"));
        }
        for text in &self.dns {
            let server = text.parse::<IpAddr>().ok();
            let server = server.filter(|server| !server.is_unspecified() && !server.is_multicast());
            let server =
                server.ok_or_else(|| format!("dns: expected an address, found \"{text}\""))?;
            if !seen.insert(server) {
                return Err(format!("dns: {server} is there twice"));
            }
        }
        Ok(())
    }

    /// The file of systemd-networkd. What it is made of has been checked.
    pub(crate) fn file(&self) -> String {
        let mut text = format!(
            "# Written by the web console.\n[Match]\nName={}\n\n[Link]\nRequiredForOnline=no\n\n[Network]\n",
            self.interface
        );
        // Writing to a text does not fail.
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(text, "{key}={value}");
        };
        match &self.address {
            Some(address) if !self.dhcp => line("Address", address),
            _ => line("DHCP", "yes"),
        }
        if let Some(gateway) = &self.gateway {
            line("Gateway", gateway);
        }
        self.dns.iter().for_each(|server| line("DNS", server));
        line("IPv6PrivacyExtensions", "no");
        line("MulticastDNS", "yes");
        if self.dhcp {
            text += "\n[DHCP]\nClientIdentifier=mac\n";
        }
        text
    }

    /// Reads such a file, or one of provisioning or of the image.
    pub(crate) fn of_file(interface: &str, text: &str) -> Self {
        let mut found = Self {
            interface: interface.to_owned(),
            ..Self::default()
        };
        for line in text.lines() {
            match line.split_once('=') {
                Some(("DHCP", value)) => found.dhcp = value.trim() != "no",
                Some(("Address", value)) => found.address = Some(value.trim().to_owned()),
                Some(("Gateway", value)) => found.gateway = Some(value.trim().to_owned()),
                Some(("DNS", value)) => found.dns.push(value.trim().to_owned()),
                _ => {}
            }
        }
        found
    }
}

fn gateway(text: &str, own: Prefix, ends: [IpAddr; 2]) -> Result<(), String> {
    let gateway: IpAddr = text
        .parse()
        .map_err(|_| format!("gateway: expected an address, found \"{text}\""))?;
    let is_router = match gateway {
        // Routers of IPv6 have addresses of the cable.
        IpAddr::V6(address) => address.is_unicast_link_local() && own.address.is_ipv6(),
        IpAddr::V4(_) => false,
    };
    if !own.has(gateway) && !is_router {
        return Err(format!(
            "gateway: {gateway} is not in the network of {}/{}",
            own.address, own.length
        ));
    }
    if gateway == own.address || ends.contains(&gateway) {
        return Err(format!("gateway: {gateway} is no other device"));
    }
    Ok(())
}

/// What the kernel takes as the name of an interface, and files can be called.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=15).contains(&name.len()) && name.chars().all(is_plain) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(address: &str, gateway: &str, dns: &[&str]) -> Wanted {
        Wanted {
            interface: "eth0".to_owned(),
            dhcp: false,
            address: Some(address.to_owned()),
            gateway: Some(gateway.to_owned()).filter(|text| !text.is_empty()),
            dns: dns.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key_and_a_reason() {
        let others = [
            ("eth0".to_owned(), "192.168.1.9/24".parse().unwrap()),
            ("eth1".to_owned(), "10.0.0.7/24".parse().unwrap()),
        ];
        for (wanted, want) in [
            (
                fixed("192.168.1.5/24", "192.168.1.1", &["192.168.1.1", "9.9.9.9"]),
                None,
            ),
            (fixed("192.168.1.5/24", "", &[]), None),
            (fixed("10.1.0.0/31", "10.1.0.1", &[]), None),
            (fixed("2001:db8::5/64", "fe80::1", &["2620:fe::fe"]), None),
            (fixed("2001:db8::5/64", "2001:db8::1", &[]), None),
            (
                fixed("192.168.1.5", "", &[]),
                Some("address: expected an address with the length"),
            ),
            (fixed("192.168.1.5/33", "", &[]), Some("address: expected")),
            (
                fixed("192.168.1.0/24", "", &[]),
                Some("is the first or the last of its network"),
            ),
            (
                fixed("192.168.1.255/24", "", &[]),
                Some("is the first or the last of its network"),
            ),
            (
                fixed("127.0.0.1/8", "", &[]),
                Some("is for programs on one machine"),
            ),
            (fixed("224.0.0.5/24", "", &[]), Some("is of a group")),
            (fixed("169.254.3.4/16", "", &[]), Some("is for one cable")),
            (fixed("fe80::5/64", "", &[]), Some("is for one cable")),
            (fixed("0.0.0.0/8", "", &[]), Some("stands for no address")),
            (
                fixed("10.0.0.7/24", "", &[]),
                Some("address: eth1 has 10.0.0.7"),
            ),
            (
                fixed("10.0.0.8/16", "", &[]),
                Some("of eth1 are one network"),
            ),
            (
                fixed("192.168.1.5/24", "192.168.2.1", &[]),
                Some("gateway: 192.168.2.1 is not in the network"),
            ),
            (
                fixed("192.168.1.5/24", "192.168.1.255", &[]),
                Some("gateway: 192.168.1.255 is no other device"),
            ),
            (
                fixed("192.168.1.5/24", "192.168.1.5", &[]),
                Some("gateway: 192.168.1.5 is no other device"),
            ),
            (
                fixed("192.168.1.5/24", "fe80::1", &[]),
                Some("gateway: fe80::1 is not in the network"),
            ),
            (
                fixed("192.168.1.5/24", "router", &[]),
                Some("gateway: expected an address, found \"router\""),
            ),
            (
                fixed("192.168.1.5/24", "", &["dns"]),
                Some("dns: expected an address, found \"dns\""),
            ),
            (
                fixed("192.168.1.5/24", "", &["9.9.9.9", "9.9.9.9"]),
                Some("dns: 9.9.9.9 is there twice"),
            ),
            (
                fixed(
                    "192.168.1.5/24",
                    "",
                    &["9.9.9.1", "9.9.9.2", "9.9.9.3", "9.9.9.4"],
                ),
                Some("dns: at most 3"),
            ),
            (
                Wanted {
                    dhcp: true,
                    ..fixed("192.168.1.5/24", "", &[])
                },
                Some("either by DHCP, or fixed"),
            ),
            (
                Wanted {
                    interface: "../eth0".into(),
                    ..fixed("192.168.1.5/24", "", &[])
                },
                Some("interface: "),
            ),
        ] {
            let found = wanted.wrong(&others);
            match want {
                None => assert_eq!(found, None, "{wanted:?}"),
                Some(want) => assert!(
                    found.as_deref().is_some_and(|text| text.contains(want)),
                    "{wanted:?}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn a_file_says_what_was_wanted() {
        let wanted = fixed("192.168.1.5/24", "192.168.1.1", &["192.168.1.1", "9.9.9.9"]);
        let text = wanted.file();
        assert!(text.contains("[Match]\nName=eth0\n"), "{text}");
        assert_eq!(Wanted::of_file("eth0", &text), wanted);
        let dhcp = Wanted {
            interface: "eth0".into(),
            dhcp: true,
            ..Wanted::default()
        };
        assert_eq!(Wanted::of_file("eth0", &dhcp.file()), dhcp);
        let image = include_str!("../../../../deploy/network/80-fieldgate.network");
        assert_eq!(Wanted::of_file("eth0", image), dhcp);
    }
}
