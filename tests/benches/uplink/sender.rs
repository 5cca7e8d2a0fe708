//! Who sends on: a gateway with an uplink, or a mosquitto with a bridge.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use fieldgate_tests::bench::process::{Process, free_port, mosquitto};

/// A sender.
pub enum Kind {
    Fieldgate(PathBuf),
    /// With `max_queued_messages`, 0 for no limit, instead of its default.
    Mosquitto {
        queue: Option<u32>,
    },
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fieldgate(_) => "fieldgate",
            Self::Mosquitto { queue: None } => "mosquitto",
            Self::Mosquitto { .. } => "mosquitto, `max_queued_messages 0`",
        }
    }

    /// Sends all below `data/` on to this port, if there is one.
    pub fn start(&self, folder: &Path, to: Option<u16>) -> io::Result<Process> {
        self.start_with(folder, to, "")
    }

    /// The same, with more lines for fieldgate's uplink.
    pub fn start_with(&self, folder: &Path, to: Option<u16>, more: &str) -> io::Result<Process> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let port = free_port()?;
        let command = match self {
            Self::Fieldgate(binary) => {
                let uplink = to.map(|to| {
                    format!(
                        "uplinks:\n  there:\n    url: \"mqtt://127.0.0.1:{to}\"\n    \
                         forward: [{{topics: [\"data/#\"]}}]\n    reconnect: 1s..5s\n{more}"
                    )
                });
                let text = format!(
                    "version: 1\ngateway: {{name: bench}}\nbroker:\n  listen: {{tcp: \"127.0.0.1:{port}\"}}\n  \
                     allow_anonymous: true\n{}",
                    uplink.unwrap_or_default()
                );
                let file = folder.join("gateway.yaml");
                fs::write(&file, text)?;
                let mut command = Command::new(binary);
                command.arg("run").arg(&file);
                command.arg("--state").arg(folder.join("state"));
                command.arg("--control").arg(folder.join("control"));
                command
            }
            Self::Mosquitto { queue } => {
                let queue = queue.map(|queue| format!("max_queued_messages {queue}\n"));
                let bridge = to.map(|to| {
                    format!(
                        "connection there\naddress 127.0.0.1:{to}\ntopic data/# out 1\ncleansession false\n\
                         bridge_protocol_version mqttv50\nrestart_timeout 1 5\n"
                    )
                });
                let text = format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\nsys_interval 0\nuser root\n\
                     persistence true\npersistence_location {}/\n{}{}",
                    folder.display(),
                    queue.unwrap_or_default(),
                    bridge.unwrap_or_default()
                );
                let file = folder.join("mosquitto.conf");
                fs::write(&file, text)?;
                let mut command = mosquitto().ok_or(io::ErrorKind::NotFound)?;
                command.arg("-c").arg(&file);
                command
            }
        };
        run(command, port)
    }
}

/// A mosquitto that takes what comes, and its port.
pub fn remote() -> io::Result<(Process, u16)> {
    let port = free_port()?;
    let file = std::env::temp_dir().join(format!("fieldgate-uplink-{port}.conf"));
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\nsys_interval 0\npersistence false\n\
         set_tcp_nodelay true\nmax_inflight_messages 0\nmax_queued_messages 0\nuser root\n"
    );
    fs::write(&file, text)?;
    let mut command = mosquitto().ok_or(io::ErrorKind::NotFound)?;
    command.arg("-c").arg(&file);
    let process = run(command, port);
    fs::remove_file(&file)?;
    Ok((process?, port))
}

fn run(mut command: Command, port: u16) -> io::Result<Process> {
    command.stderr(Stdio::null());
    Process::spawn(command, port)
}
