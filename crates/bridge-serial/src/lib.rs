//! Reads serial instruments, asks them, sets them, and emits samples.
//!
//! `frame`, `check`, `parse`, `number`, `template`, `point` and `config` are pure. Only `port`
//! opens a port; `session` reads and writes it. Nothing here knows MQTT or YAML: topics are built
//! in `model`, and the file is read in `fieldgate`.

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
mod port;
mod probe;
mod question;
mod session;
pub mod template;

pub use config::{PointConfig, PortConfig, SerialConfig, SerialEntry};
pub use counts::{SerialCounts, SerialSnapshot};
pub use port::Port;
pub use probe::{Probe, Seen, probe};
pub use session::{SerialDriver, SerialSession};
