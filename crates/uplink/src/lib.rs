//! Store and forward to another MQTT broker: what is published here goes up, kept while nothing gets
//! through, and what is asked for comes down.
//!
//! `map`, `item`, `pace`, `pack`, `rate`, `lanes` and `client` are pure. `net` opens sockets, `disk` owns the ring on
//! the card, and `run` puts them together: one task for each uplink, which waits for nothing that
//! could hold up the broker. Nothing here reads YAML.

pub mod client;
pub mod config;
mod disk;
pub mod item;
pub mod lanes;
mod link;
pub mod map;
mod marks;
pub mod net;
mod pace;
pub mod pack;
pub mod probe;
mod promises;
pub mod rate;
mod run;
mod status;

pub use config::Config;
pub use run::{Handle, INBOX, start};
pub use status::{Dropped, REJECTED, Rejected, Status};
