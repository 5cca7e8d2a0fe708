//! Listeners and connections: bytes to packets and back, on worker threads of their own.
//!
//! The rules of sessions are in `session`, who gets what in `router`; here are only sockets,
//! buffers and deadlines.

mod bind;
mod client;
mod connection;
mod deadline;
mod effort;
mod end;
mod greeting;
mod intake;
mod listener;
mod login;
mod stream;
mod subscribe;
mod tls;
mod upkeep;
mod websocket;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::Pot;
use crate::counters::Counters;
use crate::deliver::Post;
use crate::hub::Hub;
use crate::router::MatchCache;

pub use bind::{Bound, SocketFile, bind};
pub(crate) use listener::{Gate, accept};
pub(crate) use tls::Certificates;
pub use tls::{TlsError, TlsFile};

/// Bytes taken from a socket at once.
const READ_SIZE: usize = 32 * 1024;

/// One thread's tools, lent to the connection that it is serving.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) hub: Arc<Hub>,
    pub(crate) counters: Arc<Counters>,
    /// It serves the clients whose packets take long.
    pub(crate) is_slow: bool,
    /// Open on this worker.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Where what its clients bring is counted.
    pub(crate) pot: Arc<Pot>,
    desk: Mutex<Scratch>,
}

/// Never locked by two threads at a time: only the worker's own thread polls its connections.
#[derive(Debug)]
struct Scratch {
    read: Box<[u8]>,
    cache: MatchCache,
    post: Post,
}

impl Worker {
    pub(crate) fn new(hub: &Arc<Hub>, index: usize, is_slow: bool) -> Arc<Self> {
        Arc::new(Self {
            is_slow,
            hub: Arc::clone(hub),
            counters: hub.worker_counters(index),
            connections: Arc::default(),
            pot: Arc::clone(hub.budget.pot(index + 1)),
            desk: Mutex::new(Scratch {
                read: vec![0; READ_SIZE].into(),
                cache: MatchCache::default(),
                post: Post::default(),
            }),
        })
    }

    fn desk(&self) -> MutexGuard<'_, Scratch> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
