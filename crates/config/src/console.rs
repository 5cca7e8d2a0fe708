//! `console:`, as it is written, and what does not fit.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::listen::{Address, Place, SocketPath};

/// `console:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// Where it listens.
    pub listen: ConsoleListen,
    /// Names under which browsers may ask for it, beside those of the machine.
    #[serde(default)]
    names: Vec<HostName>,
    /// Whether passwords may go over the network unencrypted.
    #[serde(default)]
    pub allow_plain: bool,
    /// Whether every client that can connect may read figures.
    #[serde(default)]
    pub metrics: bool,
}

/// `console.listen:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleListen {
    http: Option<Spot>,
    https: Option<Spot>,
    unix: Option<Path>,
}

impl Console {
    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|HostName(name)| name.as_str())
    }
}

impl ConsoleListen {
    /// Plain HTTP.
    pub fn http(&self) -> Option<Address> {
        self.http.map(|Spot(address)| address)
    }

    /// HTTPS.
    pub fn https(&self) -> Option<Address> {
        self.https.map(|Spot(address)| address)
    }

    /// A Unix socket.
    pub fn unix(&self) -> Option<&PathBuf> {
        self.unix.as_ref().map(|Path(path)| path)
    }

    /// The keys with an address.
    pub(crate) fn addressed(&self) -> impl Iterator<Item = (&'static str, Address)> {
        let all = [("http", self.http()), ("https", self.https())];
        all.into_iter()
            .filter_map(|(key, place)| Some((key, place?)))
    }

    /// Whether other machines can connect.
    pub fn is_on_network(&self) -> bool {
        self.addressed().any(|(_, address)| address.is_on_network())
    }
}

/// What decides whether a console fits.
pub(crate) struct About {
    /// Nothing is written below `listen`.
    pub(crate) is_empty: bool,
}

/// What does not fit together: the key below `console`, and why.
pub(crate) fn misfits<'c>(console: &'c Console, about: &About) -> Vec<(Vec<&'c str>, &'c str)> {
    let About { is_empty } = *about;
    let mut found = Vec::new();
    let listen = &console.listen;
    if is_empty {
        found.push((vec!["listen"], "expected one of http, https, unix"));
    }
    let is_plain = listen.http().is_some_and(Address::is_on_network);
    if is_plain && listen.https.is_none() && !console.allow_plain {
        let text = "passwords would cross the network unencrypted: listen on 127.0.0.1, add https, or say \
            console.allow_plain: true";
        found.push((vec!["listen", "http"], text));
    }
    found
}

/// A port, or an address with one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spot(Address);

const SPOT: &str =
    "a port 0..=65535 or \"address:port\" such as \"127.0.0.1:8080\" or \"[::1]:8080\"";

impl<'de> Deserialize<'de> for Spot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpotVisitor)
    }
}

struct SpotVisitor;

impl Visitor<'_> for SpotVisitor {
    type Value = Spot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SPOT)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Spot, E> {
        let place = Address::of_port(value).map(Spot);
        place.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Spot, E> {
        let place = Address::of_text(text).map(Spot);
        place.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// The path of a socket, from the root.
#[derive(Clone, Debug, PartialEq)]
struct Path(PathBuf);

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let place = SocketPath::of_text(&text).map(|SocketPath(path)| Self(path));
        place.ok_or_else(|| {
            let expected = "the whole path of a socket such as \"/run/fieldgate/console.sock\"";
            de::Error::invalid_value(de::Unexpected::Str(&text), &expected)
        })
    }
}

/// The longest name of a host, in bytes (RFC 1035).
const NAME_MAX: usize = 253;

/// The name of a host, without a port.
#[derive(Clone, Debug, PartialEq)]
struct HostName(String);

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !text.is_empty() && text.len() <= NAME_MAX && text.chars().all(fits) {
            return Ok(Self(text));
        }
        let expected = "the name of a host such as \"gateway.plant.example\", without a port";
        Err(de::Error::invalid_value(
            de::Unexpected::Str(&text),
            &expected,
        ))
    }
}
