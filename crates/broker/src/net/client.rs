//! What a connection knows of its client.

mod intake;
mod subscribe;

use std::time::Duration;

use fieldgate_mqtt::Version;

use self::subscribe::Listed;
use crate::counters::Counted;
use crate::hub::Attached;
use fieldgate_broker_core::session::AliasesIn;

/// What a connection knows of its client after CONNECT.
pub(super) struct Client {
    pub(super) attached: Attached,
    pub(super) version: Version,
    /// It has marked itself as a bridge, which MQTT 3.1 and 3.1.1 have no other way to say.
    pub(super) is_bridge: bool,
    /// Its CONNACK is on its way; before that nothing else may be said (MQTT-3.14.0-1).
    pub(super) greeted: bool,
    /// 1.5 times the keep-alive; `None` if the client may be silent for ever.
    pub(super) silence: Option<Duration>,
    pub(super) aliases: AliasesIn,
    /// A packet that was taken in in part.
    pub(super) listed: Option<Box<Listed>>,
    /// Reason strings are only for clients that want them (MQTT-3.1.2-29).
    pub(super) explain: bool,
    /// The biggest packet that it takes, in bytes.
    pub(super) max_packet: usize,
    /// Counts it among those that a shutdown waits for.
    pub(super) _serving: Counted,
}

impl Client {
    /// What it makes the connection hold beside what was read, in bytes.
    pub(super) fn holds(&self) -> usize {
        self.aliases.bytes() + self.listed.as_ref().map_or(0, |listed| listed.bytes())
    }

    /// Nothing more is read: what only reading needs goes.
    pub(super) fn stop_reading(&mut self) {
        self.aliases = AliasesIn::default();
        self.listed = None;
    }
}
