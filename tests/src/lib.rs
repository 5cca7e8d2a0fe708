//! What the whole-gateway tests and benches share.

pub mod bench;
pub mod counter;
pub mod crash;
pub mod cuts;
pub mod differential;
pub mod faults;
pub mod random;
