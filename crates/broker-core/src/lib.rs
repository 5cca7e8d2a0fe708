//! The pure half of the MQTT broker: packets, messages and `now` in; bytes for clients, changes for the disk and counts
//! out.
//!
//! Nothing here knows sockets, tasks, files or who may do what. [`session`] is one client's state, [`router`] says who
//! gets what, [`journal`] collects what has to outlive the process, [`pending_acks`] holds back answers until it does,
//! and [`budget`] counts what all of it takes in memory.

pub mod budget;
pub mod journal;
pub mod message;
pub mod outbox;
pub mod pending_acks;
pub mod record;
pub mod reserved;
pub mod router;
pub mod session;
pub mod ticket;
