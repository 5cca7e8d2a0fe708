//! One connection at a time: a pause, an attempt, or a socket with its client.

use std::pin::Pin;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{PacketId, QoS, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::client::{Client, Fault, Identity};
use crate::config::{Config, Preset};
use crate::net::{self, Boxed, Peer};

/// Bytes that wait for the socket at most, but for one message more.
pub(crate) const OUT_MAX: usize = 64 * 1024;
/// The longest password, in bytes.
const PASSWORD_MAX: u64 = 64 * 1024;
/// The packet identifier of our SUBSCRIBE: messages have lower ones.
const SUBSCRIBE: u16 = u16::MAX;

/// What is said of an end without a word.
pub(crate) const CLOSED: &str = "the remote closed the connection";

type Attempt = Pin<Box<dyn Future<Output = Result<(Boxed, Peer), net::Error>> + Send>>;

/// What there is of a connection.
pub(crate) enum Link {
    /// Nothing before this time.
    Pause(Instant),
    /// An attempt is under way.
    Opening(Attempt),
    /// A socket.
    Open(Box<Open>),
}

/// A socket and its client.
pub(crate) struct Open {
    read: ReadHalf<Boxed>,
    write: WriteHalf<Boxed>,
    pub(crate) client: Client,
    pub(crate) input: Vec<u8>,
    pub(crate) out: Vec<u8>,
    /// Bytes of `out` that are written.
    written: usize,
    is_flushed: bool,
    /// The largest packet that the remote takes, in bytes.
    pub(crate) packet: usize,
    pub(crate) retain: bool,
}

/// How to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// MQTT 5.0.
    V5,
    /// MQTT 3.1.1 as a bridge, to which mosquitto does not send its own messages.
    Bridge,
    /// MQTT 3.1.1. Most other servers take no bridges.
    V4,
}

impl Dialect {
    /// The first to try.
    pub(crate) fn first(preset: Preset) -> Self {
        match preset.is_v4() {
            true => Self::V4,
            false => Self::V5,
        }
    }

    /// What to try if the remote does not speak this one.
    pub(crate) fn next(self) -> Option<Self> {
        match self {
            Self::V5 => Some(Self::Bridge),
            Self::Bridge => Some(Self::V4),
            Self::V4 => None,
        }
    }

    fn version(self) -> Version {
        match self {
            Self::V5 => Version::V5,
            Self::Bridge | Self::V4 => Version::V4,
        }
    }
}

/// What has happened.
pub(crate) enum Event {
    /// The pause is over.
    Due,
    /// The attempt is.
    Opened(Result<(Boxed, Peer), net::Error>),
    /// Bytes came.
    Read,
    /// Bytes went.
    Wrote,
    /// The connection is gone.
    Ended(String),
}

impl Link {
    /// Waits for what happens next. Dropping the future loses nothing.
    pub(crate) async fn event(&mut self) -> Event {
        match self {
            Self::Pause(until) => {
                tokio::time::sleep_until((*until).into()).await;
                Event::Due
            }
            Self::Opening(attempt) => Event::Opened(attempt.as_mut().await),
            Self::Open(open) => open.event().await,
        }
    }

    pub(crate) fn open(&mut self) -> Option<&mut Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Pause(_) | Self::Opening(_) => None,
        }
    }
}

impl Open {
    /// Begins to speak.
    pub(crate) fn new(
        stream: Boxed,
        config: &Config,
        password: Option<&[u8]>,
        dialect: Dialect,
        now: Instant,
    ) -> Result<Self, Fault> {
        let identity = Identity {
            client_id: &config.client_id,
            username: config.username.as_deref(),
            password,
            keep_alive: config.keep_alive.as_secs().try_into().unwrap_or(u16::MAX),
            packet: u32::try_from(config.limits.packet.max(64 << 10)).unwrap_or(u32::MAX),
            bridge: dialect == Dialect::Bridge,
        };
        let mut out = Vec::new();
        let client = Client::new(dialect.version(), &identity, now, &mut out)?;
        let (read, write) = tokio::io::split(stream);
        Ok(Self {
            read,
            write,
            client,
            input: Vec::with_capacity(16 * 1024),
            out,
            written: 0,
            is_flushed: true,
            packet: 0,
            retain: false,
        })
    }

