//! Replays the corpus of the fuzz target, so that what it has found once stays found.

mod checks;

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_of_the_wire_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/wire");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // The last name that is printed is that of the file that fails.
        eprintln!("{}", path.display());
        checks::wire(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count >= 80, "{count}");
}
