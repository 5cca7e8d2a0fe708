//! Requests, answers and faults on a bus, as plain data.

use std::fmt;
use std::sync::Arc;

use fieldgate_bridge::{Cause, DriverError};

use crate::table::Table;

/// Read `count` registers or bits from `address` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// The table.
    pub table: Table,
    /// The first register or bit.
    pub address: u16,
    /// How many; at least 1, and never past address 65535.
    pub count: u16,
    /// Which points of the device it serves, as indices into its list.
    pub points: Arc<[usize]>,
}

/// Write one or several registers or bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteRequest {
    /// Function 5.
    Coil {
        /// The coil.
        address: u16,
        /// Its new state.
        on: bool,
    },
    /// Function 15.
    Coils {
        /// The first coil.
        address: u16,
        /// 1 to 1968 states.
        bits: Vec<bool>,
    },
    /// Function 6 for one register, 16 for several.
    Registers {
        /// The first register.
        address: u16,
        /// 1 to 123 words.
        words: Vec<u16>,
    },
    /// Writes registers and reads the same ones: function 23, and 16 where a unit lacks it.
    Exchange {
        /// The first register.
        address: u16,
        /// 1 to 121 words.
        words: Vec<u16>,
    },
    /// Changes some bits of a holding register: function 22. Where a unit lacks it, the register
    /// is read and written back, with nothing in between on this bus.
    Mask {
        /// The register.
        address: u16,
        /// The bits to change.
        mask: u16,
        /// Their new state.
        bits: u16,
    },
}

/// What a read returned, exactly as many as were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Coils or discrete inputs.
    Bits(Vec<bool>),
    /// Registers.
    Words(Vec<u16>),
}

impl Data {
    /// How many registers or bits there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bits(bits) => bits.len(),
            Self::Words(words) => words.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An exception code of the specification, or of a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception(pub u8);

/// Why a transaction on a bus failed. The text names function, unit and addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// There is no connection.
    #[error("{request}: {detail}")]
    Connect {
        /// What was asked of whom.
        request: String,
        /// Why there is no connection.
        detail: String,
    },
    /// The connection broke.
    #[error("{request}: connection lost: {detail}")]
    Lost {
        /// What was asked of whom.
        request: String,
        /// How it broke.
        detail: String,
    },
    /// No answer in time. Whether a write took effect is unknown.
    #[error("{request}: no answer within {after_ms} ms")]
    Timeout {
        /// What was asked of whom.
        request: String,
        /// The limit.
        after_ms: u64,
    },
    /// It was not sent: the unit owes an answer to an earlier request.
    #[error("{request}: not sent: {detail}")]
    Unsent {
        /// What was to be asked of whom.
        request: String,
        /// What the unit owes.
        detail: String,
    },
    /// An answer that does not belong to the request.
    #[error("{request}: wrong answer: {detail}")]
    Protocol {
        /// What was asked of whom.
        request: String,
        /// What is wrong.
        detail: String,
    },
    /// The unit, or the gateway in front of it, refused.
    #[error("{request}: exception {exception}")]
    Exception {
        /// What was asked of whom.
        request: String,
        /// Its code.
        exception: Exception,
    },
    /// The request is none that may be sent.
    #[error("{request}: {detail}")]
    Illegal {
        /// What was asked of whom.
        request: String,
        /// Which limit it passes.
        detail: String,
    },
    /// The bus is being shut down.
    #[error("{request}: the bus is closed")]
    Closed {
        /// What was asked of whom.
        request: String,
    },
}

impl ReadRequest {
    /// What it asks of `unit`, for people: `read holding 10..=13 of unit 2`.
    pub fn describe(&self, unit: u8) -> String {
        describe("read", self.table, unit, self.address, self.count.into())
    }
}

/// A place in a table, and what is done there, for people.
pub(crate) fn describe(verb: &str, table: Table, unit: u8, address: u16, count: usize) -> String {
    let name = table.name();
    match usize::from(address) + count.max(1) - 1 {
        last if last == usize::from(address) => format!("{verb} {name} {address} of unit {unit}"),
        last => format!("{verb} {name} {address}..={last} of unit {unit}"),
    }
}

