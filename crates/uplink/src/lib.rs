//! Store and forward to another MQTT broker or a NATS cluster: what is published here goes up, kept while nothing gets
//! through, and what is asked for comes down.
//!
//! `age`, `map`, `item`, `pace`, `pack`, `rate`, `lanes`, `client` and `nats` are pure. `net` opens sockets, `disk` owns the ring on
//! the card, and `run` puts them together: one task for each uplink, which waits for nothing that
//! could hold up the broker. Nothing here reads YAML.

mod age;
pub mod client;
pub mod config;
mod disk;
pub mod item;
pub mod lanes;
mod link;
pub mod map;
mod marks;
pub mod nats;
pub mod net;
mod pace;
pub mod pack;
pub mod probe;
mod promises;
pub mod rate;
mod remote;
mod run;
mod secrets;
mod status;
pub mod subject;
mod url;

pub use config::Config;
pub use run::{Handle, INBOX, start};
pub use status::{Dropped, REJECTED, Rejected, Status};
