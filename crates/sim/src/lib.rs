//! Simulated devices: Modbus units behind a TCP server or on a serial line, whose values move, and
//! instruments on a serial line that say what they are given.
//!
//! `wave` and `image` are pure functions of the time since the start; `pdu` answers one request
//! without I/O; only `server` opens a socket, `rtu` serves a line that it is given, and `pty` makes
//! one without a cable. Nothing here knows YAML, device types or how a
//! value is spread over registers: the caller hands in words and bits.
//!
//! The frames are handled here and not by a library's server, because tests need what a proper
//! server cannot do: a wrong transaction identifier, a cut reply, a closed connection. It also
//! answers a bad count with the exception that the specification names instead of hanging up.

mod fault;
mod image;
mod pdu;
mod pty;
mod rtu;
mod server;
mod talk;
mod unit;
mod wave;

pub use fault::{Fault, Times};
pub use image::Image;
pub use pdu::Exception;
pub use pty::Pty;
pub use rtu::{Pace, serve_rtu};
pub use server::{CLIENTS_MAX, ModbusServer};
pub use talk::{Turn, talk};
pub use unit::{Table, Unit};
pub use wave::Wave;
