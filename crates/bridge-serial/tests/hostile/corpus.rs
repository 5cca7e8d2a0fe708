use std::fs;
use std::path::Path;

use super::checks;

/// Runs `check` over every file of a target's corpus, and returns their number.
#[allow(
    clippy::print_stdout,
    reason = "the last name printed is that of the file that fails"
)]
fn replay(target: &str, check: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        println!("{}", path.display());
        check(&input);
        count += 1;
    }
    count
}

#[test]
fn the_corpus_of_frame_holds() {
    assert!(replay("frame", checks::frame) >= 50);
}

#[test]
fn the_corpus_of_parse_holds() {
    assert!(replay("parse", checks::parse) >= 50);
}
