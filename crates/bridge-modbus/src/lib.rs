//! Polls Modbus devices, writes to them, and emits samples.
//!
//! `config`, `plan`, `decode` and `encode` are pure. Only `client` opens a connection; `bus` owns
//! it and lends it to one transaction at a time. Nothing here knows MQTT or YAML: topics are
//! built in `model`, and the file is read in `fieldgate`.

mod bus;
mod client;
pub mod config;
mod data;
mod decode;
mod encode;
mod f16;
mod factor;
#[cfg(test)]
mod fake;
mod plan;
mod probe;
mod session;

pub use bus::BusHandle;
pub use config::{
    BusConfig, DeviceConfig, DeviceEntry, Offline, Order, PointConfig, PointEntry, Table, Type,
    TypeConfig,
};
pub use data::{BusError, Data, Exception, ReadRequest, WriteRequest};
pub use decode::{DecodeError, decode};
pub use encode::encode;
pub use plan::{Breaks, plan};
pub use probe::{Exchange, probe};
pub use session::ModbusDriver;
