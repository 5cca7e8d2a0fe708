//! Buses, device types and devices, as written and as resolved.
//!
//! A value that exists is valid. Messages begin with the key they are about; the reader of the
//! file adds file, line and column.

mod bus;
mod device;
mod never;
mod point;
mod points;
mod serial;
mod types;

pub use crate::table::Table;
pub use bus::{Accept, BusConfig, Offline, Transport};
pub use device::{DeviceConfig, DeviceEntry, Layout, TypeConfig};
pub use point::{Invalid, PointConfig, PointEntry, WriteRule};
pub use points::Points;
pub use serial::SerialConfig;
pub use types::{Order, Type};
