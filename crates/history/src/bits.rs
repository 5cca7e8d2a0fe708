//! Bits and numbers of variable length, in and out. Reading never panics and never reads on behind the end.

/// Writes bits, the highest of each number first.
#[derive(Debug)]
pub(crate) struct BitWriter<'o> {
    out: &'o mut Vec<u8>,
    /// Bits that fill no byte yet, at the low end.
    rest: u64,
    count: u32,
}

impl<'o> BitWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            rest: 0,
            count: 0,
        }
    }

    /// The `count` low bits of `value`; at most 64.
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.put_some(value >> 32, count - 32);
            self.put_some(value & u64::from(u32::MAX), 32);
        } else {
            self.put_some(value, count);
        }
    }

    fn put_some(&mut self, value: u64, count: u32) {
        let mask = (1 << count) - 1;
        self.rest = self.rest << count | (value & mask);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            self.out.push((self.rest >> self.count) as u8);
        }
    }

    /// `count` ones and a zero.
    pub(crate) fn put_ones(&mut self, count: u32, end: bool) {
        self.put((1 << count) - 1, count);
        if end {
            self.put(0, 1);
        }
    }

    /// Fills the last byte with zeros.
    pub(crate) fn finish(mut self) {
        if self.count > 0 {
            let fill = 8 - self.count;
            self.put_some(0, fill);
        }
    }
}

/// Reads what [`BitWriter`] wrote.
#[derive(Debug)]
pub(crate) struct BitReader<'b> {
    bytes: &'b [u8],
    rest: u64,
    count: u32,
}

impl<'b> BitReader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            rest: 0,
            count: 0,
        }
    }

    /// The next `count` bits; at most 64. `None` behind the end.
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        if count > 32 {
            let high = self.take_some(count - 32)?;
            Some(high << 32 | self.take_some(32)?)
        } else {
            self.take_some(count)
        }
    }

    fn take_some(&mut self, count: u32) -> Option<u64> {
        while self.count < count {
            self.fill()?;
        }
        self.count -= count;
        Some(self.rest >> self.count & ((1 << count) - 1))
    }

    /// Eight bits more; there is room for them.
    fn fill(&mut self) -> Option<()> {
        let (first, bytes) = self.bytes.split_first()?;
        self.bytes = bytes;
        self.rest = self.rest << 8 | u64::from(*first);
        self.count += 8;
        Some(())
    }

    /// How many ones follow, with the zero behind them; at most `most`, and then without the zero.
    pub(crate) fn take_ones(&mut self, most: u32) -> Option<u32> {
        let mut ones = 0;
        loop {
            if self.count == 0 {
                self.fill()?;
            }
            // What is there already, at the high end.
            let there = self.rest << (64 - self.count);
            let run = there.leading_ones().min(self.count).min(most - ones);
            ones += run;
            self.count -= run;
            if ones == most {
                return Some(ones);
            }
            if self.count > 0 {
                self.count -= 1;
                return Some(ones);
            }
        }
    }

    /// What is behind the byte that was read last.
    pub(crate) fn behind(self) -> &'b [u8] {
        self.bytes
    }
}

/// Small numbers in few bytes, signs folded in.
pub(crate) fn fold(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse of [`fold`].
pub(crate) fn unfold(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a number, seven bits a byte.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes such a number from the front; `None` if there is none.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes one byte from the front.
pub(crate) fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// Takes so many bytes from the front.
pub(crate) fn take_bytes<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// Appends a text of less than 64 KiB with its length.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_varint(text.len() as u64, out);
    out.extend(text.as_bytes());
}

/// Takes a text of at most `most` bytes.
pub(crate) fn take_text<'b>(bytes: &mut &'b [u8], most: usize) -> Option<&'b str> {
    let count = usize::try_from(take_varint(bytes)?).ok()?;
    (count <= most).then_some(())?;
    std::str::from_utf8(take_bytes(bytes, count)?).ok()
}