impl WriteRequest {
    /// What it asks of `unit`, for people.
    pub fn describe(&self, unit: u8) -> String {
        match self {
            Self::Coil { address, .. } => describe("write", Table::Coil, unit, *address, 1),
            Self::Coils { address, bits } => {
                describe("write", Table::Coil, unit, *address, bits.len())
            }
            Self::Registers { address, words } | Self::Exchange { address, words } => {
                describe("write", Table::Holding, unit, *address, words.len())
            }
            Self::Mask { address, .. } => {
                describe("change bits of", Table::Holding, unit, *address, 1)
            }
        }
    }
}

impl Exception {
    /// The unit does not know the function, and has done nothing.
    pub const ILLEGAL_FUNCTION: Self = Self(1);

    /// The name in the specification.
    ///
    /// Source: MODBUS Application Protocol Specification V1.1b3, section 7.
    pub fn name(self) -> &'static str {
        match self.0 {
            1 => "ILLEGAL FUNCTION",
            2 => "ILLEGAL DATA ADDRESS",
            3 => "ILLEGAL DATA VALUE",
            4 => "SERVER DEVICE FAILURE",
            5 => "ACKNOWLEDGE",
            6 => "SERVER DEVICE BUSY",
            // Of the specification's predecessor, PI-MBUS-300; devices still say it.
            7 => "NEGATIVE ACKNOWLEDGE",
            8 => "MEMORY PARITY ERROR",
            10 => "GATEWAY PATH UNAVAILABLE",
            11 => "GATEWAY TARGET DEVICE FAILED TO RESPOND",
            _ => "not in the specification",
        }
    }

    /// Whether a gateway says it for a unit that is silent: it is no answer of the unit.
    pub fn is_silence(self) -> bool {
        matches!(self.0, 10 | 11)
    }

    /// Whether the same request can succeed a moment later.
    pub fn is_busy(self) -> bool {
        matches!(self.0, 5 | 6)
    }

    /// Whether a request for fewer registers could succeed.
    pub fn is_about_addresses(self) -> bool {
        matches!(self.0, 2 | 3)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.name())
    }
}

impl BusError {
    /// Why, without what was asked: for a point whose place is known.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Connect { detail, .. } | Self::Illegal { detail, .. } => detail.clone(),
            Self::Lost { detail, .. } => format!("connection lost: {detail}"),
            Self::Unsent { detail, .. } => format!("not asked: {detail}"),
            Self::Timeout { after_ms, .. } => format!("no answer within {after_ms} ms"),
            Self::Protocol { detail, .. } => format!("wrong answer: {detail}"),
            Self::Exception { exception, .. } => format!("exception {exception}"),
            Self::Closed { .. } => "the bus is closed".into(),
        }
    }

    /// Whether the same read can succeed at once. Without a connection it cannot.
    pub(crate) fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::Protocol { .. }
            | Self::Unsent { .. } => true,
            Self::Exception { exception, .. } => exception.is_busy() || exception.is_silence(),
            Self::Connect { .. } | Self::Closed { .. } | Self::Illegal { .. } => false,
        }
    }
}

impl From<BusError> for DriverError {
    fn from(error: BusError) -> Self {
        let cause = match &error {
            BusError::Connect { .. } | BusError::Closed { .. } => Cause::Open,
            BusError::Lost { .. } => Cause::Lost,
            BusError::Timeout { .. } | BusError::Unsent { .. } => Cause::Timeout,
            BusError::Illegal { .. } => Cause::Refused,
            BusError::Protocol { .. } => Cause::Protocol,
            BusError::Exception { exception, .. } if exception.is_silence() => Cause::Timeout,
            BusError::Exception { .. } => Cause::Refused,
        };
        Self::new(cause, error.to_string())
    }
}
