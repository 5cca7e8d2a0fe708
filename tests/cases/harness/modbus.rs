//! A Modbus server that we did not write: pymodbus through `peers/modbus_server.py`.

use std::process::Command;

use serde_json::Value;

use super::{process::Process, python, repository};

/// A running server and what it says that it holds.
pub struct Pymodbus {
    pub process: Process,
    pub port: u16,
    /// The points: name, table, address, keys (of the mapping), text (of the value, as JSON).
    pub points: Vec<Value>,
}

impl Pymodbus {
    /// A server that holds a value of every type and order.
    pub fn values() -> Self {
        Self::start(&["0"])
    }

    /// A server whose registers count their own reads; `port` 0 takes a free one.
    pub fn counter(port: u16) -> Self {
        Self::start(&[&port.to_string(), "--counter"])
    }

    fn start(arguments: &[&str]) -> Self {
        let script = repository().join("tests/peers/modbus_server.py");
        let mut command = Command::new(python());
        let process = Process::spawn("pymodbus", command.arg(script).args(arguments));
        let listing: Value = process.wait("listing", |line| serde_json::from_str(line).ok());
        Self {
            process,
            port: listing["port"].as_u64().unwrap() as u16,
            points: listing["points"].as_array().unwrap().clone(),
        }
    }
}
