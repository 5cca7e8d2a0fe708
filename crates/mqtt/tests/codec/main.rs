//! Tests of the codec through its public interface.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy allows them in test functions, not in what those call"
)]

mod acks;
mod bytes;
mod checks;
mod connect;
mod corpus;
mod framing;
mod packets;
mod properties;
mod publish;
mod roundtrip;
mod subscribe;
mod topic;
