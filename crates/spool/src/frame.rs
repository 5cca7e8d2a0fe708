//! One frame: a header, then its payload, compressed if that makes it smaller. Pure.

use crc::{CRC_32_ISCSI, Crc, Table};

/// Frames begin and end at multiples of this, in bytes: a card's and a file system's block.
pub(crate) const BLOCK: usize = 4_096;
/// Bytes of a header.
pub(crate) const HEAD: usize = 96;
/// Bytes that the owner of a log puts into each header.
pub const STAMP: usize = 32;

const MAGIC: u32 = 0x4C47_4631;
/// The payload is an LZ4 block.
const LZ4: u32 = 1;
/// A compressed payload that claims to be bigger than this many times its size is not believed:
/// LZ4 cannot do better than 255 to 1.
const RATIO_MAX: usize = 256;

pub(crate) const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Which log this is; random.
    pub(crate) salt: u64,
    /// Which use of its segment this is; rises from segment to segment.
    pub(crate) generation: u64,
    /// Rises by one from frame to frame.
    pub(crate) number: u64,
    /// The generation of the oldest segment that still counts.
    pub(crate) tail: u64,
    pub(crate) stamp: [u8; STAMP],
    flags: u32,
    /// Bytes of the payload, and as it is stored.
    raw: u32,
    stored: u32,
    body_crc: u32,
}

/// The place of a frame in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) salt: u64,
    pub(crate) generation: u64,
    pub(crate) number: u64,
    pub(crate) tail: u64,
    pub(crate) stamp: [u8; STAMP],
}

impl Head {
    /// Bytes of the whole frame with its padding.
    pub(crate) fn size(&self) -> usize {
        (HEAD + self.stored as usize).next_multiple_of(BLOCK)
    }

    /// Bytes of the payload, as the header says.
    pub(crate) fn raw(&self) -> usize {
        self.raw as usize
    }

    /// `None` if these bytes are no header.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Fields(bytes.get(..HEAD)?);
        let (magic, crc) = (rest.u32(), rest.u32());
        if magic != MAGIC || crc != CRC.checksum(rest.0) {
            return None;
        }
        Some(Self {
            salt: rest.u64(),
            generation: rest.u64(),
            number: rest.u64(),
            tail: rest.u64(),
            stamp: rest.take(),
            flags: rest.u32(),
            raw: rest.u32(),
            stored: rest.u32(),
            body_crc: rest.u32(),
        })
    }

    fn encode(&self) -> [u8; HEAD] {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend([0; 4]);
        for field in [self.salt, self.generation, self.number, self.tail] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(self.stamp);
        for field in [self.flags, self.raw, self.stored, self.body_crc] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.resize(HEAD, 0);
        let crc = CRC.checksum(bytes.get(8..).unwrap_or_default());
        let mut head = [0; HEAD];
        head.copy_from_slice(&bytes);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// The payload, from the bytes behind the header; `None` if they are damaged.
    pub(crate) fn payload(&self, body: &[u8]) -> Option<Vec<u8>> {
        let stored = body.get(..self.stored as usize)?;
        if CRC.checksum(stored) != self.body_crc {
            return None;
        }
        let raw = self.raw as usize;
        if self.flags & LZ4 == 0 {
            return (stored.len() == raw).then(|| stored.to_vec());
        }
        if raw > stored.len().saturating_mul(RATIO_MAX) {
            return None;
        }
        let payload = lz4_flex::block::decompress(stored, raw).ok()?;
        (payload.len() == raw).then_some(payload)
    }
}

/// Appends a whole frame, padded.
///
/// # Errors
/// The payload has more than 4 GiB.
pub(crate) fn encode(place: &Place, payload: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let raw = u32::try_from(payload.len()).map_err(|_| TooLong)?;
    let packed = lz4_flex::block::compress(payload);
    let (flags, body) = if packed.len() < payload.len() {
        (LZ4, packed.as_slice())
    } else {
        (0, payload)
    };
    let head = Head {
        salt: place.salt,
        generation: place.generation,
        number: place.number,
        tail: place.tail,
        stamp: place.stamp,
        flags,
        raw,
        stored: u32::try_from(body.len()).map_err(|_| TooLong)?,
        body_crc: CRC.checksum(body),
    };
    let start = out.len();
    out.reserve(head.size());
    out.extend(head.encode());
    out.extend(body);
    out.resize(start + head.size(), 0);
    Ok(())
}

/// A payload that no frame holds.
#[derive(Debug)]
pub(crate) struct TooLong;

/// A frame as a reader of bytes sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number in its log.
    pub number: u64,
    /// What its owner put beside it.
    pub stamp: [u8; STAMP],
    /// What it holds.
    pub payload: Vec<u8>,
}

/// The frame at the beginning of `bytes`; `None` if there is none, or a damaged one.
pub fn read_frame(bytes: &[u8]) -> Option<Frame> {
    let head = Head::decode(bytes)?;
    let payload = head.payload(bytes.get(HEAD..)?)?;
    Some(Frame {
        number: head.number,
        stamp: head.stamp,
        payload,
    })
}

/// What is left of a header, which is long enough.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}
