//! Roll-ups: what the readings of a minute, or of an hour, were. Pure.

use fieldgate_model::Quality;

use crate::bits::{put_varint, take_byte, take_varint};
use crate::chunk::{float_of_ordered, float_to_ordered};
use crate::column;
use crate::reading::{Number, Reading, quality, rank};

/// Cells that stand together at most: those of five days of minutes.
pub const COUNT_MAX: usize = 8_192;

/// Least, greatest, mean, first and last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// The least number.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
    /// The one that came first.
    pub first: f64,
    /// The one that came last.
    pub last: f64,
}

/// What the readings of some span of time were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// When the span begins, in milliseconds since 1970.
    pub start: i64,
    /// Good numbers in it.
    pub count: u64,
    /// What they were; `None` if there was none.
    pub numbers: Option<Numbers>,
    /// The worst quality of a reading in it.
    pub worst: Quality,
}

impl Cell {
    /// An empty one.
    pub fn new(start: i64) -> Self {
        Self {
            start,
            count: 0,
            numbers: None,
            worst: Quality::Good,
        }
    }

    /// Takes up one reading. Only a good one that is a finite number counts as a number.
    pub fn take(&mut self, reading: &Reading) {
        self.worsen(reading.quality);
        let is_good = reading.quality == Quality::Good;
        let number = reading
            .number
            .as_ref()
            .filter(|_| is_good)
            .map(Number::to_f64);
        if let Some(value) = number.filter(|value| value.is_finite()) {
            let one = Numbers {
                min: value,
                max: value,
                mean: value,
                first: value,
                last: value,
            };
            self.add(1, one);
        }
    }

    /// Takes up what a later, shorter span was.
    pub fn merge(&mut self, other: &Self) {
        self.worsen(other.worst);
        if let Some(numbers) = other.numbers {
            self.add(other.count, numbers);
        }
    }

    fn worsen(&mut self, other: Quality) {
        if rank(other) > rank(self.worst) {
            self.worst = other;
        }
    }

    fn add(&mut self, count: u64, new: Numbers) {
        let all = self.count.saturating_add(count);
        self.numbers = Some(match self.numbers {
            None => new,
            Some(old) => Numbers {
                min: old.min.min(new.min),
                max: old.max.max(new.max),
                mean: old.mean + (new.mean - old.mean) * (count as f64 / all.max(1) as f64),
                first: old.first,
                last: new.last,
            },
        });
        self.count = all;
    }
}

/// Cells of `span` milliseconds from readings in their order. Times that fall begin a new cell.
pub fn of_readings<'r>(
    readings: impl IntoIterator<Item = &'r Reading>,
    span: i64,
    cells: &mut Vec<Cell>,
) {
    for reading in readings {
        last(cells, reading.at, span).take(reading);
    }
}

/// The same from shorter cells.
pub fn of_cells<'c>(shorter: impl IntoIterator<Item = &'c Cell>, span: i64, cells: &mut Vec<Cell>) {
    for cell in shorter {
        last(cells, cell.start, span).merge(cell);
    }
}

fn last(cells: &mut Vec<Cell>, at: i64, span: i64) -> &mut Cell {
    let start = at - at.rem_euclid(span);
    if cells.last().is_none_or(|cell| cell.start != start) {
        cells.push(Cell::new(start));
    }
    let place = cells.len() - 1;
    &mut cells[place]
}

/// Numbers are whole ones of so many digits behind the point, or doubles.
const DOUBLES: u8 = u8::MAX;
/// More digits are written as doubles.
const DIGITS_MAX: u8 = 9;
/// Means have so many digits more.
const MEAN_DIGITS: u8 = 2;

