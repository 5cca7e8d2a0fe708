//! `broker.listen:` and `broker.tls:`, as they are written.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fieldgate_broker::{ClientCa, Origins, TlsSettings};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::named::{CERTIFICATE, KEY};

/// MQTT's own port.
const PORT: u16 = 1883;

/// `broker.listen:`; a protocol without an address is off.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// MQTT over TCP.
    #[serde(default)]
    pub tcp: Option<Entry<Address>>,
    /// MQTT over TLS.
    #[serde(default)]
    pub tls: Option<Entry<Address>>,
    /// MQTT over WebSocket.
    #[serde(default)]
    pub websocket: Option<Entry<Pages>>,
    /// MQTT over WebSocket over TLS.
    #[serde(default)]
    pub websocket_tls: Option<Entry<Pages>>,
    /// MQTT over a Unix socket.
    #[serde(default)]
    pub unix: Option<Entry<SocketPath>>,
}

impl Default for Listen {
    /// Without any word about listening, MQTT's port on all addresses.
    fn default() -> Self {
        Self {
            tcp: Some(Entry {
                place: Address::Port(PORT),
                allow_anonymous: None,
            }),
            tls: None,
            websocket: None,
            websocket_tls: None,
            unix: None,
        }
    }
}

impl Listen {
    /// Whether other machines can connect.
    pub fn is_on_network(&self) -> bool {
        self.addressed()
            .any(|(_, entry)| entry.place.address.is_on_network())
    }

    /// The listeners with an address, by their keys, in the order in which they are opened.
    pub fn addressed(&self) -> impl Iterator<Item = (&'static str, Entry<Pages>)> {
        let plain = |entry: &Option<Entry<Address>>| {
            entry.as_ref().map(|entry| Entry {
                place: Pages::of(entry.place),
                allow_anonymous: entry.allow_anonymous,
            })
        };
        [
            ("tcp", plain(&self.tcp)),
            ("tls", plain(&self.tls)),
            ("websocket", self.websocket.clone()),
            ("websocket_tls", self.websocket_tls.clone()),
        ]
        .into_iter()
        .filter_map(|(key, entry)| Some((key, entry?)))
    }
}

/// One listener: its place alone, or a mapping with more about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<P> {
    pub place: P,
    /// As the broker if it says nothing.
    pub allow_anonymous: Option<bool>,
}

/// What a listener can listen on.
pub trait Place: Sized {
    /// A mapping with this place and more.
    type Details: for<'de> Deserialize<'de>;

    /// What can stand for the place, for a message.
    const EXPECTED: &'static str;

    fn of_port(_port: u64) -> Option<Self> {
        None
    }

    fn of_text(text: &str) -> Option<Self>;

    /// # Errors
    ///
    /// What contradicts itself or is missing.
    fn of_details(details: Self::Details) -> Result<Entry<Self>, &'static str>;
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port on every address of the machine.
    Port(u16),
    /// This address.
    One(SocketAddr),
}

impl Address {
    /// Whether other machines can connect.
    pub fn is_on_network(self) -> bool {
        match self {
            Self::One(address) => !address.ip().is_loopback(),
            Self::Port(_) => true,
        }
    }

    /// Whether two sockets cannot have both.
    pub fn collides(self, other: Self) -> bool {
        let port = |address| match address {
            Self::Port(port) => port,
            Self::One(address) => address.port(),
        };
        let somewhere = match (self, other) {
            (Self::One(a), Self::One(b)) => {
                a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified()
            }
            _ => true,
        };
        port(self) == port(other) && port(self) != 0 && somewhere
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressDetails {
    port: Option<u16>,
    address: Option<SocketText>,
    allow_anonymous: Option<bool>,
}

impl Place for Address {
    type Details = AddressDetails;

    const EXPECTED: &'static str = "a port 0..=65535 or \"address:port\" such as \"127.0.0.1:1883\" or \"[::1]:1883\", \
         or a mapping of port or address, and allow_anonymous";

    fn of_port(port: u64) -> Option<Self> {
        u16::try_from(port).ok().map(Self::Port)
    }

    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::One)
    }

    fn of_details(details: AddressDetails) -> Result<Entry<Self>, &'static str> {
        let place = match (details.port, details.address) {
            (Some(port), None) => Self::Port(port),
            (None, Some(SocketText(address))) => Self::One(address),
            (Some(_), Some(_)) => return Err("address: either this or port, not both"),
            (None, None) => return Err("expected `port` or `address`"),
        };
        let allow_anonymous = details.allow_anonymous;
        Ok(Entry {
            place,
            allow_anonymous,
        })
    }
}

/// Where to listen, and for which web pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    pub address: Address,
    pub origins: Origins,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagesDetails {
    port: Option<u16>,
    address: Option<SocketText>,
    allow_anonymous: Option<bool>,
    origins: Option<Vec<OriginText>>,
}

impl Pages {
    /// For pages of the same host.
    fn of(address: Address) -> Self {
        Self {
            address,
            origins: Origins::SameHost,
        }
    }
}

impl Place for Pages {
    type Details = PagesDetails;

    const EXPECTED: &'static str = "a port 0..=65535 or \"address:port\" such as \"127.0.0.1:8083\" or \"[::1]:8083\", \
         or a mapping of port or address, allow_anonymous and origins";

    fn of_port(port: u64) -> Option<Self> {
        Address::of_port(port).map(Self::of)
    }

