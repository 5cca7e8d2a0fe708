//! What files of history are made of: headers, heads of blocks, index entries. Pure.

use std::io;

use crc::{CRC_32_ISCSI, Crc, Table};

pub(crate) const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

pub(crate) const MAGIC: [u8; 8] = *b"FGhist\r\n";
pub(crate) const BLOCK: u32 = 0x4B4C_4246;
pub(crate) const TAIL_MAGIC: u32 = 0x4C54_4746;
/// The version that this program writes and reads.
pub const VERSION: u32 = 1;
/// Bytes of the header, of the head of a block, of an index entry, of the tail.
pub(crate) const HEADER: usize = 40;
pub(crate) const HEAD: usize = 40;
pub(crate) const ENTRY: usize = 48;
pub(crate) const TAIL: usize = 40;
/// Bytes of the beginning of files that are appended to: events, and what counters showed.
pub(crate) const LOG_HEADER: usize = 16;
/// Blocks begin at multiples of this.
pub(crate) const STEP: usize = 8;
/// Bytes of a block at most: sixteen thousand of the largest numbers, and names.
pub const BODY_MAX: usize = 1 << 20;
/// Bytes of a name at most.
pub(crate) const NAME_MAX: usize = 1_024;
/// Entries of an index at most: it has 48 MB then.
pub(crate) const ENTRIES_MAX: usize = 1_000_000;

/// The beginning of a file that is appended to: what it is, the version, and their crc.
pub(crate) fn log_header(magic: [u8; 8], version: u32) -> [u8; LOG_HEADER] {
    let mut bytes = [0; LOG_HEADER];
    let sealed = [magic.as_slice(), &version.to_le_bytes()].concat();
    let crc = CRC.checksum(&sealed).to_le_bytes();
    for (byte, value) in bytes.iter_mut().zip(sealed.into_iter().chain(crc)) {
        *byte = value;
    }
    bytes
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Readings of about an hour, and their minutes.
    Hour,
    /// The same of a day.
    Day,
    /// Hours of a day.
    Rollup,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Readings.
    Readings,
    /// A cell for each minute.
    Minutes,
    /// A cell for each hour.
    Hours,
}

/// A point of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The name of the device.
    pub device: String,
    /// The name of the point.
    pub point: String,
}

impl Series {
    /// By which it is found in an index: FNV-1a of both names.
    pub fn hash(&self) -> u64 {
        let bytes = self.device.bytes().chain([0]).chain(self.point.bytes());
        bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        })
    }
}

/// The beginning of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it holds.
    pub level: Level,
    /// The first and the last part of the journal that is in it.
    pub parts: (u64, u64),
}

/// Where a block is, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// [`Series::hash`].
    pub hash: u64,
    /// What it holds.
    pub what: What,
    /// Where it begins.
    pub offset: u64,
    /// Bytes of its body.
    pub length: u32,
    /// Readings or cells in it.
    pub count: u32,
    /// The least and the greatest time in it, in milliseconds since 1970.
    pub times: (i64, i64),
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is something else, or its first bytes are damaged.
    #[error("this is no file of history")]
    Foreign,
    /// Another version of this program wrote it.
    #[error("it has version {0}, and this program reads version {VERSION}")]
    Version(u32),
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Bytes that can be read at any place.
pub trait Source {
    /// How many there are.
    ///
    /// # Errors
    ///
    /// The system's.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` with those from `offset` on.
    ///
    /// # Errors
    ///
    /// The system's; also if there are too few.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Source for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = self.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Source for std::fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

pub(crate) fn code(what: What) -> u32 {
    match what {
        What::Readings => 1,
        What::Minutes => 2,
        What::Hours => 3,
    }
}

pub(crate) fn what_of(code: u32) -> Option<What> {
    [What::Readings, What::Minutes, What::Hours]
        .into_iter()
        .find(|what| self::code(*what) == code)
}

pub(crate) fn level_of(code: u32) -> Option<Level> {
    [Level::Hour, Level::Day, Level::Rollup]
        .into_iter()
        .find(|level| *level as u32 == code)
}

/// What head and index both say of a block: 28 bytes.
pub(crate) fn fields(entry: &Entry) -> [u8; 28] {
    let mut bytes = [0; 28];
    let parts = [
        entry.times.0.to_le_bytes().as_slice(),
        &entry.times.1.to_le_bytes(),
        &code(entry.what).to_le_bytes(),
        &entry.length.to_le_bytes(),
        &entry.count.to_le_bytes(),
    ]
    .concat();
    bytes.copy_from_slice(&parts);
    bytes
}

pub(crate) fn block_crc(entry: &Entry, body: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&fields(entry));
    digest.update(body);
    digest.finalize()
}

pub(crate) fn span(index: &[Entry]) -> (i64, i64) {
    let from = index.iter().map(|entry| entry.times.0).min();
    let to = index.iter().map(|entry| entry.times.1).max();
    (from.unwrap_or(0), to.unwrap_or(0))
}

/// Takes numbers from the front; zeros behind the end.
pub(crate) struct Fields<'b>(pub(crate) &'b [u8]);

impl Fields<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *taken
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.take())
    }

    /// What [`fields`] wrote.
    pub(crate) fn entry(&mut self, hash: u64, offset: u64) -> Option<Entry> {
        let times = (self.i64(), self.i64());
        let what = what_of(self.u32());
        let (length, count) = (self.u32(), self.u32());
        let fits = length as usize <= BODY_MAX && times.0 <= times.1;
        Some(Entry {
            hash,
            what: what.filter(|_| fits)?,
            offset,
            length,
            count,
            times,
        })
    }
}
