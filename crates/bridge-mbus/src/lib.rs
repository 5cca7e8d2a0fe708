//! Reads meters over M-Bus (EN 13757-2 and -3), and emits samples.
//!
//! `link` (frames), `app` (what they say), `address` and `point` are pure. `bus` owns the line and lends it to one meter
//! at a time; `line` and `exchange` carry out what is asked. `bridge` is what the gateway sees of it all.
//! Nothing here knows MQTT or YAML: topics are built in `model`, and the file is read in `fieldgate`.

pub mod address;
pub mod app;
mod bridge;
mod bus;
pub mod config;
mod counts;
mod exchange;
mod line;
pub mod link;
pub mod point;
mod probe;
mod scan;
mod session;
pub mod sim;
mod simulate;

pub use address::{Address, Secondary};
pub use bridge::MbusLines;
pub use bus::{MbusBus, MbusBusHandle, MbusError};
pub use config::{MbusBusEntry, MbusConfig, MbusEntry, MbusType};
pub use counts::{MbusCounters, MbusSnapshot};
pub use exchange::Readout;
pub use probe::{Probe, describe, probe};
pub use scan::{End, Found, scan_primary, scan_secondary};
pub use session::{MbusDriver, MbusSession};
