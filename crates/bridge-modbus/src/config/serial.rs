//! The serial port of an RTU line, as written.

use std::fmt;
use std::time::Duration;

use fieldgate_field_line::{Parity, PortSettings, Switch, Written};
use serde::Deserialize;

/// The port of an RTU line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawSerial")]
pub struct SerialConfig {
    /// The port. RTU needs 8 data bits.
    pub port: PortSettings,
    /// Whether the adapter hears what it sends itself.
    pub echo: bool,
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
    dtr: Option<bool>,
    rts: Option<bool>,
    #[serde(default)]
    rs485: Switch,
    #[serde(default)]
    echo: bool,
}

/// Above this rate the specification fixes the silence instead of counting characters.
const FAST: u32 = 19_200;
const FAST_SILENCE: Duration = Duration::from_micros(1_750);

impl TryFrom<RawSerial> for SerialConfig {
    type Error = String;

    fn try_from(raw: RawSerial) -> Result<Self, String> {
        let written = Written {
            port: raw.port,
            baud: raw.baud,
            data_bits: raw.data_bits,
            parity: raw.parity,
            stop_bits: raw.stop_bits,
            dtr: raw.dtr,
            rts: raw.rts,
            rs485: raw.rs485,
            ..Written::default()
        };
        Ok(Self {
            port: written.try_into()?,
            echo: raw.echo,
        })
    }
}

impl SerialConfig {
    /// A port without an echo.
    pub fn new(port: PortSettings) -> Self {
        Self { port, echo: false }
    }

    /// The silence that separates frames: 3.5 characters, or 1.75 ms above 19,200 baud.
    ///
    /// Source: MODBUS over Serial Line Specification V1.02, section 2.5.1.1.
    pub fn silence(&self) -> Duration {
        if self.port.baud > FAST {
            FAST_SILENCE
        } else {
            self.port.character() * 7 / 2
        }
    }
}

impl fmt::Display for SerialConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.port.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                r#"{{"port": "/p", "baud": {baud}, "parity": "{parity}", "stop_bits": {stop_bits}, "echo": true}}"#
            );
            let serial: SerialConfig = serde_json::from_str(&json).unwrap();
            assert_eq!(serial.port.character().as_micros(), character_us, "{baud}");
            assert_eq!(serial.silence().as_micros(), silence_us, "{baud}");
            assert!(serial.echo);
        }
    }
}
