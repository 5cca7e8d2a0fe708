//! What is measured: a gateway or a broker with its state on a disk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, io, thread};

use fieldgate_tests::bench::process::{Process, free_port, mosquitto};

use crate::Load;

/// A column of the table.
#[derive(Clone, PartialEq)]
pub enum Kind {
    Fieldgate {
        binary: PathBuf,
        /// `broker.store.commit`.
        commit: Option<String>,
    },
    Mosquitto,
}

/// A running one.
pub struct Subject(Process);

impl Kind {
    pub fn fieldgate(binary: PathBuf) -> Self {
        let commit = None;
        Self::Fieldgate { binary, commit }
    }

    pub fn name(&self) -> String {
        match self {
            Self::Fieldgate { commit: None, .. } => "fieldgate".to_owned(),
            Self::Fieldgate {
                commit: Some(commit),
                ..
            } => format!("commit: {commit}"),
            Self::Mosquitto => "mosquitto".to_owned(),
        }
    }

    /// A broker without devices, which keeps its state in `folder`.
    pub fn start(&self, folder: &Path) -> io::Result<Subject> {
        match self {
            Self::Fieldgate { .. } => {
                let text = "version: 1\ngateway: {name: bench}\nbroker:\n  listen: {tcp: 1883}\n  allow_anonymous: true\n";
                self.run(text, folder, true)
            }
            Self::Mosquitto => {
                fs::create_dir_all(folder)?;
                let (port, file) = (free_port()?, folder.join("mosquitto.conf"));
                // Its save is asked for by a signal. Run by root, it changes to a user who may not write here.
                let text = format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\nsys_interval 0\n\
                     set_tcp_nodelay true\nmax_inflight_messages 0\nuser root\npersistence true\n\
                     persistence_location {}/\n",
                    folder.display()
                );
                fs::write(&file, text)?;
                let mut command = mosquitto().ok_or(io::ErrorKind::NotFound)?;
                command.arg("-c").arg(&file).stderr(Stdio::null());
                Process::spawn(command, port).map(Subject)
            }
        }
    }

    /// A gateway with the devices of `load`, with its state in `folder` if it is kept.
    pub fn start_plant(&self, load: Load, folder: &Path, kept: bool) -> io::Result<Subject> {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        match load {
            Load::Readings => self.run(&readings(), folder, kept),
            _ => {
                fs::create_dir_all(folder)?;
                std::os::unix::fs::symlink(config.join("types"), folder.join("types"))?;
                self.run(&fs::read_to_string(config.join("demo.yaml"))?, folder, kept)
            }
        }
    }

    /// Runs a configuration that listens on port 1883, on another port.
    fn run(&self, text: &str, folder: &Path, kept: bool) -> io::Result<Subject> {
        let Self::Fieldgate { binary, commit } = self else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        fs::create_dir_all(folder)?;
        let (port, file) = (free_port()?, folder.join("gateway.yaml"));
        let mut listen = format!("listen: {{tcp: \"127.0.0.1:{port}\"}}");
        if let Some(commit) = commit {
            listen += &format!("\n  store: {{commit: {commit}}}");
        }
        fs::write(&file, text.replace("listen: {tcp: 1883}", &listen))?;
        let mut command = Command::new(binary);
        command.arg("run").arg(&file).stderr(Stdio::null());
        if kept {
            command.arg("--state").arg(folder.join("state"));
        }
        Process::spawn(command, port).map(Subject)
    }
}

/// Ten simulated units of a hundred registers.
fn readings() -> String {
    let points: Vec<String> = (0..100)
        .map(|register| format!("      p{register}: {{input: {register}, as: u16}}\n"))
        .collect();
    format!(
        "version: 1\ngateway: {{name: bench}}\nbroker:\n  listen: {{tcp: 1883}}\n  allow_anonymous: true\n\
         defaults: {{poll: 1s}}\ntypes:\n  t:\n    points:\n{}\
         buses:\n  b: {{tcp: \"127.0.0.1:0\", modbus: tcp, simulated: true}}\n\
         devices:\n  d{{unit}}: {{type: t, bus: b, units: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}\n",
        points.concat()
    )
}

impl Subject {
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub fn written(&self) -> io::Result<u64> {
        self.0.written()
    }

    /// Has mosquitto save once, as it does by itself every half hour, and says what that wrote.
    pub fn save(&self) -> io::Result<u64> {
        let before = self.written()?;
        let signal = format!("kill -USR1 {}", self.0.pid());
        Command::new("sh").args(["-c", &signal]).status()?;
        let mut last = before;
        loop {
            thread::sleep(Duration::from_secs(2));
            let now = self.written()?;
            if now == last {
                return Ok(now - before);
            }
            last = now;
        }
    }
}
