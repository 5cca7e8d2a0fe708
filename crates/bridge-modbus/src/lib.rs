//! Modbus bridge: request planning, decoding, bus arbiter, client
