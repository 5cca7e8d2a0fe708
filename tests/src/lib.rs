//! What the whole-gateway tests and benches share.

pub mod bench;
