//! What a plain scalar means in the core schema of YAML 1.2: `on`, `yes` and `1_000` are text.
//!
//! Source: YAML 1.2.2, section 10.3.2.

use super::tree::Kind;

/// Resolves a scalar that was written without quotes and without a tag.
pub(super) fn resolve(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    if let Some(value) = integer(text) {
        return Kind::Int(value);
    }
    if let Some(value) = float(text) {
        return Kind::Float(value);
    }
    Kind::Text(text.to_owned())
}

/// `[-+]?[0-9]+`, `0o[0-7]+` or `0x[0-9a-fA-F]+`, when it fits.
pub(super) fn integer(text: &str) -> Option<i128> {
    let radix = |digits: &str, radix: u32| {
        let plain = digits.chars().all(|digit| digit.is_digit(radix));
        (plain && !digits.is_empty())
            .then(|| i128::from_str_radix(digits, radix).ok())
            .flatten()
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, `[-+]?\.inf` or `.nan`.
pub(super) fn float(text: &str) -> Option<f64> {
    let (negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    match magnitude {
        ".inf" | ".Inf" | ".INF" => {
            return Some(if negative {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            });
        }
        _ => {}
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(f64::NAN);
    }
    // Beyond this grammar Rust also takes "inf", "nan" and "infinity", which are text in YAML.
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (magnitude, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole_or_fraction = !whole.is_empty() || fraction.is_some_and(|digits| !digits.is_empty());
    let good = whole_or_fraction
        && digits(whole)
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        });
    // A number that is too large to hold stays text, and no reader of a number takes it.
    good.then(|| text.parse().ok())
        .flatten()
        .filter(|value: &f64| value.is_finite())
}
