//! Files of what counters showed at the end of each hour. Pure: bytes in, bytes out.
//!
//! ```text
//! header   magic, version, checksum
//! blocks   the rows of one hour: checksum, length, which start of the gateway, the hour
//! row      number of the series, its names when it comes first, what it showed, and what resets took away
//! ```
//!
//! Blocks are appended. Each begins at a multiple of eight and can be found without those before it. The numbers of
//! series hold for the rows of one start; names come again each day. So a damaged block costs the rows of a day at most,
//! and no row is ever taken for one of another series. What the lost rows counted is in the difference to the next one.

use std::collections::HashMap;

use fieldgate_model::Decimal;

use super::meter::Count;
use crate::bits::{fold, put_text, put_varint, take_bytes, take_text, take_varint, unfold};
use crate::layout::{CRC, LOG_HEADER, NAME_MAX, Series, log_header};

const MAGIC: [u8; 8] = *b"FGcount\n";
/// The version that this program writes and reads.
const VERSION: u32 = 1;
const HEADER: usize = LOG_HEADER;
const BLOCK: u32 = 0x4B4C_4243;
/// Magic, checksum, length, start, minute.
const HEAD: usize = 20;
const STEP: usize = 8;
/// Bytes of a block's rows at most.
const BODY_MAX: usize = 1 << 20;
/// Bytes after which a block takes no more rows: one with the longest names still fits.
const BODY_FULL: usize = BODY_MAX - 4 * NAME_MAX;
const MINUTE: i64 = 60_000;
const NAMED: u64 = 1;
const HAS_OFFSET: u64 = 2;

/// A counter: of which point, and in which unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Named {
    /// The point.
    pub series: Series,
    /// Its unit; empty for none.
    pub unit: String,
}

/// What a counter showed at the end of an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When the hour began, in milliseconds since 1970: whole minutes.
    pub start: i64,
    /// What it showed.
    pub count: Count,
}

/// The beginning of a file.
pub(crate) fn header() -> [u8; HEADER] {
    log_header(MAGIC, VERSION)
}

/// Whether it is a file of this version.
pub fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&header())
}

/// Appends blocks to the bytes of a file.
#[derive(Clone, Debug)]
pub struct Writer {
    start: u32,
    numbers: HashMap<Named, u64>,
    /// Those that were named in this file on this day.
    named: Vec<bool>,
    day: i64,
}

impl Writer {
    /// Writes rows of one start of the gateway.
    pub fn new(start: u32) -> Self {
        Self {
            start,
            numbers: HashMap::new(),
            named: Vec::new(),
            day: i64::MIN,
        }
    }

    /// Names all series again: in another file, or as it is not known what is there.
    pub fn forget(&mut self) {
        self.named.fill(false);
    }

    /// The blocks of rows, which get a block for each hour in their order.
    pub fn blocks(&mut self, rows: &[(Named, Row)]) -> Vec<u8> {
        let mut out = Vec::new();
        for hour in rows.chunk_by(|(_, a), (_, b)| a.start == b.start) {
            let Some((_, first)) = hour.first() else {
                continue;
            };
            let day = first.start.div_euclid(24 * 60 * MINUTE);
            if day != self.day {
                self.forget();
                self.day = day;
            }
            let minute = u32::try_from(first.start / MINUTE).unwrap_or(0);
            let mut body = Vec::new();
            for (named, row) in hour {
                self.row(named, row.count, &mut body);
                if body.len() > BODY_FULL {
                    self.end(minute, &mut body, &mut out);
                }
            }
            self.end(minute, &mut body, &mut out);
        }
        out
    }

    fn row(&mut self, named: &Named, count: Count, body: &mut Vec<u8>) {
        let next = self.numbers.len() as u64;
        let number = match self.numbers.get(named) {
            Some(number) => *number,
            None => {
                self.numbers.insert(named.clone(), next);
                self.named.push(false);
                next
            }
        };
        let is_named = self.named.get_mut(number as usize);
        let is_first = is_named.is_some_and(|named| !std::mem::replace(named, true));
        let has_offset = count.offset != Decimal::ZERO;
        let flags = (u64::from(is_first) * NAMED) | (u64::from(has_offset) * HAS_OFFSET);
        put_varint(number << 2 | flags, body);
        if is_first {
            put_text(&named.series.device, body);
            put_text(&named.series.point, body);
            put_text(&named.unit, body);
        }
        put_decimal(count.value, body);
        if has_offset {
            put_decimal(count.offset, body);
        }
    }

