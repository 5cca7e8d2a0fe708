//! Data information: how a value is coded, and of which store, tariff and part it is.

use super::{Broken, Bytes, Function};

/// Extensions that a record can have, of data and of value information.
pub(super) const EXTENSIONS_MAX: usize = 10;

/// A data information block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) coding: Coding,
    pub(super) function: Function,
    pub(super) storage: u64,
    pub(super) tariff: u32,
    pub(super) subunit: u16,
}

/// How a value is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Nothing,
    /// Of so many bytes.
    Integer(usize),
    Real,
    /// Two decimal digits a byte.
    Bcd(usize),
    /// The length is in front of the data.
    Variable,
}

/// Source: EN 13757-3, 6.3: bits 0 to 3 of the DIF are the coding, 4 and 5 the function, 6 the
/// lowest bit of the store. Each DIFE has four bits of the store, two of the tariff, one of the
/// part.
pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Block, Broken> {
    let dif = bytes.byte()?;
    let coding = match dif & 0x0F {
        0x0 | 0x8 => Coding::Nothing,
        length @ 0x1..=0x4 => Coding::Integer(usize::from(length)),
        0x5 => Coding::Real,
        0x6 => Coding::Integer(6),
        0x7 => Coding::Integer(8),
        0x9 => Coding::Bcd(1),
        0xA => Coding::Bcd(2),
        0xB => Coding::Bcd(3),
        0xC => Coding::Bcd(4),
        0xD => Coding::Variable,
        0xE => Coding::Bcd(6),
        _ => return Err(Broken::Reserved),
    };
    let function = match dif >> 4 & 3 {
        0 => Function::Instantaneous,
        1 => Function::Maximum,
        2 => Function::Minimum,
        _ => Function::Error,
    };
    let mut block = Block {
        coding,
        function,
        storage: u64::from(dif >> 6 & 1),
        tariff: 0,
        subunit: 0,
    };
    let mut is_extended = dif & 0x80 != 0;
    let mut count = 0;
    while is_extended {
        if count == EXTENSIONS_MAX {
            return Err(Broken::Extensions);
        }
        let dife = bytes.byte()?;
        block.storage |= u64::from(dife & 0xF) << (1 + 4 * count);
        block.tariff |= u32::from(dife >> 4 & 3) << (2 * count);
        block.subunit |= u16::from(dife >> 6 & 1) << count;
        is_extended = dife & 0x80 != 0;
        count += 1;
    }
    Ok(block)
}
