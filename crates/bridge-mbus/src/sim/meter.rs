//! What a simulated meter is, and what it tells.

use std::time::Duration;

use fieldgate_sim::Wave;

use crate::address::Secondary;
use crate::link::{Frame, RSP_UD};

/// A simulated meter.
#[derive(Clone, Debug, PartialEq)]
pub struct SimMeter {
    /// Its primary address.
    pub address: u8,
    /// Its secondary address, without wildcards.
    pub secondary: Secondary,
    /// Its status byte.
    pub status: u8,
    /// Its telegrams, at least one.
    pub telegrams: Vec<Vec<SimRecord>>,
    /// How long it takes to answer.
    pub delay: Duration,
    /// It answers nothing.
    pub is_dead: bool,
    /// So many of its next answers are lost.
    pub loses: u32,
}

/// A record of a simulated meter.
#[derive(Clone, Debug, PartialEq)]
pub struct SimRecord {
    /// How the value is coded.
    pub coding: SimCoding,
    /// Bits 4 to 7 of the data information field, and its extensions.
    pub dib: Vec<u8>,
    /// The value information block.
    pub vib: Vec<u8>,
    /// The number in the data field: whole numbers of the step that `vib` names.
    pub wave: Wave,
}

/// How a value is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimCoding {
    /// A whole number of four bytes.
    Integer,
    /// Eight decimal digits.
    Bcd,
    /// A float of four bytes.
    Real,
}

/// Records of a telegram that fit into a frame with the longest blocks.
const TELEGRAM_RECORDS: usize = 8;

impl SimRecord {
    /// A value of now, for all tariffs, in eight decimal digits.
    pub fn now(vib: &[u8], wave: Wave) -> Self {
        Self {
            coding: SimCoding::Bcd,
            dib: vec![0],
            vib: vib.to_vec(),
            wave,
        }
    }

    /// The same of a store of the past, 1 to 31.
    #[must_use]
    pub fn stored(mut self, storage: u8) -> Self {
        let (low, high) = (storage & 1, storage >> 1 & 0xF);
        self.dib = match high {
            0 => vec![low << 6],
            high => vec![0x80 | low << 6, high],
        };
        self
    }

    fn encode(&self, now: Duration, bytes: &mut Vec<u8>) {
        let number = self.wave.at(now);
        let (code, data) = match self.coding {
            SimCoding::Integer => (0x4, (number.floor() as i32).to_le_bytes()),
            SimCoding::Bcd => (0xC, bcd(number.floor() as i64)),
            SimCoding::Real => (0x5, (number as f32).to_le_bytes()),
        };
        let (first, rest) = self.dib.split_first().unwrap_or((&0, &[]));
        bytes.push(first & 0xF0 | code);
        bytes.extend(rest);
        bytes.extend(&self.vib);
        bytes.extend(data);
    }
}

/// Eight digits, low first; a negative number has an `F` in front.
fn bcd(number: i64) -> [u8; 4] {
    let mut rest = number.unsigned_abs();
    let mut bytes = [0; 4].map(|_: u8| {
        let digits = (rest % 100) as u8;
        rest /= 100;
        ((digits / 10) << 4) | (digits % 10)
    });
    if number < 0
        && let Some(high) = bytes.last_mut()
    {
        *high = 0xF0 | *high & 0xF;
    }
    bytes
}

impl SimMeter {
    /// A meter that answers at once and counts energy from `start` kWh on, with a due date
    /// reading, a volume, and three temperatures.
    pub fn heat(address: u8, secondary: Secondary, start: f64) -> Self {
        let counter = |start, per_second| Wave::Counter { start, per_second };
        let swing = |mean, amplitude, seconds| Wave::Sine {
            mean,
            amplitude,
            period: Duration::from_secs(seconds),
        };
        let records = vec![
            SimRecord::now(&[0x06], counter(start, 0.01)),
            SimRecord::now(&[0x06], Wave::Constant(start.floor())).stored(1),
            SimRecord::now(&[0x13], counter(start * 20.0, 0.2)),
            SimRecord::now(&[0x2D], swing(60.0, 20.0, 600)),
            SimRecord::now(&[0x3B], swing(400.0, 150.0, 600)),
            SimRecord::now(&[0x5A], swing(650.0, 50.0, 900)),
            SimRecord::now(&[0x5E], swing(400.0, 30.0, 1200)),
            SimRecord::now(&[0x62], swing(250.0, 40.0, 900)),
        ];
        Self {
            address,
            secondary,
            status: 0,
            telegrams: vec![records],
            delay: Duration::ZERO,
            is_dead: false,
            loses: 0,
        }
    }

    /// Tells what another one does, too, after its own records.
    pub(super) fn share(&mut self, other: Self) {
        for record in other.telegrams.into_iter().flatten() {
            let mut all = self.telegrams.iter().flatten();
            if all.any(|own| own.dib == record.dib && own.vib == record.vib) {
                continue;
            }
            self.push(record);
        }
    }

    /// Adds a record, in a new telegram when the last one is full.
    pub(super) fn push(&mut self, record: SimRecord) {
        match self.telegrams.last_mut() {
            Some(last) if last.len() < TELEGRAM_RECORDS => last.push(record),
            _ => self.telegrams.push(vec![record]),
        }
    }

    /// What it tells in a telegram.
    pub(super) fn telegram(&self, index: usize, access: u8, now: Duration) -> Frame {
        let mut data = self.secondary.bytes().to_vec();
        data.extend([access, self.status, 0, 0]);
        let records = self.telegrams.get(index).map_or(&[][..], Vec::as_slice);
        for record in records {
            record.encode(now, &mut data);
        }
        if index + 1 < self.telegrams.len() {
            data.push(0x1F);
        }
        Frame::Long {
            control: RSP_UD,
            address: self.address,
            ci: 0x72,
            data,
        }
    }
}
