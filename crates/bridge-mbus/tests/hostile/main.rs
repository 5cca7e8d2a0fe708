//! Hostile input: any bytes, and the corpora of the fuzz targets through what the targets call.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checks;
mod corpus;
