//! A serial port, as written: which one, and how its bytes are sent.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::{BAUDS, Period};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// A serial port and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawSerial")]
pub struct SerialConfig {
    /// The path of the device, best one that stays the same: `/dev/serial/by-id/…`.
    pub port: String,
    /// Bits in a second, 50 to 12,000,000.
    pub baud: u32,
    /// The parity bit.
    pub parity: Parity,
    /// 7 or 8 data bits. RTU needs 8.
    pub data_bits: u8,
    /// 1 or 2 stop bits.
    pub stop_bits: u8,
    /// Lets the driver switch the direction of an RS-485 transceiver; `None` leaves it alone.
    pub rs485: Option<Rs485>,
    /// Whether the adapter hears what it sends itself.
    pub echo: bool,
}

/// The parity bit of each byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parity {
    /// None.
    #[default]
    None,
    /// Even, the specification's default for Modbus.
    Even,
    /// Odd.
    Odd,
}

/// How the driver switches an RS-485 transceiver (`struct serial_rs485` of the kernel).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rs485 {
    /// RTS is low while sending; otherwise high.
    pub rts_low_on_send: bool,
    /// From RTS to the first bit; whole milliseconds, at most 100 ms.
    pub delay_before: Duration,
    /// From the last bit to RTS back; whole milliseconds, at most 100 ms.
    pub delay_after: Duration,
    /// Switches a terminating resistor on, where there is one.
    pub termination: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSerial {
    port: String,
    baud: Option<u32>,
    #[serde(default)]
    parity: Parity,
    data_bits: Option<u8>,
    stop_bits: Option<u8>,
    #[serde(default)]
    rs485: Switch,
    #[serde(default)]
    echo: bool,
}

/// `rs485: true`, or its details.
#[derive(Default)]
struct Switch(Option<Rs485>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRs485 {
    #[serde(default)]
    rts_on_send: Level,
    delay_before: Option<Period>,
    delay_after: Option<Period>,
    #[serde(default)]
    termination: bool,
}

#[derive(Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    #[default]
    High,
    Low,
}

const BAUD: u32 = 9_600;
const DELAY_MAX: Duration = Duration::from_millis(100);
/// Above this rate the specification fixes the silence instead of counting characters.
const FAST: u32 = 19_200;
const FAST_SILENCE: Duration = Duration::from_micros(1_750);

impl TryFrom<RawSerial> for SerialConfig {
    type Error = String;

    fn try_from(raw: RawSerial) -> Result<Self, String> {
        if !raw.port.starts_with('/') {
            return Err(format!(
                "port: expected the path of a device such as /dev/ttyUSB0, got `{}`",
                raw.port
            ));
        }
        let baud = raw.baud.unwrap_or(BAUD);
        if !BAUDS.contains(&baud) {
            return Err(format!("baud: {baud} is outside {BAUDS:?}"));
        }
        for (key, bits, allowed) in [
            ("data_bits", raw.data_bits.unwrap_or(8), 7..=8),
            ("stop_bits", raw.stop_bits.unwrap_or(1), 1..=2),
        ] {
            if !allowed.contains(&bits) {
                return Err(format!(
                    "{key}: expected {} or {}, got {bits}",
                    allowed.start(),
                    allowed.end()
                ));
            }
        }
        Ok(Self {
            port: raw.port,
            baud,
            parity: raw.parity,
            data_bits: raw.data_bits.unwrap_or(8),
            stop_bits: raw.stop_bits.unwrap_or(1),
            rs485: raw.rs485.0,
            echo: raw.echo,
        })
    }
}

impl SerialConfig {
    /// How long one character takes: start, data, parity and stop bits.
    pub fn character(&self) -> Duration {
        let parity = u32::from(self.parity != Parity::None);
        let bits = 1 + u32::from(self.data_bits) + parity + u32::from(self.stop_bits);
        Duration::from_secs(1) * bits / self.baud.max(1)
    }

    /// The silence that separates frames: 3.5 characters, or 1.75 ms above 19,200 baud.
    ///
    /// Source: MODBUS over Serial Line Specification V1.02, section 2.5.1.1.
    pub fn silence(&self) -> Duration {
        if self.baud > FAST {
            FAST_SILENCE
        } else {
            self.character() * 7 / 2
        }
    }
}

impl fmt::Display for SerialConfig {
    /// As people write it: `/dev/ttyUSB0, 9600 8E1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        let Self {
            port,
            baud,
            data_bits,
            stop_bits,
            ..
        } = self;
        write!(f, "{port}, {baud} {data_bits}{parity}{stop_bits}")
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor)
    }
}

