//! A simulated meter from the mapping of a device.

use std::time::Duration;

use fieldgate_sim::Wave;

use super::{SimCoding, SimMeter, SimRecord};
use crate::address::{Address, Secondary};
use crate::app::{Function, code_of_qualifier, code_of_quantity};
use crate::config::{MbusConfig, Selector, Source, What};

/// The address of a meter that is only reached by its secondary one.
const UNSET: u8 = 0;
/// The first of January 2026, at midnight, as a time of four bytes.
const NEW_YEAR: f64 = 0x3141_0000_u32 as f64;
/// A record number beyond this is none that a simulated meter has.
const RECORD_MAX: usize = 256;

/// A meter that sends what the points of a device choose. `number` makes its values and its
/// secondary address different from those of others.
pub(super) fn meter(device: &MbusConfig, number: u32) -> SimMeter {
    let (address, secondary) = match device.address {
        Address::Primary(address) => (address, named(None, u32::from(address))),
        Address::Secondary(mask) => (UNSET, named(Some(mask), number)),
    };
    let mut meter = SimMeter {
        telegrams: vec![Vec::new()],
        ..SimMeter::heat(address, secondary, f64::from(number) * 1000.0)
    };
    let sources = device.points.iter().map(|(_, point)| &point.source);
    let mut chosen: Vec<SimRecord> = Vec::new();
    let mut wanted = 0;
    for source in sources {
        match source {
            Source::Like(selector) => {
                let Some(record) = record(selector, chosen.len(), number) else {
                    continue;
                };
                let is_there = |own: &SimRecord| own.dib == record.dib && own.vib == record.vib;
                if !chosen.iter().any(is_there) {
                    chosen.push(record);
                }
            }
            Source::Record(index) => wanted = wanted.max(index + 1),
            Source::Header(_) => {}
        }
    }
    // Points that choose by number get energies of past due dates.
    let missing = wanted.min(RECORD_MAX).saturating_sub(chosen.len());
    for index in 0..missing {
        let storage = 16 + u8::try_from(index % 15).unwrap_or(0);
        let start = f64::from(number) * 1000.0 + index as f64;
        chosen.push(SimRecord::now(&[0x06], counter(start)).stored(storage));
    }
    for record in chosen {
        meter.push(record);
    }
    meter
}

/// A secondary address that a mask fits, with `number` in the place of what is wild.
fn named(mask: Option<Secondary>, number: u32) -> Secondary {
    let usual = format!("{:08}FGW0104", number % 100_000_000);
    let usual: Secondary = usual.parse().unwrap_or(Secondary::ANY);
    let Some(mask) = mask else { return usual };
    let mut bytes = mask.bytes();
    for (place, (byte, usual)) in bytes.iter_mut().zip(usual.bytes()).enumerate() {
        if place >= 4 {
            if *byte == 0xFF {
                *byte = usual;
            }
            continue;
        }
        for shift in [0, 4] {
            if *byte >> shift & 0xF == 0xF {
                *byte = *byte & !(0xF << shift) | usual & 0xF << shift;
            }
        }
    }
    Secondary::from_bytes(bytes)
}

fn record(selector: &Selector, index: usize, number: u32) -> Option<SimRecord> {
    let (mut vib, is_date) = match &selector.what {
        What::Quantity(quantity) => {
            let is_date = matches!(
                quantity.as_str(),
                "date" | "date_time" | "battery_change" | "tariff_start" | "day_change"
            );
            (code_of_quantity(quantity)?, is_date)
        }
        What::Text(text) => {
            let latin: Vec<u8> = text
                .chars()
                .rev()
                .map(|c| u8::try_from(c).unwrap_or(b'?'))
                .collect();
            let mut vib = vec![0x7C, u8::try_from(latin.len()).ok()?];
            vib.extend(latin);
            (vib, false)
        }
        What::Vif(bytes) => (bytes.clone(), false),
    };
    let mut coding = SimCoding::Bcd;
    if let Some(qualifier) = &selector.qualifier {
        let codes = code_of_qualifier(qualifier)?;
        // The bit that says that an extension follows; of a text it is on the first byte.
        let place = if matches!(selector.what, What::Text(_)) {
            0
        } else {
            vib.len() - 1
        };
        *vib.get_mut(place)? |= 0x80;
        vib.extend(codes);
    }
    let start = f64::from(number) * 1000.0 + index as f64;
    let wave = if is_date {
        coding = SimCoding::Integer;
        Wave::Constant(NEW_YEAR)
    } else if selector.storage > 0 || selector.function != Function::Instantaneous {
        Wave::Constant(start)
    } else if matches!(&selector.what, What::Quantity(quantity) if is_counter(quantity)) {
        counter(start)
    } else {
        Wave::Sine {
            mean: 500.0 + index as f64,
            amplitude: 100.0,
            period: Duration::from_secs(300),
        }
    };
    Some(SimRecord {
        coding,
        dib: dib(selector)?,
        vib,
        wave,
    })
}

fn counter(start: f64) -> Wave {
    Wave::Counter {
        start,
        per_second: 0.5,
    }
}

fn is_counter(quantity: &str) -> bool {
    let counters = [
        "energy",
        "volume",
        "mass",
        "on_time",
        "operating_time",
        "heat_cost_allocation",
    ];
    counters.contains(&quantity) || quantity.ends_with("_energy")
}

/// The data information block, without the coding.
fn dib(selector: &Selector) -> Option<Vec<u8>> {
    let function = match selector.function {
        Function::Instantaneous => 0,
        Function::Maximum => 1,
        Function::Minimum => 2,
        Function::Error => 3,
    };
    let odd = (selector.storage & 1) as u8;
    let mut bytes = vec![(odd << 6) | (function << 4)];
    let (mut storage, mut tariff) = (selector.storage >> 1, selector.tariff);
    let mut subunit = selector.subunit;
    while storage > 0 || tariff > 0 || subunit > 0 {
        if bytes.len() > 10 {
            return None;
        }
        *bytes.last_mut()? |= 0x80;
        let parts = [
            (storage & 0xF) as u8,
            (tariff & 3) as u8,
            (subunit & 1) as u8,
        ];
        let [store, tariff_bits, part] = parts;
        bytes.push(store | (tariff_bits << 4) | (part << 6));
        (storage, tariff, subunit) = (storage >> 4, tariff >> 2, subunit >> 1);
    }
    Some(bytes)
}
