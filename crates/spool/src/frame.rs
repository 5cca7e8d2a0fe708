//! One frame: a header, then its payload, compressed if that makes it smaller. Pure.

use std::borrow::Cow;

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
/// It refers to what is before it in its segment.
const REFERS: u32 = 2;
/// A compressed payload that claims to be bigger than this many times its size is not believed:
/// LZ4 cannot do better than 255 to 1.
const RATIO_MAX: usize = 256;

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

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
    /// Of the payload itself, if it refers to other frames: these must be the same as they were then.
    raw_crc: u32,
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
            raw_crc: rest.u32(),
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
        let sizes = [self.flags, self.raw, self.stored];
        for field in sizes.into_iter().chain([self.body_crc, self.raw_crc]) {
            bytes.extend(field.to_le_bytes());
        }
        bytes.resize(HEAD, 0);
        let crc = CRC.checksum(bytes.get(8..).unwrap_or_default());
        let mut head = [0; HEAD];
        head.copy_from_slice(&bytes);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// Whether these bytes, from behind the header on, are what was written.
    pub(crate) fn is_intact(&self, body: &[u8]) -> bool {
        let stored = body.get(..self.stored as usize);
        stored.is_some_and(|stored| CRC.checksum(stored) == self.body_crc)
    }

    /// The payload, from the bytes behind the header and what is before the frame in its segment; `None` if one of
    /// them is damaged.
    pub(crate) fn payload(&self, body: &[u8], before: &Before) -> Option<Vec<u8>> {
        if !self.is_intact(body) {
            return None;
        }
        let stored = body.get(..self.stored as usize)?;
        let raw = self.raw as usize;
        if self.flags & LZ4 == 0 {
            return (stored.len() == raw).then(|| stored.to_vec());
        }
        if raw > stored.len().saturating_mul(RATIO_MAX) {
            return None;
        }
        let refers = self.flags & REFERS != 0;
        let payload = match refers {
            true => lz4_flex::block::decompress_with_dict(stored, raw, before.bytes()),
            false => lz4_flex::block::decompress(stored, raw),
        };
        let is_good = |payload: &Vec<u8>| {
            payload.len() == raw && (!refers || CRC.checksum(payload) == self.raw_crc)
        };
        payload.ok().filter(is_good)
    }
}

/// The payloads before a frame in its segment, the last of them.
///
/// Frames of one owner are much alike, the same topics with other values: one that refers to those before it is
/// half as long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before(Vec<u8>);

impl Before {
    /// LZ4 refers no further back, in bytes.
    const REACH: usize = 64 * 1024 - 1;

    fn bytes(&self) -> &[u8] {
        let from = self.0.len().saturating_sub(Self::REACH);
        self.0.get(from..).unwrap_or_default()
    }

    /// A frame with this payload comes before the next one.
    pub(crate) fn push(&mut self, payload: &[u8]) {
        let from = payload.len().saturating_sub(Self::REACH);
        self.0.extend(payload.get(from..).unwrap_or_default());
        // Not with every frame, as what is left moves.
        if self.0.len() > 2 * Self::REACH {
            self.0.drain(..self.0.len() - Self::REACH);
        }
    }
}

/// How a payload is stored.
struct Packed<'a> {
    flags: u32,
    bytes: Cow<'a, [u8]>,
    raw_crc: u32,
}

impl Packed<'_> {
    /// Bytes that a frame takes with it.
    fn size(&self) -> usize {
        (HEAD + self.bytes.len()).next_multiple_of(BLOCK)
    }
}

/// The way that takes the fewest blocks.
fn pack<'a>(payload: &'a [u8], before: &Before) -> Packed<'a> {
    let packed = lz4_flex::block::compress(payload);
    let (flags, bytes) = match packed.len() < payload.len() {
        true => (LZ4, Cow::Owned(packed)),
        false => (0, Cow::Borrowed(payload)),
    };
    let alone = Packed {
        flags,
        bytes,
        raw_crc: 0,
    };
    // Small commits, which come often, do not pay for what they cannot gain.
    if alone.size() == BLOCK || before.bytes().is_empty() {
        return alone;
    }
    let packed = lz4_flex::block::compress_with_dict(payload, before.bytes());
    let referring = Packed {
        flags: LZ4 | REFERS,
        bytes: Cow::Owned(packed),
        raw_crc: CRC.checksum(payload),
    };
    match referring.size() < alone.size() {
        true => referring,
        false => alone,
    }
}

/// Appends a whole frame, padded. `before` is what its segment holds up to there.
///
/// # Errors
/// The payload has more than 4 GiB.
pub(crate) fn encode(
    place: &Place,
    payload: &[u8],
    before: &Before,
    out: &mut Vec<u8>,
) -> Result<(), TooLong> {
    let raw = u32::try_from(payload.len()).map_err(|_| TooLong)?;
    let Packed {
        flags,
        bytes: body,
        raw_crc,
    } = pack(payload, before);
    let head = Head {
        salt: place.salt,
        generation: place.generation,
        number: place.number,
        tail: place.tail,
        stamp: place.stamp,
        flags,
        raw,
        stored: u32::try_from(body.len()).map_err(|_| TooLong)?,
        body_crc: CRC.checksum(&body),
        raw_crc,
    };
    let start = out.len();
    out.reserve(head.size());
    out.extend(head.encode());
    out.extend(body.iter());
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

/// The frame at the beginning of `bytes`; `None` if there is none, a damaged one, or one that refers to those
/// before it.
pub fn read_frame(bytes: &[u8]) -> Option<Frame> {
    let head = Head::decode(bytes)?;
    let payload = head.payload(bytes.get(HEAD..)?, &Before::default())?;
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
