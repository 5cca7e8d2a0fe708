//! The gateway under attack: its configuration, its process, what it wrote and what it leaves behind.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fieldgate_tests::bench::process::{Process, free_port};

use crate::good::{PASSWORD, USER};
use crate::group::Group;
use crate::inputs::Needs;

/// How it is to run.
pub struct Setup<'a> {
    pub binary: &'a Path,
    pub folder: PathBuf,
    pub needs: Needs,
    /// `broker.limits.memory`, if it is not to follow from the machine.
    pub budget: Option<&'a str>,
    /// Where the hostile device listens.
    pub device: u16,
    pub group: Option<&'a Group>,
    port: u16,
    websocket: u16,
    console: u16,
}

/// A running one.
pub struct Gateway(Process);

impl<'a> Setup<'a> {
    /// Writes the configuration into an empty folder.
    pub fn new(
        binary: &'a Path,
        folder: PathBuf,
        needs: Needs,
        budget: Option<&'a str>,
        device: u16,
        group: Option<&'a Group>,
    ) -> io::Result<Self> {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let this = Self {
            binary,
            folder,
            needs,
            budget,
            device,
            group,
            port: free_port()?,
            websocket: free_port()?,
            console: free_port()?,
        };
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        std::os::unix::fs::symlink(config.join("types"), this.folder.join("types"))?;
        if needs == Needs::Users {
            this.add_user()?;
        }
        this.write(&fs::read_to_string(config.join("demo.yaml"))?, "")?;
        Ok(this)
    }

    fn add_user(&self) -> io::Result<()> {
        let password = self.folder.join("password");
        fs::write(&password, PASSWORD)?;
        let mut command = Command::new(self.binary);
        command.args(["user", "add", USER, "--stdin", "--file"]);
        command.arg(self.folder.join("users.yaml"));
        command.stdin(File::open(password)?).stdout(Stdio::null());
        match command.status()?.success() {
            true => Ok(()),
            false => Err(io::Error::other("fieldgate user add")),
        }
    }

    /// The demo, but every value is published at each poll: a steady pace shows each that is missing.
    fn write(&self, demo: &str, more: &str) -> io::Result<()> {
        let mut broker = format!(
            "listen: {{tcp: \"127.0.0.1:{}\", websocket: \"127.0.0.1:{}\"}}",
            self.port, self.websocket
        );
        if self.needs == Needs::Users {
            broker += "\n  users: users.yaml";
        }
        if let Some(budget) = self.budget {
            broker += &format!("\n  limits: {{memory: {budget}}}");
        }
        let mut text = demo.to_owned();
        let mut replace = |old: &str, new: &str| match text.contains(old) {
            true => {
                text = text.replace(old, new);
                Ok(())
            }
            false => Err(io::Error::other(format!("demo.yaml has no {old:?} now"))),
        };
        replace("listen: {tcp: 1883}", &broker)?;
        replace(
            "poll: 1s, publish: on_change",
            "poll: 500ms, publish: every_poll",
        )?;
        replace("every: 2s", "every: 500ms")?;
        replace("127.0.0.1:8180", &format!("127.0.0.1:{}", self.console))?;
        if self.needs == Needs::Users {
            replace("allow_anonymous: true", "allow_anonymous: false")?;
        }
        if self.needs == Needs::HostileDevice {
            let bus = format!(
                "buses:\n  hostile: {{tcp: \"127.0.0.1:{}\", modbus: tcp}}",
                self.device
            );
            replace("buses:", &bus)?;
            let device = "devices:\n  foreign: {bus: hostile, unit: 1, points: {value: {input: 0, as: u16}}}";
            replace("devices:", device)?;
        }
        replace("devices:", &format!("devices:{more}"))?;
        fs::write(self.folder.join("gateway.yaml"), text)
    }

    /// Adds a device to the running gateway, and waits until its topics have had time to come. Returns how many
    /// retained topics it should have.
    pub fn add_device(&self, gateway: &Gateway) -> io::Result<()> {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        let more = "\n  late: {type: sdm120, bus: meters, unit: 12}";
        self.write(&fs::read_to_string(config.join("demo.yaml"))?, more)?;
        gateway.signal("HUP")?;
        thread::sleep(Duration::from_secs(5));
        Ok(())
    }

    /// Starts the gateway, and waits until it accepts connections.
    pub fn start(&self) -> io::Result<Gateway> {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log_file())?;
        let mut script = String::new();
        if let Some(group) = self.group {
            script += &format!("echo $$ > {}/cgroup.procs && ", group.folder().display());
        }
        if self.needs == Needs::FewFiles {
            script += "ulimit -n 256 && ";
        }
        script += "exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(self.binary);
        command.arg("run").arg(self.folder.join("gateway.yaml"));
        command.arg("--state").arg(self.folder.join("state"));
        command.stderr(log);
        Process::spawn(command, self.port).map(Gateway)
    }

    /// Those of MQTT, of WebSockets and of the web console.
    pub fn ports(&self) -> (u16, u16, u16) {
        (self.port, self.websocket, self.console)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Bytes in the log so far.
    pub fn logged(&self) -> u64 {
        fs::metadata(self.log_file()).map_or(0, |file| file.len())
    }
}

impl Gateway {
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.0
    }

    pub fn signal(&self, name: &str) -> io::Result<()> {
        let signal = format!("kill -{name} {}", self.0.pid());
        Command::new("sh").args(["-c", &signal]).status()?;
        Ok(())
    }

    /// Asks it to end. `None` when it does not within the time; then it is killed.
    pub fn stop(mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.0.ended()? {
            return Ok(Some(status));
        }
        self.signal("TERM")?;
        let begin = Instant::now();
        while begin.elapsed() < within {
            if let Some(status) = self.0.ended()? {
                return Ok(Some(status));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(None)
    }
}
