//! Thrift's compact protocol, as far as Parquet's headers and footer need it. Pure.

use crate::bits::{fold, put_varint};

/// Types of fields and of the items of lists.
const TRUE: u8 = 1;
pub(super) const I32: u8 = 5;
const I64: u8 = 6;
pub(super) const TEXT: u8 = 8;
const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

/// Writes one struct, and those that are in it. Fields come with rising numbers.
#[derive(Debug, Default)]
pub(super) struct Thrift {
    out: Vec<u8>,
    /// The number of the last field, of the innermost struct.
    last: u8,
    outer: Vec<u8>,
}

impl Thrift {
    fn field(&mut self, number: u8, kind: u8) {
        // All fields that Parquet has here are at most 15 apart.
        self.out.push(number.saturating_sub(self.last) << 4 | kind);
        self.last = number;
    }

    pub(super) fn i32(&mut self, number: u8, value: u32) {
        self.field(number, I32);
        self.item_i32(value);
    }

    pub(super) fn i64(&mut self, number: u8, value: u64) {
        self.field(number, I64);
        put_varint(fold(value.cast_signed()), &mut self.out);
    }

    pub(super) fn text(&mut self, number: u8, text: &str) {
        self.field(number, TEXT);
        self.item_text(text);
    }

    pub(super) fn yes(&mut self, number: u8) {
        self.field(number, TRUE);
    }

    /// A list; its items follow.
    pub(super) fn list(&mut self, number: u8, kind: u8, count: usize) {
        self.field(number, LIST);
        match u8::try_from(count) {
            Ok(few) if few < 15 => self.out.push(few << 4 | kind),
            _ => {
                self.out.push(0xF0 | kind);
                put_varint(count as u64, &mut self.out);
            }
        }
    }

    pub(super) fn item_i32(&mut self, value: u32) {
        put_varint(fold(value.into()), &mut self.out);
    }

    pub(super) fn item_text(&mut self, text: &str) {
        put_varint(text.len() as u64, &mut self.out);
        self.out.extend(text.as_bytes());
    }

    /// A struct that is a field; [`Self::end`] ends it.
    pub(super) fn begin(&mut self, number: u8) {
        self.field(number, STRUCT);
        self.item();
    }

    /// A struct that is an item of a list.
    pub(super) fn item(&mut self) {
        self.outer.push(self.last);
        self.last = 0;
    }

    pub(super) fn end(&mut self) {
        self.out.push(0);
        self.last = self.outer.pop().unwrap_or_default();
    }

    /// A struct without fields.
    pub(super) fn empty(&mut self, number: u8) {
        self.begin(number);
        self.end();
    }

    /// What was written until now; more follows.
    pub(super) fn part(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.push(0);
        self.out
    }
}
