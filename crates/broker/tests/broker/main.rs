//! The broker over real sockets, as its clients see it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy allows them in test functions, not in what those call"
)]

mod alias;
mod bridge;
mod chaos;
mod connect;
mod flow;
mod garbage;
mod gathering;
mod limits;
mod link;
mod login;
mod malformed;
mod manners;
mod overload;
mod own;
mod properties;
mod retained;
mod rights;
mod session;
mod shared;
mod shutdown;
mod statements;
mod stream;
mod subscribe;
mod support;
mod sys;
mod takeover;
mod will;
