//! Debian's mosquitto, which `tests/run` unpacks under `tests/.mosquitto` and does not install: its package would start
//! a service on port 1883.

use std::path::Path;
use std::process::Command;

use super::process::Process;
use super::{Folder, free_port};

/// A running mosquitto that keeps all that a client may ask for.
pub struct Mosquitto {
    process: Process,
    command: Command,
    port: u16,
    _folder: Folder,
}

impl Mosquitto {
    pub fn start() -> Self {
        Self::start_with(
            "set_tcp_nodelay true\nsys_interval 0\nmax_inflight_messages 0\nmax_queued_messages 0\n",
        )
    }

    /// With its default settings, and these lines more in its configuration.
    pub fn start_with(rest: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".mosquitto");
        let program = root.join("usr/sbin/mosquitto");
        assert!(
            program.exists(),
            "{} is missing: `tests/run` unpacks it",
            program.display()
        );
        // Where a package has them, by architecture.
        let folders = ["usr/lib", "lib"].map(|name| std::fs::read_dir(root.join(name)));
        let folders = folders.into_iter().flatten().flatten().flatten();
        let libraries: Vec<_> = folders
            .map(|folder| folder.path().into_os_string())
            .collect();
        let (port, folder) = (free_port(), Folder::new());
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n{rest}");
        let file = folder.write("mosquitto.conf", &text);
        let mut command = Command::new(program);
        command
            .env("LD_LIBRARY_PATH", libraries.join(std::ffi::OsStr::new(":")))
            .arg("-c")
            .arg(file);
        let process = spawn(&mut command);
        Self {
            process,
            command,
            port,
            _folder: folder,
        }
    }

    /// Starts it again.
    pub fn again(&mut self) {
        self.process = spawn(&mut self.command);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn spawn(command: &mut Command) -> Process {
    let process = Process::spawn("mosquitto", command);
    process.wait_line("running");
    process
}
