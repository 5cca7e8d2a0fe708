//! Extensions of value information: what is done to a value, or what about it is told.
//!
//! Source: EN 13757-3:2018, tables 15 (combinable extensions) and 17 (errors of a record).

use std::collections::BTreeSet;

/// What an extension does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// Nothing: the meter says that it has no error.
    Nothing,
    /// The meter has no value, for this reason.
    Error(&'static str),
    /// The value is ten to this larger.
    Power(i8),
    /// Ten to this is added.
    Offset(i8),
    /// The value is of a certain kind.
    Name(&'static str),
    /// The value is by this.
    Per(&'static str),
    /// The data is the time of something about the value.
    Time(&'static str),
    /// The data is how often something was.
    Count(&'static str),
    /// The data is how long something was.
    Duration(&'static str, &'static str),
    /// What follows is the maker's.
    Own,
}

pub(super) fn extension(code: u8) -> Extension {
    let nn = i8::try_from(code & 3).unwrap_or(0);
    let nnn = i8::try_from(code & 7).unwrap_or(0);
    match code {
        0x00 => Extension::Nothing,
        0x01..=0x1F => Extension::Error(error(code)),
        0x20..=0x2F => Extension::Per(per(code)),
        0x40 => Extension::Name("lower_limit"),
        0x48 => Extension::Name("upper_limit"),
        0x41 => Extension::Count("exceeds_of_lower_limit"),
        0x49 => Extension::Count("exceeds_of_upper_limit"),
        0x42 | 0x43 | 0x46 | 0x47 | 0x4A | 0x4B | 0x4E | 0x4F => Extension::Time(limit_time(code)),
        0x50..=0x5F => Extension::Duration(limit_duration(code), unit(code)),
        0x60..=0x63 => Extension::Duration("duration_of_first", unit(code)),
        0x64..=0x67 => Extension::Duration("duration_of_last", unit(code)),
        0x68 => Extension::Name("during_lower_limit"),
        0x69 => Extension::Name("leakage"),
        0x6C => Extension::Name("during_upper_limit"),
        0x6D => Extension::Name("overflow"),
        0x6A => Extension::Time("begin_of_first"),
        0x6B => Extension::Time("end_of_first"),
        0x6E => Extension::Time("begin_of_last"),
        0x6F => Extension::Time("end_of_last"),
        0x70..=0x77 => Extension::Power(nnn - 6),
        0x78..=0x7B => Extension::Offset(nn - 3),
        0x7D => Extension::Power(3),
        0x7F => Extension::Own,
        _ => Extension::Name(name(code)),
    }
}

fn name(code: u8) -> &'static str {
    match code {
        0x30 => "start_pulse",
        0x31 => "multiplied_by_unit",
        0x32 => "left",
        0x33 => "right",
        0x34 => "per_second",
        0x35 => "per_minute",
        0x39 => "start_date",
        0x3A => "uncorrected",
        0x3B => "positive_only",
        0x3C => "negative_only",
        0x3D => "not_metric",
        0x3E => "at_base_conditions",
        0x3F => "obis",
        0x7C => "combinable_extension",
        0x7E => "future",
        _ => "reserved",
    }
}

/// What a meter says is wrong with a record of its own: the record errors of EN 13757-3, in its words.
fn error(code: u8) -> &'static str {
    match code {
        0x01 => "too many DIFEs",
        0x02 => "storage number not implemented",
        0x03 => "unit number not implemented",
        0x04 => "tariff number not implemented",
        0x05 => "function not implemented",
        0x06 => "data class not implemented",
        0x07 => "data size not implemented",
        0x0B => "too many VIFEs",
        0x0C => "illegal VIF group",
        0x0D => "illegal VIF exponent",
        0x0E => "VIF and DIF do not match",
        0x0F => "unimplemented action",
        0x15 => "no data available",
        0x16 => "data overflow",
        0x17 => "data underflow",
        0x18 => "data error",
        0x1C => "premature end of record",
        _ => "a reserved error",
    }
}

fn per(code: u8) -> &'static str {
    match code {
        0x20 => "s",
        0x21 => "min",
        0x22 => "h",
        0x23 => "d",
        0x24 => "week",
        0x25 => "month",
        0x26 => "a",
        0x27 => "revolution",
        0x28 | 0x29 => "pulse",
        0x2A => "l",
        0x2B => "m³",
        0x2C => "kg",
        0x2D => "K",
        0x2E => "kWh",
        _ => "GJ",
    }
}

fn unit(code: u8) -> &'static str {
    match code & 3 {
        0 => "s",
        1 => "min",
        2 => "h",
        _ => "d",
    }
}

/// Bit 3 is which limit, bit 2 first or last, bit 0 begin or end.
fn limit_time(code: u8) -> &'static str {
    match code {
        0x42 => "begin_of_first_below",
        0x43 => "end_of_first_below",
        0x46 => "begin_of_last_below",
        0x47 => "end_of_last_below",
        0x4A => "begin_of_first_above",
        0x4B => "end_of_first_above",
        0x4E => "begin_of_last_above",
        _ => "end_of_last_above",
    }
}

fn limit_duration(code: u8) -> &'static str {
    match code {
        0x50..=0x53 => "duration_of_first_below",
        0x54..=0x57 => "duration_of_last_below",
        0x58..=0x5B => "duration_of_first_above",
        _ => "duration_of_last_above",
    }
}

/// The names of all extensions that set a record apart, in alphabetical order. The maker's own
/// are beside them: `own_` with two hexadecimal digits.
pub fn qualifiers() -> Vec<&'static str> {
    let name = |code| match extension(code) {
        Extension::Name(name)
        | Extension::Time(name)
        | Extension::Count(name)
        | Extension::Duration(name, _) => Some(name),
        Extension::Own => Some("own"),
        Extension::Per(_) => Some("per"),
        Extension::Nothing | Extension::Error(_) | Extension::Power(_) | Extension::Offset(_) => {
            None
        }
    };
    let names: BTreeSet<&str> = (0..=0x7F).filter_map(name).collect();
    names.into_iter().collect()
}

/// The code of a qualifier. For simulated meters.
pub(crate) fn code_of(qualifier: &str) -> Option<Vec<u8>> {
    if let Some(own) = qualifier.strip_prefix("own_") {
        let code = u8::from_str_radix(own, 16).ok()?;
        return Some(vec![0xFF, code & 0x7F]);
    }
    let is_named = |code: &u8| match extension(*code) {
        Extension::Name(name)
        | Extension::Time(name)
        | Extension::Count(name)
        | Extension::Duration(name, _) => name == qualifier,
        Extension::Own => qualifier == "own",
        Extension::Per(_) => qualifier == "per",
        _ => false,
    };
    (0..=0x7F).find(is_named).map(|code| vec![code])
}