    async fn event(&mut self) -> Event {
        let rest = self.out.get(self.written..).unwrap_or_default();
        let has_work = !rest.is_empty() || !self.is_flushed;
        let write = async {
            match rest {
                [] => self.write.flush().await.map(|()| None),
                rest => self.write.write(rest).await.map(Some),
            }
        };
        tokio::select! {
            read = self.read.read_buf(&mut self.input) => match read {
                Ok(0) => Event::Ended(CLOSED.to_owned()),
                Ok(_) => Event::Read,
                Err(error) => Event::Ended(error.to_string()),
            },
            wrote = write, if has_work => match wrote {
                Ok(wrote) => {
                    self.is_flushed = wrote.is_none();
                    self.written += wrote.unwrap_or(0);
                    if self.written >= self.out.len() {
                        self.out.clear();
                        self.written = 0;
                    }
                    Event::Wrote
                }
                Err(error) => Event::Ended(error.to_string()),
            },
        }
    }

    /// Whether another message may be appended.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() - self.written < OUT_MAX
    }

    /// Asks for what comes down, in as many packets as the remote wants.
    pub(crate) fn subscribe(&mut self, config: &Config, now: Instant) -> Result<(), Fault> {
        let topics = config.accept.iter().flat_map(|accept| &accept.topics);
        let filters: Vec<_> = topics
            .map(|topic| (topic.as_str(), QoS::AtLeastOnce))
            .collect();
        for (number, filters) in (0..).zip(filters.chunks(config.preset.filters())) {
            if let Some(id) = PacketId::new(SUBSCRIBE - number) {
                self.client.subscribe(filters, id, now, &mut self.out)?;
            }
        }
        Ok(())
    }

    /// Says goodbye and waits a little for it to be sent.
    pub(crate) async fn leave(mut self, within: Duration) {
        self.client.disconnect(&mut self.out);
        let rest = self.out.get(self.written..).unwrap_or_default();
        let leave = async {
            if self.write.write_all(rest).await.is_ok() {
                // The connection ends either way.
                let _ = self.write.shutdown().await;
            }
        };
        let _ = tokio::time::timeout(within, leave).await;
    }
}

/// The first line of the password file.
pub(crate) async fn password(config: &Config) -> Result<Option<Vec<u8>>, String> {
    let Some(file) = config.password_file.clone() else {
        return Ok(None);
    };
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(&file);
        let read = opened.and_then(|file| file.take(PASSWORD_MAX).read_to_end(&mut bytes));
        read.map_err(|error| format!("{}: {error}", file.display()))?;
        let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        bytes.truncate(end.unwrap_or(bytes.len()));
        match bytes.is_empty() {
            true => Err(format!("{}: its first line is empty", file.display())),
            false => Ok(bytes),
        }
    });
    let bytes = read.await.map_err(|error| error.to_string())?;
    bytes.map(Some)
}

/// The pause after so many failures in a row: it doubles, and half of it is by chance, so that many gateways do not
/// come back at the same moment.
pub(crate) fn pause(
    failures: u32,
    (shortest, longest): (Duration, Duration),
    chance: f64,
) -> Duration {
    let doubled = shortest.saturating_mul(1_u32.checked_shl(failures.min(20)).unwrap_or(u32::MAX));
    doubled
        .min(longest)
        .mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_half_is_by_chance() {
        let seconds = Duration::from_secs;
        let range = (seconds(1), seconds(60));
        for (failures, chance, want) in [
            (0, 1.0, 1_000),
            (0, 0.0, 500),
            (3, 1.0, 8_000),
            (10, 1.0, 60_000),
            (4_000_000, 0.5, 45_000),
        ] {
            let pause = pause(failures, range, chance);
            assert_eq!(pause.as_millis(), want, "{failures} {chance}");
        }
    }
}
