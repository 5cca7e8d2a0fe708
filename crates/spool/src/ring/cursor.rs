//! How far a ring has been acknowledged, in two slots that are written by turns. Pure but for [`File`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::frame::{BLOCK, CRC};

const MAGIC: u32 = 0x4347_4631;
const LEN: usize = 56;

/// What a slot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Rises with every writing; the higher of two slots counts.
    pub(crate) turn: u64,
    /// Which ring this is.
    pub(crate) salt: u64,
    /// The oldest segment that counts.
    pub(crate) generation: u64,
    /// The first block that is not acknowledged.
    pub(crate) number: u64,
    /// Records of that block that are.
    pub(crate) skip: u32,
    /// The last one that was given out.
    pub(crate) epoch: u32,
    /// No block has a number from here on.
    pub(crate) next: u64,
}

impl Cursor {
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        let fields = [
            self.turn,
            self.salt,
            self.generation,
            self.number,
            u64::from(self.epoch) << 32 | u64::from(self.skip),
            self.next,
        ];
        for (place, field) in bytes[8..].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let crc = CRC.checksum(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if these bytes are no slot.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.get(..LEN)?.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*magic) != MAGIC || u32::from_le_bytes(*crc) != CRC.checksum(rest) {
            return None;
        }
        let field = |at: usize| {
            let bytes = rest.get(at * 8..).and_then(<[u8]>::first_chunk);
            bytes.copied().map_or(0, u64::from_le_bytes)
        };
        Some(Self {
            turn: field(0),
            salt: field(1),
            generation: field(2),
            number: field(3),
            skip: field(4) as u32,
            epoch: (field(4) >> 32) as u32,
            next: field(5),
        })
    }

    /// The newer slot of the file; `None` if both are damaged or were never written.
    pub(crate) fn load(file: &File) -> io::Result<Option<Self>> {
        let mut found: Option<Self> = None;
        for slot in 0..2 {
            let mut bytes = [0; LEN];
            match file.read_exact_at(&mut bytes, slot * BLOCK as u64) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                read => read?,
            }
            if let Some(cursor) = Self::decode(&bytes)
                && found.is_none_or(|found| found.turn < cursor.turn)
            {
                found = Some(cursor);
            }
        }
        Ok(found)
    }

    /// Writes the slot whose turn it is; durable when this returns.
    pub(crate) fn save(&self, file: &File) -> io::Result<()> {
        let mut bytes = vec![0; BLOCK];
        bytes[..LEN].copy_from_slice(&self.encode());
        file.write_all_at(&bytes, self.turn % 2 * BLOCK as u64)?;
        file.sync_data()
    }
}
