//! M-Bus lines and meters: as written, and with everything decided.
//!
//! An entry that was read is right in itself; whether its parts fit each other is told by
//! [`MbusEntry::resolve`], all at once.

mod bus;
mod device;
mod point;

pub use bus::{MbusBusEntry, Transport};
pub use device::{MbusConfig, MbusEntry, MbusType, Offline};
pub use point::{PointConfig, PointEntry, Selector, Source, What};

#[cfg(test)]
mod tests;
