//! Any bytes as a block of a ring, and any damage to one.

#![no_main]

#[path = "../../tests/hostile/ring.rs"]
mod ring;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ring::block(data));
