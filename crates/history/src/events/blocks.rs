//! Files of events. Pure: bytes in, bytes out.
//!
//! ```text
//! header   magic, version, checksum
//! blocks   the events of one write: magic, checksum, length, events
//! event    kind and flags, time since the event before, five texts, how many were left out before it
//! ```
//!
//! Blocks are appended, into zeros that were written before. Each begins at a multiple of eight and is read without those before it, so that damage costs
//! the events of one write. Events of a kind that this program does not know are passed over.

use super::{Event, Kind, TEXT_MAX};
use crate::bits::{fold, put_text, put_varint, take_text, take_varint, unfold};
use crate::layout::{CRC, LOG_HEADER, log_header};

const MAGIC: [u8; 8] = *b"FGevent\n";
/// The version that this program writes and reads.
const VERSION: u32 = 1;
pub(crate) const HEADER: usize = LOG_HEADER;
const BLOCK: u32 = 0x4B4C_4245;
/// Magic, checksum, length.
const HEAD: usize = 12;
/// Blocks begin at multiples of this.
pub(crate) const STEP: usize = 8;
/// Bytes of a block's events at most.
const BODY_MAX: usize = 1 << 16;
/// Bytes of an event at most.
const EVENT_MAX: usize = 5 * (TEXT_MAX + 2) + 32;
const HAS_LEFT_OUT: u64 = 1;
const IS_UNSET: u64 = 2;

/// The beginning of a file.
pub fn header() -> [u8; HEADER] {
    log_header(MAGIC, VERSION)
}

/// Whether it is a whole header of another version of the program.
pub fn is_foreign(bytes: &[u8]) -> bool {
    let sealed = bytes.get(..12).unwrap_or_default();
    let sum = CRC.checksum(sealed).to_le_bytes();
    sealed.starts_with(&MAGIC)
        && !bytes.starts_with(&header())
        && bytes.get(12..HEADER) == Some(&sum)
}

/// The blocks of some events, to be written at a multiple of eight.
pub fn encode<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<u8> {
    let (mut out, mut body) = (Vec::new(), Vec::new());
    let mut before = 0;
    for event in events {
        if body.len() > BODY_MAX - EVENT_MAX {
            end(&mut body, &mut out);
            before = 0;
        }
        put(event, before, &mut body);
        before = event.at;
    }
    end(&mut body, &mut out);
    out
}

fn put(event: &Event, before: i64, out: &mut Vec<u8>) {
    let has_left_out = u64::from(event.left_out > 0) * HAS_LEFT_OUT;
    let is_unset = u64::from(!event.is_clock_set) * IS_UNSET;
    put_varint(event.kind.number() << 2 | has_left_out | is_unset, out);
    put_varint(fold(event.at.wrapping_sub(before)), out);
    for text in texts(event) {
        put_text(text, out);
    }
    if event.left_out > 0 {
        put_varint(event.left_out, out);
    }
}

fn texts(event: &Event) -> [&str; 5] {
    let texts = [
        &event.device,
        &event.name,
        &event.value,
        &event.text,
        &event.by,
    ];
    texts.map(|text| {
        text.get(..text.floor_char_boundary(TEXT_MAX))
            .unwrap_or_default()
    })
}

fn end(body: &mut Vec<u8>, out: &mut Vec<u8>) {
    if body.is_empty() {
        return;
    }
    let mut rest = Vec::with_capacity(4 + body.len());
    rest.extend((body.len() as u32).to_le_bytes());
    rest.append(body);
    out.extend(BLOCK.to_le_bytes());
    out.extend(CRC.checksum(&rest).to_le_bytes());
    out.extend(rest);
    out.resize(out.len().next_multiple_of(STEP), 0);
}

/// What a file holds beside its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Places that are damaged, up to the last block that is whole.
    pub damaged: u64,
    /// Where the last block that is whole ends.
    pub whole: u64,
    /// Whether something but zeros is behind it: it was never written to its end, or is damaged.
    pub has_rest: bool,
}

/// Goes through the events of a file in the order in which they were written. What is damaged is left out.
pub fn walk(bytes: &[u8], mut each: impl FnMut(Event)) -> Walked {
    let mut walked = Walked::default();
    if bytes.starts_with(&header()) {
        walked.whole = HEADER as u64;
    }
    let mut at = HEADER;
    // Damage since the last block that is whole: one place, however long.
    let mut is_damaged = walked.whole == 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(body) = body(rest) else {
            let step = rest.get(..STEP).unwrap_or(rest);
            is_damaged |= step.iter().any(|byte| *byte != 0);
            at += STEP;
            continue;
        };
        let is_whole = events(body, &mut each).is_some();
        walked.damaged += u64::from(is_damaged) + u64::from(!is_whole);
        is_damaged = false;
        at += (HEAD + body.len()).next_multiple_of(STEP);
        walked.whole = at.min(bytes.len()) as u64;
    }
    let rest = bytes.get(walked.whole as usize..).unwrap_or_default();
    walked.has_rest = rest.iter().any(|byte| *byte != 0);
    walked
}

/// The body of the block that begins there, if there is a whole one.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    let mut number = || {
        let (first, behind) = rest.split_first_chunk()?;
        rest = behind;
        Some(u32::from_le_bytes(*first))
    };
    let (magic, crc, length) = (number()?, number()?, number()? as usize);
    if magic != BLOCK || length > BODY_MAX {
        return None;
    }
    let sealed = bytes.get(8..HEAD + length)?;
    (CRC.checksum(sealed) == crc).then_some(())?;
    bytes.get(HEAD..HEAD + length)
}

/// `None` if an event cannot be read; those before it are told.
fn events(mut body: &[u8], each: &mut impl FnMut(Event)) -> Option<()> {
    let mut before = 0_i64;
    while !body.is_empty() {
        let code = take_varint(&mut body)?;
        let at = before.wrapping_add(unfold(take_varint(&mut body)?));
        before = at;
        let mut text = || Some(take_text(&mut body, TEXT_MAX)?.to_owned());
        let [device, name, value, said, by] = [text()?, text()?, text()?, text()?, text()?];
        let left_out = match code & HAS_LEFT_OUT {
            0 => 0,
            _ => take_varint(&mut body)?,
        };
        let Some(kind) = Kind::of_number(code >> 2) else {
            continue;
        };
        each(Event {
            at,
            kind,
            device,
            name,
            value,
            text: said,
            by,
            left_out,
            is_clock_set: code & IS_UNSET == 0,
        });
    }
    Some(())
}
