//! What a telegram says: EN 13757-3, the variable and the fixed data structure. Pure.
//!
//! The decoder is our own: the crates for it give numbers as doubles, which lose digits of 64-bit
//! counters, and the largest of them needs a C compiler's library to build.

mod data;
mod date;
mod dib;
mod fixed;
mod header;
mod number;
pub mod unit;
mod vib;
mod vif;
mod vife;

use fieldgate_model::Value;

pub use header::{Field, Header, medium_name};
pub use vib::Meaning;
pub(crate) use vif::code_of as code_of_quantity;
pub use vif::{quantities, units_of};
pub(crate) use vife::code_of as code_of_qualifier;
pub use vife::qualifiers;

/// What a meter says in one telegram.
#[derive(Clone, Debug, PartialEq)]
pub struct Telegram {
    /// Who says it; absent in telegrams without a header.
    pub header: Option<Header>,
    /// Its records, in their order.
    pub records: Vec<Record>,
    /// The maker's own data behind them.
    pub own: Vec<u8>,
    /// The meter has more to say: another telegram follows.
    pub more: bool,
    /// Why the records end before the telegram does.
    pub broken: Option<Broken>,
}

/// One reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// 0 is now; others are readings of the past, such as of a due date.
    pub storage: u64,
    /// The tariff that it counts for; 0 for all.
    pub tariff: u32,
    /// The part of the meter that it is of; 0 is the meter.
    pub subunit: u16,
    /// What the value is of its time.
    pub function: Function,
    /// What is measured, in which unit.
    pub meaning: Meaning,
    /// The bytes that say so, from the value information field on.
    pub vib: Vec<u8>,
    /// The value, in the unit of `meaning`; the reason if there is none.
    pub value: Result<Value, Absent>,
}

/// What a value is of its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// At the moment of the reading.
    #[default]
    Instantaneous,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// While there was an error.
    Error,
}

/// Why a record has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// The record has no data field.
    #[error("the record holds no data")]
    Nothing,
    /// The pattern that stands for no value.
    #[error("the meter marks the value as invalid")]
    Invalid,
    /// The meter says why.
    #[error("the meter reports: {0}")]
    Reported(&'static str),
    /// A number of more digits than are kept exactly.
    #[error("the number has too many digits")]
    Range,
}

/// Why a telegram cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A record goes beyond the end.
    #[error("a record goes beyond the end of the telegram")]
    Cut,
    /// More extensions than the standard allows.
    #[error("a record has more than 10 extensions")]
    Extensions,
    /// A data information field that is reserved.
    #[error("a record of a reserved kind")]
    Reserved,
    /// A data field whose length says nothing.
    #[error("a data field of a reserved length")]
    Length,
}

/// Why a telegram is no reading at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its control information field names nothing that is read here.
    #[error("the meter sends data of a kind that is not read here: CI {0:#04x}")]
    Kind(u8),
    /// The header is not whole.
    #[error("the telegram is too short for its header")]
    Short,
    /// The meter reports an error instead.
    #[error("the meter reports the application error {0}")]
    Refused(u8),
    /// The records are encrypted.
    #[error("the records are encrypted (mode {0}); keys are not supported")]
    Encrypted(u8),
}

impl Function {
    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instantaneous => "instantaneous",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::Error => "error",
        }
    }
}

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    LowFirst,
    HighFirst,
}

/// Reads the data of a long frame with this control information field.
///
/// Source: EN 13757-3, table 1: 72h and 76h long header, 7Ah short header, 78h none; 73h and 77h
/// the fixed structure, 70h an error.
///
/// # Errors
///
/// If it is no reading. A telegram that breaks off in its records is one as far as it goes.
pub fn parse(ci: u8, data: &[u8]) -> Result<Telegram, Unreadable> {
    let order = match ci {
        0x76 | 0x77 => Order::HighFirst,
        _ => Order::LowFirst,
    };
    let (header, records) = match ci {
        0x72 | 0x76 => {
            let (header, records) = header::long(data, order).ok_or(Unreadable::Short)?;
            (Some(header), records)
        }
        0x7A => {
            let (header, records) = header::short(data).ok_or(Unreadable::Short)?;
            (Some(header), records)
        }
        0x78 => (None, data),
        0x73 | 0x77 => return fixed::parse(data, order).ok_or(Unreadable::Short),
        0x70 => return Err(Unreadable::Refused(data.first().copied().unwrap_or(0))),
        other => return Err(Unreadable::Kind(other)),
    };
    if let Some(mode) = header.as_ref().and_then(Header::encryption) {
        return Err(Unreadable::Encrypted(mode));
    }
    let mut telegram = Telegram {
        header,
        records: Vec::new(),
        own: Vec::new(),
        more: false,
        broken: None,
    };
    telegram.broken = records_of(records, order, &mut telegram).err();
    Ok(telegram)
}

/// Data information fields that are no records.
const OWN: u8 = 0x0F;
const OWN_AND_MORE: u8 = 0x1F;
const FILLER: u8 = 0x2F;

fn records_of(data: &[u8], order: Order, telegram: &mut Telegram) -> Result<(), Broken> {
    let mut bytes = Bytes(data);
    while let Some(dif) = bytes.peek() {
        match dif {
            FILLER => drop(bytes.byte()?),
            OWN | OWN_AND_MORE => {
                bytes.byte()?;
                telegram.more = dif == OWN_AND_MORE;
                telegram.own = bytes.0.to_vec();
                return Ok(());
            }
            _ => {
                let record = record(&mut bytes, order)?;
                telegram.records.push(record);
            }
        }
    }
    Ok(())
}

fn record(bytes: &mut Bytes<'_>, order: Order) -> Result<Record, Broken> {
    let block = dib::read(bytes)?;
    let before = bytes.0;
    let vib = vib::read(bytes)?;
    let length = before.len() - bytes.0.len();
    let raw = data::read(bytes, block.coding, order)?;
    let value = match vib.reported {
        Some(error) => Err(Absent::Reported(error)),
        None => raw.value(&vib),
    };
    Ok(Record {
        storage: block.storage,
        tariff: block.tariff,
        subunit: block.subunit,
        function: block.function,
        meaning: vib.meaning,
        vib: before.get(..length).unwrap_or_default().to_vec(),
        value,
    })
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.0.split_first().ok_or(Broken::Cut)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Broken::Cut)?;
        self.0 = rest;
        Ok(taken)
    }
}
