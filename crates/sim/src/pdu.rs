//! Answers one request: the protocol data unit, without header and without I/O.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, chapter 6; each limit below is the
//! one of the section that is named beside it.

use std::time::Duration;

use crate::unit::{Table, Unit};

/// Why a device refuses a request; chapter 7 of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exception {
    /// 1: the device does not know the function code.
    IllegalFunction = 1,
    /// 2: an address of the range does not exist.
    IllegalDataAddress = 2,
    /// 3: a count, a length or a value that the function does not allow.
    IllegalDataValue = 3,
    /// 4: the device failed while it tried.
    DeviceFailure = 4,
    /// 6: the device is busy.
    DeviceBusy = 6,
    /// 11: a gateway got no answer from the unit; here, there is no such unit.
    TargetSilent = 11,
}

/// Appends the exception answer to `request`.
pub(crate) fn refuse(request: &[u8], exception: Exception, out: &mut Vec<u8>) {
    let function = request.first().copied().unwrap_or(0);
    out.extend([function | 0x80, exception as u8]);
}

/// Carries `request` out on `unit` and appends the answer or the exception.
pub(crate) fn answer(unit: &mut Unit, request: &[u8], now: Duration, out: &mut Vec<u8>) {
    let start = out.len();
    if let Err(exception) = carry_out(unit, request, now, out) {
        out.truncate(start);
        refuse(request, exception, out);
    }
}

