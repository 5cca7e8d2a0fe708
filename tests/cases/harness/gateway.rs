//! The real binary, started as systemd would start it.

use std::{
    env, fs,
    io::Write,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Instant, SystemTime},
};

use super::{Folder, PATIENCE, free_port, mqtt::wait_payload, process::Process, repository};

/// A gateway that serves on `port`, with its configuration in a folder of its own.
pub struct Gateway {
    pub process: Process,
    pub port: u16,
    pub folder: Folder,
    notify: UnixDatagram,
}

impl Gateway {
    /// Starts `fieldgate run` on a configuration and waits until it says that it is ready.
    ///
    /// `rest` follows the head, which names the gateway `plant7` and lets anyone in.
    pub fn start(rest: &str) -> Self {
        let port = free_port();
        Self::start_text(port, &configuration(port, rest), Folder::new())
    }

    /// As [`Self::start`], with the whole text of the file.
    pub fn start_text(port: u16, text: &str, folder: Folder) -> Self {
        Self::start_with(port, text, folder, &[])
    }

    /// As [`Self::start_text`], with more arguments.
    pub fn start_with(port: u16, text: &str, folder: Folder, more: &[&str]) -> Self {
        let file = folder.write("gateway.yaml", text);
        Self::started(port, &file, folder, more)
    }

    /// As [`Self::start`], with a file that is there already, and stays.
    pub fn start_at(port: u16, file: &Path) -> Self {
        Self::started(port, file, Folder::new(), &[])
    }

    fn started(port: u16, file: &Path, folder: Folder, options: &[&str]) -> Self {
        let socket = folder.path().join("notify");
        // Of a gateway that was here before.
        let _ = std::fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).expect("a socket in a temporary folder");
        let mut command = Command::new(fieldgate());
        command.arg("run").arg(file).args(options);
        command.env("NOTIFY_SOCKET", &socket);
        command
            .env("WATCHDOG_USEC", "2000000")
            .env_remove("WATCHDOG_PID");
        let process = Process::spawn("fieldgate", &mut command);
        let gateway = Self {
            process,
            port,
            folder,
            notify,
        };
        gateway.wait_notice("READY=1");
        gateway
    }

    /// Waits until a device is online: until then, commands to it are refused.
    pub fn wait_online(&self, state: &str) {
        wait_payload(self.port, state, |payload| payload == "online");
    }

    /// Waits for a notice to the service manager that contains `text`, and returns it.
    pub fn wait_notice(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let received = (!left.is_zero()).then(|| {
                self.notify.set_read_timeout(Some(left)).expect("not zero");
                self.notify.recv(&mut buffer)
            });
            let Some(Ok(length)) = received else {
                self.process.report();
                panic!("fieldgate sent no notice {text:?} within {PATIENCE:?}");
            };
            let notice = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            if notice.contains(text) {
                return notice.into_owned();
            }
        }
    }

    /// Takes all later notices away: a service manager that does not listen stops the gateway's
    /// main loop after a few seconds. Not to be mixed with [`Self::wait_notice`].
    pub fn keep_listening(&self) {
        let notify = self.notify.try_clone().expect("a socket");
        notify.set_read_timeout(None).expect("a socket");
        std::thread::spawn(move || while notify.recv(&mut [0; 4096]).is_ok() {});
    }

    /// Replaces the configuration file and asks for a reload.
    pub fn reload(&self, text: &str) {
        self.folder.write("gateway.yaml", text);
        self.process.signal("HUP");
    }
}

/// A configuration file with a broker on `port`; `rest` follows the head.
pub fn configuration(port: u16, rest: &str) -> String {
    format!(
        "version: 1
gateway: {{name: plant7}}
broker:
  listen: {{tcp: \"127.0.0.1:{port}\"}}
  allow_anonymous: true
mqtt: {{topic: \"{{gateway}}/{{device}}/{{point}}\", payload: json}}
{rest}"
    )
}

/// The built binary, next to the running test and of the same profile. Cargo gives a test the path
/// of its own package's binaries only. `cargo test --workspace` has built it for the tests of the
/// package `fieldgate`; where it is missing, or its sources are newer, this builds it, once: the first cases wait for
/// that, and seem to be slow.
pub fn fieldgate() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = env::current_exe().expect("a test knows its path");
        // target/PROFILE/deps/NAME-HASH
        let profile = test.parent().and_then(Path::parent);
        let profile = profile.expect("deps/ is in the folder of the profile");
        let binary = profile.join("fieldgate");
        let built = fs::metadata(&binary).and_then(|file| file.modified());
        if built.is_err() || newest(&repository().join("crates")) > built.ok() {
            let begun = Instant::now();
            build(profile);
            let took = begun.elapsed().as_secs();
            // Not by eprintln, which is shown only of cases that fail.
            let told = format!("fieldgate was built first, its sources are newer: the first cases waited {took} s\n");
            let _ = std::io::stderr().write_all(told.as_bytes());
        }
        binary
    })
}

/// When the last of the files below a folder was changed that may be in the binary.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    let times = entries.map(|entry| {
        let entry = entry.expect("a folder of sources");
        let kind = entry.file_type().expect("a file has a type");
        if kind.is_dir() {
            let is_test = ["tests", "benches", "fuzz"]
                .iter()
                .any(|name| entry.file_name() == *name);
            return newest(&entry.path()).filter(|_| !is_test);
        }
        entry.metadata().and_then(|file| file.modified()).ok()
    });
    times.max().flatten()
}

fn build(profile: &Path) {
    let target = profile.parent().expect("target/ holds the profile");
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => panic!("{} has no profile", profile.display()),
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "fieldgate",
            "--profile",
            name,
        ])
        .arg("--target-dir")
        .arg(target)
        .current_dir(repository())
        .status()
        .expect("cargo is there");
    assert!(status.success(), "fieldgate does not build");
}
