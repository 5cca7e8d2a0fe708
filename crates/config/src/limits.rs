//! `broker.limits:`, the bounds on what clients make the broker hold.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::Period;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Memory of a machine of which nothing is known, in bytes.
const UNKNOWN_MEMORY: u64 = 1 << 30;

/// The least and the most memory that clients get when nothing is configured, in bytes.
const MEMORY_USUAL: std::ops::RangeInclusive<u64> = 32 << 20..=256 << 20;

/// File descriptors that stay free for devices, files and the program itself.
const RESERVE: u64 = 64;

/// As it is written. What is absent is as the broker has it, or follows from the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    memory: Option<Bytes<{ 8 << 20 }, { 64 << 30 }>>,
    connections: Option<Count<1, 1_000_000>>,
    connections_per_address: Option<Count<1, 1_000_000>>,
    sessions: Option<Count<1, 10_000_000>>,
    sessions_per_user: Option<Count<1, 10_000_000>>,
    subscriptions: Option<Count<1, 1_000_000>>,
    packet_size: Option<Bytes<1024, { 256 << 20 }>>,
    inflight: Option<Count<1, 65_535>>,
    receive_maximum: Option<Count<1, 65_535>>,
    queued: Option<Count<1, 10_000_000>>,
    queued_bytes: Option<Bytes<1024, { 16 << 30 }>>,
    outbox: Option<Bytes<{ 64 << 10 }, { 1 << 30 }>>,
    topic_aliases: Option<Count<0, 65_535>>,
    connect_timeout: Option<Time<1, 600>>,
    logins: Option<Count<16, 100_000>>,
    failed_logins: Option<Count<1, 100_000>>,
    keep_alive: Option<Time<1, 65_535>>,
    backpressure: Option<Time<0, 60>>,
    session_expiry: Option<Time<1, { 100 * 365 * 86_400 }>>,
}

/// What the machine allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Bytes of memory, or of the limit that the service has.
    pub memory: Option<u64>,
    /// Files that the process may open.
    pub files: Option<u64>,
}

impl Limits {
    /// For the broker, on `machine`.
    pub fn on(&self, machine: Machine) -> fieldgate_broker::Limits {
        let usual = fieldgate_broker::Limits::default();
        let files = machine.files.map_or(u64::MAX, |files| {
            // With few files half of them is the best that there is.
            files.saturating_sub(RESERVE).max(files / 2)
        });
        let connections = count(self.connections, usual.connections).min(cut(files));
        let half = usual.connections_per_address.min(connections.div_ceil(2));
        let sessions = count(self.sessions, usual.sessions);
        fieldgate_broker::Limits {
            memory: bytes(self.memory, cut(usual_memory(machine.memory))),
            connections,
            connections_per_address: count(self.connections_per_address, half),
            sessions,
            sessions_per_user: count(
                self.sessions_per_user,
                usual.sessions_per_user.min(sessions),
            ),
            subscriptions: count(self.subscriptions, usual.subscriptions),
            packet_size: small(self.packet_size.map(|size| size.0), usual.packet_size),
            inflight: small(self.inflight.map(|count| count.0), usual.inflight),
            receive_maximum: small(
                self.receive_maximum.map(|count| count.0),
                usual.receive_maximum,
            ),
            queued: count(self.queued, usual.queued),
            queued_bytes: bytes(self.queued_bytes, usual.queued_bytes),
            outbox_bytes: bytes(self.outbox, usual.outbox_bytes),
            topic_aliases: small(self.topic_aliases.map(|count| count.0), usual.topic_aliases),
            connect_timeout: self
                .connect_timeout
                .map_or(usual.connect_timeout, |time| time.0),
            logins: count(self.logins, usual.logins),
            failed_logins: small(self.failed_logins.map(|count| count.0), usual.failed_logins),
            keep_alive: small(
                self.keep_alive.map(|time| time.0.as_secs()),
                usual.keep_alive,
            ),
            backpressure: self.backpressure.map_or(usual.backpressure, |time| time.0),
            session_expiry: self
                .session_expiry
                .map(|time| time.0)
                .or(usual.session_expiry),
            ..usual
        }
    }
}

/// An eighth of what there is.
fn usual_memory(memory: Option<u64>) -> u64 {
    let memory = memory.unwrap_or(UNKNOWN_MEMORY) / 8;
    memory.clamp(*MEMORY_USUAL.start(), *MEMORY_USUAL.end())
}

