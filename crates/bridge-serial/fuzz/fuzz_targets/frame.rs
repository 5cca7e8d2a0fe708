//! Any stream in any pieces: no panic, frames and memory within bounds.

#![no_main]

#[path = "../../tests/hostile/checks.rs"]
#[allow(dead_code)]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::frame(data));