    fn end(&self, minute: u32, body: &mut Vec<u8>, out: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        let mut rest = Vec::with_capacity(HEAD + body.len());
        rest.extend((body.len() as u32).to_le_bytes());
        rest.extend(self.start.to_le_bytes());
        rest.extend(minute.to_le_bytes());
        rest.append(body);
        out.extend(BLOCK.to_le_bytes());
        out.extend(CRC.checksum(&rest).to_le_bytes());
        out.extend(rest);
        out.resize(out.len().next_multiple_of(STEP), 0);
    }
}

/// A number, if it can be written: up to 18 digits.
pub(crate) fn fits(number: Decimal) -> bool {
    i64::try_from(number.parts().0).is_ok()
}

fn put_decimal(number: Decimal, out: &mut Vec<u8>) {
    let (mantissa, digits) = number.parts();
    out.push(digits);
    put_varint(fold(i64::try_from(mantissa).unwrap_or(0)), out);
}

fn take_decimal(bytes: &mut &[u8]) -> Option<Decimal> {
    let digits = take_bytes(bytes, 1)?.first().copied()?;
    Decimal::new(unfold(take_varint(bytes)?).into(), digits)
}

/// What a file holds beside its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Places that are damaged, and rows whose names were there.
    pub damaged: u64,
    /// The greatest number of a start.
    pub start: u32,
}

/// Goes through the rows of a file in their order. What is damaged is left out and counted; zeros at the end are not.
pub fn walk(bytes: &[u8], mut each: impl FnMut(&Named, Row)) -> Walked {
    let mut walked = Walked::default();
    let mut names = HashMap::new();
    if !is_one(bytes) {
        walked.damaged += 1;
    }
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    let mut is_whole = true;
    while rest.len() >= STEP {
        let Some(block) = Block::of(rest) else {
            let (step, behind) = rest.split_at(STEP);
            if is_whole && step.iter().any(|byte| *byte != 0) {
                walked.damaged += 1;
                is_whole = false;
            }
            rest = behind;
            continue;
        };
        is_whole = true;
        walked.start = walked.start.max(block.start);
        let whole = block.rows(&mut names, &mut each);
        walked.damaged += u64::from(whole.is_none());
        let size = (HEAD + block.body.len()).next_multiple_of(STEP);
        rest = rest.get(size..).unwrap_or_default();
    }
    if is_whole && rest.iter().any(|byte| *byte != 0) {
        walked.damaged += 1;
    }
    walked
}

struct Block<'b> {
    start: u32,
    hour: i64,
    body: &'b [u8],
}

impl<'b> Block<'b> {
    /// The block that begins there, if there is a whole one.
    fn of(bytes: &'b [u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut number = || {
            let (first, behind) = rest.split_first_chunk()?;
            rest = behind;
            Some(u32::from_le_bytes(*first))
        };
        let (magic, crc) = (number()?, number()?);
        let (length, start, minute) = (number()? as usize, number()?, number()?);
        if magic != BLOCK || length > BODY_MAX {
            return None;
        }
        let sealed = bytes.get(8..HEAD + length)?;
        (CRC.checksum(sealed) == crc).then_some(Self {
            start,
            hour: i64::from(minute) * MINUTE,
            body: bytes.get(HEAD..HEAD + length)?,
        })
    }

    /// `None` if a row cannot be read, or belongs to a series that nothing names.
    fn rows(
        &self,
        names: &mut HashMap<(u32, u64), Named>,
        each: &mut impl FnMut(&Named, Row),
    ) -> Option<()> {
        let mut rest = self.body;
        let mut all = Some(());
        while !rest.is_empty() {
            let code = take_varint(&mut rest)?;
            let number = (self.start, code >> 2);
            if code & NAMED != 0 {
                let device = take_text(&mut rest, NAME_MAX)?.to_owned();
                let point = take_text(&mut rest, NAME_MAX)?.to_owned();
                let unit = take_text(&mut rest, NAME_MAX)?.to_owned();
                let series = Series { device, point };
                names.insert(number, Named { series, unit });
            }
            let value = take_decimal(&mut rest)?;
            let offset = match code & HAS_OFFSET {
                0 => Decimal::ZERO,
                _ => take_decimal(&mut rest)?,
            };
            let count = Count { value, offset };
            let start = self.hour;
            match names.get(&number) {
                Some(named) => each(named, Row { start, count }),
                None => all = None,
            }
        }
        all
    }
}
