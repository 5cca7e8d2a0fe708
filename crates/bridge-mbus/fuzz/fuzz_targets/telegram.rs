//! Any telegram: no panic, values of bounded length.

#![no_main]

#[path = "../../tests/hostile/checks.rs"]
#[allow(dead_code)]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::telegram(data));
