//! Lines to field devices, for every bridge: serial ports and TCP connections, and the bus that several devices share.
//!
//! [`Port`] is the only place that opens a serial port, [`tcp`] the only one that makes a connection to devices.

mod port;
mod settings;
pub mod tcp;

use tokio::io::{AsyncRead, AsyncWrite};

pub use port::Port;
pub use settings::{Flow, Parity, PortSettings, Rs485, Switch, Written};

/// A port or a connection: bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for T {}
