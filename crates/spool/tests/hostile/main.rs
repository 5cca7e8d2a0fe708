//! Hostile files: the corpus of the fuzz target `damage`, through what the target calls.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checks;

use std::fs;
use std::path::Path;

#[test]
fn what_is_read_from_a_spoilt_log_was_written_or_damage_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/damage");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        checks::damage(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "{count} inputs");
}
