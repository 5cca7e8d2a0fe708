//! `provision.yaml` as it is written, read into something that cannot be wrong. Pure.

use std::net::IpAddr;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use fieldgate_config::check_user_name;

/// The whole file. What it does not name stays as it is on the board.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(rename = "version")]
    _version: Version,
    #[serde(default)]
    pub hostname: Option<HostName>,
    #[serde(default)]
    pub timezone: Option<TimeZone>,
    #[serde(default)]
    pub ethernet: Option<Addressing>,
    #[serde(default)]
    pub wifi: Option<Wifi>,
    #[serde(default)]
    pub ssh: Option<Ssh>,
    #[serde(default)]
    pub mqtt: Option<MqttUser>,
}

/// The only version of the file's format.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(de::Error::custom(format!(
                "{other} is not known; this version reads 1"
            ))),
        }
    }
}

/// Text that a rule of its own accepts.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) String);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $check(&text).map_err(de::Error::custom)?;
                Ok(Self(text))
            }
        }
    };
}

checked!(
    /// One label of a host name (RFC 1123, section 2.1), in small letters.
    HostName,
    host_name
);
checked!(
    /// A name of the time zone database, such as `Europe/Berlin`. Whether it is there is seen later.
    TimeZone,
    time_zone
);
checked!(
    /// A country by two capital letters (ISO 3166-1), which decides the permitted channels.
    Country,
    country
);
checked!(
    /// The name of a network, 1 to 32 bytes (IEEE 802.11, section 9.4.2.2).
    Ssid,
    ssid
);
checked!(
    /// A passphrase of WPA: 8 to 63 printable ASCII characters (IEEE 802.11, annex J.4).
    Passphrase,
    passphrase
);
checked!(
    /// One line of an `authorized_keys` file without options.
    PublicKey,
    public_key
);
checked!(
    /// A user name of the broker.
    UserName,
    check_user_name
);
checked!(
    /// A password of the broker, not empty, on one line.
    Password,
    password
);

fn host_name(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_good = (1..=63).contains(&text.len())
        && text.chars().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-');
    is_good.then_some(()).ok_or_else(|| {
        "1 to 63 small letters, digits and hyphens, and no hyphen at either end".to_owned()
    })
}

fn time_zone(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "+-_".contains(c);
    let is_good = text.len() <= 64
        && text
            .split('/')
            .all(|part| !part.is_empty() && part.chars().all(fits));
    is_good
        .then_some(())
        .ok_or_else(|| "expected a name such as Europe/Berlin or UTC".to_owned())
}

fn country(text: &str) -> Result<(), String> {
    let is_good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    is_good
        .then_some(())
        .ok_or_else(|| "expected two capital letters, such as DE".to_owned())
}

fn ssid(text: &str) -> Result<(), String> {
    (1..=32)
        .contains(&text.len())
        .then_some(())
        .ok_or_else(|| "the name of a Wi-Fi network has 1 to 32 bytes".to_owned())
}

fn passphrase(text: &str) -> Result<(), String> {
    let is_good = (8..=63).contains(&text.len()) && text.bytes().all(|b| (32..127).contains(&b));
    is_good
        .then_some(())
        .ok_or_else(|| "a Wi-Fi password has 8 to 63 letters, digits and signs of ASCII".to_owned())
}

fn password(text: &str) -> Result<(), String> {
    let is_good = (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control);
    is_good
        .then_some(())
        .ok_or_else(|| "a password has 1 to 1024 bytes and no control characters".to_owned())
}

/// What OpenSSH accepts without further settings.
const KEY_KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

fn public_key(text: &str) -> Result<(), String> {
    if text.contains("PRIVATE KEY") {
        return Err(
            "this is a private key, which belongs nowhere but on your PC; the public one is in the file \
             that ends in .pub"
                .to_owned(),
        );
    }
    let mut parts = text.split(' ');
    let kind = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default();
    if !KEY_KINDS.contains(&kind) {
        return Err(format!(
            "a public key begins with one of {}",
            KEY_KINDS.join(", ")
        ));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    // The body begins with the length of the kind, whose first bytes are zero.
    let is_good = body.len() >= 64
        && body.len().is_multiple_of(4)
        && body.starts_with("AAAA")
        && body.chars().all(fits)
        && text.len() <= 8192
        && !text.chars().any(char::is_control);
    is_good
        .then_some(())
        .ok_or_else(|| "the public key is cut or not on one line".to_owned())
}

/// `ssh:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ssh {
    /// All keys that may log in; those of before go.
    pub keys: Vec<PublicKey>,
}

/// `mqtt:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MqttUser {
    pub user: UserName,
    /// `None` once it has been taken.
    #[serde(default)]
    pub password: Option<Password>,
}

/// How an interface gets its address.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawAddressing")]
pub(crate) enum Addressing {
    Dhcp,
    Fixed(Fixed),
}

