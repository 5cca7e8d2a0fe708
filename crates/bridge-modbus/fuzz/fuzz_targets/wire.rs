//! Any bytes as what comes over a line or a connection: no panic, and the lengths are within bounds.

#![no_main]

#[path = "../../tests/wire/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::wire(data));
