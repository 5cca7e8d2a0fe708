//! One poll of everything, for people to look at.

use std::time::Duration;

use fieldgate_model::Value;

use crate::bus::BusHandle;
use crate::config::DeviceConfig;
use crate::data::{Data, ReadRequest};

/// One planned request and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// What was asked.
    pub request: ReadRequest,
    /// How long it took, retries included.
    pub elapsed: Duration,
    /// The raw registers or bits, or why there are none.
    pub answer: Result<Data, String>,
    /// The points of the request, by index into the device's list, and what they decode to.
    /// Empty if there is no answer.
    pub values: Vec<(usize, Result<Value, String>)>,
}

/// Reads every point of a device once.
pub async fn probe(device: &DeviceConfig, bus: &BusHandle) -> Vec<Exchange> {
    let _ = (device, bus);
    Vec::new()
}
