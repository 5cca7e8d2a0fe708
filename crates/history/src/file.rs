//! What a file of history contains. Pure: bytes in, bytes out.
//!
//! ```text
//! header   magic, version, level, from which part of the journal to which it reaches
//! blocks   each with its series, its times, its length and a checksum: they can be found without the index
//! index    one entry for each block, by series
//! tail     where the index is, and its checksum
//! ```
//!
//! A file is written once and never changed. If index or tail are damaged, the blocks are walked. A block that is
//! damaged is left out; no other is lost with it.

use std::io;

use crate::bits::{take_bytes, take_text};
use crate::layout::{
    BLOCK, CRC, ENTRIES_MAX, ENTRY, Fields, HEAD, HEADER, MAGIC, NAME_MAX, STEP, TAIL, TAIL_MAGIC,
    block_crc, level_of, span,
};

pub use crate::layout::{BODY_MAX, Entry, Fault, Header, Level, Series, Source, VERSION, What};
pub use crate::write::Writer;

/// Entries of an index that are read at once.
const FOUND: usize = 32;

/// A file that can be read.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What it says of itself.
    pub header: Header,
    /// Its blocks, by series.
    pub index: Vec<Entry>,
    /// The least and the greatest time in it.
    pub times: (i64, i64),
    /// The index was damaged, and was made anew of the blocks that are good.
    pub is_damaged: bool,
}

/// Reads header and index.
///
/// # Errors
///
/// If it is no file of this version, or the system refuses.
pub fn open(source: &(impl Source + ?Sized)) -> Result<Opened, Fault> {
    let header = header(source)?;
    let size = source.size()?;
    if let Some((index, times)) = read_index(source, size)? {
        return Ok(Opened {
            header,
            index,
            times,
            is_damaged: false,
        });
    }
    let mut index = walk(source, size)?;
    index.sort_unstable();
    Ok(Opened {
        header,
        times: span(&index),
        index,
        is_damaged: true,
    })
}

/// Reads what a file says of itself.
///
/// # Errors
///
/// If it is no file of this version, or the system refuses.
pub fn header(source: &(impl Source + ?Sized)) -> Result<Header, Fault> {
    let mut bytes = [0; HEADER];
    if source.size()? < HEADER as u64 {
        return Err(Fault::Foreign);
    }
    source.read_at(0, &mut bytes)?;
    let mut rest = Fields(&bytes);
    if rest.take() != MAGIC {
        return Err(Fault::Foreign);
    }
    let version = rest.u32();
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    let level = level_of(rest.u32());
    let parts = (rest.u64(), rest.u64());
    let is_whole = rest.u32() == CRC.checksum(bytes.get(..HEADER - 8).unwrap_or_default());
    let level = level
        .filter(|_| is_whole && parts.0 <= parts.1)
        .ok_or(Fault::Foreign)?;
    Ok(Header { level, parts })
}

type Index = (Vec<Entry>, (i64, i64));

/// The index; `None` if it is damaged.
fn read_index(source: &(impl Source + ?Sized), size: u64) -> io::Result<Option<Index>> {
    let Some(tail_at) = size.checked_sub(TAIL as u64) else {
        return Ok(None);
    };
    let mut tail = [0; TAIL];
    source.read_at(tail_at, &mut tail)?;
    let mut rest = Fields(&tail);
    let times = (rest.i64(), rest.i64());
    let at = rest.u64();
    let count = rest.u32() as usize;
    let (magic, crc) = (rest.u32(), rest.u32());
    let length = count.saturating_mul(ENTRY);
    let is_place = at.checked_add(length as u64) == Some(tail_at);
    if magic != TAIL_MAGIC || count > ENTRIES_MAX || !is_place {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    source.read_at(at, &mut bytes)?;
    let mut digest = CRC.digest();
    digest.update(&bytes);
    digest.update(tail.get(..TAIL - 8).unwrap_or_default());
    if digest.finalize() != crc {
        return Ok(None);
    }
    let index: Option<Vec<Entry>> = bytes.chunks_exact(ENTRY).map(entry).collect();
    Ok(index.map(|index| (index, times)))
}

fn entry(bytes: &[u8]) -> Option<Entry> {
    let mut rest = Fields(bytes);
    let (hash, offset) = (rest.u64(), rest.u64());
    rest.entry(hash, offset)
}

/// Finds the blocks that are good, from the first byte to the last.
fn walk(source: &(impl Source + ?Sized), size: u64) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut at = HEADER as u64;
    while let Some(place) = next_magic(source, size, at)? {
        match block_at(source, size, place)? {
            Some(entry) => {
                let body = (entry.length as usize).next_multiple_of(STEP);
                at = place + (HEAD + body) as u64;
                found.push(entry);
            }
            None => at = place + STEP as u64,
        }
    }
    Ok(found)
}

