//! Polls Modbus devices, writes to them, and emits samples.
//!
//! `config`, `wire`, `monitor`, `plan`, `load`, `bisect`, `decode`, `encode` and `write_plan` are pure. `link` carries out
//! a transaction on an open line, `bus` says how a bus uses it. `simulate` makes up units for a mapping, and `bridge` is
//! what the gateway sees of it all. Nothing here knows MQTT or YAML: topics are built in `model`, and the file is read in
//! `config`.

mod bisect;
mod bridge;
mod bus;
pub mod config;
mod counters;
mod data;
mod decode;
mod encode;
mod f16;
mod factor;
mod link;
mod load;
pub mod monitor;
mod plan;
mod probe;
mod session;
mod simulate;
mod table;
pub mod wire;
mod write_plan;

pub use bridge::Buses;
pub use bus::{BusHandle, Priority};
pub use config::{
    BusConfig, DeviceConfig, DeviceEntry, Offline, Order, PointConfig, PointEntry, Points,
    SerialConfig, Table, Transport, Type, TypeConfig,
};
pub use counters::{BusCounters, Counts};
pub use data::{BusError, Data, Exception, ReadRequest, WriteRequest};
pub use decode::{DecodeError, decode};
pub use encode::encode;
pub use load::{Load, THINKS, load};
pub use plan::{Breaks, plan};
pub use probe::{Exchange, probe};
pub use session::{ModbusDriver, Periods};
pub use simulate::Simulator;
