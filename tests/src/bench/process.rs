//! One broker in its own process: start it, read what it costs, stop it.
//!
//! Knows the command lines and mosquitto's configuration file; what `--serve` does inside the child is the bench's.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// A broker under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    Fieldgate,
    Mosquitto,
    Rumqttd,
}

/// Unacknowledged QoS 1 and 2 messages per subscriber, the same for every broker: rumqttd has it built in.
pub const INFLIGHT_MAX: u16 = 100;

/// QoS 1 and 2 messages that wait per subscriber beyond those in flight, where a broker lets it be set.
pub const QUEUED_MAX: usize = 10_000;

/// Connections that every broker must take: the largest load, its warm-up and the probe.
pub const CONNECTIONS_MAX: usize = 10_100;

const START_MAX: Duration = Duration::from_secs(10);

impl Broker {
    pub const ALL: [Self; 3] = [Self::Fieldgate, Self::Mosquitto, Self::Rumqttd];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fieldgate => "fieldgate",
            Self::Mosquitto => "mosquitto",
            Self::Rumqttd => "rumqttd",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|broker| broker.name() == name)
    }

    /// What runs when this broker is started, or `None` when it is not installed.
    pub fn version(self) -> Option<String> {
        match self {
            Self::Fieldgate => Some(format!("fieldgate {}", env!("CARGO_PKG_VERSION"))),
            Self::Rumqttd => Some("rumqttd 0.20".to_owned()),
            Self::Mosquitto => {
                let output = mosquitto()?.arg("-h").output().ok()?;
                let text = String::from_utf8_lossy(&output.stdout);
                let version = text.lines().next()?.rsplit(' ').next()?;
                Some(format!("mosquitto {version}"))
            }
        }
    }
}

/// The installed one, else that which `tests/run` has unpacked under `tests/.mosquitto`.
pub fn mosquitto() -> Option<Command> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian puts it where an ordinary user's path does not lead.
    let installed = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("mosquitto"))
        .find(|file| file.is_file());
    if let Some(installed) = installed {
        return Some(Command::new(installed));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".mosquitto");
    let unpacked = root.join("usr/sbin/mosquitto");
    if !unpacked.is_file() {
        return None;
    }
    // Where a package has its libraries, by architecture.
    let folders = ["usr/lib", "lib"].map(|name| fs::read_dir(root.join(name)));
    let folders = folders.into_iter().flatten().flatten().flatten();
    let folders = folders.map(|folder| folder.path());
    let mut command = Command::new(unpacked);
    command.env("LD_LIBRARY_PATH", env::join_paths(folders).ok()?);
    Some(command)
}

/// A running broker. Dropping it ends the process.
pub struct Process {
    child: Child,
    config: Option<PathBuf>,
    pub address: SocketAddr,
}

impl Process {
    /// Starts `broker` on a free port of 127.0.0.1 and waits until it accepts connections.
    ///
    /// `exe --serve NAME --port PORT` must serve our own broker and rumqttd until its standard input ends, so that
    /// none outlives a bench that was killed.
    ///
    /// # Errors
    /// When the process cannot be started, ends early, or does not accept within 10 s.
    pub fn start(broker: Broker, exe: &Path) -> io::Result<Self> {
        let port = free_port()?;
        let (command, config) = match broker {
            Broker::Mosquitto => {
                let file = env::temp_dir().join(format!("fieldgate-bench-{port}.conf"));
                fs::write(&file, mosquitto_config(port))?;
                let mut command = mosquitto().ok_or(io::ErrorKind::NotFound)?;
                command.arg("-c").arg(&file);
                (command, Some(file))
            }
            Broker::Fieldgate | Broker::Rumqttd => {
                let mut command = Command::new(exe);
                command.args(["--serve", broker.name(), "--port", &port.to_string()]);
                (command, None)
            }
        };
        let mut this = Self::spawn(command, port)?;
        this.config = config;
        Ok(this)
    }

    /// Starts a command that serves on `port` of 127.0.0.1, and waits until it accepts connections.
    ///
    /// # Errors
    /// When the process cannot be started, ends early, or does not accept within 10 s.
    pub fn spawn(mut command: Command, port: u16) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut this = Self {
            child: command.spawn()?,
            config: None,
            address: (Ipv4Addr::LOCALHOST, port).into(),
        };
        this.wait_until_it_accepts()?;
        Ok(this)
    }

    fn wait_until_it_accepts(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended early: {status}")));
            }
            match TcpStream::connect(self.address) {
                Ok(_) => return Ok(()),
                Err(error) if begin.elapsed() > START_MAX => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process has ended by itself; `None` as long as it runs.
    ///
    /// # Errors
    /// The system's.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// The resident set now, in bytes.
    pub fn memory_now(&self) -> io::Result<u64> {
        field_kib(&format!("/proc/{}/status", self.pid()), "VmRSS:")
    }

    /// Lets [`Self::memory_peak`] begin again from what is resident now.
    pub fn forget_memory_peak(&self) -> io::Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5")
    }

    /// CPU time of all threads so far. See [`cpu_of`].
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu_of(&format!("/proc/{}", self.pid()))
    }

    /// The proportional set size in bytes: private pages, and the process's share of those that it shares.
    pub fn memory(&self) -> io::Result<u64> {
        field_kib(&format!("/proc/{}/smaps_rollup", self.pid()), "Pss:")
    }

    /// Bytes that the process has made the kernel write to disks so far.
    pub fn written(&self) -> io::Result<u64> {
        field(&format!("/proc/{}/io", self.pid()), "write_bytes:")
    }

    /// The largest resident set so far, in bytes.
    pub fn memory_peak(&self) -> io::Result<u64> {
        field_kib(&format!("/proc/{}/status", self.pid()), "VmHWM:")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to do about a failure: the child has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(file) = &self.config {
            let _ = fs::remove_file(file);
        }
    }
}

/// CPU time of the threads that now live under a `/proc/PID`, from the scheduler's nanosecond counters: exact to the
/// last timer tick, where utime and stime count whole ticks. Time of threads that have ended is not in it.
pub fn cpu_of(proc_folder: &str) -> io::Result<Duration> {
    let mut total = 0;
    for task in fs::read_dir(format!("{proc_folder}/task"))? {
        let text = match fs::read_to_string(task?.path().join("schedstat")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let run_ns = text.split(' ').next().and_then(|text| text.parse().ok());
        total += run_ns.unwrap_or(0);
    }
    Ok(Duration::from_nanos(total))
}

/// Open files that this process, and so its children, may have.
pub fn open_files_max() -> io::Result<usize> {
    let text = fs::read_to_string("/proc/self/limits")?;
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    Ok(soft.unwrap_or(usize::MAX))
}

/// Blocks until standard input ends, which it does when the bench has ended, however it ended.
pub fn wait_for_parent() {
    let _ = io::stdin().read_to_end(&mut vec![]);
}

/// A port of 127.0.0.1 that is free now.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn field_kib(file: &str, name: &str) -> io::Result<u64> {
    Ok(field(file, name)? * 1024)
}

/// The number after `name` in a file of `/proc`.
fn field(file: &str, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("{file} has no {name}")))
}

/// `set_tcp_nodelay` stays at its default, which is off.
fn mosquitto_config(port: u16) -> String {
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\nsys_interval 0\n\
         max_inflight_messages {INFLIGHT_MAX}\nmax_queued_messages {QUEUED_MAX}\n"
    )
}
