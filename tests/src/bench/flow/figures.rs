//! What a flow is asked for, and what it gave.

use std::time::Duration;

/// How long and how hard.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub warm_up: Duration,
    pub measure: Duration,
    /// For [`Pace::Lead`]: messages, of all publishers together.
    pub lead: u64,
    /// For [`Pace::Lead`]: what one write of a publisher holds at most, but at least one message.
    pub write_bytes: usize,
}

/// What one flow through one broker gave.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Broker CPU per delivered message, in microseconds.
    pub cpu_us: f64,
    /// End to end, 99th percentile, in milliseconds; of [`Pace::PerSecond`] alone.
    pub p99_ms: Option<f64>,
    pub delivered_per_s: f64,
    /// Cores that the broker and the generator kept busy.
    pub broker_cores: f64,
    pub generator_cores: f64,
    /// Deliveries that were due from the first message to the last and did not come, and those that came again.
    pub lost: u64,
    pub repeated: u64,
}
