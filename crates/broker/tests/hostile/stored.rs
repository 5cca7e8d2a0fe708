//! A store whose frames hold anything, for tests and the fuzz target `store`.

use std::fs;
use std::path::PathBuf;

use fieldgate_broker::{Broker, Config, StoreConfig};
use fieldgate_spool::{Log, STAMP};

/// Frames of `data`, each behind its length in a byte: the broker starts, whatever they hold.
pub(crate) fn load(data: &[u8]) {
    let parent = parent();
    let path = parent.join("broker");
    let mut log = Log::open(&path).unwrap();
    let mut rest = data;
    while let Some((&len, behind)) = rest.split_first() {
        let (frame, behind) = behind.split_at(usize::from(len).min(behind.len()));
        let stamp = frame.iter().copied().chain([0; STAMP]).take(STAMP);
        let stamp: Vec<u8> = stamp.collect();
        log.append(frame, stamp.try_into().unwrap()).unwrap();
        rest = behind;
    }
    drop(log);
    let broker = Broker::start(Config {
        listeners: Vec::new(),
        store: Some(StoreConfig::new(&path)),
        workers: 1,
        ..Config::default()
    });
    drop(broker.unwrap());
    fs::remove_dir_all(&parent).unwrap();
}

fn parent() -> PathBuf {
    let name = format!("fieldgate-hostile-store-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).unwrap();
    path
}
