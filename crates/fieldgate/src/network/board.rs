//! The interfaces of this machine, as the kernel and systemd-networkd tell them in files.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Places;
use super::wanted::{Prefix, Wanted, is_name};

/// Interfaces that are looked at.
const INTERFACES_MAX: usize = 32;

/// An interface with a plug or an antenna.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) is_wired: bool,
    /// Whether a cable is plugged in, or a network joined.
    pub(crate) is_up: bool,
    pub(crate) mac: String,
    pub(crate) addresses: Vec<String>,
    /// What is set; `None` if nothing manages it.
    pub(crate) setting: Option<Wanted>,
}

/// The interfaces, by name.
pub(crate) fn interfaces(places: &Places) -> Vec<Interface> {
    let folder = places.at("sys/class/net");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_name(name))
        .take(INTERFACES_MAX)
        .collect();
    names.sort();
    let addresses = addresses(places);
    let one = |name: String| {
        let path = folder.join(&name);
        let text = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        // Of a card: not of a bridge, a container or a tunnel.
        (text("type").trim() == "1" && path.join("device").exists()).then(|| Interface {
            is_wired: !path.join("phy80211").exists() && !path.join("wireless").exists(),
            is_up: text("carrier").trim() == "1",
            mac: text("address").trim().to_owned(),
            addresses: addresses
                .get(&name)
                .into_iter()
                .flatten()
                .map(|own| format!("{}/{}", own.address, own.length))
                .collect(),
            setting: setting(places, &name, text("ifindex").trim()),
            name,
        })
    };
    names.into_iter().filter_map(one).collect()
}

/// What the file says that systemd-networkd takes for an interface.
fn setting(places: &Places, name: &str, index: &str) -> Option<Wanted> {
    let index: u32 = index.parse().ok()?;
    let about = places.at(&format!("run/systemd/netif/links/{index}"));
    let about = fs::read_to_string(about).ok()?;
    let file = about
        .lines()
        .find_map(|line| line.strip_prefix("NETWORK_FILE="))?;
    let file = places.at(file.trim_start_matches('/'));
    Some(Wanted::of_file(name, &fs::read_to_string(file).ok()?))
}

/// What is wrong with a setting on this board.
pub(crate) fn wrong(places: &Places, wanted: &Wanted) -> Option<String> {
    let all = interfaces(places);
    let mut wired = all.iter().filter(|one| one.is_wired);
    if !wired.any(|one| one.name == wanted.interface) {
        let names = all.iter().filter(|one| one.is_wired);
        let names: Vec<&str> = names.map(|one| one.name.as_str()).collect();
        return Some(format!(
            "interface: expected one with a cable: {}",
            names.join(", ")
        ));
    }
    let others = addresses(places);
    let others = others.into_iter();
    let others: Vec<(String, Prefix)> = others
        .flat_map(|(name, all)| all.into_iter().map(move |own| (name.clone(), own)))
        .filter(|(name, _)| name != "lo")
        .collect();
    wanted.wrong(&others)
}

/// The addresses of all interfaces, but those of one cable.
fn addresses(places: &Places) -> BTreeMap<String, Vec<Prefix>> {
    let text = |path: &str| fs::read_to_string(places.at(path));
    let mut found: BTreeMap<String, Vec<Prefix>> = BTreeMap::new();
    let routes = text("proc/self/net/route").unwrap_or_default();
    let local = text("proc/self/net/fib_trie").unwrap_or_default();
    for (name, prefix) in v4(&routes, &local) {
        found.entry(name).or_default().push(prefix);
    }
    for (name, prefix) in v6(&text("proc/self/net/if_inet6").unwrap_or_default()) {
        found.entry(name).or_default().push(prefix);
    }
    found
}

/// The kernel tells local addresses without interfaces, and networks with them.
fn v4(routes: &str, local: &str) -> Vec<(String, Prefix)> {
    let networks = routes.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |place: usize| u32::from_str_radix(words.get(place)?, 16).ok();
        let (network, gateway, mask) = (number(1)?, number(2)?, number(7)?);
        // Bytes of the network, as the machine keeps them.
        let address = |number: u32| Ipv4Addr::from(number.to_ne_bytes());
        let length = u32::from(address(mask)).count_ones() as u8;
        let prefix = Prefix {
            address: IpAddr::V4(address(network)),
            length,
        };
        let name = (*words.first()?).to_owned();
        (gateway == 0 && length > 0).then_some((name, prefix))
    });
    let networks: Vec<(String, Prefix)> = networks.collect();
    let mut found: Vec<(String, Prefix)> = Vec::new();
    let mut last = None;
    for line in local.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last
        {
            let of = networks.iter().filter(|(_, network)| network.has(address));
            let of = of.max_by_key(|(_, network)| network.length);
            if let Some((name, network)) = of {
                let own = Prefix {
                    address,
                    length: network.length,
                };
                let one = (name.clone(), own);
                if !found.contains(&one) {
                    found.push(one);
                }
            }
        }
    }
    found
}

fn v6(text: &str) -> Vec<(String, Prefix)> {
    let all = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = u128::from_str_radix(words.first()?, 16).ok()?;
        let length = u8::from_str_radix(words.get(2)?, 16).ok()?;
        let address = Ipv6Addr::from(address);
        let is_one = !address.is_unicast_link_local() && !address.is_loopback();
        let prefix = Prefix {
            address: IpAddr::V6(address),
            length,
        };
        is_one.then_some(((*words.get(5)?).to_owned(), prefix))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_with_their_interfaces() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
             eth1\t0000000A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let local = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.168.1.5\n        /32 host LOCAL\n     |-- 192.168.1.255\n\
             \x20       /32 link BROADCAST\n     |-- 10.0.3.4\n        /32 host LOCAL\nLocal:\n     |-- 192.168.1.5\n\
             \x20       /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        let shown = |all: Vec<(String, Prefix)>| {
            let all = all.into_iter();
            all.map(|(name, own)| format!("{name} {}/{}", own.address, own.length))
                .collect::<Vec<_>>()
        };
        if cfg!(target_endian = "little") {
            assert_eq!(
                shown(v4(routes, local)),
                ["eth0 192.168.1.5/24", "eth1 10.0.3.4/16"]
            );
        }
        let text = "20010db8000000000000000000000005 02 40 00 80     eth0\n\
             fe800000000000000000000000000005 02 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        assert_eq!(shown(v6(text)), ["eth0 2001:db8::5/64"]);
    }
}
