//! Many gateways with uplinks to one remote: what each costs the remote, and how they come back when it was away.
//!
//! See `config/fleet.md`, which is made with these figures. Every gateway is the real binary with a simulated plant and
//! a spool of its own; the remote is Debian's mosquitto, or three nats-servers with a stream that all of them keep.

mod remote;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use clap::Parser;
use fieldgate_tests::bench::process::{Process, free_port};
use serde_json::Value;

use remote::Remote;

#[derive(Parser)]
#[command(name = "fleet", about = "Many gateways, one remote")]
struct Args {
    /// Gateways; may be repeated
    #[arg(long = "gateways", value_name = "N", default_values_t = [10usize, 40])]
    gateways: Vec<usize>,
    /// Readings of each a second
    #[arg(long, value_name = "N", default_value_t = 20)]
    rate: usize,
    /// How long is measured, and how long the remote is away
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u64,
    /// The fieldgate to measure, instead of the one beside this bench
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// No gateway takes longer to come back.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let binary = args.binary.clone().unwrap_or_else(beside);
    if !binary.exists() {
        let text = "is missing: cargo build --release -p fieldgate";
        return Err(format!("{} {text}", binary.display()).into());
    }
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fleet-{}", process::id()));
    println!(
        "{} readings a second of each gateway; the remote is away for {} s\n",
        args.rate, args.seconds
    );
    println!(
        "| remote | gateways | remote: µs a message | remote: MiB | remote: KiB a gateway | network: bytes a message | \
         disk: bytes a message | \
         gateway: µs a message | gateway: MiB | all connected after | backlogs gone after | dropped |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for is_nats in [false, true] {
        for &count in &args.gateways {
            fs::create_dir_all(&base)?;
            measure(&args, &binary, (is_nats, count), &base)?;
            fs::remove_dir_all(&base)?;
        }
    }
    Ok(())
}

fn beside() -> PathBuf {
    // target/release/deps/NAME-HASH
    let own = env::current_exe().unwrap_or_default();
    let profile = own.parent().and_then(Path::parent);
    profile.unwrap_or(Path::new("")).join("fieldgate")
}

/// One gateway of the fleet.
struct Gateway {
    process: Process,
    folder: PathBuf,
}

impl Gateway {
    fn start(
        binary: &Path,
        number: usize,
        (rate, urls): (usize, &str),
        base: &Path,
    ) -> io::Result<Self> {
        let folder = base.join(format!("g{number}"));
        fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let points: String = (0..rate)
            .map(|point| format!("p{point}: {{input: {point}, as: u16}}, "))
            .collect();
        let text = format!(
            "version: 1\ngateway: {{name: g{number}}}\n\
             broker: {{listen: {{tcp: \"127.0.0.1:{port}\"}}, allow_anonymous: true}}\n\
             defaults: {{poll: 1s, publish: every_poll}}\n\
             buses: {{b: {{tcp: \"127.0.0.1:0\", simulated: true}}}}\n\
             devices: {{d: {{bus: b, unit: 1, points: {{{points}}}}}}}\n\
             uplinks:\n  there:\n    url: {urls}\n    \
             forward: [{{topics: [\"g{number}/d/+\"], to: \"site/{{topic}}\"}}]\n    spool: {{max: 16M}}\n"
        );
        let file = folder.join("gateway.yaml");
        fs::write(&file, text)?;
        let mut command = Command::new(binary);
        command.arg("run").arg(&file);
        command.arg("--state").arg(folder.join("state"));
        command.arg("--control").arg(folder.join("control"));
        command.stderr(Stdio::null());
        Ok(Self {
            process: Process::spawn(command, port)?,
            folder,
        })
    }

    fn status(&self, binary: &Path) -> io::Result<Value> {
        let output = Command::new(binary)
            .args(["uplink", "status", "there", "--config"])
            .arg(self.folder.join("gateway.yaml"))
            .arg("--control")
            .arg(self.folder.join("control"))
            .output()?;
        serde_json::from_slice(&output.stdout).map_err(io::Error::other)
    }
}

/// Waits until it is true of all gateways, and tells how long that took.
fn wait(
    gateways: &[Gateway],
    binary: &Path,
    what: &str,
    is_it: impl Fn(&Value) -> bool,
) -> io::Result<Duration> {
    let begun = Instant::now();
    for gateway in gateways {
        loop {
            let status = gateway.status(binary)?;
            if is_it(&status) {
                break;
            }
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{what}: {status:#}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(begun.elapsed())
}

fn sum(gateways: &[Gateway], binary: &Path, of: impl Fn(&Value) -> u64) -> io::Result<u64> {
    let all = gateways.iter().map(|gateway| gateway.status(binary));
    all.map(|status| status.map(|status| of(&status))).sum()
}

fn cpu(gateways: &[Gateway]) -> io::Result<Duration> {
    gateways.iter().map(|gateway| gateway.process.cpu()).sum()
}

fn is_online(status: &Value) -> bool {
    status["state"] == "online"
}

fn measure(
    args: &Args,
    binary: &Path,
    (is_nats, count): (bool, usize),
    base: &Path,
) -> io::Result<()> {
    let mut remote = match is_nats {
        true => Remote::nats(&base.join("nats"))?,
        false => Remote::mosquitto(&base.join("mosquitto"))?,
    };
    let empty = remote.memory()?;
    let urls = remote.urls();
    let gateways: io::Result<Vec<Gateway>> = (0..count)
        .map(|number| Gateway::start(binary, number, (args.rate, &urls), base))
        .collect();
    let gateways = gateways?;
    wait(&gateways, binary, "connected", is_online)?;
    let acknowledged = |status: &Value| status["acknowledged"].as_u64().unwrap_or(0);
    let before = (
        remote.cpu()?,
        cpu(&gateways)?,
        sum(&gateways, binary, acknowledged)?,
        remote.received()?,
    );
    thread::sleep(Duration::from_secs(args.seconds));
    let spent = (
        remote.cpu()? - before.0,
        cpu(&gateways)? - before.1,
        sum(&gateways, binary, acknowledged)? - before.2,
        remote.received()? - before.3,
    );
    let (memory, messages) = (remote.memory()?, spent.2.max(1) as f64);
    let own: io::Result<Vec<u64>> = gateways
        .iter()
        .map(|one| one.process.memory_now())
        .collect();
    let own = own?.iter().sum::<u64>() as f64 / count as f64;
    let disk = remote.disk()? as f64 / sum(&gateways, binary, acknowledged)?.max(1) as f64;
    remote.stop();
    thread::sleep(Duration::from_secs(args.seconds));
    remote.again()?;
    let connected = wait(&gateways, binary, "connected again", is_online)?;
    let gone = wait(&gateways, binary, "backlog", |status| {
        status["backlog"]["messages"] == 0 && is_online(status)
    })?;
    let dropped = sum(&gateways, binary, |status| {
        let dropped = status["dropped"].as_object();
        dropped.map_or(0, |all| all.values().filter_map(Value::as_u64).sum())
    })?;
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!(
        "| {} | {count} | {:.1} | {:.0} | {:.0} | {:.0} | {disk:.0} | {:.1} | {:.0} | {:.0} s | {:.0} s | {dropped} |",
        remote.name(),
        spent.0.as_secs_f64() * 1e6 / messages,
        mib(memory as f64),
        memory.saturating_sub(empty) as f64 / 1024.0 / count as f64,
        spent.3 as f64 / messages,
        spent.1.as_secs_f64() * 1e6 / messages,
        mib(own),
        connected.as_secs_f64(),
        (connected + gone).as_secs_f64(),
    );
    Ok(())
}
