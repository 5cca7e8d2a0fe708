//! Whether the system clock has been set since the start.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// systemd-timesyncd makes this folder when it starts, and the file in it when it has the time.
const FOLDER: &str = "/run/systemd/timesync";
const DONE: &str = "/run/systemd/timesync/synchronized";

/// Remembers that the clock was set. Boards without a battery start in the past.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    is_set: Arc<AtomicBool>,
}

impl Clock {
    /// False while a time service runs and has not set the clock yet. Without such a service
    /// nothing knows better than the clock itself.
    pub(crate) fn is_synchronised(&self) -> bool {
        if self.is_set.load(Ordering::Relaxed) {
            return true;
        }
        let is_set = Path::new(DONE).exists() || !Path::new(FOLDER).exists();
        self.is_set.store(is_set, Ordering::Relaxed);
        is_set
    }
}
