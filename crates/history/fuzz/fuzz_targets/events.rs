//! Any bytes as a file of events, and any damage to one.

#![no_main]

#[path = "../../tests/hostile/checks.rs"]
#[allow(dead_code, reason = "each target calls one check")]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::events(data));
