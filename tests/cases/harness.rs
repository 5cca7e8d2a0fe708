//! What the cases share: processes whose lines are waited for, the gateway itself, and the peers
//! that we did not write. No case sleeps to be in time: it waits for an event, and fails when the
//! event does not come within a generous limit.

// Every case is a crate of its own and uses its own part of this.
#![allow(dead_code)]

pub mod board;
pub mod cable;
pub mod faulty;
pub mod gateway;
pub mod gpio_sim;
pub mod http;
pub mod modbus;
pub mod mosquitto;
pub mod mqtt;
pub mod nats;
pub mod nats_keys;
pub mod plant;
pub mod process;
pub mod pty;
pub mod secure;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// How long an event may take on a busy machine before a case fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The top of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ has a parent").to_path_buf()
}

/// The interpreter of the virtual environment that `tests/run` makes.
pub fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing: `tests/run` makes it",
        python.display()
    );
    python
}

/// A free TCP port of 127.0.0.1 that no program gets by chance: it lies below the range from which
/// the system serves port 0 and outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let spread = std::process::id() * 37;
    for _ in 0..8000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20000 + ((spread + step) % 10000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 29999");
}

/// A new empty folder for one case; it goes when this goes.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fieldgate-case-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file in a temporary folder");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
