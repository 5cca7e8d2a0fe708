//! A bus: one line that several meters share.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::{BAUDS, Claim, Period};
use fieldgate_field_line::{Io, Parity, Port, PortSettings, tcp};
use serde::Deserialize;

use crate::line::Times;
use crate::link::FRAME_MAX;

/// One M-Bus line, behind a serial port or behind a TCP port of a level converter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawBus")]
pub struct MbusBusEntry {
    /// How its meters are reached.
    pub transport: Transport,
    /// In baud, also behind a TCP port.
    pub baud: u32,
    /// The parity bit of the serial port.
    pub parity: Parity,
    /// How long an answer may take to begin.
    pub timeout: Duration,
    /// How often a request without an answer is sent again.
    pub retries: u8,
    /// How long a meter that owes an answer may be asked nothing, if nothing shows that it has
    /// lost it.
    pub late: Duration,
}

/// How the meters of a bus are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The path of a serial port.
    Serial(String),
    /// `host:port` of a level converter; the host is a name or an address.
    Tcp(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBus {
    serial: Option<String>,
    tcp: Option<String>,
    baud: Option<u32>,
    parity: Option<Parity>,
    timeout: Option<Period>,
    retries: Option<u8>,
    late: Option<Period>,
}

/// The usual speed of M-Bus.
const BAUD: u32 = 2400;
/// What a meter may take in any case, and in bit times: EN 13757-2, 5.7.2.
const ANSWER: Duration = Duration::from_millis(50);
const ANSWER_BITS: u32 = 330;
/// What an adapter and a network add to that.
const MARGIN_SERIAL: Duration = Duration::from_millis(150);
const MARGIN_TCP: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const RETRIES: u8 = 1;
const RETRIES_MAX: u8 = 10;
/// Start, 8 data bits, parity and stop.
const CHARACTER_BITS: u32 = 11;
/// EN 13757-2, 5.7.2: 33 bits of silence separate a request from what was before.
const SILENCE_BITS: u32 = 33;
const SILENCE_LEAST: Duration = Duration::from_millis(10);
/// A frame has no pauses, but adapters and networks hand it on in pieces.
const GAP_SERIAL: Duration = Duration::from_millis(100);
const GAP_TCP: Duration = Duration::from_millis(500);
const LATE_TIMEOUTS: u32 = 10;
const LATE_LEAST: Duration = Duration::from_secs(10);
const LATE_MAX: Duration = Duration::from_secs(3600);

impl TryFrom<RawBus> for MbusBusEntry {
    type Error = String;

    fn try_from(raw: RawBus) -> Result<Self, String> {
        let transport = transport(raw.serial, raw.tcp)?;
        let baud = raw.baud.unwrap_or(BAUD);
        if !BAUDS.contains(&baud) {
            return Err(format!("baud: {baud} is outside {BAUDS:?}"));
        }
        let least = ANSWER + bits(baud, ANSWER_BITS);
        let margin = match transport {
            Transport::Serial(_) => MARGIN_SERIAL,
            Transport::Tcp(_) => MARGIN_TCP,
        };
        let timeout = raw.timeout.map_or(least + margin, Period::get);
        if timeout < least {
            let millis = least.as_millis();
            return Err(format!(
                "timeout: must be at least {millis}ms: so long a meter may take at {baud} baud"
            ));
        }
        if timeout > TIMEOUT_MAX {
            return Err("timeout: must be at most 60s".into());
        }
        let retries = raw.retries.unwrap_or(RETRIES);
        if retries > RETRIES_MAX {
            return Err(format!("retries: must be at most {RETRIES_MAX}"));
        }
        let late = raw
            .late
            .map_or((timeout * LATE_TIMEOUTS).max(LATE_LEAST), Period::get);
        if !(timeout..=LATE_MAX).contains(&late) {
            return Err("late: must be at least `timeout` and at most 1h".into());
        }
        let parity = raw.parity.unwrap_or(Parity::Even);
        if parity != Parity::Even && matches!(transport, Transport::Tcp(_)) {
            return Err("parity: only a serial port has it".into());
        }
        Ok(Self {
            transport,
            baud,
            parity,
            timeout,
            retries,
            late,
        })
    }
}

fn transport(serial: Option<String>, tcp: Option<String>) -> Result<Transport, String> {
    let address = match (serial, tcp) {
        (Some(_), Some(_)) => return Err("tcp: the bus already has `serial`".into()),
        (None, None) => return Err("expected `serial` or `tcp`".into()),
        (Some(path), None) if path.starts_with('/') => return Ok(Transport::Serial(path)),
        (Some(_), None) => {
            return Err(
                "serial: expected a path such as /dev/serial/by-id/usb-…; `ls /dev/serial/by-id` lists them"
                    .into(),
            );
        }
        (None, Some(address)) => address,
    };
    tcp::check(&address).map_err(|text| format!("tcp: {text}"))?;
    Ok(Transport::Tcp(address))
}

fn bits(baud: u32, bits: u32) -> Duration {
    Duration::from_secs(1) * bits / baud.max(1)
}

impl MbusBusEntry {
    /// A bus with the usual settings.
    ///
    /// # Errors
    ///
    /// If the transport cannot be one.
    pub fn new(to: Transport) -> Result<Self, String> {
        let (serial, tcp) = match to {
            Transport::Serial(path) => (Some(path), None),
            Transport::Tcp(address) => (None, Some(address)),
        };
        Self::try_from(RawBus {
            serial,
            tcp,
            baud: None,
            parity: None,
            timeout: None,
            retries: None,
            late: None,
        })
    }

    /// Opens what the meters are behind.
    ///
    /// # Errors
    ///
    /// Why not, for people.
    pub(crate) async fn open(&self) -> Result<Box<dyn Io>, String> {
        Ok(match &self.transport {
            Transport::Tcp(address) => Box::new(tcp::connect(address).await?),
            Transport::Serial(path) => {
                let settings = PortSettings {
                    parity: self.parity,
                    ..PortSettings::new(path.as_str(), self.baud)
                };
                Box::new(Port::open(&settings).await?)
            }
        })
    }

    /// What only one device or bus can have: its port or address.
    pub fn claims(&self) -> Vec<Claim> {
        vec![match &self.transport {
            Transport::Serial(path) => Claim::new(&["serial"], "port", path),
            // A level converter takes one connection; a second one would talk into its answers.
            Transport::Tcp(address) => Claim::new(&["tcp"], "address", address),
        }]
    }

    pub(crate) fn times(&self) -> Times {
        let gap = match self.transport {
            Transport::Serial(_) => GAP_SERIAL,
            Transport::Tcp(_) => GAP_TCP,
        };
        let characters = u32::try_from(FRAME_MAX).unwrap_or(u32::MAX);
        let longest = bits(self.baud, CHARACTER_BITS) * characters;
        Times {
            character: bits(self.baud, CHARACTER_BITS),
            timeout: self.timeout,
            gap,
            frame: 2 * longest + 2 * gap,
            silence: bits(self.baud, SILENCE_BITS).max(SILENCE_LEAST),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(to) | Self::Tcp(to) => f.write_str(to),
        }
    }
}