/// Where the next thing is that begins like a block, from `at` on.
fn next_magic(source: &(impl Source + ?Sized), size: u64, mut at: u64) -> io::Result<Option<u64>> {
    let mut window = vec![0; 1 << 16];
    while at + HEAD as u64 <= size {
        let length = usize::try_from(size - at)
            .unwrap_or(usize::MAX)
            .min(window.len());
        let window = window.get_mut(..length).unwrap_or_default();
        source.read_at(at, window)?;
        let mut steps = window.chunks_exact(STEP);
        if let Some(step) = steps.position(|step| step.starts_with(&BLOCK.to_le_bytes())) {
            return Ok(Some(at + (step * STEP) as u64));
        }
        at += length.next_multiple_of(STEP) as u64;
    }
    Ok(None)
}

/// The block there; `None` if there is none, or it is damaged.
fn block_at(source: &(impl Source + ?Sized), size: u64, at: u64) -> io::Result<Option<Entry>> {
    if at + HEAD as u64 > size {
        return Ok(None);
    }
    let mut head = [0; HEAD];
    source.read_at(at, &mut head)?;
    let mut rest = Fields(&head);
    let (_, crc) = (rest.u32(), rest.u32());
    let Some(mut entry) = rest.entry(0, at) else {
        return Ok(None);
    };
    if at + (HEAD + entry.length as usize) as u64 > size {
        return Ok(None);
    }
    let mut body = vec![0; entry.length as usize];
    source.read_at(at + HEAD as u64, &mut body)?;
    if block_crc(&entry, &body) != crc {
        return Ok(None);
    }
    let Some((series, _)) = split(&body) else {
        return Ok(None);
    };
    entry.hash = series.hash();
    Ok(Some(entry))
}

/// The series and the data of a block's body.
fn split(mut body: &[u8]) -> Option<(Series, &[u8])> {
    let device = take_text(&mut body, NAME_MAX)?.to_owned();
    let point = take_text(&mut body, NAME_MAX)?.to_owned();
    let rest = body.len();
    Some((Series { device, point }, take_bytes(&mut body, rest)?))
}

/// Reads the block of an entry: its series, and what [`Writer::block`] took. `None` if it is damaged.
///
/// # Errors
///
/// The system's.
pub fn read(
    source: &(impl Source + ?Sized),
    entry: &Entry,
) -> io::Result<Option<(Series, Vec<u8>)>> {
    let size = HEAD + entry.length as usize;
    let fits = entry
        .offset
        .checked_add(size as u64)
        .is_some_and(|end| source.size().is_ok_and(|all| end <= all));
    if !fits {
        return Ok(None);
    }
    let mut bytes = vec![0; size];
    source.read_at(entry.offset, &mut bytes)?;
    let (head, body) = bytes.split_at(HEAD);
    let mut rest = Fields(head);
    let (magic, crc) = (rest.u32(), rest.u32());
    let is_it = rest.entry(entry.hash, entry.offset).as_ref() == Some(entry);
    if magic != BLOCK || !is_it || block_crc(entry, body) != crc {
        return Ok(None);
    }
    let found = split(body).filter(|(series, _)| series.hash() == entry.hash);
    Ok(found.map(|(series, data)| (series, data.to_vec())))
}

/// The blocks of a series in a file of `size` bytes whose index has so many entries and is whole. Only what is needed of
/// it is read. `None` if it is not as it should be.
///
/// # Errors
///
/// The system's.
pub(crate) fn find(
    source: &(impl Source + ?Sized),
    size: u64,
    entries: u64,
    hash: u64,
) -> io::Result<Option<Vec<Entry>>> {
    let Some(begin) = (size.checked_sub(TAIL as u64))
        .and_then(|end| end.checked_sub(entries.checked_mul(ENTRY as u64)?))
    else {
        return Ok(None);
    };
    let mut bytes = [0; ENTRY * FOUND];
    let mut at = |place: u64, count: u64, read: &mut Vec<Option<Entry>>| -> io::Result<()> {
        let length = usize::try_from(count).unwrap_or(0) * ENTRY;
        let bytes = bytes.get_mut(..length).unwrap_or_default();
        source.read_at(begin + place * ENTRY as u64, bytes)?;
        read.clear();
        read.extend(bytes.chunks_exact(ENTRY).map(entry));
        Ok(())
    };
    let (mut low, mut high) = (0, entries);
    let mut read = Vec::with_capacity(FOUND);
    while low < high {
        let middle = low.midpoint(high);
        at(middle, 1, &mut read)?;
        let Some(Some(entry)) = read.first() else {
            return Ok(None);
        };
        match entry.hash < hash {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    let mut found = Vec::new();
    while low < entries {
        let count = (entries - low).min(FOUND as u64);
        at(low, count, &mut read)?;
        for entry in &read {
            match entry {
                None => return Ok(None),
                Some(entry) if entry.hash != hash => return Ok(Some(found)),
                Some(entry) => found.push(*entry),
            }
        }
        low += count;
    }
    Ok(Some(found))
}

impl Opened {
    /// The blocks of a series.
    pub fn of(&self, hash: u64) -> &[Entry] {
        let start = self.index.partition_point(|entry| entry.hash < hash);
        let rest = self.index.get(start..).unwrap_or_default();
        let end = rest.partition_point(|entry| entry.hash == hash);
        rest.get(..end).unwrap_or_default()
    }
}
