//! A bus: one serial line or one TCP connection that several devices share.

mod keys;

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::{Backoff, Claim, Period};
use serde::Deserialize;

use super::SerialConfig;
pub use keys::Accept;
use keys::{Pause, SHARE, Share};

/// One line, or one connection to a server with one or several units behind it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawBus")]
pub struct BusConfig {
    /// How its units are reached.
    pub transport: Transport,
    /// How long an answer may take to begin, from the last byte of the request on.
    pub timeout: Duration,
    /// How often a read that got no answer is sent again. Writes never are.
    pub retries: u8,
    /// How long a unit on an RTU line that owes an answer has to be left alone before that answer
    /// is believed to be lost, if nothing else can show it.
    pub late: Duration,
    /// The silence between an answer and the next request; `None` for what the line needs: 3.5
    /// characters on a serial line, nothing over TCP.
    pub pause: Option<Duration>,
    /// How long units may take to carry out a write to all of them, which none acknowledges.
    pub turnaround: Duration,
    /// How many requests may be under way at a time; above 1 only with Modbus TCP.
    pub in_flight: usize,
    /// How long the other end is left alone after a port or a connection was opened.
    pub settle: Duration,
    /// After how long without a request a connection is closed; `None` for never.
    pub close_after: Option<Duration>,
    /// How long after a connection on which no usable answer came the next one is made.
    pub reconnect: Duration,
    /// Which answers over Modbus TCP are taken although their header is not the request's.
    pub accept: Accept,
    /// When a unit is given up, and how often it is tried then.
    pub offline: Offline,
}

/// How the units of a bus are reached, and how frames are marked off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Modbus TCP to `host:port`; the host is a name or an address.
    Tcp(String),
    /// RTU frames over a TCP connection to `host:port`, as serial device servers have it.
    RtuOverTcp(String),
    /// RTU frames over a serial line.
    Serial(SerialConfig),
}

/// When a unit counts as offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawOffline")]
pub struct Offline {
    /// After how many failed polls in a row; at least 1.
    pub after: u32,
    /// The pauses between attempts to reach it again.
    pub backoff: Backoff,
    /// How much of the time of a bus a silent unit may take from the others, in percent, 1 to 100.
    pub share: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBus {
    tcp: Option<String>,
    serial: Option<SerialConfig>,
    modbus: Option<Framing>,
    timeout: Option<Period>,
    #[serde(default = "retries")]
    retries: u8,
    late: Option<Period>,
    #[serde(default)]
    pause: Pause,
    turnaround: Option<Period>,
    in_flight: Option<usize>,
    settle: Option<Period>,
    close_after: Option<Period>,
    reconnect: Option<Period>,
    #[serde(default)]
    accept: Accept,
    #[serde(default)]
    offline: Offline,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOffline {
    after: Option<u32>,
    backoff: Option<Backoff>,
    #[serde(default)]
    share: Share,
}

/// How frames are put on the wire.
#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Framing {
    Tcp,
    Rtu,
}

const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const RETRIES_MAX: u8 = 10;
/// Without `late`: so many time limits, but at least so long.
const LATE_TIMEOUTS: u32 = 10;
const LATE_MIN: Duration = Duration::from_secs(10);
const LATE_MAX: Duration = Duration::from_secs(3600);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The specification over serial line, section 2.4.1, has 100 to 200 ms as typical.
const TURNAROUND: Duration = Duration::from_millis(100);
const TURNAROUND_MAX: Duration = Duration::from_secs(10);
const IN_FLIGHT_MAX: usize = 32;
/// The longest `settle`, of a bus or of a device's type.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(60);
const RECONNECT: Duration = Duration::from_secs(1);
const RECONNECT_MAX: Duration = Duration::from_secs(3600);

fn retries() -> u8 {
    1
}

impl TryFrom<RawBus> for BusConfig {
    type Error = String;