/// Appends cells, of which there are at most [`COUNT_MAX`]. Means may be rounded to two digits more than the numbers
/// have; everything else is exact.
pub fn encode(cells: &[Cell], base: i64, out: &mut Vec<u8>) {
    put_varint(cells.len() as u64, out);
    let column = |of: &dyn Fn(&Cell) -> i64| cells.iter().map(of).collect::<Vec<i64>>();
    column::encode(&column(&|cell| cell.start), base, out);
    column::encode(
        &column(&|cell| i64::try_from(cell.count).unwrap_or(i64::MAX)),
        0,
        out,
    );
    column::encode(&column(&|cell| rank(cell.worst).into()), 0, out);
    let numbers: Vec<Numbers> = cells.iter().filter_map(|cell| cell.numbers).collect();
    let digits = (0..=DIGITS_MAX).find(|digits| numbers.iter().all(|all| are_whole(all, *digits)));
    out.push(digits.unwrap_or(DOUBLES));
    let parts: [fn(&Numbers) -> f64; 5] = [
        |all| all.min,
        |all| all.max,
        |all| all.first,
        |all| all.last,
        |all| all.mean,
    ];
    for (place, part) in parts.into_iter().enumerate() {
        let values = numbers.iter().map(part);
        let column: Vec<i64> = match digits {
            None => values.map(float_to_ordered).collect(),
            Some(digits) => values
                .map(|value| scaled(value, digits_of(place, digits)) as i64)
                .collect(),
        };
        column::encode(&column, 0, out);
    }
}

fn digits_of(place: usize, digits: u8) -> u8 {
    if place == 4 {
        digits + MEAN_DIGITS
    } else {
        digits
    }
}

fn scaled(value: f64, digits: u8) -> f64 {
    (value * 10_f64.powi(digits.into())).round()
}

fn unscaled(value: i64, digits: u8) -> f64 {
    value as f64 / 10_f64.powi(digits.into())
}

/// Whether all but the mean are whole numbers when the point is moved.
fn are_whole(all: &Numbers, digits: u8) -> bool {
    /// Doubles hold all whole numbers up to here.
    const EXACT: f64 = (1_u64 << 53) as f64;
    let mean = scaled(all.mean, digits + MEAN_DIGITS).abs() < EXACT;
    mean && [all.min, all.max, all.first, all.last]
        .into_iter()
        .all(|value| {
            let whole = scaled(value, digits);
            whole.abs() < EXACT && unscaled(whole as i64, digits).to_bits() == value.to_bits()
        })
}

/// Takes cells from the front; `None` if there are none.
pub fn decode(bytes: &mut &[u8], base: i64) -> Option<Vec<Cell>> {
    let count = usize::try_from(take_varint(bytes)?).ok()?;
    if count > COUNT_MAX {
        return None;
    }
    let starts = column::decode(bytes, count, base)?;
    let counts = column::decode(bytes, count, 0)?;
    let worst = column::decode(bytes, count, 0)?;
    let filled = counts.iter().filter(|count| **count > 0).count();
    let digits = take_byte(bytes)?;
    if digits > DIGITS_MAX && digits != DOUBLES {
        return None;
    }
    let mut part = |place: usize| -> Option<std::vec::IntoIter<f64>> {
        let column = column::decode(bytes, filled, 0)?.into_iter();
        let value = |whole| match digits {
            DOUBLES => float_of_ordered(whole),
            digits => unscaled(whole, digits_of(place, digits)),
        };
        Some(column.map(value).collect::<Vec<_>>().into_iter())
    };
    let [mut min, mut max, mut first, mut last, mut mean] =
        [part(0)?, part(1)?, part(2)?, part(3)?, part(4)?];
    let cells = starts.into_iter().zip(counts).zip(worst);
    let cell = |((start, count), worst): ((i64, i64), i64)| {
        let numbers = match count {
            0 => None,
            _ => Some(Numbers {
                min: min.next()?,
                max: max.next()?,
                mean: mean.next()?,
                first: first.next()?,
                last: last.next()?,
            }),
        };
        Some(Cell {
            start,
            count: u64::try_from(count).ok()?,
            numbers,
            worst: quality(u8::try_from(worst).ok()?)?,
        })
    };
    cells.map(cell).collect()
}
