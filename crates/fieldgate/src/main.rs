//! The gateway daemon.

mod yaml;

fn main() {}
