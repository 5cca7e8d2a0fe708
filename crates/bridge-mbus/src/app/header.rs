//! The header of a telegram: whose it is.

use fieldgate_model::Value;

use super::Order;
use crate::address::{Secondary, maker};

/// Who a telegram is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Identification, maker, version and medium; absent in a short header.
    pub address: Option<Secondary>,
    /// Eight digits.
    pub id: Option<String>,
    /// Three letters.
    pub manufacturer: Option<String>,
    /// The generation of the meter, as its maker counts.
    pub version: Option<u8>,
    /// What is metered, see [`medium_name`].
    pub medium: Option<u8>,
    /// Counts the answers of the meter.
    pub access: u8,
    /// Bits: 0 and 1 application busy or error, 2 low battery, 3 permanent error, 4 temporary
    /// error; 5 to 7 the maker's.
    pub status: u8,
    /// What is done to the records: encryption.
    pub configuration: u16,
}

/// What of a header a point can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The identification number, eight digits.
    Id,
    /// The maker, three letters.
    Manufacturer,
    /// The generation.
    Version,
    /// What is metered, in words.
    Medium,
    /// The access number.
    Access,
    /// The status byte, a number.
    Status,
}

impl Header {
    /// One of its fields; `None` if this header does not hold it.
    pub fn get(&self, field: Field) -> Option<Value> {
        let number = |number: u8| Value::Decimal(i64::from(number).into());
        match field {
            Field::Id => self.id.clone().map(Value::Text),
            Field::Manufacturer => self.manufacturer.clone().map(Value::Text),
            Field::Version => self.version.map(number),
            Field::Medium => self
                .medium
                .map(|medium| Value::Text(medium_name(medium).to_owned())),
            Field::Access => Some(number(self.access)),
            Field::Status => Some(number(self.status)),
        }
    }

    /// How the records are encrypted, if they are.
    ///
    /// Source: EN 13757-7, table 20: bits 8 to 12 are the mode, bits 4 to 7 the number of
    /// encrypted blocks. Old meters fill the field with other bits, so only the modes in use count.
    pub(super) fn encryption(&self) -> Option<u8> {
        let mode = (self.configuration >> 8 & 0x1F) as u8;
        let has_blocks = self.configuration >> 4 & 0xF != 0;
        (matches!(mode, 5 | 7 | 13) && has_blocks).then_some(mode)
    }

    pub(super) fn of(address: Secondary, access: u8, status: u8, configuration: u16) -> Self {
        let [a, b, c, d, low, high, version, medium] = address.bytes();
        Self {
            address: Some(address),
            id: Some(format!("{d:02X}{c:02X}{b:02X}{a:02X}")),
            manufacturer: maker(u16::from_le_bytes([low, high])),
            version: Some(version),
            medium: Some(medium),
            access,
            status,
            configuration,
        }
    }
}

/// The twelve bytes of a long header, and what follows it.
pub(super) fn long(data: &[u8], order: Order) -> Option<(Header, &[u8])> {
    let (header, rest) = data.split_first_chunk::<12>()?;
    let [
        mut a,
        mut b,
        mut c,
        mut d,
        mut low,
        mut high,
        version,
        medium,
        access,
        status,
        x,
        y,
    ] = *header;
    let mut configuration = u16::from_le_bytes([x, y]);
    if order == Order::HighFirst {
        (a, b, c, d) = (d, c, b, a);
        (low, high) = (high, low);
        configuration = configuration.swap_bytes();
    }
    let address = Secondary::from_bytes([a, b, c, d, low, high, version, medium]);
    Some((Header::of(address, access, status, configuration), rest))
}

/// The four bytes of a short header, and what follows it.
pub(super) fn short(data: &[u8]) -> Option<(Header, &[u8])> {
    let ([access, status, x, y], rest) = data.split_first_chunk::<4>()?;
    let header = Header {
        address: None,
        id: None,
        manufacturer: None,
        version: None,
        medium: None,
        access: *access,
        status: *status,
        configuration: u16::from_le_bytes([*x, *y]),
    };
    Some((header, rest))
}

/// What is metered.
///
/// Source: EN 13757-3, table 3, device types.
pub fn medium_name(medium: u8) -> &'static str {
    match medium {
        0x00 => "other",
        0x01 => "oil",
        0x02 => "electricity",
        0x03 => "gas",
        0x04 => "heat (outlet)",
        0x05 => "steam",
        0x06 => "warm water",
        0x07 => "water",
        0x08 => "heat cost allocator",
        0x09 => "compressed air",
        0x0A => "cooling (outlet)",
        0x0B => "cooling (inlet)",
        0x0C => "heat (inlet)",
        0x0D => "heat and cooling",
        0x0E => "bus or system",
        0x0F => "unknown medium",
        0x15 => "hot water",
        0x16 => "cold water",
        0x17 => "dual water",
        0x18 => "pressure",
        0x19 => "analogue-digital converter",
        0x1A => "smoke detector",
        0x1B => "room sensor",
        0x1C => "gas detector",
        0x20 => "breaker (electricity)",
        0x21 => "valve (gas or water)",
        0x25 => "customer unit",
        0x28 => "waste water",
        0x29 => "garbage",
        0x31 => "communication controller",
        0x36 | 0x37 => "radio converter",
        _ => "reserved",
    }
}
