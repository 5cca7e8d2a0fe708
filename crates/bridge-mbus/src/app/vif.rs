//! The tables of value information fields.
//!
//! Source: EN 13757-3:2018, tables 10 (primary), 12 (first extension, FDh) and 14 (second
//! extension, FBh).

use std::collections::BTreeSet;

/// How the data field is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// Bits, which have no sign.
    Bits,
    /// Decimal digits that are a name, with their leading zeros.
    Digits,
    Date,
    DateTime,
}

/// What a code stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) quantity: &'static str,
    pub(super) unit: Option<&'static str>,
    /// The value is the number times ten to this, times `multiplier`.
    pub(super) exponent: i8,
    pub(super) multiplier: u16,
    pub(super) kind: Kind,
}

const TIMES: [&str; 4] = ["s", "min", "h", "d"];
const LONG_TIMES: [&str; 4] = ["h", "d", "month", "a"];

fn number(quantity: &'static str, unit: &'static str, exponent: i8) -> Entry {
    Entry {
        quantity,
        unit: Some(unit),
        exponent,
        multiplier: 1,
        kind: Kind::Number,
    }
}

fn plain(quantity: &'static str, kind: Kind) -> Entry {
    Entry {
        quantity,
        unit: None,
        exponent: 0,
        multiplier: 1,
        kind,
    }
}

fn time(quantity: &'static str, units: [&'static str; 4], code: u8) -> Entry {
    let unit = units.get(usize::from(code & 3)).copied();
    number(quantity, unit.unwrap_or("s"), 0)
}

/// The lowest bits of a code.
fn low(code: u8, mask: u8) -> i8 {
    i8::try_from(code & mask).unwrap_or(0)
}

/// A code without extension.
pub(super) fn primary(code: u8) -> Entry {
    let (n, nn) = (low(code, 7), low(code, 3));
    match code {
        0x00..=0x07 => number("energy", "Wh", n - 3),
        0x08..=0x0F => number("energy", "J", n),
        0x10..=0x17 => number("volume", "m³", n - 6),
        0x18..=0x1F => number("mass", "kg", n - 3),
        0x20..=0x23 => time("on_time", TIMES, code),
        0x24..=0x27 => time("operating_time", TIMES, code),
        0x28..=0x2F => number("power", "W", n - 3),
        0x30..=0x37 => number("power", "J/h", n),
        0x38..=0x3F => number("volume_flow", "m³/h", n - 6),
        0x40..=0x47 => Entry {
            multiplier: 60,
            ..number("volume_flow", "m³/h", n - 7)
        },
        0x48..=0x4F => Entry {
            multiplier: 3600,
            ..number("volume_flow", "m³/h", n - 9)
        },
        0x50..=0x57 => number("mass_flow", "kg/h", n - 3),
        0x58..=0x5B => number("flow_temperature", "°C", nn - 3),
        0x5C..=0x5F => number("return_temperature", "°C", nn - 3),
        0x60..=0x63 => number("temperature_difference", "K", nn - 3),
        0x64..=0x67 => number("external_temperature", "°C", nn - 3),
        0x68..=0x6B => number("pressure", "bar", nn - 3),
        0x6C => plain("date", Kind::Date),
        0x6D => plain("date_time", Kind::DateTime),
        0x6E => plain("heat_cost_allocation", Kind::Number),
        0x70..=0x73 => time("averaging_duration", TIMES, code),
        0x74..=0x77 => time("actuality_duration", TIMES, code),
        0x78 => plain("fabrication_number", Kind::Digits),
        0x79 => plain("identification", Kind::Digits),
        0x7A => plain("bus_address", Kind::Bits),
        0x7C => plain("plain_text", Kind::Number),
        0x7E => plain("any", Kind::Number),
        0x7F => plain("manufacturer_specific", Kind::Number),
        _ => plain("reserved", Kind::Number),
    }
}

/// A code behind FDh.
pub(super) fn first(code: u8) -> Entry {
    let (nnnn, nn) = (low(code, 0xF), low(code, 3));
    match code {
        0x00..=0x03 => number("credit", "", nn - 3),
        0x04..=0x07 => number("debit", "", nn - 3),
        0x3A => plain("dimensionless", Kind::Number),
        0x40..=0x4F => number("voltage", "V", nnnn - 9),
        0x50..=0x5F => number("current", "A", nnnn - 12),
        0x24..=0x27 => time("storage_interval", TIMES, code),
        0x28 => number("storage_interval", "month", 0),
        0x29 => number("storage_interval", "a", 0),
        0x2C..=0x2F => time("since_last_readout", TIMES, code),
        0x31..=0x33 => time("tariff_duration", TIMES, code),
        0x34..=0x37 => time("tariff_period", TIMES, code),
        0x38 => number("tariff_period", "month", 0),
        0x39 => number("tariff_period", "a", 0),
        0x68..=0x6B => time("since_last_cumulation", LONG_TIMES, code),
        0x6C..=0x6F => time("battery_operating_time", LONG_TIMES, code),
        0x71 => number("signal_strength", "dBm", 0),
        0x74 => number("battery_remaining", "d", 0),
        0x2A | 0x30 | 0x65 | 0x70 => {
            let quantity = match code {
                0x2A => "operator_data",
                0x30 => "tariff_start",
                0x65 => "day_change",
                _ => "battery_change",
            };
            plain(quantity, Kind::DateTime)
        }
        _ => own_data(code),
    }
}

