//! The pauses between attempts: exponential, with jitter, repeatable from a seed. Pure.

use std::time::Duration;

use crate::Backoff;

/// A sequence of pauses.
///
/// The n-th is drawn evenly from `min * 2^n ..= min * 2^(n+1)`, cut to the range; once there, from
/// its upper half. So a hundred devices that lost the same bus do not come back in step, and no
/// pause is ever outside the configured range.
#[derive(Clone, Debug)]
pub struct Delays {
    range: Backoff,
    upper: Duration,
    random: u64,
}
