//! An uplink with everything decided.

use std::path::PathBuf;
use std::time::Duration;

use fieldgate_mqtt::{QoS, topic};
use fieldgate_spool::ring::{Bounds, RING_MIN, SEGMENT, THIN_MIN, WhenFull};

use crate::lanes::{Order, Settings};
use crate::map::{Template, TopicRules};
pub use crate::pack::Pack;
pub use crate::url::{Scheme, Url};

/// Bytes of new messages that are held in memory.
const WINDOW_BYTES: usize = 4 << 20;

/// A remote with known limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// Only those that it tells itself.
    #[default]
    None,
    /// AWS IoT Core.
    Aws,
    /// Azure Event Grid.
    EventGrid,
    /// The MQTT listener of nats-server.
    Nats,
}

/// What a remote takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages a second.
    pub messages: Option<u32>,
    /// Bytes a second.
    pub bytes: Option<u64>,
    /// Unacknowledged messages.
    pub in_flight: u16,
    /// Bytes of a packet.
    pub packet: usize,
}

impl Preset {
    /// What it says of limits.
    ///
    /// Sources: "AWS IoT Core endpoints and quotas" (100 publishes/s, 512 KiB/s and 100 unacknowledged a connection, 128 KB
    /// a payload); "Azure Event Grid quotas and limits" of May 2026 (1,000 publishes/s, 1 MB/s and 1,000 unacknowledged a
    /// session, 512 KB a message).
    pub fn limits(self) -> Limits {
        let usual = Limits {
            messages: None,
            bytes: None,
            in_flight: 100,
            packet: 256 << 10,
        };
        match self {
            Self::None | Self::Nats => usual,
            Self::Aws => Limits {
                messages: Some(100),
                bytes: Some(512 << 10),
                packet: 128 << 10,
                ..usual
            },
            Self::EventGrid => Limits {
                messages: Some(1_000),
                bytes: Some(1_000_000),
                ..usual
            },
        }
    }

    /// What it says of topics.
    ///
    /// Sources: "AWS IoT Core endpoints and quotas" (256 bytes, 7 slashes); docs.nats.io, MQTT (spaces); "Azure Event Grid
    /// quotas and limits" of May 2026 (256 bytes, 15 segments).
    pub fn topics(self) -> TopicRules {
        let rules = TopicRules::default();
        match self {
            Self::None => rules,
            Self::Aws => TopicRules {
                slashes: Some(7),
                bytes: Some(256),
                ..rules
            },
            Self::EventGrid => TopicRules {
                slashes: Some(14),
                bytes: Some(256),
                ..rules
            },
            Self::Nats => TopicRules {
                no_spaces: true,
                ..rules
            },
        }
    }

    /// The shortest pause between two attempts, of which half may be left out. AWS and Event Grid take one connection a
    /// second of a client. Sources: as of [`Self::limits`].
    pub fn pause(self) -> Duration {
        Duration::from_secs(match self {
            Self::None | Self::Nats => 1,
            Self::Aws | Self::EventGrid => 2,
        })
    }

    /// Bytes of a client identifier at most, if it says that.
    ///
    /// Source: "AWS IoT Core endpoints and quotas".
    pub fn client_id(self) -> Option<usize> {
        (self == Self::Aws).then_some(128)
    }

    /// Filters in one SUBSCRIBE at most. Sources: as of [`Self::limits`].
    pub fn filters(self) -> usize {
        match self {
            Self::Aws => 8,
            Self::EventGrid => 10,
            Self::None | Self::Nats => 100,
        }
    }

    /// Whether only MQTT 3.1.1 is spoken, and no first attempt is spent on another.
    pub fn is_v4(self) -> bool {
        self == Self::Nats
    }
}

/// Which messages the remote keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retain {
    /// Those that are kept here; after each connect first the values that are kept now.
    #[default]
    Last,
    /// None.
    Never,
    /// Those that are published so while the connection is up.
    AsPublished,
}

/// Which messages go up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Topic filters.
    pub topics: Vec<String>,
    /// Of those, these not.
    pub except: Vec<String>,
    /// The topic there.
    pub to: Template,
    /// 0 or 1. With 0 nothing is kept for another connection.
    pub qos: QoS,
    /// Which are kept there.
    pub retain: Retain,
    /// A topic has at most one message in this time, the last one.
    pub min_interval: Option<Duration>,
}

impl Forward {
    /// Whether it is for messages of this topic.
    pub fn takes(&self, topic: &str) -> bool {
        let matches = |filter: &String| topic::matches(filter, topic);
        self.topics.iter().any(matches) && !self.except.iter().any(matches)
    }
}

/// Which messages come down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// Topic filters of the remote.
    pub topics: Vec<String>,
    /// The topic here.
    pub to: Template,
    /// Older ones are not taken.
    pub max_age: Option<Duration>,
}

/// Files for encryption, read before each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The authorities of the remote's certificate; the system's if absent.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// What waits for the remote, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Bytes on the card.
    pub max: u64,
    /// Older messages are not sent any more.
    pub age: Option<Duration>,
    /// What happens beyond `max`.
    pub when_full: WhenFull,
    /// How long a message is in memory at most before it goes to the card.
    pub window: Duration,
    /// What is not acknowledged before it is safe.
    pub durable: Durable,
}

