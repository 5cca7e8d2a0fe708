//! What numbers and texts of all fields have in common.

use fieldgate_model::Decimal;

use super::Order;

/// A text in Latin-1, whose last character comes first.
pub(super) fn text(bytes: &[u8], order: Order) -> String {
    let mut text: String = match order {
        Order::LowFirst => bytes.iter().rev().map(|byte| char::from(*byte)).collect(),
        Order::HighFirst => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let is_blank = |c: char| c == ' ' || c == '\0';
    text.truncate(text.trim_end_matches(is_blank).len());
    text
}

/// `number` times a power of ten.
pub(super) fn scaled(number: i128, exponent: i8) -> Option<Decimal> {
    let power = 10_i128.checked_pow(exponent.unsigned_abs().into())?;
    if exponent < 0 {
        Decimal::new(number, exponent.unsigned_abs())
    } else {
        Decimal::new(number.checked_mul(power)?, 0)
    }
}
