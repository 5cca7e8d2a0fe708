//! Where a store is, and how often it is written.

use std::path::PathBuf;
use std::time::Duration;

/// Where a broker keeps what outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The folder, made with its parents where they are missing. Damaged stores are set aside beside
    /// it.
    pub path: PathBuf,
    /// Changes that something waits for are written together once in this time, so that they do not
    /// wear out an SD card. Those of a short burst are written at once.
    pub commit: Duration,
    /// The retained message of a topic that nothing waits for (the gateway's own readings, and QoS 0)
    /// is written once in this time at most. A crash may bring back one that is so old.
    pub retained_interval: Duration,
}

impl StoreConfig {
    /// The folder `path`, 20 ms between commits under load, and a minute between writes of a
    /// retained message that nothing waits for.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            commit: Duration::from_millis(20),
            retained_interval: Duration::from_secs(60),
        }
    }
}

/// The store is in use by another process, or its thread cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot keep sessions in {}: {detail}", path.display())]
pub struct StoreError {
    /// The folder that was asked for.
    pub path: PathBuf,
    /// What is wrong.
    pub detail: String,
}
