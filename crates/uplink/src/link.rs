//! One connection at a time: a pause, an attempt, or a socket with its client.

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fieldgate_mqtt::{PacketId, QoS, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::client::{Client, Identity};
use crate::config::{Config, Preset};
use crate::nats;
use crate::net::{self, Boxed, Opened};
use crate::remote::{Fault, Remote, seconds};
use crate::secrets::Secrets;
use crate::subject;

/// Bytes that wait for the socket at most, but for one message more.
pub(crate) const OUT_MAX: usize = 64 * 1024;
/// The packet identifier of our SUBSCRIBE: messages have lower ones.
const SUBSCRIBE: u16 = u16::MAX;

/// What is said of an end without a word.
pub(crate) const CLOSED: &str = "the remote closed the connection";

type Attempt = Pin<Box<dyn Future<Output = Result<Opened, net::Error>> + Send>>;

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
    pub(crate) client: Remote,
    pub(crate) input: Vec<u8>,
    pub(crate) out: Vec<u8>,
    /// Bytes of `out` that are written.
    written: usize,
    is_flushed: bool,
    /// Nothing is read before.
    read_at: Instant,
    may_rest: Arc<AtomicBool>,
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
    Opened(Result<Opened, net::Error>),
    /// Bytes came. There are more if it is false.
    Read(bool),
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
    /// Begins to speak. `has_old` if there may be messages that were sent before.
    pub(crate) fn new(
        opened: Opened,
        config: &Config,
        secrets: Secrets,
        dialect: Dialect,
        memory: nats::Memory,
        has_old: bool,
    ) -> Result<Self, Fault> {
        let now = Instant::now();
        let mut out = Vec::new();
        let client = match opened.url.scheme.is_nats() {
            true => {
                let settings = nats_settings(config, &opened, has_old);
                let client = nats::Client::new(settings, secrets.nats, memory, now);
                Remote::Nats(Box::new(client))
            }
            false => {
                let identity = Identity {
                    client_id: &config.client_id,
                    username: config.username.as_deref(),
                    password: secrets.password.as_deref(),
                    keep_alive: seconds(config.keep_alive),
                    packet: u32::try_from(most(config)).unwrap_or(u32::MAX),
                    bridge: dialect == Dialect::Bridge,
                };
                let client = Client::new(dialect.version(), &identity, now, &mut out)?;
                Remote::Mqtt(client)
            }
        };
        let (read, write) = tokio::io::split(opened.stream);
        let may_rest = opened.may_rest;
        let mut input = opened.greeting;
        input.reserve(16 * 1024);
        Ok(Self {
            read,
            write,
            client,
            input,
            out,
            written: 0,
            is_flushed: true,
            read_at: now,
            may_rest,
            packet: 0,
            retain: false,
        })
    }

    async fn event(&mut self) -> Event {
        let room = self.input.capacity() - self.input.len();
        let read_at = self.read_at;
        let read = async {
            if read_at > Instant::now() {
                tokio::time::sleep_until(read_at.into()).await;
            }
            self.read.read_buf(&mut self.input).await
        };
        let rest = self.out.get(self.written..).unwrap_or_default();
        let has_work = !rest.is_empty() || !self.is_flushed;
        let write = async {
            match rest {
                [] => self.write.flush().await.map(|()| None),
                rest => self.write.write(rest).await.map(Some),
            }
        };
        tokio::select! {
            read = read => match read {
                Ok(0) => Event::Ended(CLOSED.to_owned()),
                Ok(len) => Event::Read(len < room),
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

    /// Nothing is read before this time, so that many answers are read in one piece.
    pub(crate) fn read_at(&mut self, at: Instant) {
        self.read_at = at;
        self.may_rest.store(at > Instant::now(), Ordering::Relaxed);
    }

    /// Whether another message may be appended.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() - self.written < OUT_MAX
    }

    /// Asks for what comes down, in as many packets as the remote wants.
    pub(crate) fn subscribe(&mut self, config: &Config, now: Instant) -> Result<(), Fault> {
        let topics = config.accept.iter().flat_map(|accept| &accept.topics);
        let topics = topics.map(String::as_str);
        let client = match &mut self.client {
            Remote::Nats(client) => {
                client.subscribe(topics, &mut self.out);
                return Ok(());
            }
            Remote::Mqtt(client) => client,
        };
        let filters: Vec<_> = topics.map(|topic| (topic, QoS::AtLeastOnce)).collect();
        for (number, filters) in (0..).zip(filters.chunks(config.preset.filters())) {
            if let Some(id) = PacketId::new(SUBSCRIBE - number) {
                client.subscribe(filters, id, now, &mut self.out)?;
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

/// The largest packet that is taken of a remote, in bytes.
fn most(config: &Config) -> usize {
    config.limits.packet.max(64 << 10)
}

fn nats_settings(config: &Config, opened: &Opened, has_old: bool) -> nats::Settings {
    let chance = RandomState::new();
    let (needed, possible) = config.goes_to();
    let all = needed.into_iter().map(|filter| (filter, true));
    let all = all.chain(possible.into_iter().map(|filter| (filter, false)));
    let mut wanted: Vec<nats::Wanted> = Vec::new();
    for (filter, needs_stream) in all {
        let (subject, above) = subject::of_filter(&filter);
        for (subject, needs_stream) in [(Some(subject), needs_stream), (above, false)] {
            let Some(subject) = subject else { continue };
            if wanted.iter().all(|wanted| wanted.subject != subject) {
                wanted.push(nats::Wanted {
                    subject,
                    needs_stream,
                });
            }
        }
    }
    nats::Settings {
        name: config.client_id.clone(),
        is_encrypted: opened.url.scheme.is_encrypted(),
        most: most(config),
        keep_alive: config.keep_alive,
        secret: format!("{:016x}{:016x}", chance.hash_one(0), chance.hash_one(1)),
        wanted,
        has_old,
    }
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
