//! Simulated devices: Modbus servers with values that move