struct SwitchVisitor;

impl<'de> Visitor<'de> for SwitchVisitor {
    type Value = Switch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or details such as {rts_on_send: low, delay_after: 1ms}")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Switch, E> {
        Ok(Switch(on.then(Rs485::default)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch, A::Error> {
        let raw = RawRs485::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let delay = |key: &str, period: Option<Period>| {
            let delay = period.map_or(Duration::ZERO, Period::get);
            let is_whole = delay.subsec_nanos().is_multiple_of(1_000_000);
            if delay > DELAY_MAX || !is_whole {
                let message = format!("{key}: expected whole milliseconds, at most 100ms");
                return Err(de::Error::custom(message));
            }
            Ok(delay)
        };
        Ok(Switch(Some(Rs485 {
            rts_low_on_send: raw.rts_on_send == Level::Low,
            delay_before: delay("delay_before", raw.delay_before)?,
            delay_after: delay("delay_after", raw.delay_after)?,
            termination: raw.termination,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<SerialConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_port_is_read_and_shown_as_people_write_it() {
        for (json, want) in [
            (r#"{"port": "/dev/ttyUSB0"}"#, "/dev/ttyUSB0, 9600 8N1"),
            (
                r#"{"port": "/dev/ttyS1", "baud": 19200, "parity": "even"}"#,
                "/dev/ttyS1, 19200 8E1",
            ),
            (
                r#"{"port": "/p", "baud": 1200, "parity": "odd", "data_bits": 7, "stop_bits": 2}"#,
                "/p, 1200 7O2",
            ),
        ] {
            assert_eq!(read(json).unwrap().to_string(), want);
        }
        let port = read(
            r#"{"port": "/p", "rs485": {"rts_on_send": "low", "delay_after": "2ms"}, "echo": true}"#,
        );
        let want = Rs485 {
            rts_low_on_send: true,
            delay_after: Duration::from_millis(2),
            ..Rs485::default()
        };
        let port = port.unwrap();
        assert_eq!((port.rs485, port.echo), (Some(want), true));
        let on = read(r#"{"port": "/p", "rs485": true}"#).unwrap();
        assert_eq!(on.rs485, Some(Rs485::default()));
        let off = read(r#"{"port": "/p", "rs485": false}"#).unwrap();
        assert_eq!(off.rs485, None);
    }

    #[test]
    fn a_wrong_port_is_refused_by_key() {
        for (json, want) in [
            (r#"{"baud": 9600}"#, "missing field `port`"),
            (r#"{"port": "ttyUSB0"}"#, "port: expected the path"),
            (r#"{"port": "/p", "baud": 49}"#, "baud: 49 is outside"),
            (
                r#"{"port": "/p", "parity": "mark"}"#,
                "unknown variant `mark`",
            ),
            (
                r#"{"port": "/p", "stop_bits": 3}"#,
                "stop_bits: expected 1 or 2, got 3",
            ),
            (
                r#"{"port": "/p", "data_bits": 6}"#,
                "data_bits: expected 7 or 8",
            ),
            (r#"{"port": "/p", "rs485": 1}"#, "true, false, or details"),
            (
                r#"{"port": "/p", "rs485": {"delay_after": "1.5ms"}}"#,
                "delay_after: expected whole milliseconds",
            ),
            (
                r#"{"port": "/p", "rs485": {"rts": "low"}}"#,
                "unknown field `rts`",
            ),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(want), "{json}: {error}");
        }
    }

    #[test]
    fn the_silence_is_three_and_a_half_characters_or_1750_microseconds() {
        for (baud, parity, stop_bits, character_us, silence_us) in [
            (1_200, "none", 1, 8_333, 29_166),
            (9_600, "even", 1, 1_145, 4_010),
            (9_600, "none", 2, 1_145, 4_010),
            (19_200, "none", 1, 520, 1_822),
            (19_201, "none", 1, 520, 1_750),
            (115_200, "none", 1, 86, 1_750),
        ] {
            let json = format!(
                r#"{{"port": "/p", "baud": {baud}, "parity": "{parity}", "stop_bits": {stop_bits}}}"#
            );
            let port = read(&json).unwrap();
            assert_eq!(port.character().as_micros(), character_us, "{baud}");
            assert_eq!(port.silence().as_micros(), silence_us, "{baud}");
        }
    }
}
