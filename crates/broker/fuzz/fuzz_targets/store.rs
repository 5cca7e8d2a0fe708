//! A store whose frames hold anything: the broker starts.

#![no_main]

#[path = "../../tests/hostile/stored.rs"]
mod stored;

libfuzzer_sys::fuzz_target!(|data: &[u8]| stored::load(data));
