//! From values to registers. Pure.

use fieldgate_model::Value;

use crate::config::PointConfig;
use crate::data::WriteRequest;

/// Makes the write that sets a point to `value`.
///
/// # Errors
///
/// The text says why it cannot be written, for the client.
pub fn encode(point: &PointConfig, value: &Value) -> Result<WriteRequest, String> {
    let _ = (point, value);
    Err(String::new())
}
