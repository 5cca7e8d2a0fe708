//! Readings of one series as columns: states in runs, times, numbers. Pure.
//!
//! A chunk holds numbers of one kind. Decimal numbers share the digits of the one that has most, so that `21` between
//! `20.9` and `21.1` is a small step.

use fieldgate_model::Decimal;

use crate::bits::{put_varint, take_byte, take_varint};
use crate::column;
use crate::reading::{Number, Reading, has_number};

/// Readings of a chunk at most: half a megabyte when they are taken apart.
pub const COUNT_MAX: usize = 16_384;

/// What the numbers of a chunk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// None is there.
    Nothing,
    Bool,
    Decimal,
    F32,
    F64,
    /// Decimals that do not fit 64 bits when they share their digits.
    Wide,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Bool,
        Self::Decimal,
        Self::F32,
        Self::F64,
        Self::Wide,
    ];

    fn code(self) -> u8 {
        let place = Self::ALL.iter().position(|kind| *kind == self);
        place.map_or(0, |place| place as u8)
    }

    fn of(number: &Number) -> Self {
        match number {
            Number::Bool(_) => Self::Bool,
            Number::Decimal { .. } | Number::Wide(_) => Self::Decimal,
            Number::F32(_) => Self::F32,
            Number::F64(_) => Self::F64,
        }
    }
}

/// How many of the first readings go into one chunk: those whose numbers are of one kind.
pub fn fitting(readings: &[Reading]) -> usize {
    let mut kind = None;
    let readings = readings.iter().take(COUNT_MAX);
    let fits = |reading: &&Reading| {
        let own = reading.number.as_ref().map(Kind::of);
        let known = *kind.get_or_insert(own.unwrap_or(Kind::Nothing));
        if known == Kind::Nothing {
            kind = Some(own.unwrap_or(Kind::Nothing));
        }
        own.is_none_or(|own| known == own || known == Kind::Nothing)
    };
    readings.take_while(fits).count()
}

/// Appends a chunk with the first readings, as many as fit it. Returns how many those are. The first time is told as
/// its distance from `base`.
pub fn encode(readings: &[Reading], base: i64, out: &mut Vec<u8>) -> usize {
    let count = fitting(readings);
    let readings = readings.get(..count).unwrap_or_default();
    put_varint(count as u64, out);
    put_states(readings, out);
    let times: Vec<i64> = readings.iter().map(|reading| reading.at).collect();
    column::encode(&times, base, out);
    let numbers: Vec<&Number> = readings
        .iter()
        .filter_map(|reading| reading.number.as_ref())
        .collect();
    put_numbers(&numbers, out);
    count
}

fn put_states(readings: &[Reading], out: &mut Vec<u8>) {
    let states: Vec<u8> = readings.iter().map(Reading::state).collect();
    let runs: Vec<&[u8]> = states.chunk_by(|a, b| a == b).collect();
    put_varint(runs.len() as u64, out);
    for (place, run) in (1..).zip(&runs) {
        out.extend(run.first());
        // How long the last one is follows from the others.
        if place < runs.len() {
            put_varint(run.len() as u64, out);
        }
    }
}

fn put_numbers(numbers: &[&Number], out: &mut Vec<u8>) {
    let kind = numbers
        .first()
        .map_or(Kind::Nothing, |number| Kind::of(number));
    let whole = |number: &&Number| match number {
        Number::Bool(on) => i64::from(*on),
        Number::F32(float) => ordered32(float.to_bits()),
        Number::F64(float) => ordered64(float.to_bits()),
        Number::Decimal { mantissa, .. } => *mantissa,
        Number::Wide(_) => 0,
    };
    if kind != Kind::Decimal {
        out.push(kind.code());
        let column: Vec<i64> = numbers.iter().map(whole).collect();
        return column::encode(&column, 0, out);
    }
    let digits = numbers
        .iter()
        .map(|number| digits(number))
        .max()
        .unwrap_or(0);
    let shared: Option<Vec<i64>> = numbers
        .iter()
        .map(|number| shared(number, digits))
        .collect();
    if let Some(column) = shared {
        out.extend([Kind::Decimal.code(), digits]);
        return column::encode(&column, 0, out);
    }
    out.push(Kind::Wide.code());
    for number in numbers {
        if let fieldgate_model::Value::Decimal(number) = number.value() {
            let (mantissa, digits) = number.parts();
            out.push(digits);
            out.extend(mantissa.to_le_bytes());
        }
    }
}

fn digits(number: &Number) -> u8 {
    match number {
        Number::Decimal { digits, .. } => *digits,
        Number::Wide(number) => number.parts().1,
        _ => 0,
    }
}

/// The number without its decimal point when it has so many digits behind it.
fn shared(number: &Number, digits: u8) -> Option<i64> {
    match number {
        Number::Decimal {
            mantissa,
            digits: own,
        } => {
            let more = digits.checked_sub(*own)?;
            mantissa.checked_mul(10_i64.checked_pow(more.into())?)
        }
        _ => None,
    }
}

