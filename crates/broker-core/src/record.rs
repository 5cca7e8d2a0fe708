//! A session but for its queue and its subscriptions, as it outlives the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::Message;

/// A session but for its queue and its subscriptions.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// The client identifier.
    pub client_id: Box<str>,
    /// Who the client is.
    pub identity: Identity,
    /// How long it outlives its connection; `None` for ever.
    pub expiry: Option<Duration>,
    /// When the connection ended, in milliseconds of the store's time; `None` while there is one.
    pub away_since: Option<u64>,
    /// The number of the first message that was not sent before the connection ended; `None`
    /// while there is one.
    pub unsent_from: Option<u64>,
    /// What is published when the client has gone.
    pub will: Option<Will>,
}

/// Who a client is, as far as that outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Without a name.
    Anonymous {
        /// On this machine.
        local: bool,
        /// What its listener says of clients without a name, if it says anything.
        allowed: Option<bool>,
    },
    /// The user of this name.
    User(Arc<str>),
}

/// A will, and how long after the connection's end it is published (MQTT 5.0 section 3.1.3.2.2).
#[derive(Clone, Debug)]
pub struct Will {
    /// What is published.
    pub message: Message,
    /// How long after its publication it expires, if ever.
    pub lifetime: Option<Duration>,
    /// How long after the connection's end it is published.
    pub delay: Duration,
}

impl Will {
    /// The message to publish at `now`.
    pub fn at(self, now: Instant) -> Message {
        match self.lifetime {
            None => self.message,
            Some(lifetime) => {
                let publish = self.message.publish();
                Message::copy_of(&publish, Some(now + lifetime), self.message.pot())
            }
        }
    }
}
