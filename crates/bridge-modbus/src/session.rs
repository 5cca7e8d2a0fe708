//! One device on a bus.

use fieldgate_bridge::{Driver, DriverError, Session};
use fieldgate_model::{Command, Outcome, Sample};

use crate::bus::BusHandle;
use crate::config::DeviceConfig;

/// Runs one device over a shared bus.
#[derive(Debug)]
pub struct ModbusDriver {
    device: DeviceConfig,
    bus: BusHandle,
}

impl ModbusDriver {
    /// A driver for `device`, which must be on `bus`.
    pub fn new(device: DeviceConfig, bus: BusHandle) -> Self {
        Self { device, bus }
    }
}

impl Driver for ModbusDriver {
    type Session = ModbusSession;

    async fn open(&mut self) -> Result<ModbusSession, DriverError> {
        Ok(ModbusSession {})
    }
}

/// The schedule of one device.
#[derive(Debug)]
pub struct ModbusSession {}

impl Session for ModbusSession {
    async fn ready(&mut self) {}

    async fn poll(&mut self, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        let _ = out;
        Ok(())
    }

    async fn apply(&mut self, command: Command, out: &mut Vec<Sample>) -> Outcome {
        let _ = (command, out);
        Outcome::Failed(String::new())
    }
}
