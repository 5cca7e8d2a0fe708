//! Half-precision floats, which the standard library does not have yet. Pure.

use fieldgate_model::Decimal;

/// The exact value of half-precision bits.
///
/// Source: IEEE 754-2019, binary16.
pub(crate) fn to_f64(bits: u16) -> f64 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1F);
    let fraction = f64::from(bits & 0x3FF);
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    }
}

/// The nearest half-precision bits, ties to even; `None` if they would be infinite or NaN.
pub(crate) fn from_f64(value: f64) -> Option<u16> {
    /// Everything from here on rounds to infinity.
    const LIMIT: f64 = 65_520.0;
    let magnitude = value.abs();
    if magnitude.is_nan() || magnitude >= LIMIT {
        return None;
    }
    let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).max(-14);
    let steps = (magnitude * 2f64.powi(10 - exponent)).round_ties_even();
    // A fraction that rounds up to the next power of two carries into the exponent by itself.
    let bits = (exponent + 14) * 1024 + steps as i32;
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    u16::try_from(bits).ok().map(|bits| bits | sign)
}

/// The shortest decimal that reads back as the same bits; `None` if they are not finite.
pub(crate) fn shortest(bits: u16) -> Option<Decimal> {
    let value = to_f64(bits);
    if value == 0.0 {
        return Some(Decimal::ZERO);
    }
    // Five significant digits tell any two half-precision numbers apart.
    (0..5)
        .map(|digits| format!("{value:.digits$e}"))
        .find(|text| text.parse().ok().and_then(from_f64) == Some(bits))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_halves_are_converted_both_ways() {
        for (bits, value, text) in [
            (0x0000, 0.0, "0"),
            (0x0001, 5.960_464_477_539_063e-8, "0.00000006"),
            (0x03FF, 6.097_555_160_522_461e-5, "0.000061"),
            (0x0400, 6.103_515_625e-5, "0.00006104"),
            (0x2E66, 0.099_975_585_937_5, "0.1"),
            (0x3C00, 1.0, "1"),
            (0xC000, -2.0, "-2"),
            (0x4D60, 21.5, "21.5"),
            (0x7BFF, 65_504.0, "65500"),
        ] {
            assert_eq!(to_f64(bits), value, "{bits:04x}");
            assert_eq!(from_f64(value), Some(bits), "{value}");
            assert_eq!(shortest(bits).unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_finite_half_survives_both_round_trips() {
        for bits in 0..=u16::MAX {
            let value = to_f64(bits);
            if !value.is_finite() {
                assert_eq!((from_f64(value), shortest(bits)), (None, None));
                continue;
            }
            assert_eq!(from_f64(value), Some(bits));
            let shortest = shortest(bits).unwrap();
            let want = if value == 0.0 { 0 } else { bits };
            assert_eq!(from_f64(shortest.to_f64()), Some(want), "{shortest}");
        }
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_go_to_even() {
        for (value, want) in [
            (1.0 + 1.0 / 2048.0, Some(0x3C00)),
            (1.0 + 3.0 / 2048.0, Some(0x3C02)),
            (1.999_9, Some(0x4000)),
            (65_519.9, Some(0x7BFF)),
            (65_520.0, None),
            (-70_000.0, None),
            (1e-9, Some(0)),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(from_f64(value), want, "{value}");
        }
    }
}
