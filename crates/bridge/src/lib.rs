//! The seam between devices and the gateway.
//!
//! A bridge implements [`Bridge`], which is what the gateway knows of it, and [`Driver`] and [`Session`]; [`run()`] keeps
//! one device running: it opens, polls, applies commands, backs off, and tells whether the device is online.
//! [`filter`], [`backoff`] and [`late`] are pure. Nothing here knows a field bus, MQTT or YAML.

pub mod backoff;
mod channel;
mod compact;
pub mod config;
mod counters;
mod driver;
mod error;
pub mod filter;
mod kind;
pub mod late;
mod lines;
mod misfit;
pub mod names;
mod outage;
mod place;
mod run;
mod shelf;
pub mod show;

pub use channel::{Receiver, Sender, Unsent, channel};
pub use compact::Compact;
pub use config::{BAUDS, Backoff, Deadband, Defaults, Heartbeat, Period, Poll, Publish, Together};
pub use counters::{Counters, Snapshot};
pub use driver::{Begun, COMMAND_EXPIRY, Driver, Event, Ports, Reply, Request, Session, Settings};
pub use error::{Cause, DriverError};
pub use filter::{Filter, Rule};
pub use kind::{
    Bridge, Bus, Change, Device, Figures, Part, Search, Simulated, Started, Tallied, Tell,
    Untested, Whose, Work,
};
pub use lines::{Line, Lines, on_bus};
pub use misfit::{Claim, Misfit};
pub use outage::Outage;
pub use place::{Place, Places};
pub use run::run;
pub use shelf::{Shelf, Shelved};
