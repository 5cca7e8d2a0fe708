//! A bus and its counters.

use std::sync::{Mutex, PoisonError};

use fieldgate_bridge::Figures;

use crate::tally::{Kinds, Tally};

/// A bus that is there now.
#[derive(Debug)]
pub struct Bus {
    /// The name of the bridge that serves it.
    pub bridge: String,
    kinds: Kinds,
    tally: Mutex<Tally>,
}

impl Bus {
    /// One that has counted nothing yet.
    pub(crate) fn new(bridge: &str, kinds: Kinds) -> Self {
        Self {
            bridge: bridge.to_owned(),
            kinds,
            tally: Mutex::default(),
        }
    }

    /// Its counters, not older than the gateway looks at them.
    pub fn figures(&self) -> Figures {
        let tally = self.tally.lock();
        tally.unwrap_or_else(PoisonError::into_inner).figures()
    }

    /// Says what its counters are.
    pub fn count(&self, figures: &Figures) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        *tally = self.kinds.tally(figures);
    }
}