/// A fixed address.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fixed {
    pub address: Prefix,
    pub gateway: Option<IpAddr>,
    pub dns: Vec<IpAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAddressing {
    #[serde(default)]
    dhcp: bool,
    #[serde(default)]
    address: Option<Prefix>,
    #[serde(default)]
    gateway: Option<IpAddr>,
    #[serde(default)]
    dns: Vec<IpAddr>,
}

impl TryFrom<RawAddressing> for Addressing {
    type Error = String;

    fn try_from(raw: RawAddressing) -> Result<Self, String> {
        match (raw.dhcp, fixed(raw.address, raw.gateway, raw.dns)?) {
            (true, None) => Ok(Self::Dhcp),
            (true, Some(_)) => Err("dhcp: either `dhcp: true` or an address".to_owned()),
            (false, Some(fixed)) => Ok(Self::Fixed(fixed)),
            (false, None) => Err("either `dhcp: true` or an address is needed".to_owned()),
        }
    }
}

fn fixed(
    address: Option<Prefix>,
    gateway: Option<IpAddr>,
    dns: Vec<IpAddr>,
) -> Result<Option<Fixed>, String> {
    let Some(address) = address else {
        return match (gateway, dns.is_empty()) {
            (Some(_), _) => Err("gateway: makes no sense without `address`".to_owned()),
            (None, false) => Err("dns: makes no sense without `address`".to_owned()),
            (None, true) => Ok(None),
        };
    };
    if let Some(gateway) = gateway
        && !address.reaches(gateway)
    {
        return Err(format!(
            "gateway: {gateway} is not in the network of the address"
        ));
    }
    Ok(Some(Fixed {
        address,
        gateway,
        dns,
    }))
}

/// An address and the length of its network's part: `192.168.1.5/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub address: IpAddr,
    pub length: u8,
}

impl Prefix {
    /// Whether an address is in the same network. Routers of IPv6 may have link-local addresses.
    fn reaches(self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length));
                (u32::from(own) ^ u32::from(other)) & mask.unwrap_or(0) == 0
            }
            (IpAddr::V6(_), IpAddr::V6(_)) => true,
            _ => false,
        }
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || {
            de::Error::custom("expected an address with the length of its network: 192.168.1.5/24")
        };
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let length: u8 = length.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if length == 0 || length > longest {
            return Err(wrong());
        }
        Ok(Self { address, length })
    }
}

/// `wifi:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawWifi")]
pub(crate) struct Wifi {
    pub country: Country,
    pub ssid: Ssid,
    /// `None` once it has been taken.
    pub password: Option<Passphrase>,
    /// The network does not say its name, so it is asked for by it.
    pub hidden: bool,
    pub addressing: Addressing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWifi {
    country: Country,
    ssid: Ssid,
    #[serde(default)]
    password: Option<Passphrase>,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    address: Option<Prefix>,
    #[serde(default)]
    gateway: Option<IpAddr>,
    #[serde(default)]
    dns: Vec<IpAddr>,
}

impl TryFrom<RawWifi> for Wifi {
    type Error = String;

    fn try_from(raw: RawWifi) -> Result<Self, String> {
        let fixed = fixed(raw.address, raw.gateway, raw.dns)?;
        Ok(Self {
            country: raw.country,
            ssid: raw.ssid,
            password: raw.password,
            hidden: raw.hidden,
            addressing: fixed.map_or(Addressing::Dhcp, Addressing::Fixed),
        })
    }
}

/// The items of the file. Each is taken by itself.
pub(crate) const ITEMS: [&str; 6] = ["hostname", "timezone", "ethernet", "wifi", "ssh", "mqtt"];

impl Wanted {
    /// One item alone.
    pub(crate) fn only(&self, item: &str) -> Self {
        let is = |name: &str| name == item;
        Self {
            _version: Version,
            hostname: self.hostname.clone().filter(|_| is("hostname")),
            timezone: self.timezone.clone().filter(|_| is("timezone")),
            ethernet: self.ethernet.clone().filter(|_| is("ethernet")),
            wifi: self.wifi.clone().filter(|_| is("wifi")),
            ssh: self.ssh.clone().filter(|_| is("ssh")),
            mqtt: self.mqtt.clone().filter(|_| is("mqtt")),
        }
    }

    /// Whether it has no item.
    pub(crate) fn is_empty(&self) -> bool {
        ITEMS.iter().all(|item| match *item {
            "hostname" => self.hostname.is_none(),
            "timezone" => self.timezone.is_none(),
            "ethernet" => self.ethernet.is_none(),
            "wifi" => self.wifi.is_none(),
            "ssh" => self.ssh.is_none(),
            _ => self.mqtt.is_none(),
        })
    }

    /// Whether it has at least one SSH key.
    pub(crate) fn has_keys(&self) -> bool {
        self.ssh.as_ref().is_some_and(|ssh| !ssh.keys.is_empty())
    }
}
