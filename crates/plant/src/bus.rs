//! A bus and its counters.

use std::sync::{Mutex, PoisonError};

use fieldgate_bridge::Figures;

/// A bus that is there now.
#[derive(Debug)]
pub struct Bus {
    /// The name of the bridge that serves it.
    pub bridge: String,
    figures: Mutex<Figures>,
}

impl Bus {
    /// One that has counted nothing yet.
    pub fn new(bridge: &str) -> Self {
        Self {
            bridge: bridge.to_owned(),
            figures: Mutex::default(),
        }
    }

    /// Its counters, not older than the gateway looks at them.
    pub fn figures(&self) -> Figures {
        let figures = self.figures.lock();
        figures.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what its counters are.
    pub fn count(&self, figures: &Figures) {
        let mut kept = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone_from(figures);
    }
}
