//! What the broker bench is made of: a small MQTT 3.1.1 load generator, the processes that it loads, and the figures.
//!
//! Nothing here knows how a broker works inside, and nothing is shared with our own codec: the packets are written by
//! hand in [`wire`], so that a mistake in `fieldgate-mqtt` cannot cancel itself out. How to run the bench and how to
//! read what it prints is in `tests/benches/README.md`.

pub mod client;
pub mod flow;
pub mod idle;
pub mod load;
pub mod process;
pub mod report;
pub mod stats;
pub mod wire;
