//! What a session needs of a port, so that it can be tried on a line in memory.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::DriverError;

/// A line to a device.
pub trait Line: fmt::Debug + Send + Sync {
    /// Waits for bytes and reads them. Cancel-safe. Never 0 bytes.
    fn read(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, DriverError>> + Send;

    /// Writes all of `bytes` within `limit`.
    fn write(
        &self,
        bytes: &[u8],
        limit: Duration,
    ) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Holds the line in break for so long.
    fn line_break(&self, length: Duration) -> impl Future<Output = Result<(), DriverError>> + Send;
}
