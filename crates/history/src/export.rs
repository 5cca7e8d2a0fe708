//! Readings as a file for other programs. Series by series as they are read, so that memory stays the same whatever the
//! range.

use std::io::{self, Write};
use std::ops::ControlFlow;

use crate::file::Series;
use crate::parquet::{self, Parquet};
use crate::query::{self, ATTEMPTS, Range, Reader};
use crate::reading::{Reading, Row};
use crate::{csv, jsonl, line};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// A JSON object in each line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// InfluxDB's line protocol.
    Line,
}

/// Which points are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Only those of this device.
    pub device: Option<String>,
    /// Only these points; all if there are none.
    pub points: Vec<String>,
}

impl Chosen {
    /// Whether this one is.
    pub fn has(&self, series: &Series) -> bool {
        let is_device = self.device.as_ref().is_none_or(|own| *own == series.device);
        is_device && (self.points.is_empty() || self.points.contains(&series.point))
    }
}

/// Why a file is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// History cannot be read.
    #[error("history cannot be read: {0}")]
    Read(#[from] query::Error),
    /// It cannot be written; also if the one who wanted it has gone.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// It would be larger than such a file may be.
    #[error("there are more than {0} readings; ask for a shorter range, or for fewer points")]
    TooMany(u64),
}

/// A file that is being written.
enum File<W> {
    Text {
        out: W,
        append: fn(&mut String, &Row<'_>),
        line: String,
    },
    Parquet(Box<Parquet<W>>),
}

impl<W: Write> File<W> {
    fn begin(format: Format, mut out: W) -> io::Result<Self> {
        let append = match format {
            Format::Csv => {
                out.write_all(csv::HEADER.as_bytes())?;
                csv::append
            }
            Format::Jsonl => jsonl::append,
            Format::Line => line::append,
            Format::Parquet => return Parquet::begin(out).map(|file| Self::Parquet(file.into())),
        };
        let line = String::new();
        Ok(Self::Text { out, append, line })
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), Error> {
        match self {
            Self::Text { out, append, line } => {
                line.clear();
                append(line, row);
                Ok(out.write_all(line.as_bytes())?)
            }
            Self::Parquet(file) => match file.row(row)? {
                true => Ok(()),
                false => Err(Error::TooMany(parquet::ROWS_MAX)),
            },
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Text { mut out, .. } => out.flush(),
            Self::Parquet(file) => file.finish(),
        }
    }
}

/// How many readings of a series were passed, and which: their times one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Passed {
    count: u64,
    times: u64,
}

impl Passed {
    fn pass(&mut self, reading: &Reading) {
        self.count += 1;
        // FNV-1a, over whole numbers in place of bytes.
        self.times = (self.times ^ reading.at.cast_unsigned()).wrapping_mul(0x0100_0000_01b3);
    }
}

impl Reader {
    /// Writes every reading of a range. `unit` says in which unit a series is; empty for none.
    ///
    /// # Errors
    ///
    /// If history cannot be read, or `out` takes no more. What was written until then is no whole file.
    pub fn export(
        &self,
        (chosen, range): (&Chosen, Range),
        unit: &dyn Fn(&Series) -> String,
        format: Format,
        out: impl Write,
    ) -> Result<(), Error> {
        let mut reader = self.clone();
        let all = anew(&mut reader, |reader| reader.series(range))?;
        let mut file = File::begin(format, out)?;
        for series in all.iter().filter(|series| chosen.has(series)) {
            let unit = unit(series);
            let mut written = Passed::default();
            anew(&mut reader, |reader| {
                let mut failed = None;
                let mut passed = Passed::default();
                let each = &mut |reading: &Reading| {
                    passed.pass(reading);
                    if passed.count <= written.count {
                        // This was written before files were put together. What was written cannot be taken back.
                        return match passed.count < written.count || passed == written {
                            true => ControlFlow::Continue(()),
                            false => ControlFlow::Break(()),
                        };
                    }
                    written = passed;
                    let unit = unit.as_str();
                    let row = Row {
                        series,
                        unit,
                        reading,
                    };
                    match file.row(&row) {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(error) => {
                            failed = Some(error);
                            ControlFlow::Break(())
                        }
                    }
                };
                reader.readings(series, range, each)?;
                match failed {
                    Some(error) => Ok(Err(error)),
                    None if passed == written => Ok(Ok(())),
                    None => Ok(Err(query::Error::Gone.into())),
                }
            })??;
        }
        Ok(file.finish()?)
    }
}

/// Asks again if files were put together meanwhile.
fn anew<T>(
    reader: &mut Reader,
    mut ask: impl FnMut(&Reader) -> Result<T, query::Error>,
) -> Result<T, query::Error> {
    for _ in 1..ATTEMPTS {
        match ask(reader) {
            Err(query::Error::Gone) => *reader = reader.renewed()?,
            answer => return answer,
        }
    }
    ask(reader)
}