fn carry_out(
    unit: &mut Unit,
    request: &[u8],
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<(), Exception> {
    let (function, body) = request
        .split_first()
        .ok_or(Exception::IllegalFunction)
        .map(|(function, body)| (*function, body))?;
    out.push(function);
    match function {
        1 => read_bits(unit, Table::Coil, body, now, out),
        2 => read_bits(unit, Table::Discrete, body, now, out),
        3 => read_words(unit, Table::Holding, body, now, out),
        4 => read_words(unit, Table::Input, body, now, out),
        5 => write_one_bit(unit, body, now, out),
        6 => write_one_word(unit, body, now, out),
        15 => write_bits(unit, body, now, out),
        16 => write_words(unit, body, now, out),
        22 => mask_word(unit, body, now, out),
        23 => write_and_read_words(unit, body, now, out),
        43 => identify(unit, body, out),
        _ => Err(Exception::IllegalFunction),
    }
}

/// Sections 6.1 and 6.2: 1 to 2000 bits.
fn read_bits(
    unit: &Unit,
    table: Table,
    body: &[u8],
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<(), Exception> {
    let [address, count] = fields(body)?;
    within(count, 2000)?;
    let bits = unit
        .bits(table, address, count, now)
        .ok_or(Exception::IllegalDataAddress)?;
    out.push(count.div_ceil(8) as u8);
    out.extend(bits.chunks(8).map(|chunk| {
        let set = (0..).zip(chunk).filter(|(_, bit)| **bit);
        set.fold(0u8, |byte, (place, _)| byte | 1 << place)
    }));
    Ok(())
}

/// Sections 6.3 and 6.4: 1 to 125 registers.
fn read_words(
    unit: &Unit,
    table: Table,
    body: &[u8],
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<(), Exception> {
    let [address, count] = fields(body)?;
    within(count, 125)?;
    let words = unit
        .words(table, address, count, now)
        .ok_or(Exception::IllegalDataAddress)?;
    out.push((count * 2) as u8);
    out.extend(words.into_iter().flat_map(u16::to_be_bytes));
    Ok(())
}

/// Section 6.5: only 0x0000 and 0xFF00 are values of a coil.
fn write_one_bit(
    unit: &mut Unit,
    body: &[u8],
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<(), Exception> {
    let [address, value] = fields(body)?;
    let on = match value {
        0x0000 => false,
        0xFF00 => true,
        _ => return Err(Exception::IllegalDataValue),
    };
    done(unit.write_bits(address, &[on], now))?;
    out.extend(body);
    Ok(())
}

/// Section 6.6.
fn write_one_word(
    unit: &mut Unit,
    body: &[u8],
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<(), Exception> {
    let [address, value] = fields(body)?;
    done(unit.write_words(address, &[value], now))?;
    out.extend(body);
    Ok(())
}

/// Section 6.11: 1 to 1968 coils, and exactly the bytes that they need.
fn write_bits(
    unit: &mut Unit,
    body: &[u8],
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<(), Exception> {
    let (head, data) = counted(body, 4)?;
    let [address, count] = fields(head)?;
    within(count, 1968)?;
    if data.len() != usize::from(count.div_ceil(8)) {
        return Err(Exception::IllegalDataValue);
    }
    let all = data
        .iter()
        .flat_map(|byte| (0..8).map(move |place| byte >> place & 1 == 1));
    let bits: Vec<bool> = all.take(usize::from(count)).collect();
    done(unit.write_bits(address, &bits, now))?;
    out.extend(head);
    Ok(())
}

/// Section 6.12: 1 to 123 registers, and exactly the bytes that they need.
fn write_words(
    unit: &mut Unit,
    body: &[u8],
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<(), Exception> {
    let (head, data) = counted(body, 4)?;
    let [address, count] = fields(head)?;
    within(count, 123)?;
    done(unit.write_words(address, &words_of(data, count)?, now))?;
    out.extend(head);
    Ok(())
}

/// Section 6.16: `(current and and_mask) or (or_mask and not and_mask)`.
fn mask_word(
    unit: &mut Unit,
    body: &[u8],
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<(), Exception> {
    let [address, and_mask, or_mask] = fields(body)?;
    let current = unit
        .words(Table::Holding, address, 1, now)
        .and_then(|words| words.first().copied())
        .ok_or(Exception::IllegalDataAddress)?;
    let masked = current & and_mask | or_mask & !and_mask;
    done(unit.write_words(address, &[masked], now))?;
    out.extend(body);
    Ok(())
}

/// Section 6.17: writes 1 to 121 registers, then reads 1 to 125.
fn write_and_read_words(
    unit: &mut Unit,
    body: &[u8],
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<(), Exception> {
    let (head, data) = counted(body, 8)?;
    let [from, count, to, written] = fields(head)?;
    within(count, 125)?;
    within(written, 121)?;
    let words = words_of(data, written)?;
    // Nothing may be written when the read is going to fail.
    unit.words(Table::Holding, from, count, now)
        .ok_or(Exception::IllegalDataAddress)?;
    done(unit.write_words(to, &words, now))?;
    let read = unit
        .words(Table::Holding, from, count, now)
        .ok_or(Exception::IllegalDataAddress)?;
    out.push((count * 2) as u8);
    out.extend(read.into_iter().flat_map(u16::to_be_bytes));
    Ok(())
}

/// Section 6.21, the basic objects and each of them alone.
fn identify(unit: &Unit, body: &[u8], out: &mut Vec<u8>) -> Result<(), Exception> {
    let [kind, level, object] = body else {
        return Err(Exception::IllegalDataValue);
    };
    if *kind != 14 || unit.identity.is_empty() {
        return Err(Exception::IllegalFunction);
    }
    let all = (0u8..).zip(&unit.identity);
    let wanted: Vec<_> = match level {
        // An object that is not there means the first one, except where it alone is asked for.
        1..=3 if usize::from(*object) < unit.identity.len() => {
            all.filter(|(id, _)| id >= object).collect()
        }
        1..=3 => all.collect(),
        4 => all.filter(|(id, _)| id == object).collect(),
        _ => return Err(Exception::IllegalDataValue),
    };
    if wanted.is_empty() {
        return Err(Exception::IllegalDataAddress);
    }
    out.extend([14, *level, 0x81, 0, 0, wanted.len() as u8]);
    for (id, text) in wanted {
        // All three fit one answer: it holds 246 bytes of them.
        let bytes = text
            .as_bytes()
            .get(..text.len().min(80))
            .unwrap_or_default();
        out.extend([id, bytes.len() as u8]);
        out.extend(bytes);
    }
    Ok(())
}

/// Exactly `N` big-endian words, or the exception for a wrong length.
fn fields<const N: usize>(body: &[u8]) -> Result<[u16; N], Exception> {
    let words = words_of(body, N as u16)?;
    words.try_into().map_err(|_| Exception::IllegalDataValue)
}

fn words_of(data: &[u8], count: u16) -> Result<Vec<u16>, Exception> {
    let (pairs, rest) = data.as_chunks::<2>();
    if pairs.len() != usize::from(count) || !rest.is_empty() {
        return Err(Exception::IllegalDataValue);
    }
    Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}

/// Splits `body` into `head` bytes and the data, whose length stands in one byte between them.
fn counted(body: &[u8], head: usize) -> Result<(&[u8], &[u8]), Exception> {
    let (head, rest) = body
        .split_at_checked(head)
        .ok_or(Exception::IllegalDataValue)?;
    match rest.split_first() {
        Some((length, data)) if usize::from(*length) == data.len() => Ok((head, data)),
        _ => Err(Exception::IllegalDataValue),
    }
}

fn within(count: u16, most: u16) -> Result<(), Exception> {
    if (1..=most).contains(&count) {
        Ok(())
    } else {
        Err(Exception::IllegalDataValue)
    }
}

fn done(written: bool) -> Result<(), Exception> {
    if written {
        Ok(())
    } else {
        Err(Exception::IllegalDataAddress)
    }
}

#[cfg(test)]
mod tests;
