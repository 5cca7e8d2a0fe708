//! Watches inputs, counts pulses, switches outputs and sets PWM channels.
//!
//! `config`, `counter`, `rate` and `output_states` are pure. `line` is the seam below which
//! lines are opened: by the kernel (`kernel`), by a Raspberry Pi's PWM (`pwm_rpi`), or not at all (`sim`). `session` runs one
//! device on it, `shared` holds what all devices of a gateway share, and `bridge` is what the gateway sees of it all. Nothing here knows MQTT or YAML.

mod bridge;
pub mod config;
pub mod count_store;
pub mod counter;
mod counts;
mod handover;
mod kernel;
pub mod line;
pub mod output_states;
mod probe;
mod pwm_rpi;
pub mod rate;
mod session;
mod shared;
mod show;
mod sim;

pub use config::{GpioConfig, GpioEntry, Kind, PointConfig};
pub use count_store::{Folder, Memory, Store};
pub use counts::{GpioCounts, GpioSnapshot};
pub use handover::Handover;
pub use kernel::Kernel;
pub use line::Backend;
pub use probe::{Seen, probe};
pub use session::{GpioDriver, GpioSession};
pub use shared::Lines;
pub use sim::SimChip;