/// Which messages are safe, at the remote or on the card, before or soon after they are acknowledged here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durable {
    /// None: those of the last moments are lost with the power.
    None,
    /// Those of clients, with QoS 1 and 2: they are acknowledged when they are safe.
    #[default]
    Clients,
    /// These, and what the gateway itself publishes, soon after.
    All,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            max: 256 << 20,
            age: Some(Duration::from_secs(7 * 86_400)),
            when_full: WhenFull::DropOldest,
            window: Duration::from_secs(10),
            durable: Durable::default(),
        }
    }
}

impl Spool {
    /// The least `max`.
    pub const MIN: u64 = RING_MIN;
    /// The least `max` with [`WhenFull::Thin`].
    pub const THIN_MIN: u64 = THIN_MIN;

    /// Hours that it lasts without the remote if so many readings come each second, and bytes that are written a day
    /// then.
    ///
    /// Of a reading of 118 bytes 25 are left in a block, which is padded to 4 KiB (measured on JSON payloads). In the
    /// ring no block is written more often than once a window.
    pub fn estimate(&self, messages_per_second: f64) -> (f64, f64) {
        const STORED: f64 = 25.0;
        const HEADER: f64 = 96.0;
        const SECTOR: f64 = 4096.0;
        const PER_BLOCK: f64 = 480.0;
        // Fewer than one in a hundred years are none.
        let rate = messages_per_second.max(1e-9);
        let each_window = (rate * self.window.as_secs_f64()).max(1.0);
        let whole = (each_window / PER_BLOCK).floor();
        let rest = each_window - whole * PER_BLOCK;
        let block = |messages: f64| ((HEADER + messages * STORED) / SECTOR).ceil() * SECTOR;
        let bytes = whole * block(PER_BLOCK) + if rest > 0.0 { block(rest) } else { 0.0 };
        let per_second = bytes / (each_window / rate);
        (
            self.max as f64 / per_second / 3_600.0,
            per_second * 86_400.0,
        )
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            bytes: self.max,
            segment: SEGMENT,
            age: self
                .age
                .map(|age| age.as_millis().try_into().unwrap_or(u64::MAX)),
            when_full: self.when_full,
        }
    }
}

/// How a backlog goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// Before new messages, beside them, or after.
    pub order: Order,
    /// Its part beside new messages, above 0 and at most 1.
    pub share: f64,
    /// Where it goes instead of the messages' own topics.
    pub topic: Option<Template>,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            order: Order::Auto,
            share: 0.5,
            topic: None,
        }
    }
}

/// An uplink.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Its name.
    pub name: String,
    /// The gateway's name.
    pub gateway: String,
    /// How the topics begin where the gateway says something of its uplinks: these stay here.
    pub own: String,
    /// Tried in turn; at least one.
    pub urls: Vec<Url>,
    /// What kind of remote it is.
    pub preset: Preset,
    /// The client identifier.
    pub client_id: String,
    /// The user name.
    pub username: Option<String>,
    /// A file whose first line is the password, read before each connection.
    pub password_file: Option<PathBuf>,
    /// A file whose first line is a token for NATS, read before each connection.
    pub token_file: Option<PathBuf>,
    /// A file with a key pair for NATS, read before each connection.
    pub credentials: Option<PathBuf>,
    /// Certificates.
    pub files: Files,
    /// What goes up.
    pub forward: Vec<Forward>,
    /// Many messages go up as one.
    pub pack: Option<Pack>,
    /// What comes down.
    pub accept: Vec<Accept>,
    /// What waits.
    pub spool: Spool,
    /// How what has waited goes.
    pub replay: Replay,
    /// What the remote takes.
    pub limits: Limits,
    /// Between two packets at most, in whole seconds up to 65,535.
    pub keep_alive: Duration,
    /// The shortest and the longest pause between two attempts.
    pub reconnect: (Duration, Duration),
}

impl Config {
    /// Whether NATS is spoken, not MQTT.
    pub fn is_nats(&self) -> bool {
        self.urls.iter().any(|url| url.scheme.is_nats())
    }

    /// What the remote takes as a topic.
    pub fn rules(&self) -> TopicRules {
        TopicRules {
            is_subject: self.is_nats(),
            ..self.preset.topics()
        }
    }

    /// Topic filters of all that goes up: those that need a stream at NATS, and those that may have one.
    pub(crate) fn goes_to(&self) -> (Vec<String>, Vec<String>) {
        let rules = self.forward.iter().flat_map(|forward| {
            let made = forward.topics.iter();
            made.map(|filter| forward.to.apply_to_filter(filter))
        });
        let mut needed: Vec<String> = rules.collect();
        let late = self.replay.topic.iter();
        let late = late.flat_map(|topic| needed.iter().map(|filter| topic.apply_to_filter(filter)));
        let mut possible: Vec<String> = late.collect();
        if let Some(pack) = &self.pack {
            possible.append(&mut needed);
            needed.push(pack.topic.clone());
        }
        (needed, possible)
    }

    /// What the lanes keep to.
    pub(crate) fn lanes(&self) -> Settings {
        Settings {
            window: self.spool.window,
            window_bytes: WINDOW_BYTES,
            share: self.replay.share,
            order: self.replay.order,
            in_flight: self.limits.in_flight,
            messages: self.limits.messages,
            bytes: self.limits.bytes,
        }
    }
}
