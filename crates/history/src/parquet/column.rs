//! The values of one column until they are written. Pure.

use std::collections::HashMap;

use super::thrift::{I32, TEXT, Thrift};
use crate::bits::put_varint;

/// Different values of a column that are looked for. With more, each is written where it is.
const DIFFERENT_MAX: usize = 1 << 14;

/// Numbers that Parquet has for things.
const PLAIN: u32 = 0;
const RLE: u32 = 3;
const RLE_DICTIONARY: u32 = 8;
const DATA_PAGE: u32 = 0;
const DICTIONARY_PAGE: u32 = 2;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Microseconds since 1970, UTC.
    Time,
    Double,
    Text,
}

impl Kind {
    fn physical(self) -> u32 {
        match self {
            Self::Time => 2,
            Self::Double => 5,
            Self::Text => 6,
        }
    }
}

/// A column, with the values that are held.
#[derive(Debug)]
pub(super) struct Column {
    name: &'static str,
    kind: Kind,
    /// 1 for each row that has a value, 0 for the others; `None` if all have one.
    present: Option<Vec<u32>>,
    values: Values,
    /// A text as a page has it.
    text: Vec<u8>,
}

/// The values, each as it is in a page.
#[derive(Debug)]
enum Values {
    /// One behind the other.
    Plain(Vec<u8>),
    Dictionary(Dictionary),
}

/// Those that differ, and which comes when.
#[derive(Debug, Default)]
struct Dictionary {
    known: HashMap<Box<[u8]>, u32>,
    /// One behind the other, in the order of their numbers.
    entries: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    codes: Vec<u32>,
}

/// Pages with their headers.
pub(super) struct Pages {
    /// Empty if there is none.
    pub(super) dictionary: Vec<u8>,
    pub(super) page: Vec<u8>,
}

impl Dictionary {
    fn entry(&self, code: u32) -> &[u8] {
        let place = code as usize;
        let start = place
            .checked_sub(1)
            .map_or(Some(0), |before| self.ends.get(before).copied());
        let range = start.zip(self.ends.get(place).copied());
        let found = range.and_then(|(start, end)| self.entries.get(start..end));
        found.unwrap_or_default()
    }

    /// False if there are too many that differ.
    fn push(&mut self, value: &[u8]) -> bool {
        // Most come again and again.
        let last = self.codes.last().copied();
        let same = last.filter(|code| self.entry(*code) == value);
        let code = match same.or_else(|| self.known.get(value).copied()) {
            Some(code) => code,
            None if self.ends.len() == DIFFERENT_MAX => return false,
            None => {
                let code = self.ends.len() as u32;
                self.entries.extend(value);
                self.ends.push(self.entries.len());
                self.known.insert(value.into(), code);
                code
            }
        };
        self.codes.push(code);
        true
    }

    /// The values one behind the other.
    fn expand(&self) -> Vec<u8> {
        let all = self.codes.iter().flat_map(|code| self.entry(*code));
        all.copied().collect()
    }

    /// Bits of a code.
    fn width(&self) -> u32 {
        let most = self.ends.len().saturating_sub(1);
        usize::BITS - most.leading_zeros()
    }

    /// Whether a file is smaller with it.
    fn is_worth(&self) -> bool {
        let coded = self.entries.len() + self.codes.len() * self.width() as usize / 8;
        let plain: usize = self.codes.iter().map(|code| self.entry(*code).len()).sum();
        coded < plain
    }
}

impl Column {
    pub(super) fn new(name: &'static str, kind: Kind, is_optional: bool) -> Self {
        Self {
            name,
            kind,
            present: is_optional.then(Vec::new),
            values: fresh(kind),
            text: Vec::new(),
        }
    }

