//! Readings as Apache Parquet, version 2 of the format without compression: what pandas, DuckDB and others read. Pure but
//! for the bytes that go out.
//!
//! ```text
//! PAR1
//! row groups    each column: a dictionary, if that is smaller, and one page of values
//! footer        the columns, and where each is in each row group
//! PAR1
//! ```
//!
//! Rows are held until there are enough for a row group. Of each group a few hundred bytes stay for the footer.

mod column;
mod thrift;

use std::io::{self, Write};

use crate::reading::{Number, Row};
use column::{Column, Kind};
use thrift::{STRUCT, Thrift};

/// Rows of a group: they take about 4 MB until they are written.
const GROUP: usize = 1 << 16;
/// Groups of a file at most: the footer has 8 MB then.
const GROUPS_MAX: usize = 1 << 14;
/// Rows of a file at most.
pub(crate) const ROWS_MAX: u64 = (GROUP * GROUPS_MAX) as u64;
const MAGIC: &[u8] = b"PAR1";
/// A decimal number of so many digits is the only one of its length near its double, so that the double tells it.
const TOLD: u64 = 1_000_000_000_000_000;

/// A file that is being written.
pub(crate) struct Parquet<W> {
    out: Counting<W>,
    columns: Columns,
    /// Rows that are held.
    held: usize,
    /// Those that were written.
    rows: u64,
    /// What the footer says of each group.
    groups: Vec<Vec<u8>>,
}

/// Knows where it is.
struct Counting<W> {
    out: W,
    at: u64,
}

impl<W: Write> Counting<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

struct Columns {
    time: Column,
    device: Column,
    point: Column,
    value: Column,
    exact: Column,
    quality: Column,
    clock: Column,
    unit: Column,
}

impl Columns {
    fn new() -> Self {
        Self {
            time: Column::new("time", Kind::Time, false),
            device: Column::new("device", Kind::Text, false),
            point: Column::new("point", Kind::Text, false),
            value: Column::new("value", Kind::Double, true),
            exact: Column::new("exact", Kind::Text, true),
            quality: Column::new("quality", Kind::Text, false),
            clock: Column::new("clock", Kind::Text, false),
            unit: Column::new("unit", Kind::Text, true),
        }
    }

    fn all(&mut self) -> [&mut Column; 8] {
        [
            &mut self.time,
            &mut self.device,
            &mut self.point,
            &mut self.value,
            &mut self.exact,
            &mut self.quality,
            &mut self.clock,
            &mut self.unit,
        ]
    }

    fn push(&mut self, row: &Row<'_>) {
        let reading = row.reading;
        let micros = reading.at.saturating_mul(1_000);
        self.time.push(Some(&micros.to_le_bytes()));
        self.device.push_text(Some(&row.series.device));
        self.point.push_text(Some(&row.series.point));
        let number = reading.number.as_ref().map(double);
        let bytes = number.as_ref().map(|(double, _)| double.to_le_bytes());
        self.value.push(bytes.as_ref().map(<[u8; 8]>::as_slice));
        let exact = number.and_then(|(_, exact)| exact);
        self.exact.push_text(exact.as_deref());
        self.quality.push_text(Some(reading.quality_name()));
        self.clock.push_text(Some(reading.clock_name()));
        let unit = (!row.unit.is_empty()).then_some(row.unit);
        self.unit.push_text(unit);
    }
}

/// The double nearest to what is published, and all digits if they are not those of the double.
fn double(number: &Number) -> (f64, Option<String>) {
    match number {
        Number::F64(own) => (*own, None),
        Number::F32(own) if !own.is_finite() => (f64::from(*own), None),
        // As text: what is published is 0.1, not the double nearest to the float nearest to that.
        Number::F32(own) => (own.to_string().parse().unwrap_or(f64::NAN), None),
        Number::Bool(_) => (number.to_f64(), None),
        Number::Decimal { mantissa, .. } if mantissa.unsigned_abs() < TOLD => {
            (number.to_f64(), None)
        }
        Number::Decimal { .. } | Number::Wide(_) => {
            let text = number.value().to_string();
            let double: f64 = text.parse().unwrap_or(f64::NAN);
            let is_same = double.to_string() == text;
            (double, (!is_same).then_some(text))
        }
    }
}

impl<W: Write> Parquet<W> {
    pub(crate) fn begin(out: W) -> io::Result<Self> {
        let mut out = Counting { out, at: 0 };
        out.put(MAGIC)?;
        Ok(Self {
            out,
            columns: Columns::new(),
            held: 0,
            rows: 0,
            groups: Vec::new(),
        })
    }

