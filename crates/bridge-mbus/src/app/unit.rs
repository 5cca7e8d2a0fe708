//! Units: what one is in another, exactly. Pure.

use fieldgate_model::Decimal;

/// A unit as a multiple of the unit that meters use for what it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    /// What it measures: only units of one kind convert into each other.
    kind: &'static str,
    /// How many of the smallest step of that kind it is.
    size: Decimal,
}

/// Prefixes of SI and their power of ten.
const PREFIXES: [(&str, i8); 6] = [("", 0), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12)];

/// Units that take prefixes, what they measure, and how many of that they are.
///
/// Energy is counted in joules, so that both Wh and J are whole numbers of it.
const PREFIXED: [(&str, &str, i128); 14] = [
    ("Wh", "energy", 3600),
    ("J", "energy", 1),
    ("W", "power", 3600),
    ("J/h", "power", 1),
    ("varh", "reactive energy", 1),
    ("VAh", "apparent energy", 1),
    ("var", "reactive power", 1),
    ("VA", "apparent power", 1),
    ("V", "voltage", 1),
    ("A", "current", 1),
    ("Hz", "frequency", 1),
    ("cal", "calories", 1),
    ("bar", "pressure", 100_000),
    ("Pa", "pressure", 1),
];

/// Units that take none. Volumes are counted in cubic centimetres, masses in grams, times in
/// seconds.
const OTHERS: [(&str, &str, i128); 16] = [
    ("m³", "volume", 1_000_000),
    ("l", "volume", 1_000),
    ("ml", "volume", 1),
    ("m³/h", "flow", 1_000_000),
    ("l/h", "flow", 1_000),
    ("l/min", "flow", 60_000),
    ("l/s", "flow", 3_600_000),
    ("t", "mass", 1_000_000),
    ("kg", "mass", 1_000),
    ("kg/h", "mass flow", 1),
    ("t/h", "mass flow", 1_000),
    ("s", "time", 1),
    ("min", "time", 60),
    ("h", "time", 3_600),
    ("d", "time", 86_400),
    ("Bd", "baud rate", 1),
];

/// Places behind the point that a quotient without an end is rounded to.
const PLACES: u8 = 9;

/// The usual way to write a unit: `m3` and `m^3` are `m³`, `L` is `l`.
pub fn usual(unit: &str) -> String {
    let unit = unit.replace("m^3", "m³").replace("m3", "m³");
    let unit = unit.replace("m³h", "m³/h");
    match unit.strip_prefix('L') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("l{rest}"),
        _ => unit,
    }
}

fn find(unit: &str) -> Option<Unit> {
    let size = |number: i128, power: i8| super::number::scaled(number, power);
    let other = OTHERS.iter().find(|(name, ..)| *name == unit);
    if let Some((_, kind, number)) = other {
        let size = size(*number, 0)?;
        return Some(Unit { kind, size });
    }
    PREFIXED.iter().find_map(|(name, kind, number)| {
        let prefix = unit.strip_suffix(name)?;
        let (_, power) = PREFIXES.iter().find(|(text, _)| *text == prefix)?;
        let size = size(*number, *power)?;
        Some(Unit { kind, size })
    })
}

/// Whether numbers in `from` can be given in `to`.
pub fn converts(from: &str, to: &str) -> bool {
    let (from, to) = (usual(from), usual(to));
    from == to
        || find(&from)
            .zip(find(&to))
            .is_some_and(|(from, to)| from.kind == to.kind)
}

/// A number in another unit. Exact, but for quotients without an end, such as joules in watt
/// hours: those are rounded to nine places. `None` if the units measure different things, or the
/// number has too many digits.
pub fn convert(number: Decimal, from: &str, to: &str) -> Option<Decimal> {
    let (from, to) = (usual(from), usual(to));
    if from == to {
        return Some(number);
    }
    let (from, to) = find(&from).zip(find(&to))?;
    if from.kind != to.kind {
        return None;
    }
    divide(number.checked_mul(from.size)?, to.size)
}

fn divide(number: Decimal, by: Decimal) -> Option<Decimal> {
    let ((top, top_digits), (bottom, bottom_digits)) = (number.parts(), by.parts());
    // Powers of ten are moved out, so that what is left divides exactly if it can at all.
    let mut divisor = bottom;
    let mut digits = i16::from(top_digits) - i16::from(bottom_digits);
    while divisor % 10 == 0 && divisor != 0 {
        divisor /= 10;
        digits += 1;
    }
    let mut top = top;
    if top.checked_rem(divisor)? != 0 {
        let wanted = i16::from(PLACES).max(digits);
        let more = u32::try_from(wanted - digits).ok()?;
        top = top.checked_mul(10_i128.checked_pow(more)?)?;
        digits = wanted;
        let half = divisor / 2;
        top = if top < 0 { top - half } else { top + half };
    }
    let quotient = top.checked_div(divisor)?;
    super::number::scaled(quotient, i8::try_from(-digits).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_one_kind_convert_exactly_and_others_do_not() {
        for (number, from, to, want) in [
            ("37351000", "Wh", "kWh", Some("37351")),
            ("1", "Wh", "MWh", Some("0.000001")),
            (
                "123456789012345678",
                "Wh",
                "GWh",
                Some("123456789.012345678"),
            ),
            ("1", "kWh", "MJ", Some("3.6")),
            ("3.6", "MJ", "kWh", Some("1")),
            ("1", "MJ", "kWh", Some("0.277777778")),
            ("-1", "MJ", "kWh", Some("-0.277777778")),
            ("0.001", "m³", "l", Some("1")),
            ("5", "m³", "m3", Some("5")),
            ("5", "m³", "L", Some("5000")),
            ("6", "m³/h", "l/min", Some("100")),
            ("0.1", "m3/h", "L/h", Some("100")),
            ("45273600", "s", "h", Some("12576")),
            ("100", "s", "h", Some("0.027777778")),
            ("2", "d", "h", Some("48")),
            ("1.5", "bar", "kPa", Some("150")),
            ("223", "V", "mV", Some("223000")),
            ("22", "°C", "°C", Some("22")),
            ("22", "°C", "K", None),
            ("1", "kWh", "m³", None),
            ("1", "kWh", "kW", None),
            ("1", "units", "kWh", None),
        ] {
            let got = convert(number.parse().unwrap(), from, to);
            let want = want.map(|want| want.parse::<Decimal>().unwrap());
            assert_eq!(got, want, "{number} {from} in {to}");
            assert_eq!(converts(from, to), want.is_some(), "{from} {to}");
        }
    }
}
