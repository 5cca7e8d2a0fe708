//! One uplink as it is written.

use std::path::PathBuf;

use fieldgate_bridge::{Backoff, Period};
use fieldgate_spool::ring;
use fieldgate_uplink::config as uplink;
use fieldgate_uplink::lanes;
use serde::Deserialize;

use super::text::{ByteRate, FilterText, MessageRate, QosNumber, Share, TemplateText, Urls};
use crate::limits::{Bytes, Count, Time};

/// `uplinks.NAME:`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Uplink {
    pub(super) url: Urls,
    pub(super) preset: Option<Preset>,
    pub(super) client_id: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) credentials: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    #[serde(default)]
    pub(super) forward: Vec<ForwardEntry>,
    pub(super) pack: Option<PackEntry>,
    #[serde(default)]
    pub(super) accept: Vec<AcceptEntry>,
    #[serde(default)]
    pub(super) spool: SpoolEntry,
    #[serde(default)]
    pub(super) replay: ReplayEntry,
    #[serde(default)]
    pub(super) limits: LimitsEntry,
    pub(super) keep_alive: Option<Time<5, 65_535>>,
    pub(super) reconnect: Option<Backoff>,
}

/// One of `forward:`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardEntry {
    pub(super) topics: Vec<FilterText>,
    #[serde(default)]
    pub(super) except: Vec<FilterText>,
    pub(super) to: Option<TemplateText>,
    pub(super) qos: Option<QosNumber>,
    pub(super) retain: Option<Retain>,
    pub(super) min_interval: Option<Time<1, 86_400>>,
}

/// `pack:`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackEntry {
    pub(super) topic: TemplateText,
    pub(super) every: Option<Time<1, 3_600>>,
    pub(super) max: Option<Bytes<2048, { 4 << 20 }>>,
}

/// One of `accept:`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptEntry {
    pub(super) topics: Vec<FilterText>,
    pub(super) to: Option<TemplateText>,
    pub(super) max_age: Option<Time<1, 86_400>>,
}

/// `spool:`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SpoolEntry {
    pub(super) max: Option<Bytes<{ uplink::Spool::MIN }, { 1 << 40 }>>,
    pub(super) age: Option<Period>,
    pub(super) when_full: Option<WhenFull>,
    pub(super) window: Option<Time<1, 600>>,
    pub(super) durable: Option<DurableText>,
}

/// `replay:`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReplayEntry {
    pub(super) order: Option<Sequence>,
    pub(super) share: Option<Share>,
    pub(super) topic: Option<TemplateText>,
}

/// `limits:`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsEntry {
    pub(super) messages: Option<MessageRate>,
    pub(super) bytes: Option<ByteRate>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) packet: Option<Bytes<1024, { 4 << 20 }>>,
}

/// 1 to 1,000.
#[derive(Deserialize)]
#[serde(try_from = "Count<1, 1000>")]
pub(crate) struct InFlight(pub(super) u16);

impl TryFrom<Count<1, 1000>> for InFlight {
    type Error = std::num::TryFromIntError;

    fn try_from(count: Count<1, 1000>) -> Result<Self, Self::Error> {
        u16::try_from(count.0).map(Self)
    }
}

/// Names, each with what it means.
macro_rules! names {
    ($name:ident => $into:ty { $($variant:ident => $value:expr),* $(,)? }) => {
        #[derive(Clone, Copy, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum $name {
            $($variant),*
        }

        impl From<$name> for $into {
            fn from(name: $name) -> Self {
                match name {
                    $($name::$variant => $value),*
                }
            }
        }
    };
}

names!(Preset => uplink::Preset {
    None => Self::None,
    Aws => Self::Aws,
    EventGrid => Self::EventGrid,
    Nats => Self::Nats,
});
names!(Retain => uplink::Retain {
    Last => Self::Last,
    Never => Self::Never,
    AsPublished => Self::AsPublished,
});
names!(DurableText => uplink::Durable {
    None => Self::None,
    Clients => Self::Clients,
    All => Self::All,
});
names!(WhenFull => ring::WhenFull {
    DropOldest => Self::DropOldest,
    DropNewest => Self::DropNewest,
    Thin => Self::Thin,
});
names!(Sequence => lanes::Order {
    Auto => Self::Auto,
    InOrder => Self::InOrder,
    FreshFirst => Self::FreshFirst,
});
