//! A bus: one TCP connection that several devices share.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::{Backoff, Period};
use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

/// One connection to a Modbus TCP server, or to a gateway with several units behind it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawBus")]
pub struct BusConfig {
    /// `host:port`; the host is a name or an address.
    pub address: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often a read that got no answer is sent again. Writes never are.
    pub retries: u8,
    /// The silence between an answer and the next request.
    pub pause: Duration,
    /// When a unit is given up, and how often it is tried then.
    pub offline: Offline,
}

/// When a unit counts as offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawOffline")]
pub struct Offline {
    /// After how many failed polls in a row; at least 1.
    pub after: u32,
    /// The pauses between attempts to reach it again.
    pub backoff: Backoff,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBus {
    tcp: String,
    #[serde(default)]
    modbus: Framing,
    timeout: Option<Period>,
    #[serde(default = "retries")]
    retries: u8,
    #[serde(default)]
    pause: Pause,
    #[serde(default)]
    offline: Offline,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOffline {
    after: Option<u32>,
    backoff: Option<Backoff>,
}

/// How frames are put on the wire.
#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Framing {
    #[default]
    Tcp,
    Rtu,
}

/// `auto` is no pause over TCP.
#[derive(Default)]
struct Pause(Duration);

const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const RETRIES_MAX: u8 = 10;
const PAUSE_MAX: Duration = Duration::from_secs(60);

fn retries() -> u8 {
    1
}

impl TryFrom<RawBus> for BusConfig {
    type Error = String;

    fn try_from(raw: RawBus) -> Result<Self, String> {
        if matches!(raw.modbus, Framing::Rtu) {
            return Err("modbus: `rtu` is not supported on tcp yet; expected `tcp`".into());
        }
        let (host, port) = raw
            .tcp
            .rsplit_once(':')
            .ok_or_else(|| format!("tcp: expected host:port, got `{}`", raw.tcp))?;
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(format!("tcp: `{host}` is no host name or address"));
        }
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(format!("tcp: port `{port}` is outside 1..=65535"));
        }
        let timeout = raw.timeout.map_or(TIMEOUT, Period::get);
        if timeout > TIMEOUT_MAX {
            return Err("timeout: must be at most 60s".into());
        }
        if raw.retries > RETRIES_MAX {
            return Err(format!("retries: must be at most {RETRIES_MAX}"));
        }
        if raw.pause.0 > PAUSE_MAX {
            return Err("pause: must be at most 60s".into());
        }
        Ok(Self {
            address: raw.tcp,
            timeout,
            retries: raw.retries,
            pause: raw.pause.0,
            offline: raw.offline,
        })
    }
}

impl TryFrom<RawOffline> for Offline {
    type Error = String;

    fn try_from(raw: RawOffline) -> Result<Self, String> {
        let default = Self::default();
        let after = raw.after.unwrap_or(default.after);
        if after == 0 {
            return Err("after: must be at least 1".into());
        }
        Ok(Self {
            after,
            backoff: raw.backoff.unwrap_or(default.backoff),
        })
    }
}

impl Default for Offline {
    /// After 3 failures, tried again every 1 s to 60 s.
    fn default() -> Self {
        Self {
            after: 3,
            backoff: Backoff::default(),
        }
    }
}

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PauseVisitor)
    }
}

struct PauseVisitor;

impl Visitor<'_> for PauseVisitor {
    type Value = Pause;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto, or a time such as 100ms")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Pause, E> {
        if text == "auto" {
            return Ok(Pause::default());
        }
        Period::parse(text)
            .map(|period| Pause(period.get()))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<BusConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bus_needs_only_its_address() {
        assert_eq!(
            read(r#"{"tcp": "192.168.1.20:502"}"#),
            Ok(BusConfig {
                address: "192.168.1.20:502".into(),
                timeout: Duration::from_secs(1),
                retries: 1,
                pause: Duration::ZERO,
                offline: Offline::default(),
            })
        );
        let full = r#"{"tcp": "[::1]:1502", "modbus": "tcp", "timeout": "300ms", "retries": 0,
            "pause": "100ms", "offline": {"after": 2, "backoff": "2s..30s"}}"#;
        let bus = read(full).unwrap();
        assert_eq!(bus.timeout, Duration::from_millis(300));
        assert_eq!(bus.pause, Duration::from_millis(100));
        assert_eq!(bus.offline.after, 2);
        assert_eq!(bus.offline.backoff.max(), Duration::from_secs(30));
        assert_eq!(
            read(r#"{"tcp": "a:1", "pause": "auto"}"#).unwrap().pause,
            Duration::ZERO
        );
    }

    #[test]
    fn a_wrong_bus_is_refused_by_key() {
        for (json, want) in [
            (r#"{}"#, "missing field `tcp`"),
            (r#"{"tcp": "plc"}"#, "tcp: expected host:port, got `plc`"),
            (r#"{"tcp": ":502"}"#, "tcp: `` is no host"),
            (r#"{"tcp": "a b:502"}"#, "tcp: `a b` is no host"),
            (r#"{"tcp": "a:0"}"#, "tcp: port `0` is outside"),
            (r#"{"tcp": "a:99999"}"#, "tcp: port `99999` is outside"),
            (
                r#"{"tcp": "a:1", "timout": "1s"}"#,
                "unknown field `timout`",
            ),
            (
                r#"{"tcp": "a:1", "timeout": "61s"}"#,
                "timeout: must be at most 60s",
            ),
            (r#"{"tcp": "a:1", "timeout": "0s"}"#, "a time such as"),
            (
                r#"{"tcp": "a:1", "retries": 11}"#,
                "retries: must be at most 10",
            ),
            (
                r#"{"tcp": "a:1", "modbus": "rtu"}"#,
                "modbus: `rtu` is not supported",
            ),
            (
                r#"{"tcp": "a:1", "modbus": "asci"}"#,
                "unknown variant `asci`",
            ),
            (
                r#"{"tcp": "a:1", "offline": {"after": 0}}"#,
                "after: must be at least 1",
            ),
            (
                r#"{"tcp": "a:1", "offline": {"backoff": "5s..1s"}}"#,
                "a range of times",
            ),
            (r#"{"tcp": "a:1", "pause": "soon"}"#, "auto, or a time"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(want), "{json}: {error}");
        }
    }
}
