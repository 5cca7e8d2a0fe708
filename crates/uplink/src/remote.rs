//! What is spoken with a remote: MQTT, or NATS. Lanes and disk see no difference.

use std::time::{Duration, Instant};

use fieldgate_mqtt::{Publish, Version};

use crate::client::{self, Client, Event};
use crate::nats;

/// The client's side of one connection.
#[derive(Debug)]
pub(crate) enum Remote {
    Mqtt(Client),
    Nats(Box<nats::Client>),
}

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Mqtt(#[from] client::Fault),
    #[error(transparent)]
    Nats(#[from] nats::Fault),
}

impl Fault {
    /// The remote speaks an older version only.
    pub(crate) fn is_version(&self) -> bool {
        matches!(self, Self::Mqtt(client::Fault::Version(_)))
    }
}

impl Remote {
    pub(crate) fn is_up(&self) -> bool {
        match self {
            Self::Mqtt(client) => client.is_up(),
            Self::Nats(client) => client.is_up(),
        }
    }

    /// Whether a message has pairs of names and values beside its payload.
    pub(crate) fn has_marks(&self) -> bool {
        match self {
            Self::Mqtt(client) => client.version() == Version::V5,
            Self::Nats(_) => true,
        }
    }

    /// What is spoken, in words, such as `MQTT 5.0`.
    pub(crate) fn protocol(&self) -> String {
        match self {
            Self::Mqtt(client) if client.version() == Version::V5 => "MQTT 5.0".to_owned(),
            Self::Mqtt(_) => "MQTT 3.1.1".to_owned(),
            Self::Nats(client) => format!("NATS {}", client.version()),
        }
    }

    /// Whether it may be a message's fault that the remote closes the connection. MQTT 3.1.1 has no other way to
    /// refuse one; NATS says what it refuses.
    pub(crate) fn closes_at_messages(&self) -> bool {
        matches!(self, Self::Mqtt(_))
    }

    pub(crate) fn take(
        &mut self,
        input: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Option<Event>, usize)>, Fault> {
        match self {
            Self::Mqtt(client) => Ok(client.take(input, now, out)?),
            Self::Nats(client) => Ok(client.take(input, now, out)?),
        }
    }

    /// Appends a message; false if it is too big.
    pub(crate) fn publish(
        &mut self,
        publish: &Publish<'_>,
        most: usize,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        match self {
            Self::Mqtt(client) => client.publish(publish, most, now, out),
            Self::Nats(client) => client.publish(publish, most, now, out),
        }
    }

    /// Acknowledges a message of the remote, where that is done.
    pub(crate) fn acknowledge(&mut self, publish: &Publish<'_>, now: Instant, out: &mut Vec<u8>) {
        match self {
            Self::Mqtt(client) => client.acknowledge(publish, now, out),
            Self::Nats(_) => {}
        }
    }

    /// Says goodbye, where that is done.
    pub(crate) fn disconnect(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mqtt(client) => client.disconnect(out),
            Self::Nats(_) => {}
        }
    }

    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Mqtt(client) => Ok(client.tick(now, out)?),
            Self::Nats(client) => Ok(client.tick(now, out)?),
        }
    }

    /// Whether it can be known what the remote has already.
    pub(crate) fn may_know(&self) -> bool {
        matches!(self, Self::Nats(_))
    }

    /// Whether the remote has the message of this name already, from an earlier connection.
    pub(crate) fn knows(&mut self, id: &str) -> bool {
        match self {
            Self::Mqtt(_) => false,
            Self::Nats(client) => client.knows(id),
        }
    }

    /// Nothing waits that may have been sent before.
    pub(crate) fn forget(&mut self) {
        if let Self::Nats(client) = self {
            client.forget();
        }
    }

    /// Messages that the remote had already, since the last call.
    pub(crate) fn take_duplicates(&mut self) -> u64 {
        match self {
            Self::Mqtt(_) => 0,
            Self::Nats(client) => client.take_duplicates(),
        }
    }

    /// What the next connection has to know; `None` if nothing.
    pub(crate) fn take_memory(&mut self) -> Option<nats::Memory> {
        match self {
            Self::Mqtt(_) => None,
            Self::Nats(client) => Some(client.take_memory()),
        }
    }
}

/// Seconds as MQTT has them.
pub(crate) fn seconds(time: Duration) -> u16 {
    time.as_secs().try_into().unwrap_or(u16::MAX)
}
