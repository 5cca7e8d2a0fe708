//! The one loop that keeps a device running.

use std::sync::Arc;

use crate::{Counters, Driver, Ports, Settings};

/// Keeps one device running until `ports.cancel` fires. It has no error: it retries for ever.
pub async fn run(driver: impl Driver, settings: Settings, counters: Arc<Counters>, ports: Ports) {}
