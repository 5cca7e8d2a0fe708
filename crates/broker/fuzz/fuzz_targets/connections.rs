//! Hostile clients on several connections at once: no panic, and two well-behaved clients notice nothing.

#![no_main]

use std::cell::RefCell;

#[path = "../../tests/hostile/play.rs"]
mod play;

#[path = "../../tests/hostile/packets.rs"]
mod packets;

thread_local! {
    static STAGE: RefCell<play::Stage> = RefCell::new(play::Stage::new());
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    STAGE.with_borrow_mut(|stage| stage.play(data));
});
