//! Replays the corpora of the fuzz targets, through what the targets call.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy allows them in test functions, not in what those call"
)]

mod packets;
mod play;
mod stored;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The memory that this process holds, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.unwrap().parse().unwrap()
}

/// A task that panics ends only its own connection, so the test has to watch for it.
fn watch_for_panics() -> Arc<AtomicBool> {
    let seen = Arc::new(AtomicBool::new(false));
    let (flag, usual) = (Arc::clone(&seen), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        flag.store(true, Ordering::SeqCst);
        usual(panic);
    }));
    seen
}

#[test]
#[allow(
    clippy::print_stdout,
    reason = "the last name printed is that of the file that fails"
)]
fn hostile_clients_on_several_connections_do_not_disturb_others() {
    let panicked = watch_for_panics();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/connections");
    let mut stage = play::Stage::new();
    let mut count = 0;
    // Also as one long history, as nothing is cleaned up between two of them.
    for round in 0..2 {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            println!("{round} {}", path.display());
            stage.play(&fs::read(&path).unwrap());
            assert!(!panicked.load(Ordering::SeqCst), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 100, "{count} inputs");
    let kib = resident();
    assert!(kib < 100 * 1024, "{kib} KiB are resident");
}

#[test]
fn a_store_may_hold_anything_and_the_broker_starts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/store");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        stored::load(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 20, "{count} inputs");
}
