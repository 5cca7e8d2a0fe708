//! Lines to field devices, for every bridge: serial ports and TCP connections, and the bus that several devices share.
//!
//! [`Port`] is the only place that opens a serial port, [`tcp`] the only one that makes a connection to devices. A [`Bus`]
//! owns one of them, and lends it to the transactions that wait for it; a [`Protocol`] says how one is carried out.

mod breaker;
mod bus;
mod ledger;
mod line;
mod port;
mod queue;
mod settings;
mod shared;
pub mod tcp;

use tokio::io::{AsyncRead, AsyncWrite};

pub use breaker::Tolerance;
pub use bus::{Bus, JobOf, LineOf, Prepared, Protocol, Stale};
pub use ledger::{Counters, Ledger};
pub use line::{Line, Manners};
pub use port::Port;
pub use queue::Job;
pub use settings::{Flow, Parity, PortSettings, Rs485, Switch, Written};
pub use shared::{Closed, Priority, QUEUE, Recoveries};

/// A port or a connection: bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for T {}
