//! What a session needs of a port, so that it can be tried on a line in memory.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::DriverError;
use fieldgate_field_line::Port;

/// A line to a device.
pub trait Line: fmt::Debug + Send + Sync {
    /// Waits for bytes and reads them. Cancel-safe. Never 0 bytes.
    fn read(
        &mut self,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<usize, DriverError>> + Send;

    /// Writes all of `bytes` within `limit`.
    fn write(
        &mut self,
        bytes: &[u8],
        limit: Duration,
    ) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Holds the line in break for so long.
    fn line_break(
        &mut self,
        length: Duration,
    ) -> impl Future<Output = Result<(), DriverError>> + Send;
}

impl Line for Port {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DriverError> {
        self.receive(buffer).await
    }

    async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), DriverError> {
        self.send(bytes, limit).await
    }

    async fn line_break(&mut self, length: Duration) -> Result<(), DriverError> {
        Self::line_break(self, length).await
    }
}
