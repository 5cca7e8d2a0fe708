//! The gateway daemon and its tools.
//!
//! Only this crate reads YAML, and only it knows where files are. It wires bridges to the broker;
//! what a sample, a topic or a packet is, is none of its business.

mod args;
mod config;
mod journal;
mod notify;
mod yaml;

fn main() {}
