//! Listeners and connections: bytes to packets and back, on worker threads of their own.
//!
//! The rules of sessions are in `session`, who gets what in `router`; here are only sockets,
//! buffers and deadlines.

mod bind;
mod client;
mod connection;
mod effort;
mod encryption;
mod end;
mod listener;
mod stream;
mod tls;
mod websocket;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::runtime::Handle;

use crate::counters::Counters;
use crate::hub::Hub;
use crate::hub::MatchCache;
use crate::hub::deliver::DeliveryScratch;
use fieldgate_broker_core::budget::Pot;

pub use bind::{Bound, SocketFile, bind};
pub use encryption::Encryption;
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
    scratch: Mutex<Scratch>,
    /// The worker for clients whose packets take long.
    slow: OnceLock<(Handle, Weak<Self>)>,
}

/// Never locked by two threads at a time: only the worker's own thread polls its connections.
#[derive(Debug)]
struct Scratch {
    read: Box<[u8]>,
    cache: MatchCache,
    post: DeliveryScratch,
}

impl Worker {
    pub(crate) fn new(hub: &Arc<Hub>, index: usize, is_slow: bool) -> Arc<Self> {
        Arc::new(Self {
            is_slow,
            slow: OnceLock::new(),
            hub: Arc::clone(hub),
            counters: hub.worker_counters(index),
            connections: Arc::default(),
            pot: Arc::clone(hub.budget.pot(index + 1)),
            scratch: Mutex::new(Scratch {
                read: vec![0; READ_SIZE].into(),
                cache: MatchCache::default(),
                post: DeliveryScratch::lasting(&hub.buffers),
            }),
        })
    }

    /// From now on clients whose packets take long go to `slow`.
    pub(crate) fn set_slow(&self, handle: &Handle, slow: &Arc<Self>) {
        // It is set once, when the broker starts.
        let _ = self.slow.set((handle.clone(), Arc::downgrade(slow)));
    }

    fn slow(&self) -> Option<(Handle, Arc<Self>)> {
        let (handle, worker) = self.slow.get()?;
        Some((handle.clone(), worker.upgrade()?))
    }

    fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
