//! The sections of the file that are about the gateway itself, as they are written. Types, buses
//! and devices are read by their bridge; what belongs together is checked in `resolve`.

use std::fmt;
use std::net::SocketAddr;

use fieldgate_model::{PayloadFormat, check_name};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// The only version of the file's format.
pub(crate) const VERSION: u64 = 1;
/// MQTT's own port.
const PORT: u16 = 1883;

/// A name that is one level of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        check_name(&name).map_err(de::Error::custom)?;
        Ok(Self(name))
    }
}

/// `gateway:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    #[serde(default = "gateway_name")]
    pub(crate) name: Name,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            name: gateway_name(),
        }
    }
}

fn gateway_name() -> Name {
    Name("fieldgate".to_owned())
}

/// `broker:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Broker {
    pub(crate) listen: Listen,
    pub(crate) allow_anonymous: bool,
    /// The users file, from the folder of the configuration on.
    pub(crate) users: Option<String>,
}

/// `broker.listen:`; a protocol without an address is off.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    #[serde(default)]
    pub(crate) tcp: Option<Address>,
}

impl Default for Listen {
    /// Without any word about listening, MQTT's port on all addresses.
    fn default() -> Self {
        Self {
            tcp: Some(Address::Port(PORT)),
        }
    }
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A port on every address of the machine.
    Port(u16),
    One(SocketAddr),
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressVisitor)
    }
}

struct AddressVisitor;

impl Visitor<'_> for AddressVisitor {
    type Value = Address;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a port 0..=65535 or \"address:port\" such as \"127.0.0.1:1883\" or \"[::1]:1883\"",
        )
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Address, E> {
        match u16::try_from(value) {
            Ok(port) => Ok(Address::Port(port)),
            Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
        text.parse()
            .map(Address::One)
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// `mqtt:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mqtt {
    pub(crate) topic: String,
    pub(crate) payload: PayloadFormat,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            topic: "{gateway}/{device}/{point}".to_owned(),
            payload: PayloadFormat::Json,
        }
    }
}