/// What a meter says of itself.
fn own_data(code: u8) -> Entry {
    match code {
        0x08 => plain("access_number", Kind::Bits),
        0x09 => plain("medium", Kind::Bits),
        0x0A => plain("manufacturer", Kind::Bits),
        0x0B => plain("parameter_set", Kind::Bits),
        0x0C => plain("model_version", Kind::Bits),
        0x0D => plain("hardware_version", Kind::Bits),
        0x0E => plain("firmware_version", Kind::Bits),
        0x0F => plain("software_version", Kind::Bits),
        0x10 => plain("customer_location", Kind::Bits),
        0x11 => plain("customer", Kind::Bits),
        0x12..=0x15 => plain("access_code", Kind::Bits),
        0x16 => plain("password", Kind::Bits),
        0x17 => plain("error_flags", Kind::Bits),
        0x18 => plain("error_mask", Kind::Bits),
        0x1A => plain("digital_output", Kind::Bits),
        0x1B => plain("digital_input", Kind::Bits),
        0x1C => number("baud_rate", "Bd", 0),
        0x1D => plain("response_delay", Kind::Number),
        0x1E => plain("retries", Kind::Number),
        0x20 => plain("first_storage", Kind::Number),
        0x21 => plain("last_storage", Kind::Number),
        0x22 => plain("storage_size", Kind::Number),
        0x60 => plain("reset_counter", Kind::Number),
        0x61 => plain("cumulation_counter", Kind::Number),
        0x62 => plain("control_signal", Kind::Bits),
        0x63 => plain("day_of_week", Kind::Number),
        0x64 => plain("week_number", Kind::Number),
        0x66 => plain("parameter_activation", Kind::Bits),
        0x67 => plain("supplier_information", Kind::Bits),
        _ => plain("reserved", Kind::Number),
    }
}

/// A code behind FBh.
pub(super) fn second(code: u8) -> Entry {
    let (n, nn) = (low(code, 1), low(code, 3));
    match code {
        0x00..=0x01 => number("energy", "Wh", n + 5),
        0x02..=0x03 => number("reactive_energy", "varh", n + 3),
        0x04..=0x05 => number("apparent_energy", "VAh", n + 3),
        0x08..=0x09 => number("energy", "J", n + 8),
        0x0C..=0x0F => number("energy", "cal", nn + 5),
        0x10..=0x11 => number("volume", "m³", n + 2),
        0x14..=0x17 => number("reactive_power", "var", nn),
        0x18..=0x19 => number("mass", "kg", n + 5),
        0x1A..=0x1B => number("relative_humidity", "%", n - 1),
        0x20 => number("volume", "ft³", 0),
        0x21 => number("volume", "ft³", -1),
        0x28..=0x29 => number("power", "W", n + 5),
        0x2A => number("phase_voltage_voltage", "°", -1),
        0x2B => number("phase_voltage_current", "°", -1),
        0x2C..=0x2F => number("frequency", "Hz", nn - 3),
        0x30..=0x31 => number("power", "J/h", n + 8),
        0x34..=0x37 => number("apparent_power", "VA", nn),
        0x74..=0x77 => number("temperature_limit", "°C", nn - 3),
        0x78..=0x7F => number("maximum_power_sum", "W", low(code, 7) - 3),
        _ => plain("reserved", Kind::Number),
    }
}

fn all() -> impl Iterator<Item = Entry> {
    let fixed = number("temperature", "°C", -3);
    (0..=0x7F)
        .flat_map(|code| [primary(code), first(code), second(code)])
        .chain([fixed])
        .filter(|entry| entry.quantity != "reserved")
}

/// The names of all quantities, in alphabetical order.
pub fn quantities() -> Vec<&'static str> {
    let names: BTreeSet<&str> = all().map(|entry| entry.quantity).collect();
    names.into_iter().collect()
}

/// The units in which a quantity may come.
pub fn units_of(quantity: &str) -> Vec<&'static str> {
    let units: BTreeSet<&str> = all()
        .filter(|entry| entry.quantity == quantity)
        .filter_map(|entry| entry.unit)
        .collect();
    units.into_iter().collect()
}

/// The shortest code of a quantity, of those the one with the step that meters often have: kWh,
/// 10 W, a tenth of any other unit. For simulated meters.
pub(crate) fn code_of(quantity: &str) -> Option<Vec<u8>> {
    let codes = (0..=0x7F).flat_map(|code| {
        [
            (primary(code), vec![code]),
            (first(code), vec![0xFD, code]),
            (second(code), vec![0xFB, code]),
        ]
    });
    let fitting = codes.filter(|(entry, _)| entry.quantity == quantity);
    let usual = match quantity {
        "energy" => 3,
        "power" => 1,
        _ => -1,
    };
    let distance = |entry: &Entry| (entry.multiplier, entry.exponent.abs_diff(usual));
    let best = fitting.min_by_key(|(entry, code)| (code.len(), distance(entry)));
    best.map(|(_, code)| code)
}
