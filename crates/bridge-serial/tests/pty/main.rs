//! Devices on real pseudo terminals, run by the run loop of the gateway.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod device;
mod floods;
mod polls;
mod streams;
