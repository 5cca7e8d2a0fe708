//! The fixed data structure: two counters. Old meters have it.

use fieldgate_model::Value;

use super::header::Header;
use super::number::scaled;
use super::vib::Meaning;
use super::{Absent, Function, Order, Record, Telegram, data};
use crate::address::Secondary;

/// The unit of the second counter is that of the first, and its value one of the past.
const SAME_BUT_STORED: u8 = 0x3E;

/// Source: EN 13757-3, annex on the fixed data structure: identification, access number, status,
/// medium and units, two counters. Status bit 0: the counters are binary; bit 1: they are of a
/// fixed date.
pub(super) fn parse(bytes: &[u8], order: Order) -> Option<Telegram> {
    let (id, rest) = bytes.split_first_chunk::<4>()?;
    let ([access, status, first, second], rest) = rest.split_first_chunk::<4>()?;
    let (one, rest) = rest.split_first_chunk::<4>()?;
    let (two, _) = rest.split_first_chunk::<4>()?;
    let mut id = *id;
    if order == Order::HighFirst {
        id.reverse();
    }
    let [a, b, c, d] = id;
    let medium = first >> 6 | second >> 6 << 2;
    let address = Secondary::from_bytes([a, b, c, d, 0, 0, 0, medium]);
    let header = Header {
        manufacturer: None,
        version: None,
        ..Header::of(address, *access, *status, 0)
    };
    let units = match (first & 0x3F, second & 0x3F) {
        (unit, SAME_BUT_STORED) => [(unit, 0), (unit, 1)],
        (one, two) => [(one, 0), (two, 0)],
    };
    let is_stored = u64::from(status >> 1 & 1);
    let records = units
        .into_iter()
        .zip([one, two])
        .map(|((unit, storage), bytes)| Record {
            storage: is_stored.max(storage),
            tariff: 0,
            subunit: 0,
            function: Function::Instantaneous,
            vib: vec![unit],
            value: counter(bytes, status & 1 != 0, unit, order),
            meaning: meaning(unit),
        });
    Some(Telegram {
        header: Some(header),
        records: records.collect(),
        own: Vec::new(),
        more: false,
        broken: None,
    })
}

fn counter(bytes: &[u8; 4], is_binary: bool, unit: u8, order: Order) -> Result<Value, Absent> {
    let number = if is_binary {
        data::integer(bytes, order)
    } else {
        data::bcd(bytes, order).ok_or(Absent::Invalid)?
    };
    let (_, _, exponent) = coded(unit);
    let number = scaled(number, exponent).ok_or(Absent::Range)?;
    Ok(Value::Decimal(number))
}

fn meaning(unit: u8) -> Meaning {
    let (quantity, unit, _) = coded(unit);
    Meaning {
        quantity: quantity.into(),
        unit: unit.map(Into::into),
        qualifiers: Vec::new(),
    }
}

/// Quantity, unit and power of ten of a unit code.
///
/// Source: EN 13757-3, annex on the fixed data structure, table of physical units.
fn coded(code: u8) -> (&'static str, Option<&'static str>, i8) {
    let step = |first: u8, from: i8| i8::try_from(code - first).unwrap_or(0) + from;
    match code {
        0x02..=0x0A => ("energy", Some("Wh"), step(0x02, 0)),
        0x0B..=0x13 => ("energy", Some("J"), step(0x0B, 3)),
        0x14..=0x1C => ("power", Some("W"), step(0x14, 0)),
        0x1D..=0x25 => ("power", Some("J/h"), step(0x1D, 3)),
        0x26..=0x2E => ("volume", Some("m³"), step(0x26, -6)),
        0x2F..=0x37 => ("volume_flow", Some("m³/h"), step(0x2F, -6)),
        0x38 => ("temperature", Some("°C"), -3),
        0x39 => ("heat_cost_allocation", None, 0),
        _ => ("dimensionless", None, 0),
    }
}
