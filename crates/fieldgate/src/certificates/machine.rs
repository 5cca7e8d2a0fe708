//! Under which names and addresses this machine can be asked for.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fieldgate_certificate::Name;

/// Addresses of this machine that are looked at.
const ADDRESSES_MAX: usize = 16;
/// Flags of an address (linux/if_addr.h): of the moment, going, not there yet.
const UNSTEADY: u32 = 0x01 | 0x20 | 0x40;

/// The names of this machine, the one for the local network first, then `more`, then its addresses.
pub(crate) fn names(more: &[String]) -> Vec<Name> {
    let mut found: Vec<String> = own();
    found.extend(more.iter().cloned());
    found.push("localhost".to_owned());
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let all = addresses().into_iter().chain(loopback);
    found.extend(all.map(|address| address.to_string()));
    let mut names: Vec<Name> = Vec::new();
    for name in found.iter().filter_map(|name| name.parse().ok()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The name of this machine, with and without `.local`.
pub(crate) fn own() -> Vec<String> {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().into_owned();
    let short = name.split('.').next().unwrap_or_default().to_owned();
    let mut names = vec![format!("{short}.local"), short, name];
    names.retain(|name| !name.is_empty() && name != ".local");
    names.dedup();
    names
}

/// The addresses of this machine that others on the network can use. The files are the process's own view of the
/// network, which a hardened service may read as well.
fn addresses() -> Vec<IpAddr> {
    let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let mut found: Vec<IpAddr> = Vec::new();
    let v4 = v4(&text("/proc/self/net/fib_trie"));
    let v6 = v6(&text("/proc/self/net/if_inet6"));
    for address in v4.into_iter().chain(v6).take(ADDRESSES_MAX) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// Those in the kernel's table of routes: a leaf with an address, and below it what it is.
fn v4(text: &str) -> Vec<IpAddr> {
    let (mut found, mut leaf) = (Vec::new(), None);
    for line in text.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = leaf
            && !address.is_loopback()
            && !found.contains(&IpAddr::from(address))
        {
            found.push(address.into());
        }
    }
    found
}

/// Those in the kernel's list: 32 digits, index, length of the prefix, scope, flags, interface.
fn v6(text: &str) -> Vec<IpAddr> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let scope = words.nth(2)?;
        let flags = u32::from_str_radix(words.next()?, 16).ok()?;
        // Scope 0 is the whole network; what has another one is of this machine or this wire only.
        (scope == "00" && flags & UNSTEADY == 0).then(|| Ipv6Addr::from(address).into())
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_for_others_are_found_in_what_the_kernel_says() {
        let routes = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
            |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.168.7.0\n        /24 link UNICAST\n     \
            |-- 192.168.7.5\n        /32 host LOCAL\n     |-- 192.168.7.255\n        /32 link BROADCAST\n\
            Local:\n     |-- 192.168.7.5\n        /32 host LOCAL\n";
        assert_eq!(v4(routes), [IpAddr::from([192, 168, 7, 5])]);
        let list = "00000000000000000000000000000001 01 80 10 80       lo\n\
            fe800000000000000211223344556677 02 40 20 80     eth0\n\
            20010db8000000000000000000000007 02 40 00 80     eth0\n\
            20010db8000000000000000000000008 02 40 00 01     eth0\n\
            20010db8000000000000000000000009 02 40 00 40     eth0\nnonsense\n";
        assert_eq!(v6(list), ["2001:db8::7".parse::<IpAddr>().unwrap()]);
        assert!(v4("").is_empty() && v6("").is_empty());
    }

    #[test]
    fn the_name_for_the_local_network_comes_first() {
        let names: Vec<String> = names(&["plant.example".to_owned(), "not a name".to_owned()])
            .iter()
            .map(Name::to_string)
            .collect();
        assert!(names[0].ends_with(".local"), "{names:?}");
        for name in ["plant.example", "localhost", "127.0.0.1", "::1"] {
            assert!(names.iter().any(|known| known == name), "{names:?}");
        }
        assert!(!names.contains(&"not a name".to_owned()));
    }
}
