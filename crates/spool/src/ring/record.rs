//! Records in the payload of a block. Pure.

/// Bytes of a block's payload from which on the next record goes to another block, before compression.
pub const BLOCK_RAW: usize = 64 * 1024;
/// Bytes of a record at most: with its block it fits a segment, compressed or not.
pub const RECORD_MAX: usize = 4 << 20;
/// Records in a block at most, whatever a damaged one claims.
const RECORDS_MAX: usize = 65_535;
/// The longest variable-length integer, in bytes.
const VARINT_MAX: usize = 10;

/// One record of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, which its owner gives. Rises within a block.
    pub seq: u64,
    /// When it was taken, in milliseconds since 1970; 0 if that is not known, and then it is never too old.
    pub time: u64,
    /// What it is.
    pub bytes: Vec<u8>,
}

/// Appends `record`, whose neighbour before it has the number and time in `before`.
pub(crate) fn encode(record: &Record, before: (u64, u64), out: &mut Vec<u8>) {
    put(record.seq.wrapping_sub(before.0), out);
    // Clocks are set back, too: small differences of either sign are short.
    let step = record.time.wrapping_sub(before.1).cast_signed();
    put((step << 1 ^ step >> 63).cast_unsigned(), out);
    put(record.bytes.len() as u64, out);
    out.extend_from_slice(&record.bytes);
}

/// All records; `None` unless these bytes are records from the first to the last and nothing else.
pub fn decode(mut bytes: &[u8], first: (u64, u64)) -> Option<Vec<Record>> {
    let (mut seq, mut time) = first;
    let mut records = Vec::new();
    while !bytes.is_empty() {
        if records.len() >= RECORDS_MAX {
            return None;
        }
        seq = seq.checked_add(take(&mut bytes)?)?;
        let step = take(&mut bytes)?;
        let step = (step >> 1).cast_signed() ^ -((step & 1).cast_signed());
        time = time.checked_add_signed(step)?;
        let len = usize::try_from(take(&mut bytes)?).ok()?;
        let (record, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        let bytes = record.to_vec();
        records.push(Record { seq, time, bytes });
    }
    Some(records)
}

fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for at in 0..VARINT_MAX {
        let byte = *bytes.get(at)?;
        let part = u64::from(byte & 0x7F);
        if at == VARINT_MAX - 1 && part > 1 {
            return None;
        }
        number |= part << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = bytes.get(at + 1..)?;
            return Some(number);
        }
    }
    None
}
