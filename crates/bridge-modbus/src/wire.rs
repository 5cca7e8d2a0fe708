//! Modbus on the wire: protocol data units and the two ways to frame them. Pure.
//!
//! `pdu` knows what a request asks and checks an answer against it; `rtu` and `mbap` put a unit
//! identifier and a check around it. Nothing here knows points, sockets or clocks. Every length
//! that a peer names is checked before it is used.

pub mod identify;
pub mod mbap;
pub mod pdu;
pub mod rtu;

/// The longest protocol data unit.
///
/// Source: MODBUS Application Protocol Specification V1.1b3, section 4.1.
pub const PDU_MAX: usize = 253;
