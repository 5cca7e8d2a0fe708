//! The remotes: one mosquitto, or three nats-servers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use fieldgate_tests::bench::process::{Process, free_port, mosquitto};

/// A remote that can be stopped and started again.
pub struct Remote {
    nodes: Vec<Node>,
    is_nats: bool,
    folder: PathBuf,
}

struct Node {
    file: PathBuf,
    port: u16,
    process: Option<Process>,
}

/// Where `tests/run` puts what it does not install.
fn unpacked(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

impl Remote {
    pub fn mosquitto(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (port, file) = (free_port()?, folder.join("mosquitto.conf"));
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\nsys_interval 0\npersistence false\nuser root\n"
        );
        fs::write(&file, text)?;
        let node = Node {
            file,
            port,
            process: None,
        };
        Self::with(vec![node], false, folder)
    }

    /// With a stream for all below `site/`, of which each server has a copy.
    pub fn nats(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let routes: io::Result<Vec<u16>> = (0..3).map(|_| free_port()).collect();
        let routes = routes?;
        let all: Vec<String> = routes
            .iter()
            .map(|port| format!("nats-route://127.0.0.1:{port}"))
            .collect();
        let all = all.join(", ");
        let nodes = routes.iter().enumerate().map(|(number, route)| {
            let (port, file) = (free_port()?, folder.join(format!("n{number}.conf")));
            let store = folder.join(format!("store{number}"));
            let text = format!(
                "server_name: n{number}\nlisten: \"127.0.0.1:{port}\"\n\
                 jetstream: {{store_dir: {store:?}, max_mem: 16M, max_file: 4G}}\n\
                 cluster: {{name: plant, listen: \"127.0.0.1:{route}\", routes: [{all}]}}\n"
            );
            fs::write(&file, text)?;
            Ok(Node {
                file,
                port,
                process: None,
            })
        });
        let remote = Self::with(nodes.collect::<io::Result<_>>()?, true, folder)?;
        remote.make_stream()?;
        Ok(remote)
    }

    fn with(nodes: Vec<Node>, is_nats: bool, folder: &Path) -> io::Result<Self> {
        let mut remote = Self {
            nodes,
            is_nats,
            folder: folder.to_owned(),
        };
        remote.again()?;
        Ok(remote)
    }

    /// The client that the makers of NATS wrote does it, as soon as the servers have found each other.
    fn make_stream(&self) -> io::Result<()> {
        let servers: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("nats://127.0.0.1:{}", node.port))
            .collect();
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let made = Command::new(unpacked(".venv/bin/python"))
                .arg(unpacked("peers/nats_peer.py"))
                .arg(servers.join(","))
                .args(["create", "SITE", "site.>", "3", "120"])
                .output()?;
            if made.status.success() {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(io::Error::other(
                    String::from_utf8_lossy(&made.stderr).into_owned(),
                ));
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    pub fn again(&mut self) -> io::Result<()> {
        for node in &mut self.nodes {
            let mut command = match self.is_nats {
                true => Command::new(unpacked(".nats/usr/sbin/nats-server")),
                false => mosquitto().ok_or(io::ErrorKind::NotFound)?,
            };
            command.arg("-c").arg(&node.file).stderr(Stdio::null());
            node.process = Some(Process::spawn(command, node.port)?);
        }
        Ok(())
    }

    /// As by a power failure.
    pub fn stop(&mut self) {
        for node in &mut self.nodes {
            node.process = None;
        }
    }

    pub fn name(&self) -> &'static str {
        match self.is_nats {
            true => "three nats-servers, R3",
            false => "mosquitto",
        }
    }

    /// For a configuration.
    pub fn urls(&self) -> String {
        let scheme = if self.is_nats { "nats" } else { "mqtt" };
        let all: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("\"{scheme}://127.0.0.1:{}\"", node.port))
            .collect();
        format!("[{}]", all.join(", "))
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.nodes.iter().filter_map(|node| node.process.as_ref())
    }

    /// Of all of its servers.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.processes().map(Process::cpu).sum()
    }

    pub fn memory(&self) -> io::Result<u64> {
        self.processes().map(Process::memory_now).sum()
    }

    /// Bytes that have come to it from gateways, without the headers of TCP and IP. `ss` tells them, of iproute2.
    pub fn received(&self) -> io::Result<u64> {
        let mut all = 0;
        for node in &self.nodes {
            let told = Command::new("ss")
                .args(["--tcp", "--info", "--numeric", "--no-header", "dst"])
                .arg(format!("127.0.0.1:{}", node.port))
                .output()?;
            let told = String::from_utf8_lossy(&told.stdout);
            let sums = told.split("bytes_acked:").skip(1);
            all += sums
                .filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
                .sum::<u64>();
        }
        Ok(all)
    }

    /// Bytes that its servers have written and kept.
    pub fn disk(&self) -> io::Result<u64> {
        fn size(folder: &Path) -> io::Result<u64> {
            let mut all = 0;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let about = entry.metadata()?;
                all += match about.is_dir() {
                    true => size(&entry.path())?,
                    false => about.len(),
                };
            }
            Ok(all)
        }
        match self.is_nats {
            true => size(&self.folder),
            false => Ok(0),
        }
    }
}
