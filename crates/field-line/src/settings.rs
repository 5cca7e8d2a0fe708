//! A serial port: which one, and how its bytes are sent.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::{BAUDS, Period};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// A serial port and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct PortSettings {
    /// The path of the device, best one that stays the same: `/dev/serial/by-id/…`.
    pub port: String,
    /// Bits in a second, within [`BAUDS`].
    pub baud: u32,
    /// 5 to 8.
    pub data_bits: u8,
    /// The parity bit.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
    /// How one side stops the other.
    pub flow: Flow,
    /// The level of Data Terminal Ready while the port is open; absent: as the system has it, on.
    pub dtr: Option<bool>,
    /// The level of Request To Send; absent: as the system has it, on.
    pub rts: Option<bool>,
    /// Lets the driver switch the direction of an RS-485 transceiver; absent: leaves it alone.
    pub rs485: Option<Rs485>,
}

/// The parity bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parity {
    /// There is none.
    #[default]
    None,
    /// Makes the number of ones even.
    Even,
    /// Makes it odd.
    Odd,
    /// Always one.
    Mark,
    /// Always zero.
    Space,
}

/// How one side stops the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// Not at all.
    #[default]
    None,
    /// By the lines RTS and CTS.
    Hardware,
    /// By XON and XOFF. These two bytes are taken out of what is read.
    Software,
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

/// What a mapping says of a port. What it leaves out is as most devices have it: 9600 baud, 8 data bits, no parity, 1
/// stop bit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // Of the fields: they are those of `PortSettings`.
pub struct Written {
    pub port: String,
    pub baud: Option<u32>,
    pub data_bits: Option<u8>,
    #[serde(default)]
    pub parity: Parity,
    pub stop_bits: Option<u8>,
    #[serde(default)]
    pub flow: Flow,
    pub dtr: Option<bool>,
    pub rts: Option<bool>,
    #[serde(default)]
    pub rs485: Switch,
}

/// `rs485: true`, or its details.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switch(pub Option<Rs485>);

const BAUD: u32 = 9_600;
const DELAY_MAX: Duration = Duration::from_millis(100);

impl PortSettings {
    /// A port with 8 data bits, no parity, 1 stop bit and no flow control.
    pub fn new(port: impl Into<String>, baud: u32) -> Self {
        Self {
            port: port.into(),
            baud,
            data_bits: 8,
            parity: Parity::None,
            stop_bits: 1,
            flow: Flow::None,
            dtr: None,
            rts: None,
            rs485: None,
        }
    }

    /// How long one character takes: start, data, parity and stop bits.
    pub fn character(&self) -> Duration {
        let parity = u32::from(self.parity != Parity::None);
        let bits = 1 + u32::from(self.data_bits) + parity + u32::from(self.stop_bits);
        Duration::from_secs(1) * bits / self.baud.max(1)
    }

    /// How long a number of bytes takes on the wire at most, rounded up.
    pub fn time_of(&self, bytes: usize) -> Duration {
        // A start bit, at most 8 data bits, a parity bit and 2 stop bits.
        let bits = 12 * u64::try_from(bytes).unwrap_or(u64::MAX / 1_000_000_000);
        let micros = bits.saturating_mul(1_000_000) / u64::from(self.baud.max(1)) + 1;
        Duration::from_micros(micros)
    }
}

impl TryFrom<Written> for PortSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if !written.port.starts_with('/') {
            return Err(format!(
                "port: expected a path such as /dev/serial/by-id/usb-…, got `{}`; `ls /dev/serial/by-id` lists them",
                written.port
            ));
        }
        let baud = written.baud.unwrap_or(BAUD);
        if !BAUDS.contains(&baud) {
            return Err(format!("baud: {baud} is outside {BAUDS:?}"));
        }
        let data_bits = written.data_bits.unwrap_or(8);
        if !(5..=8).contains(&data_bits) {
            return Err(format!("data_bits: {data_bits} is outside 5..=8"));
        }
        let stop_bits = written.stop_bits.unwrap_or(1);
        if !(1..=2).contains(&stop_bits) {
            return Err(format!("stop_bits: expected 1 or 2, got {stop_bits}"));
        }
        if written.flow == Flow::Hardware && written.rts.is_some() {
            return Err("rts: with `flow: hardware` the system sets this line".into());
        }
        if written.rs485.0.is_some() && (written.rts.is_some() || written.flow == Flow::Hardware) {
            return Err("rs485: the driver then needs the line RTS for itself".into());
        }
        Ok(Self {
            port: written.port,
            baud,
            data_bits,
            parity: written.parity,
            stop_bits,
            flow: written.flow,
            dtr: written.dtr,
            rts: written.rts,
            rs485: written.rs485.0,
        })
    }
}

impl fmt::Display for PortSettings {
    /// As people write it: `/dev/ttyUSB0, 9600 8E1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
            Parity::Mark => 'M',
            Parity::Space => 'S',
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
mod tests;
