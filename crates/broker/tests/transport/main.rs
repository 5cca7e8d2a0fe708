//! TLS, WebSocket and Unix sockets over real sockets. That MQTT is the same on each is enough
//! here; what it is, is tested elsewhere over TCP.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy allows them in test functions, not in what those call"
)]

mod authority;
mod client;
mod handshake;
mod kinds;
mod reload;
mod trickle;
mod unix;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fieldgate_broker::{Broker, Config, Listener};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

fn start(listeners: Vec<Listener>) -> Broker {
    Broker::start(config(listeners)).unwrap()
}

fn config(listeners: Vec<Listener>) -> Config {
    Config {
        listeners,
        workers: 2,
        sys_interval: Duration::ZERO,
        ..Config::default()
    }
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A folder for one test; it goes when this goes.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fieldgate-transport-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
