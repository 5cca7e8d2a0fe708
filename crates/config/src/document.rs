//! The sections of the file that are about the gateway itself, as they are written. Types, buses
//! and devices are read by their bridge; what belongs together is checked in `resolve`.

use fieldgate_bridge::Period;
use fieldgate_broker::Network;
use fieldgate_model::{PayloadFormat, check_name};
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::limits::Limits;
use super::listen::{Listen, Tls};

/// The only version of the file's format.
pub(crate) const VERSION: u64 = 1;

/// A name that is one level of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub String);

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
    pub name: Name,
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
    pub listen: Listen,
    pub tls: Option<Tls>,
    pub allow_anonymous: bool,
    pub local_networks: LocalNetworks,
    pub takeover: Takeover,
    /// The users file, from the folder of the configuration on.
    pub users: Option<String>,
    pub store: Store,
    pub limits: Limits,
}

/// `broker.local_networks:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LocalNetworks(pub Vec<Network>);

/// More networks than this are not those of containers.
const NETWORKS_MAX: usize = 64;

impl<'de> Deserialize<'de> for LocalNetworks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<NetworkText>::deserialize(deserializer)?;
        if texts.len() > NETWORKS_MAX {
            let text = format!("expected at most {NETWORKS_MAX} networks");
            return Err(de::Error::custom(text));
        }
        Ok(Self(texts.into_iter().map(|text| text.0).collect()))
    }
}

struct NetworkText(Network);

impl<'de> Deserialize<'de> for NetworkText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// `broker.store:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Store {
    /// How often is written what an acknowledgement waits for, under load.
    pub commit: Option<Period>,
    /// How often is written what nothing waits for.
    pub retained: Option<Period>,
}

/// `broker.takeover:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takeover {
    #[default]
    SameUser,
    Any,
}

impl From<Takeover> for fieldgate_broker::Takeover {
    fn from(takeover: Takeover) -> Self {
        match takeover {
            Takeover::SameUser => Self::SameUser,
            Takeover::Any => Self::Any,
        }
    }
}

/// `mqtt:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mqtt {
    pub topic: String,
    pub payload: PayloadFormat,
    /// Whether each point has a topic of its own; absent: it has.
    pub points: Option<bool>,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            topic: "{gateway}/{device}/{point}".to_owned(),
            payload: PayloadFormat::Json,
            points: None,
        }
    }
}