    fn try_from(raw: RawBus) -> Result<Self, String> {
        let transport = transport(raw.tcp, raw.serial, raw.modbus)?;
        let timeout = raw.timeout.map_or(TIMEOUT, Period::get);
        if timeout > TIMEOUT_MAX {
            return Err("timeout: must be at most 60s".into());
        }
        if raw.retries > RETRIES_MAX {
            return Err(format!("retries: must be at most {RETRIES_MAX}"));
        }
        if raw.late.is_some() && !transport.is_rtu() {
            return Err("late: only RTU lines need it; on Modbus TCP answers have numbers".into());
        }
        let late = (timeout * LATE_TIMEOUTS).max(LATE_MIN);
        let late = raw.late.map_or(late, Period::get);
        if !(timeout..=LATE_MAX).contains(&late) {
            return Err("late: must be at least `timeout` and at most 1h".into());
        }
        if raw.pause.0.is_some_and(|pause| pause > PAUSE_MAX) {
            return Err("pause: must be at most 60s".into());
        }
        let turnaround = raw.turnaround.map_or(TURNAROUND, Period::get);
        if turnaround > TURNAROUND_MAX {
            return Err("turnaround: must be at most 10s".into());
        }
        let in_flight = raw.in_flight.unwrap_or(1);
        if !(1..=IN_FLIGHT_MAX).contains(&in_flight) {
            return Err(format!(
                "in_flight: {in_flight} is outside 1..={IN_FLIGHT_MAX}"
            ));
        }
        if in_flight > 1 && transport.is_rtu() {
            return Err("in_flight: with `modbus: rtu` there is only ever one request".into());
        }
        if in_flight > 1 && raw.pause.0.is_some() {
            return Err("in_flight: several requests at a time leave no `pause`".into());
        }
        let settle = raw.settle.map_or(Duration::ZERO, Period::get);
        if settle > SETTLE_MAX {
            return Err("settle: must be at most 60s".into());
        }
        let is_serial = matches!(transport, Transport::Serial(_));
        if is_serial && (raw.close_after.is_some() || raw.reconnect.is_some()) {
            let key = if raw.close_after.is_some() {
                "close_after"
            } else {
                "reconnect"
            };
            return Err(format!("{key}: a serial port stays open"));
        }
        let reconnect = raw.reconnect.map_or(RECONNECT, Period::get);
        if reconnect > RECONNECT_MAX {
            return Err("reconnect: must be at most 1h".into());
        }
        check_accept(raw.accept, &transport, in_flight)?;
        Ok(Self {
            transport,
            timeout,
            retries: raw.retries,
            late,
            pause: raw.pause.0,
            turnaround,
            in_flight,
            settle,
            close_after: raw.close_after.map(Period::get),
            reconnect,
            accept: raw.accept,
            offline: raw.offline,
        })
    }
}

fn check_accept(accept: Accept, transport: &Transport, in_flight: usize) -> Result<(), String> {
    if accept == Accept::default() {
        Ok(())
    } else if transport.is_rtu() {
        Err("accept: RTU answers have no transaction number".into())
    } else if in_flight > 1 {
        Err("accept: only with `in_flight: 1`".into())
    } else {
        Ok(())
    }
}

fn transport(
    tcp: Option<String>,
    serial: Option<SerialConfig>,
    framing: Option<Framing>,
) -> Result<Transport, String> {
    let address = match (tcp, serial) {
        (Some(_), Some(_)) => return Err("serial: the bus already has `tcp`".into()),
        (None, None) => return Err("expected `tcp` or `serial`".into()),
        (None, Some(_)) if framing == Some(Framing::Tcp) => {
            return Err("modbus: a serial line has `rtu`".into());
        }
        (None, Some(serial)) if serial.port.data_bits != 8 => {
            return Err("serial: `modbus: rtu` needs 8 data_bits".into());
        }
        (None, Some(serial)) => return Ok(Transport::Serial(serial)),
        (Some(address), None) => address,
    };
    fieldgate_field_line::tcp::check(&address).map_err(|text| format!("tcp: {text}"))?;
    Ok(match framing {
        Some(Framing::Rtu) => Transport::RtuOverTcp(address),
        Some(Framing::Tcp) | None => Transport::Tcp(address),
    })
}

impl Transport {
    /// Whether frames are RTU: one request at a time, units 1 to 247.
    pub fn is_rtu(&self) -> bool {
        !matches!(self, Self::Tcp(_))
    }

    /// Whether a unit identifier stands for all units here, which carry a write out and do not answer.
    pub fn is_broadcast(&self, unit: u8) -> bool {
        self.is_rtu() && unit == 0
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::RtuOverTcp(address) => write!(f, "{address}, RTU"),
            Self::Serial(serial) => serial.fmt(f),
        }
    }
}

impl BusConfig {
    /// What only one device or bus can have: a serial port.
    pub fn claims(&self) -> Vec<Claim> {
        match &self.transport {
            Transport::Serial(serial) => {
                vec![Claim::new(&["serial", "port"], "port", &*serial.port.port)]
            }
            Transport::Tcp(_) | Transport::RtuOverTcp(_) => Vec::new(),
        }
    }

    /// The silence between an answer and the next request.
    pub fn silence(&self) -> Duration {
        self.pause.unwrap_or_else(|| match &self.transport {
            Transport::Tcp(_) | Transport::RtuOverTcp(_) => Duration::ZERO,
            Transport::Serial(serial) => serial.silence(),
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
            share: raw.share.0,
        })
    }
}

impl Default for Offline {
    /// After 3 failures, tried again every 1 s to 60 s, for at most 2 % of the time.
    fn default() -> Self {
        Self {
            after: 3,
            backoff: Backoff::default(),
            share: SHARE,
        }
    }
}

#[cfg(test)]
mod tests;
