//! Telegrams of real meters, and any bytes.
//!
//! Source of the telegrams, and of the values where they are numbers and dates: libmbus,
//! `test/test-frames`, `.hex` and `.norm.xml` of the same name (<https://github.com/rscada/libmbus>).
//! Where it and the standard differ, the values are those of the standard: durations stay in the
//! unit sent, patterns that mark a value as invalid are no numbers.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod meters;
mod table;
mod types;
