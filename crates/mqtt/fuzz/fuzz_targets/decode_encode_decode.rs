//! What is decoded has one encoded form, and that decodes to the same packet.

#![no_main]

#[path = "../../tests/codec/checks.rs"]
#[allow(dead_code)]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::decode_encode_decode(data));