/// Floats as whole numbers in the same order; its own inverse.
fn ordered32(bits: u32) -> i64 {
    let bits = bits as i32;
    i64::from(bits ^ ((bits >> 31) as u32 >> 1) as i32)
}

fn ordered64(bits: u64) -> i64 {
    let bits = bits as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

pub(crate) fn float_to_ordered(value: f64) -> i64 {
    ordered64(value.to_bits())
}

pub(crate) fn float_of_ordered(value: i64) -> f64 {
    f64::from_bits(ordered64(value as u64) as u64)
}

/// Takes a chunk from the front; `None` if there is none.
pub fn decode(bytes: &mut &[u8], base: i64) -> Option<Vec<Reading>> {
    let columns = Columns::take(bytes, base)?;
    let mut number = 0..;
    let readings = columns.states.iter().zip(&columns.times);
    readings
        .map(|(state, at)| Reading::with(*state, *at, || columns.numbers.get(number.next()?)))
        .collect()
}

/// The last reading of a chunk before a time, if there is one; `None` if this is no chunk. Only that one is put together.
pub(crate) fn last_before(bytes: &mut &[u8], base: i64, before: i64) -> Option<Option<Reading>> {
    let columns = Columns::take(bytes, base)?;
    let Some(place) = columns.times.iter().rposition(|at| *at < before) else {
        return Some(None);
    };
    let states = columns.states.get(..place)?.iter();
    let number = states.filter(|state| has_number(**state)).count();
    let (state, at) = (columns.states.get(place)?, columns.times.get(place)?);
    Reading::with(*state, *at, || columns.numbers.get(number)).map(Some)
}

/// A chunk that is not put together yet.
struct Columns {
    states: Vec<u8>,
    times: Vec<i64>,
    numbers: Numbers,
}

impl Columns {
    fn take(bytes: &mut &[u8], base: i64) -> Option<Self> {
        let count = usize::try_from(take_varint(bytes)?).ok()?;
        if count > COUNT_MAX {
            return None;
        }
        let states = take_states(bytes, count)?;
        let times = column::decode(bytes, count, base)?;
        let numbers = states.iter().filter(|state| has_number(**state)).count();
        let numbers = take_numbers(bytes, numbers)?;
        Some(Self {
            states,
            times,
            numbers,
        })
    }
}

fn take_states(bytes: &mut &[u8], count: usize) -> Option<Vec<u8>> {
    let runs = usize::try_from(take_varint(bytes)?).ok()?;
    if runs > count || (runs == 0) != (count == 0) {
        return None;
    }
    let mut states = Vec::with_capacity(count);
    for place in 1..=runs {
        let state = take_byte(bytes)?;
        let left = count - states.len();
        let length = match place == runs {
            true => left,
            false => usize::try_from(take_varint(bytes)?).ok()?,
        };
        if length == 0 || length > left {
            return None;
        }
        states.resize(states.len() + length, state);
    }
    Some(states)
}

/// The numbers of a chunk.
enum Numbers {
    Wide(Vec<Number>),
    Whole(Kind, u8, Vec<i64>),
}

impl Numbers {
    fn get(&self, place: usize) -> Option<Number> {
        let (kind, digits, whole) = match self {
            Self::Wide(numbers) => return numbers.get(place).cloned(),
            Self::Whole(kind, digits, column) => (*kind, *digits, *column.get(place)?),
        };
        match kind {
            Kind::Nothing | Kind::Wide => None,
            Kind::Bool => Some(Number::Bool(whole != 0)),
            Kind::Decimal => Number::whole(whole, digits),
            Kind::F32 => {
                let bits = i32::try_from(whole).ok()?;
                Some(Number::F32(f32::from_bits(ordered32(bits as u32) as u32)))
            }
            Kind::F64 => Some(Number::F64(float_of_ordered(whole))),
        }
    }
}

fn take_numbers(bytes: &mut &[u8], count: usize) -> Option<Numbers> {
    let kind = *Kind::ALL.get(usize::from(take_byte(bytes)?))?;
    if (kind == Kind::Nothing) != (count == 0) {
        return None;
    }
    if kind == Kind::Wide {
        let numbers = (0..count).map(|_| take_wide(bytes));
        return numbers.collect::<Option<_>>().map(Numbers::Wide);
    }
    let digits = match kind {
        Kind::Decimal => take_byte(bytes)?,
        _ => 0,
    };
    let column = column::decode(bytes, count, 0)?;
    Some(Numbers::Whole(kind, digits, column))
}

fn take_wide(bytes: &mut &[u8]) -> Option<Number> {
    let digits = take_byte(bytes)?;
    let (mantissa, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Decimal::new(i128::from_le_bytes(*mantissa), digits).map(Number::decimal)
}