    /// Takes a row. False if the file may have no more.
    pub(crate) fn row(&mut self, row: &Row<'_>) -> io::Result<bool> {
        if self.groups.len() == GROUPS_MAX {
            return Ok(false);
        }
        self.columns.push(row);
        self.held += 1;
        if self.held == GROUP {
            self.group()?;
        }
        Ok(true)
    }

    /// Writes the rows that are held.
    fn group(&mut self) -> io::Result<()> {
        let begin = self.out.at;
        let all = self.columns.all();
        let mut footer = Thrift::default();
        footer.list(1, STRUCT, all.len());
        for column in all {
            let at = self.out.at;
            let written = column.take(self.held);
            self.out.put(&written.dictionary)?;
            let page = self.out.at;
            self.out.put(&written.page)?;
            let dictionary = (page > at).then_some(at);
            footer.item();
            footer.i64(2, at);
            footer.begin(3);
            column.describe(&mut footer, self.held, (dictionary, page, self.out.at));
            footer.end();
            footer.end();
        }
        footer.i64(2, self.out.at - begin);
        footer.i64(3, self.held as u64);
        self.groups.push(footer.finish());
        self.rows += self.held as u64;
        self.held = 0;
        Ok(())
    }

    /// Writes what is left, and the footer.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.held > 0 {
            self.group()?;
        }
        let mut footer = Thrift::default();
        footer.i32(1, 2);
        let all = self.columns.all();
        footer.list(2, STRUCT, all.len() + 1);
        footer.item();
        footer.text(4, "fieldgate");
        footer.i32(5, all.len() as u32);
        footer.end();
        for column in all {
            column.define(&mut footer);
        }
        footer.i64(3, self.rows);
        footer.list(4, STRUCT, self.groups.len());
        let mut length = 0;
        let mut put = |out: &mut Counting<W>, bytes: &[u8]| {
            length += bytes.len();
            out.put(bytes)
        };
        put(&mut self.out, &footer.part())?;
        for group in &self.groups {
            put(&mut self.out, group)?;
        }
        footer.text(6, concat!("fieldgate version ", env!("CARGO_PKG_VERSION")));
        put(&mut self.out, &footer.finish())?;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.out.put(&length.to_le_bytes())?;
        self.out.put(MAGIC)?;
        self.out.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_has_all_digits_beside_it_where_it_is_not_the_number() {
        let decimal = |text: &str| Number::decimal(text.parse().unwrap());
        for (number, double_, exact) in [
            (Number::Bool(true), 1.0, None),
            (Number::F32(0.1), 0.1, None),
            (Number::F32(f32::INFINITY), f64::INFINITY, None),
            (Number::F64(0.1 + 0.2), 0.1 + 0.2, None),
            (decimal("230.1"), 230.1, None),
            (decimal("999999999999999"), 999_999_999_999_999.0, None),
            (decimal("9007199254740992"), 9_007_199_254_740_992.0, None),
            (
                decimal("9007199254740993"),
                9_007_199_254_740_992.0,
                Some("9007199254740993"),
            ),
            (
                decimal("9223372036854775807"),
                9_223_372_036_854_775_807.0,
                Some("9223372036854775807"),
            ),
            (
                decimal("-9223372036854775808"),
                -9_223_372_036_854_775_808.0,
                Some("-9223372036854775808"),
            ),
            (
                decimal("0.12345678901234567891"),
                0.123_456_789_012_345_68,
                Some("0.12345678901234567891"),
            ),
            (decimal("1234567890123456.5"), 1_234_567_890_123_456.5, None),
        ] {
            let want = (double_, exact.map(str::to_owned));
            assert_eq!(double(&number), want, "{number:?}");
        }
    }

    #[test]
    fn a_file_takes_no_more_rows_than_its_footer_can_hold() {
        let series = &crate::layout::Series {
            device: "d".to_owned(),
            point: "p".to_owned(),
        };
        let reading = &crate::tests::reading(0, None);
        let row = Row {
            series,
            unit: "",
            reading,
        };
        let mut file = Parquet::begin(io::sink()).unwrap();
        file.groups = vec![Vec::new(); GROUPS_MAX - 1];
        for place in 0..=GROUP {
            assert_eq!(file.row(&row).unwrap(), place < GROUP, "{place}");
        }
    }
}
