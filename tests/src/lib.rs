//! What the whole-gateway tests and benches share.

pub mod bench;
pub mod crash;
pub mod differential;
pub mod random;
pub mod raw;