    fn of_text(text: &str) -> Option<Self> {
        Address::of_text(text).map(Self::of)
    }

    fn of_details(details: PagesDetails) -> Result<Entry<Self>, &'static str> {
        let entry = Address::of_details(AddressDetails {
            port: details.port,
            address: details.address,
            allow_anonymous: details.allow_anonymous,
        })?;
        let origins = details.origins.map(|list| {
            let list: Vec<String> = list.into_iter().map(|OriginText(text)| text).collect();
            match list.iter().any(|origin| origin == "*") {
                true => Origins::Any,
                false => Origins::These(list),
            }
        });
        Ok(Entry {
            place: Self {
                address: entry.place,
                origins: origins.unwrap_or_default(),
            },
            allow_anonymous: entry.allow_anonymous,
        })
    }
}

/// What a browser sends as `Origin`, or `*`.
struct OriginText(String);

impl<'de> Deserialize<'de> for OriginText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
            let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
            let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            !scheme.is_empty()
                && scheme.chars().all(is_scheme)
                && !host.is_empty()
                && host.chars().all(is_host)
        });
        if is_origin || text == "*" || text == "null" {
            return Ok(Self(text));
        }
        let found = de::Unexpected::Str(&text);
        let expected = "an origin as browsers send it, such as \"https://panel.example\" or \
            \"http://192.168.1.20:8080\", without a path, or \"*\" for all";
        Err(de::Error::invalid_value(found, &expected))
    }
}

/// `"address:port"`
struct SocketText(SocketAddr);

impl<'de> Deserialize<'de> for SocketText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            let found = de::Unexpected::Str(&text);
            let expected = "\"address:port\" such as \"127.0.0.1:1883\" or \"[::1]:1883\"";
            de::Error::invalid_value(found, &expected)
        })
    }
}

/// The path of a Unix socket, from the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPath(pub PathBuf);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathDetails {
    path: String,
    allow_anonymous: Option<bool>,
}

impl Place for SocketPath {
    type Details = PathDetails;

    const EXPECTED: &'static str =
        "the whole path of a socket such as \"/run/fieldgate/mqtt.sock\"";

    fn of_text(text: &str) -> Option<Self> {
        let path = Path::new(text);
        (path.is_absolute() && path.file_name().is_some()).then(|| Self(path.to_owned()))
    }

    fn of_details(details: PathDetails) -> Result<Entry<Self>, &'static str> {
        let path = Self::of_text(&details.path);
        Ok(Entry {
            place: path.ok_or("path: expected a whole path, from / on")?,
            allow_anonymous: details.allow_anonymous,
        })
    }
}

impl<'de, P: Place> Deserialize<'de> for Entry<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor(PhantomData))
    }
}

struct EntryVisitor<P>(PhantomData<P>);

impl<'de, P: Place> Visitor<'de> for EntryVisitor<P> {
    type Value = Entry<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(P::EXPECTED)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Entry<P>, E> {
        let place = P::of_port(value);
        let place =
            place.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))?;
        Ok(Entry {
            place,
            allow_anonymous: None,
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry<P>, E> {
        let place = P::of_text(text);
        let place = place.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
        Ok(Entry {
            place,
            allow_anonymous: None,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry<P>, A::Error> {
        let details = P::Details::deserialize(MapAccessDeserializer::new(map))?;
        P::of_details(details).map_err(de::Error::custom)
    }
}

/// `broker.tls:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawTls")]
pub(crate) struct Tls(TlsSettings);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    client_certificates: Option<ClientCertificates>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum ClientCertificates {
    Required,
    Optional,
}

impl TryFrom<RawTls> for Tls {
    type Error = &'static str;

    fn try_from(raw: RawTls) -> Result<Self, Self::Error> {
        let client_ca = match (raw.client_ca, raw.client_certificates) {
            (None, None) => None,
            (None, Some(_)) => {
                return Err("client_certificates: needs client_ca, the authority that signs them");
            }
            // A named authority means that its certificates are wanted.
            (Some(file), wanted) => Some(ClientCa {
                file,
                required: wanted != Some(ClientCertificates::Optional),
            }),
        };
        Ok(Self(TlsSettings {
            certificate: raw.certificate,
            key: raw.key,
            client_ca,
        }))
    }
}

/// The files of a certificate, without what it asks of clients: those of `broker.tls`, or the usual ones.
pub(crate) fn certificate(tls: Option<&TlsSettings>, configuration: &Path) -> TlsSettings {
    let folder = configuration.parent().unwrap_or(Path::new(""));
    let [certificate, key] = match tls {
        Some(tls) => [tls.certificate.clone(), tls.key.clone()],
        None => [CERTIFICATE, KEY].map(|file| folder.join(file)),
    };
    TlsSettings {
        certificate,
        key,
        client_ca: None,
    }
}

impl Tls {
    /// With its files beside the configuration's, unless they are somewhere else.
    pub(crate) fn beside(&self, configuration: &Path) -> TlsSettings {
        let folder = configuration.parent().unwrap_or(Path::new(""));
        let Self(settings) = self;
        TlsSettings {
            certificate: folder.join(&settings.certificate),
            key: folder.join(&settings.key),
            client_ca: settings.client_ca.as_ref().map(|ca| ClientCa {
                file: folder.join(&ca.file),
                required: ca.required,
            }),
        }
    }
}
