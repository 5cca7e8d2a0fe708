//! Reads serial instruments, asks them, sets them, and emits samples.
//!
//! `frame`, `check`, `parse`, `number`, `template`, `point` and `config` are pure. `session` reads
//! and writes a port; `bridge` is what the gateway sees of it all. Nothing here knows MQTT or YAML: topics are built in
//! `model`, and the file is read in `config`.

mod bridge;
pub mod bytes;
pub mod check;
pub mod config;
mod counts;
mod flood;
pub mod frame;
mod line;
pub mod number;
pub mod parse;
pub mod point;
mod probe;
mod question;
mod session;
mod show;
mod talker;
pub mod template;

pub use bridge::{Instrument, Instruments};
pub use config::{PointConfig, SerialConfig, SerialEntry};
pub use counts::{SerialCounts, SerialSnapshot};
pub use probe::{Probe, Seen, probe};
pub use session::{SerialDriver, SerialSession};
pub use talker::Script;
