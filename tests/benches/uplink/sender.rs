//! Who sends on: a gateway with an uplink, or a mosquitto with a bridge.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use fieldgate_tests::bench::process::{Process, free_port, mosquitto};

/// A sender.
#[derive(Clone)]
pub enum Kind {
    Fieldgate(PathBuf),
    /// With these lines more in its configuration.
    Mosquitto(&'static str),
}

/// mosquitto drops no message for want of room in memory.
pub const UNLIMITED: &str = "max_queued_messages 0\n";
/// And writes all that waits to its file every second, instead of every half hour,
pub const CAREFUL: &str = "max_queued_messages 0\nautosave_interval 1\n";
/// or after each change.
pub const ANXIOUS: &str = "max_queued_messages 0\nautosave_on_changes true\nautosave_interval 1\n";

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fieldgate(_) => "fieldgate",
            Self::Mosquitto("") => "mosquitto",
            Self::Mosquitto(UNLIMITED) => "mosquitto, `max_queued_messages 0`",
            Self::Mosquitto(CAREFUL) => "mosquitto, saves every second",
            Self::Mosquitto(_) => "mosquitto, saves each change",
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
        run(self.command(folder, port, to, more)?, port)
    }

    /// What starts it, also again, on this port and with what is in this folder.
    pub fn command(
        &self,
        folder: &Path,
        port: u16,
        to: Option<u16>,
        more: &str,
    ) -> io::Result<Command> {
        Ok(match self {
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
            Self::Mosquitto(lines) => {
                let bridge = to.map(|to| {
                    format!(
                        "connection there\naddress 127.0.0.1:{to}\ntopic data/# out 1\ncleansession false\n\
                         bridge_protocol_version mqttv50\nrestart_timeout 1 5\n"
                    )
                });
                let text = format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\nsys_interval 0\nuser root\n\
                     persistence true\npersistence_location {}/\n{lines}{}",
                    folder.display(),
                    bridge.unwrap_or_default()
                );
                let file = folder.join("mosquitto.conf");
                fs::write(&file, text)?;
                let mut command = mosquitto().ok_or(io::ErrorKind::NotFound)?;
                command.arg("-c").arg(&file);
                command
            }
        })
    }
}

/// A mosquitto that takes what comes, and its port.
pub fn remote() -> io::Result<(Process, u16)> {
    let port = free_port()?;
    Ok((run(remote_command(port)?, port)?, port))
}

/// What starts it, also again.
pub fn remote_command(port: u16) -> io::Result<Command> {
    let file = std::env::temp_dir().join(format!("fieldgate-uplink-{port}.conf"));
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\nsys_interval 0\npersistence false\n\
         set_tcp_nodelay true\nmax_inflight_messages 0\nmax_queued_messages 0\nuser root\n"
    );
    fs::write(&file, text)?;
    let mut command = mosquitto().ok_or(io::ErrorKind::NotFound)?;
    command.arg("-c").arg(&file);
    Ok(command)
}

pub fn run(mut command: Command, port: u16) -> io::Result<Process> {
    command.stderr(Stdio::null());
    Process::spawn(command, port)
}
