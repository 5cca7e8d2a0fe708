//! GPIO devices: as written, and with everything decided.
//!
//! An entry that was read is right in itself; whether its points fit each other, such as interlocks
//! that name outputs, is told by [`GpioEntry::resolve`], all at once.

mod device;
mod line;
mod point;

pub use device::{GpioConfig, GpioEntry, Offline};
pub use line::{Drive, Edge, LineConfig, LineRef, Pull};
pub use point::{CountConfig, Kind, OutConfig, PointConfig, PointEntry, PwmConfig, RateConfig};

#[cfg(test)]
mod tests;
