//! Watches inputs, counts pulses, switches outputs and sets PWM channels.
//!
//! `config`, `counter`, `rate` and `bank` are pure. `line` is the seam below which somebody opens
//! lines: the kernel (`kernel`), a Raspberry Pi's PWM (`pi`), or nobody (`sim`). `session` runs one
//! device on it, `shared` holds what all devices of a gateway share, and `bridge` is what the gateway sees of it all. Nothing here knows MQTT or YAML.

pub mod bank;
mod bridge;
pub mod config;
pub mod counter;
mod counts;
mod keeper;
mod kernel;
pub mod line;
mod pi;
mod probe;
pub mod rate;
mod session;
mod shared;
mod show;
mod sim;
pub mod store;

pub use config::{GpioConfig, GpioEntry, Kind, PointConfig};
pub use counts::{GpioCounts, GpioSnapshot};
pub use keeper::Keeper;
pub use kernel::Kernel;
pub use line::Backend;
pub use probe::{Seen, probe};
pub use session::{GpioDriver, GpioSession};
pub use shared::Lines;
pub use sim::SimChip;
pub use store::{Folder, Memory, Store};
