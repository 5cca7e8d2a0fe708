//! Writes a file of history.

use std::io::{self, Write};

use crate::bits::put_text;
use crate::layout::{
    BLOCK, BODY_MAX, CRC, ENTRIES_MAX, ENTRY, Entry, HEAD, HEADER, Header, MAGIC, STEP, Series,
    TAIL, TAIL_MAGIC, VERSION, What, block_crc, fields, span,
};

/// Writes a file from its beginning to its end.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    at: u64,
    index: Vec<Entry>,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn new(mut out: W, header: Header) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((header.level as u32).to_le_bytes());
        bytes.extend(header.parts.0.to_le_bytes());
        bytes.extend(header.parts.1.to_le_bytes());
        bytes.extend(CRC.checksum(&bytes).to_le_bytes());
        bytes.resize(HEADER, 0);
        out.write_all(&bytes)?;
        Ok(Self {
            out,
            at: HEADER as u64,
            index: Vec::new(),
        })
    }

    /// Appends a block. `data` is what [`crate::chunk`] or [`crate::cells`] made with the first time as its base.
    ///
    /// # Errors
    ///
    /// Those of `out`; also if it is too long.
    pub fn block(
        &mut self,
        series: &Series,
        what: What,
        count: u32,
        times: (i64, i64),
        data: &[u8],
    ) -> io::Result<()> {
        let mut body = Vec::with_capacity(data.len() + 64);
        put_text(&series.device, &mut body);
        put_text(&series.point, &mut body);
        body.extend(data);
        if body.len() > BODY_MAX || self.index.len() >= ENTRIES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let entry = Entry {
            hash: series.hash(),
            what,
            offset: self.at,
            length: body.len() as u32,
            count,
            times,
        };
        let mut head = Vec::with_capacity(HEAD);
        head.extend(BLOCK.to_le_bytes());
        head.extend(block_crc(&entry, &body).to_le_bytes());
        head.extend(fields(&entry));
        head.resize(HEAD, 0);
        body.resize(body.len().next_multiple_of(STEP), 0);
        self.out.write_all(&head)?;
        self.out.write_all(&body)?;
        self.at += (head.len() + body.len()) as u64;
        self.index.push(entry);
        Ok(())
    }

    /// Entries of the index so far.
    pub fn entries(&self) -> u64 {
        self.index.len() as u64
    }

    /// Writes index and tail. Returns what was written to, and how many bytes.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.index.sort_unstable();
        let mut bytes = Vec::with_capacity(self.index.len() * ENTRY + TAIL);
        for entry in &self.index {
            bytes.extend(entry.hash.to_le_bytes());
            bytes.extend(entry.offset.to_le_bytes());
            bytes.extend(fields(entry));
            bytes.resize(bytes.len().next_multiple_of(ENTRY), 0);
        }
        let times = span(&self.index);
        bytes.extend(times.0.to_le_bytes());
        bytes.extend(times.1.to_le_bytes());
        bytes.extend(self.at.to_le_bytes());
        bytes.extend((self.index.len() as u32).to_le_bytes());
        bytes.extend(TAIL_MAGIC.to_le_bytes());
        bytes.extend(CRC.checksum(&bytes).to_le_bytes());
        bytes.extend([0; 4]);
        self.out.write_all(&bytes)?;
        self.at += bytes.len() as u64;
        Ok((self.out, self.at))
    }
}