    /// Takes the value of a row: `None` only if that is allowed.
    pub(super) fn push(&mut self, value: Option<&[u8]>) {
        if let Some(present) = &mut self.present {
            present.push(value.is_some().into());
        }
        let Some(value) = value else { return };
        if let Values::Dictionary(dictionary) = &mut self.values {
            if dictionary.push(value) {
                return;
            }
            self.values = Values::Plain(dictionary.expand());
        }
        if let Values::Plain(bytes) = &mut self.values {
            bytes.extend(value);
        }
    }

    pub(super) fn push_text(&mut self, text: Option<&str>) {
        let mut value = std::mem::take(&mut self.text);
        value.clear();
        if let Some(text) = text {
            value.extend((text.len() as u32).to_le_bytes());
            value.extend(text.as_bytes());
        }
        self.push(text.is_some().then_some(&value));
        self.text = value;
    }

    /// The pages of `rows` rows; it holds none from then on.
    pub(super) fn take(&mut self, rows: usize) -> Pages {
        let mut body = Vec::new();
        if let Some(present) = &mut self.present {
            let mut levels = Vec::new();
            hybrid(present, 1, &mut levels);
            present.clear();
            body.extend((levels.len() as u32).to_le_bytes());
            body.extend(levels);
        }
        let mut dictionary = Vec::new();
        let encoding = match std::mem::replace(&mut self.values, fresh(self.kind)) {
            Values::Dictionary(own) if own.is_worth() => {
                let header = |header: &mut Thrift| {
                    header.begin(7);
                    header.i32(1, own.ends.len() as u32);
                    header.i32(2, PLAIN);
                    header.end();
                };
                dictionary = page(DICTIONARY_PAGE, header, &own.entries);
                body.push(own.width() as u8);
                hybrid(&own.codes, own.width(), &mut body);
                RLE_DICTIONARY
            }
            Values::Dictionary(own) => {
                body.extend(own.expand());
                PLAIN
            }
            Values::Plain(bytes) => {
                body.extend(bytes);
                PLAIN
            }
        };
        let header = |header: &mut Thrift| {
            header.begin(5);
            header.i32(1, rows as u32);
            header.i32(2, encoding);
            header.i32(3, RLE);
            header.i32(4, RLE);
            header.end();
        };
        let page = page(DATA_PAGE, header, &body);
        Pages { dictionary, page }
    }

    /// What the footer says of the pages of a group: where the dictionary is, the values, and the end of both.
    pub(super) fn describe(
        &self,
        footer: &mut Thrift,
        rows: usize,
        (dictionary, page, end): (Option<u64>, u64, u64),
    ) {
        let encodings = [PLAIN, RLE, RLE_DICTIONARY];
        let used = if dictionary.is_some() { 3 } else { 2 };
        let bytes = end - dictionary.unwrap_or(page);
        footer.i32(1, self.kind.physical());
        footer.list(2, I32, used);
        encodings
            .iter()
            .take(used)
            .for_each(|own| footer.item_i32(*own));
        footer.list(3, TEXT, 1);
        footer.item_text(self.name);
        // Not compressed.
        footer.i32(4, 0);
        footer.i64(5, rows as u64);
        footer.i64(6, bytes);
        footer.i64(7, bytes);
        footer.i64(9, page);
        if let Some(at) = dictionary {
            footer.i64(11, at);
        }
    }

    /// What the footer says of the column.
    pub(super) fn define(&self, footer: &mut Thrift) {
        const MICROSECONDS: u32 = 10;
        footer.item();
        footer.i32(1, self.kind.physical());
        footer.i32(3, self.present.is_some().into());
        footer.text(4, self.name);
        match self.kind {
            Kind::Double => {}
            Kind::Text => {
                footer.i32(6, 0);
                footer.begin(10);
                footer.empty(1);
                footer.end();
            }
            Kind::Time => {
                footer.i32(6, MICROSECONDS);
                footer.begin(10);
                footer.begin(8);
                // In UTC, and microseconds.
                footer.yes(1);
                footer.begin(2);
                footer.empty(2);
                footer.end();
                footer.end();
                footer.end();
            }
        }
        footer.end();
    }
}

