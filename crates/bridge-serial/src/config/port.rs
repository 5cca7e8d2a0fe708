//! `serial:` of a device: the port and how it is set.

use fieldgate_bridge::BAUDS;
use serde::Deserialize;

/// A serial port and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPort")]
pub struct PortConfig {
    /// The path, best one below `/dev/serial/by-id` or `by-path`.
    pub port: String,
    /// In baud, within [`BAUDS`].
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPort {
    port: String,
    baud: Option<u32>,
    data_bits: Option<u8>,
    #[serde(default)]
    parity: Parity,
    stop_bits: Option<u8>,
    #[serde(default)]
    flow: Flow,
    dtr: Option<bool>,
    rts: Option<bool>,
}

/// The usual speed of instruments.
const BAUD: u32 = 9600;

impl PortConfig {
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
        }
    }

    /// How long a number of bytes takes on the wire, rounded up.
    pub fn time_of(&self, bytes: usize) -> std::time::Duration {
        // A start bit, at most 8 data bits, a parity bit and 2 stop bits.
        let bits = 12 * u64::try_from(bytes).unwrap_or(u64::MAX / 1_000_000_000);
        let micros = bits.saturating_mul(1_000_000) / u64::from(self.baud.max(1)) + 1;
        std::time::Duration::from_micros(micros)
    }
}

impl TryFrom<RawPort> for PortConfig {
    type Error = String;

    fn try_from(raw: RawPort) -> Result<Self, String> {
        if !raw.port.starts_with('/') {
            return Err(
                "port: expected a path such as /dev/serial/by-id/usb-…; `ls /dev/serial/by-id` lists them"
                    .into(),
            );
        }
        let baud = raw.baud.unwrap_or(BAUD);
        if !BAUDS.contains(&baud) {
            return Err(format!("baud: {baud} is outside {BAUDS:?}"));
        }
        let data_bits = raw.data_bits.unwrap_or(8);
        if !(5..=8).contains(&data_bits) {
            return Err(format!("data_bits: {data_bits} is outside 5..=8"));
        }
        let stop_bits = raw.stop_bits.unwrap_or(1);
        if !(1..=2).contains(&stop_bits) {
            return Err(format!("stop_bits: expected 1 or 2, found {stop_bits}"));
        }
        if raw.flow == Flow::Hardware && raw.rts.is_some() {
            return Err("rts: with `flow: hardware` the system sets this line".into());
        }
        Ok(Self {
            port: raw.port,
            baud,
            data_bits,
            parity: raw.parity,
            stop_bits,
            flow: raw.flow,
            dtr: raw.dtr,
            rts: raw.rts,
        })
    }
}
