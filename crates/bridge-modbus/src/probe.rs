//! One poll of everything, for people to look at.

use std::collections::VecDeque;
use std::time::Duration;

use fieldgate_model::Value;
use tokio::time::Instant;

use crate::config::DeviceConfig;
use crate::data::{BusError, Data, ReadRequest};
use crate::decode::DecodeError;
use crate::factor::Factors;
use crate::plan::{Breaks, plan, split};

/// One planned request and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// What was asked.
    pub request: ReadRequest,
    /// How long it took, waiting for the bus and retries included.
    pub elapsed: Duration,
    /// The raw registers or bits, or why there are none.
    pub answer: Result<Data, String>,
    /// Whether the device refused the addresses and the points are read apart in what follows.
    pub is_divided: bool,
    /// The points of the request, by index into the device's list, and what they decode to.
    /// Empty if there is no answer.
    pub values: Vec<(usize, Result<Value, DecodeError>)>,
}

/// Reads every point of a device once that is ever read, as its first poll would: a request that the device refuses
/// for its addresses is divided, and its parts follow it. `read` carries out one request.
pub async fn probe(
    device: &DeviceConfig,
    mut read: impl AsyncFnMut(&ReadRequest) -> Result<Data, BusError>,
) -> Vec<Exchange> {
    let is_read = |index: &usize| {
        let point = device.points.get(*index);
        point.is_some_and(|(_, point)| point.poll.is_some())
    };
    let all: Vec<_> = (0..device.points.len()).filter(is_read).collect();
    let mut factors = Factors::default();
    let mut requests: VecDeque<_> = plan(device, &all, &Breaks::new()).into();
    let mut exchanges = Vec::new();
    while let Some(request) = requests.pop_front() {
        let started = Instant::now();
        let answer = read(&request).await;
        let elapsed = started.elapsed();
        let parts = match &answer {
            Err(BusError::Exception { exception, .. }) if exception.is_about_addresses() => {
                split(device, &request)
            }
            _ => None,
        };
        let is_divided = parts.is_some();
        if let Some((first, second)) = parts {
            requests.push_front(second);
            requests.push_front(first);
        }
        let mut values = Vec::new();
        if let Ok(data) = &answer {
            factors.values(device, &request, data, |point, value| {
                values.push((point, value));
            });
        }
        exchanges.push(Exchange {
            request,
            elapsed,
            answer: answer.map_err(|error| error.to_string()),
            is_divided,
            values,
        });
    }
    exchanges
}