fn fresh(kind: Kind) -> Values {
    match kind {
        // No two rows of a point have the same.
        Kind::Time => Values::Plain(Vec::new()),
        Kind::Double | Kind::Text => Values::Dictionary(Dictionary::default()),
    }
}

/// A page with its header.
fn page(kind: u32, more: impl FnOnce(&mut Thrift), body: &[u8]) -> Vec<u8> {
    let mut header = Thrift::default();
    header.i32(1, kind);
    header.i32(2, body.len() as u32);
    header.i32(3, body.len() as u32);
    more(&mut header);
    let mut page = header.finish();
    page.extend(body);
    page
}

/// Eight numbers are packed together.
const PACK: usize = 8;

/// Numbers of `width` bits: runs of the same one, and between them packs of eight.
fn hybrid(codes: &[u32], width: u32, out: &mut Vec<u8>) {
    let mut rest = codes;
    let mut packed = 0;
    while let Some(&code) = rest.get(packed) {
        let behind = rest.get(packed..).unwrap_or_default();
        let run = behind.iter().take_while(|other| **other == code).count();
        // Only the last pack may be filled up.
        let is_end = packed % PACK == 0;
        if run < PACK || !is_end {
            let fill = if is_end { PACK } else { PACK - packed % PACK };
            packed = (packed + fill.min(run)).min(rest.len());
            continue;
        }
        let (before, behind) = rest.split_at(packed);
        pack(before, width, out);
        put_varint((run as u64) << 1, out);
        out.extend(code.to_le_bytes().iter().take(width.div_ceil(8) as usize));
        (rest, packed) = (behind.get(run..).unwrap_or_default(), 0);
    }
    pack(rest, width, out);
}

/// The lowest bit of the first number first.
fn pack(codes: &[u32], width: u32, out: &mut Vec<u8>) {
    if codes.is_empty() {
        return;
    }
    put_varint((codes.len().div_ceil(PACK) as u64) << 1 | 1, out);
    for eight in codes.chunks(PACK) {
        let (mut bits, mut count) = (0_u64, 0);
        for place in 0..PACK {
            bits |= u64::from(eight.get(place).copied().unwrap_or(0)) << count;
            count += width;
            while count >= 8 {
                out.push(bits as u8);
                bits >>= 8;
                count -= 8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what [`hybrid`] wrote.
    fn read(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut found = Vec::new();
        while found.len() < count {
            let head = crate::bits::take_varint(&mut bytes).unwrap() as usize;
            let mut take =
                |count: usize| crate::bits::take_bytes(&mut bytes, count).unwrap().to_vec();
            if head & 1 == 0 {
                let mut code = take(width.div_ceil(8) as usize);
                code.resize(4, 0);
                let code = u32::from_le_bytes(code.try_into().unwrap());
                found.extend(vec![code; head >> 1]);
            } else {
                let packed = take((head >> 1) * width as usize);
                let bit = |at: usize| u32::from(packed[at / 8] >> (at % 8) & 1);
                let number = |place: usize| {
                    (0..width as usize)
                        .map(|b| bit(place * width as usize + b) << b)
                        .sum()
                };
                found.extend((0..(head >> 1) * PACK).map(number).collect::<Vec<u32>>());
            }
        }
        assert!(bytes.is_empty());
        assert!(found.len() < count + PACK);
        found.truncate(count);
        found
    }

    proptest::proptest! {
        #[test]
        fn codes_come_out_as_they_went_in(
            runs in proptest::collection::vec((0..16_384_u32, 1..40_usize), 0..60),
            width in 0..15_u32,
        ) {
            let mask = (1 << width) - 1;
            let codes: Vec<u32> = runs.iter().flat_map(|(code, count)| vec![code & mask; *count / 3 + 1]).collect();
            let mut bytes = Vec::new();
            hybrid(&codes, width, &mut bytes);
            proptest::prop_assert_eq!(read(&bytes, width, codes.len()), codes);
        }
    }
}