fn cut(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn count<const MIN: u64, const MAX: u64>(set: Option<Count<MIN, MAX>>, usual: usize) -> usize {
    set.map_or(usual, |count| cut(count.0))
}

fn bytes<const MIN: u64, const MAX: u64>(set: Option<Bytes<MIN, MAX>>, usual: usize) -> usize {
    set.map_or(usual, |bytes| cut(bytes.0))
}

fn small<T: TryFrom<u64>>(set: Option<u64>, usual: T) -> T {
    // What does not fit is out of range, and has been refused.
    set.and_then(|set| T::try_from(set).ok()).unwrap_or(usual)
}

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// A number of bytes: `4096`, `512K`, `64M`, `1G`, in powers of 1,024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// A time between so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time<const MIN: u64, const MAX: u64>(pub(crate) Duration);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = u64::deserialize(deserializer)?;
        match (MIN..=MAX).contains(&count) {
            true => Ok(Self(count)),
            false => Err(de::Error::custom(format!(
                "expected a number {MIN}..={MAX}, found {count}"
            ))),
        }
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Time<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = Period::deserialize(deserializer)?.get();
        let (least, most) = (Duration::from_secs(MIN), Duration::from_secs(MAX));
        match (least..=most).contains(&time) {
            true => Ok(Self(time)),
            false => Err(de::Error::custom(format!(
                "expected a time {MIN}s to {MAX}s"
            ))),
        }
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bytes<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = deserializer.deserialize_any(SizeVisitor)?;
        match (MIN..=MAX).contains(&size) {
            true => Ok(Self(size)),
            false => Err(de::Error::custom(format!(
                "expected a size from {} to {}",
                shown(MIN),
                shown(MAX)
            ))),
        }
    }
}

const UNITS: [(u64, char); 3] = [(1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];

/// A size as one would write it.
pub(crate) fn shown(size: u64) -> String {
    let unit = UNITS
        .into_iter()
        .find(|(unit, _)| size.is_multiple_of(*unit));
    unit.map_or_else(
        || size.to_string(),
        |(unit, letter)| format!("{}{letter}", size / unit),
    )
}

pub(crate) struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size in bytes such as 4096, 512K, 64M or 1G")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let plain = text.trim_end_matches("iB").trim_end_matches('B');
        let size = UNITS.into_iter().find_map(|(unit, letter)| {
            let number: u64 = plain.strip_suffix(letter)?.trim().parse().ok()?;
            number.checked_mul(unit)
        });
        size.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Limits, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_absent_follows_from_the_machine() {
        const MB: u64 = 1 << 20;
        for (memory, files, want) in [
            (None, None, (128, 20_000, 10_000)),
            (Some(1024 * MB), Some(65_536), (128, 20_000, 10_000)),
            (Some(512 * MB), Some(1_024), (64, 960, 480)),
            (Some(128 * MB), Some(256), (32, 192, 96)),
            (Some(16_384 * MB), Some(100), (256, 50, 25)),
        ] {
            let limits = Limits::default().on(Machine { memory, files });
            let found = (
                limits.memory >> 20,
                limits.connections,
                limits.connections_per_address,
            );
            assert_eq!(found, want, "{memory:?} {files:?}");
        }
    }

    #[test]
    fn sizes_are_in_powers_of_1024_and_within_their_range() {
        for (text, want) in [
            ("\"64M\"", Ok(64 << 20)),
            ("\"64 MiB\"", Ok(64 << 20)),
            ("\"1GB\"", Ok(1 << 30)),
            ("16777216", Ok(16 << 20)),
            ("\"7M\"", Err("expected a size from 8M to 64G")),
            (
                "\"64\"",
                Err("a size in bytes such as 4096, 512K, 64M or 1G"),
            ),
            (
                "\"-1M\"",
                Err("a size in bytes such as 4096, 512K, 64M or 1G"),
            ),
            (
                "\"99999999999999999999G\"",
                Err("a size in bytes such as 4096, 512K, 64M or 1G"),
            ),
        ] {
            let limits = read(&format!("{{\"memory\": {text}}}"));
            match (limits, want) {
                (Ok(limits), Ok(want)) => assert_eq!(limits.memory, Some(Bytes(want)), "{text}"),
                (Err(error), Err(want)) => assert!(error.contains(want), "{text}: {error}"),
                (found, want) => panic!("{text}: {found:?} instead of {want:?}"),
            }
        }
    }

    #[test]
    fn every_key_reaches_the_broker() {
        let text = r#"{"memory": "64M", "connections": 11, "connections_per_address": 12,
            "sessions": 13, "sessions_per_user": 14, "subscriptions": 15, "packet_size": "16K",
            "inflight": 17, "receive_maximum": 18, "queued": 19, "queued_bytes": "20K",
            "outbox": "65K", "topic_aliases": 22, "connect_timeout": "23s", "logins": 24,
            "failed_logins": 25, "keep_alive": "26s", "backpressure": "27s", "session_expiry": "28s"}"#;
        let machine = Machine {
            memory: None,
            files: None,
        };
        let limits = read(text).unwrap().on(machine);
        let seconds = Duration::from_secs;
        let want = fieldgate_broker::Limits {
            memory: 64 << 20,
            connections: 11,
            connections_per_address: 12,
            sessions: 13,
            sessions_per_user: 14,
            subscriptions: 15,
            packet_size: 16 << 10,
            inflight: 17,
            receive_maximum: 18,
            queued: 19,
            queued_bytes: 20 << 10,
            outbox_bytes: 65 << 10,
            topic_aliases: 22,
            connect_timeout: seconds(23),
            logins: 24,
            failed_logins: 25,
            keep_alive: 26,
            backpressure: seconds(27),
            session_expiry: Some(seconds(28)),
            failed_login_delay: limits.failed_login_delay,
        };
        assert_eq!(limits, want);
    }
}
