//! Frames of a known length: fixed, or told by a number in them.

use super::{FrameKind, Framer, checked};
use crate::check::ByteOrder;

/// What the bytes at one place are.
enum Found {
    /// A frame of this length, if it is all there.
    Frame(usize),
    /// Perhaps the beginning of one.
    Partial,
    /// No frame begins here.
    Garbage,
    /// The number cannot be a length.
    BadLength,
}

impl Framer {
    /// Takes bytes and hands out what they complete. Where a frame turns out to be none, the
    /// search goes on at its second byte: a good frame may begin inside what looked like one.
    pub(super) fn scan(&mut self, bytes: &[u8], out: &mut Vec<Vec<u8>>) {
        // In pieces, so that no more is held than a frame and a piece.
        for piece in bytes.chunks(self.config.max.max(1)) {
            self.buffer.extend_from_slice(piece);
            let mut at = 0;
            while let Some(rest) = self.buffer.get(at..).filter(|rest| !rest.is_empty()) {
                match self.begin(rest) {
                    Found::Partial => break,
                    Found::Garbage => {
                        self.rejected.garbage += 1;
                        at += 1;
                    }
                    Found::BadLength => {
                        self.rejected.bad_length += 1;
                        at += 1;
                    }
                    Found::Frame(length) => {
                        let Some(frame) = rest.get(..length) else {
                            break;
                        };
                        match checked(self.config.check.as_ref(), frame) {
                            Some(good) => {
                                out.push(frame.iter().take(good).copied().collect());
                                at += length;
                            }
                            None => {
                                self.rejected.bad_check += 1;
                                at += 1;
                            }
                        }
                    }
                }
            }
            self.buffer.drain(..at);
        }
    }

    fn begin(&self, rest: &[u8]) -> Found {
        let (FrameKind::Length { start, .. } | FrameKind::Prefix { start, .. }) = &self.config.kind
        else {
            return Found::Garbage;
        };
        if !rest.iter().zip(start).all(|(have, want)| have == want) {
            return Found::Garbage;
        }
        match self.config.kind {
            FrameKind::Length { length, .. } => Found::Frame(length),
            FrameKind::Prefix {
                offset,
                width,
                order,
                adjust,
                ..
            } => {
                let head = offset + width;
                let Some(digits) = rest.get(offset..head) else {
                    return Found::Partial;
                };
                let number = number(digits, order);
                let least = head.max(start.len()).max(1);
                match usize::try_from(number + adjust) {
                    Ok(length) if (least..=self.config.max).contains(&length) => {
                        Found::Frame(length)
                    }
                    _ => Found::BadLength,
                }
            }
            _ => Found::Garbage,
        }
    }
}

/// A number of up to four bytes.
fn number(digits: &[u8], order: ByteOrder) -> i64 {
    let add = |number: i64, digit: &u8| number << 8 | i64::from(*digit);
    match order {
        ByteOrder::Big => digits.iter().fold(0, add),
        ByteOrder::Little => digits.iter().rev().fold(0, add),
    }
}
