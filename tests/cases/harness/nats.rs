//! Debian's nats-server, which `tests/run` unpacks under `tests/.nats` and does not install: its package would start a
//! service on port 4222.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::process::Process;
use super::{Folder, free_port, python};

/// A server, or several that are a cluster, each of which can be killed and started again.
pub struct Nats {
    nodes: Vec<Node>,
    folder: Folder,
    /// What the client of its makers shows: `NAME:PASSWORD@` or `TOKEN@`, and what of a key in its environment.
    pub login: String,
    pub environment: Vec<(&'static str, PathBuf)>,
}

struct Node {
    file: PathBuf,
    /// The beginning of its configuration.
    text: String,
    port: u16,
    mqtt: u16,
    process: Option<Process>,
}

impl Nats {
    /// One server, with these lines more in its configuration.
    pub fn start(rest: &str) -> Self {
        Self::start_many(1, rest)
    }

    /// A cluster.
    pub fn start_many(count: usize, rest: &str) -> Self {
        let folder = Folder::new();
        let routes: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let all: Vec<String> = routes
            .iter()
            .map(|port| format!("nats-route://127.0.0.1:{port}"))
            .collect();
        let nodes = routes.iter().enumerate().map(|(number, route)| {
            let (port, mqtt) = (free_port(), free_port());
            let store = folder.path().join(format!("store{number}"));
            let mut text = format!(
                "server_name: n{number}\nlisten: \"127.0.0.1:{port}\"\n\
                 jetstream: {{store_dir: {store:?}, max_mem: 16M, max_file: 256M}}\n\
                 mqtt: {{listen: \"127.0.0.1:{mqtt}\"}}\n"
            );
            if count > 1 {
                let all = all.join(", ");
                text.push_str(&format!(
                    "cluster: {{name: plant, listen: \"127.0.0.1:{route}\", routes: [{all}]}}\n"
                ));
            }
            Node {
                file: folder.write(&format!("n{number}.conf"), &format!("{text}{rest}\n")),
                text,
                port,
                mqtt,
                process: None,
            }
        });
        let mut nats = Self {
            nodes: nodes.collect(),
            folder,
            login: String::new(),
            environment: Vec::new(),
        };
        (0..count).for_each(|number| nats.again(number));
        nats
    }

    /// Starts a server again. It need not be ready.
    pub fn again(&mut self, number: usize) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".nats/usr/sbin/nats-server");
        assert!(
            program.exists(),
            "{} is missing: `tests/run` unpacks it",
            program.display()
        );
        let node = &mut self.nodes[number];
        let mut command = Command::new(program);
        command.arg("-c").arg(&node.file);
        let process = Process::spawn("nats-server", &mut command);
        process.wait_line("Listening for client connections");
        node.process = Some(process);
    }

    /// Has the first server read other lines in its configuration.
    pub fn reload(&self, rest: &str) {
        let node = &self.nodes[0];
        std::fs::write(&node.file, format!("{}{rest}\n", node.text)).unwrap();
        let process = node.process.as_ref().unwrap();
        process.signal("HUP");
        process.wait_line("Reloaded server configuration");
    }

    /// Waits for a line of the first server's log.
    pub fn wait_line(&self, text: &str) {
        self.nodes[0].process.as_ref().unwrap().wait_line(text);
    }

    pub fn kill(&mut self, number: usize) {
        self.nodes[number].process = None;
    }

    pub fn port(&self) -> u16 {
        self.nodes[0].port
    }

    pub fn mqtt_port(&self) -> u16 {
        self.nodes[0].mqtt
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All servers, for a configuration.
    pub fn urls(&self) -> String {
        let all: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("\"nats://127.0.0.1:{}\"", node.port))
            .collect();
        format!("[{}]", all.join(", "))
    }

    /// Asks with the client that the makers of NATS wrote.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let alive = self.nodes.iter().filter(|node| node.process.is_some());
        let servers: Vec<_> = alive
            .map(|node| format!("nats://{}127.0.0.1:{}", self.login, node.port))
            .collect();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/nats_peer.py");
        let asked = Command::new(python())
            .arg(script)
            .arg(servers.join(","))
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{arguments:?}: {error}");
        String::from_utf8(asked.stdout).unwrap()
    }

    /// The number of the server that leads the stream, when all of its replicas are whole.
    pub fn leader(&self, stream: &str) -> usize {
        let name = self.ask(&["leader", stream]);
        name.trim().trim_start_matches('n').parse().unwrap()
    }

    /// The messages of a stream, in their order.
    pub fn read(&self, stream: &str) -> Vec<Value> {
        let all = self.ask(&["read", stream]);
        all.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}
