//! Hostile files: the corpora of the fuzz targets, through what the targets call.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checks;

use std::fs;
use std::path::Path;

#[test]
fn bytes_that_are_read_as_a_chunk_are_one() {
    replay("chunk", checks::chunk);
}

#[test]
fn what_is_read_from_a_spoilt_file_was_written() {
    replay("file", checks::file);
}

#[test]
fn rows_of_a_spoilt_file_were_written() {
    replay("counters", checks::counters);
}

#[test]
fn events_of_a_spoilt_file_were_written() {
    replay("events", checks::events);
}

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut count = 0;
    for entry in fs::read_dir(corpus.join(target)).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "{count} inputs");
}
