//! Any bytes as a stream of packets: no panic, and the lengths are within bounds.

#![no_main]

#[path = "../../tests/codec/checks.rs"]
#[allow(dead_code)]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::decode_stream(data));
