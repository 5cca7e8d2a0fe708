//! A column of whole numbers: differences of the order that makes them smallest, as Rice codes.
//!
//! The differences of a measured value are small and of both signs, and small ones are more frequent; for such numbers
//! a Rice code is within a few percent of what any code can reach. Every 64 differences have their own parameter, so a
//! pause or a jump costs only where it is. Equal steps cost nearly nothing.

use crate::bits::{BitReader, BitWriter, fold, put_varint, take_byte, take_varint, unfold};

/// Differences that share a parameter.
const GROUP: usize = 64;
/// Bits of a parameter.
const PARAMETER: u32 = 6;
/// All of the group are zero.
const ZEROS: u32 = 63;
/// A quotient of so many ones has the whole number behind it.
const ESCAPE: u32 = 24;
/// The greatest parameter: the rest is no use.
const K_MAX: u32 = 60;
/// The differences are divided by a number.
const HAS_DIVISOR: u8 = 4;

/// Appends `values`; the first is told as its distance from `base`.
pub(crate) fn encode(values: &[i64], base: i64, out: &mut Vec<u8>) {
    let Some((first, rest)) = values.split_first() else {
        return;
    };
    put_varint(fold(first.wrapping_sub(base)), out);
    if rest.is_empty() {
        return;
    }
    let divisor = divisor(*first, rest);
    let divided = |value: i64| value.wrapping_sub(*first) / divisor;
    let mut orders = [vec![], vec![], vec![]];
    let (mut before, mut step) = (0_i64, 0_i64);
    for value in rest {
        let value = divided(*value);
        let new = value.wrapping_sub(before);
        let [zero, one, two] = &mut orders;
        zero.push(fold(value));
        one.push(fold(new));
        two.push(fold(new.wrapping_sub(step)));
        (before, step) = (value, new);
    }
    let cost = |folded: &[u64]| {
        folded
            .iter()
            .map(|z| u64::from(64 - z.leading_zeros()))
            .sum::<u64>()
    };
    let costs = orders.each_ref().map(|folded| cost(folded));
    let order = (0..3).min_by_key(|order| costs.get(*order)).unwrap_or(1);
    let flag = if divisor > 1 { HAS_DIVISOR } else { 0 };
    out.push(order as u8 | flag);
    if divisor > 1 {
        put_varint(divisor as u64, out);
    }
    let mut bits = BitWriter::new(out);
    for group in orders
        .get(order)
        .into_iter()
        .flat_map(|folded| folded.chunks(GROUP))
    {
        put_group(group, &mut bits);
    }
    bits.finish();
}

/// By what all distances from the first value can be divided: readings in whole seconds, floats in a double.
fn divisor(first: i64, rest: &[i64]) -> i64 {
    let mut common = 0_u64;
    for value in rest {
        let Some(distance) = value.checked_sub(first) else {
            return 1;
        };
        common = greatest_common(common, distance.unsigned_abs());
        if common == 1 {
            return 1;
        }
    }
    i64::try_from(common).unwrap_or(1).max(1)
}

fn greatest_common(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn put_group(group: &[u64], bits: &mut BitWriter<'_>) {
    if group.iter().all(|z| *z == 0) {
        return bits.put(ZEROS.into(), PARAMETER);
    }
    let sum: u128 = group.iter().map(|z| u128::from(*z)).sum();
    let mean = sum / group.len() as u128;
    let near = (128 - mean.leading_zeros()).min(K_MAX);
    let cost = |k: u32| -> u64 {
        let one = |z: &u64| match z >> k {
            q if q >= u64::from(ESCAPE) => u64::from(ESCAPE) + 64,
            q => q + 1 + u64::from(k),
        };
        group.iter().map(one).sum()
    };
    let k = (near.saturating_sub(2)..=near)
        .min_by_key(|k| cost(*k))
        .unwrap_or(near);
    bits.put(k.into(), PARAMETER);
    for z in group {
        match u32::try_from(z >> k).ok().filter(|q| *q < ESCAPE) {
            Some(q) => {
                bits.put_ones(q, true);
                bits.put(*z, k);
            }
            None => {
                bits.put_ones(ESCAPE, false);
                bits.put(*z, 64);
            }
        }
    }
}

/// Takes a column of `count` values from the front; `None` if there is none.
pub(crate) fn decode(bytes: &mut &[u8], count: usize, base: i64) -> Option<Vec<i64>> {
    if count == 0 {
        return Some(Vec::new());
    }
    let first = unfold(take_varint(bytes)?).wrapping_add(base);
    // No more room than the bytes can fill: each group takes some bits.
    let mut values = Vec::with_capacity(count.min(bytes.len().saturating_mul(2 * GROUP) + 1));
    values.push(first);
    if count == 1 {
        return Some(values);
    }
    let head = take_byte(bytes)?;
    let order = head & 3;
    let divisor = match head & HAS_DIVISOR {
        0 => 1,
        _ => i64::try_from(take_varint(bytes)?).ok()?,
    };
    if order > 2 || head > 6 {
        return None;
    }
    let mut bits = BitReader::new(bytes);
    let (mut before, mut step) = (0_i64, 0_i64);
    while values.len() < count {
        let k = bits.take(PARAMETER)? as u32;
        if k > K_MAX && k != ZEROS {
            return None;
        }
        for _ in 0..GROUP.min(count - values.len()) {
            let z = if k == ZEROS {
                0
            } else {
                take_one(&mut bits, k)?
            };
            let told = unfold(z);
            let value = match order {
                0 => told,
                1 => before.wrapping_add(told),
                _ => {
                    step = step.wrapping_add(told);
                    before.wrapping_add(step)
                }
            };
            before = value;
            values.push(first.wrapping_add(value.wrapping_mul(divisor)));
        }
    }
    *bytes = bits.behind();
    Some(values)
}

fn take_one(bits: &mut BitReader<'_>, k: u32) -> Option<u64> {
    match bits.take_ones(ESCAPE)? {
        ESCAPE => bits.take(64),
        q => Some(u64::from(q) << k | bits.take(k)?),
    }
}
