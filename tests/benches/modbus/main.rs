//! What a gateway costs from register to subscriber: Modbus TCP devices of a hundred tags at 1 s each, and readers; and
//! how much of a serial line's time a plan takes beside the least that it could.
//!
//! The gateway is the real binary in a process of its own. So are the devices, all behind one port, each with an address
//! of its own in 127.0.0.0/8, and the subscribers. Devices note when requests come, and how old each value is when the
//! first subscriber has it. Beside it runs the least that a poller can do on this kernel.

mod floor;
mod plans;
mod serve;
mod subscribe;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use clap::Parser;

#[derive(Parser)]
struct Options {
    /// Devices, each with a connection of its own; may be repeated.
    #[arg(long = "devices", default_values_t = [100u32, 1000])]
    devices: Vec<u32>,
    /// Tags of each device, one register each.
    #[arg(long, default_value_t = 100)]
    tags: u16,
    /// How long to measure.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How long before that, for all to connect.
    #[arg(long, default_value_t = 6)]
    settle: u64,
    /// How many of a hundred tags change from one second to the next; may be repeated.
    #[arg(long = "changing", default_values_t = [1u16, 10, 100])]
    changing: Vec<u16>,
    /// How many clients subscribe to everything; may be repeated.
    #[arg(long = "subscribers", default_values_t = [0usize, 1, 10])]
    subscribers: Vec<usize>,
    /// Another gateway than the one beside this bench; may be repeated.
    #[arg(long = "gateway")]
    gateways: Vec<PathBuf>,
    /// Plays the devices, with so many of a hundred tags that change.
    #[arg(long, hide = true)]
    serve: Option<u16>,
    /// Is the floor: devices, tags, the devices' port, the subscriber's, and 1 if there is one.
    #[arg(long, hide = true, num_args = 5)]
    floor: Option<Vec<u32>>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured in one row.
#[derive(Clone, Copy)]
struct Load {
    devices: u32,
    tags: u16,
    changing: u16,
    subscribers: usize,
    /// One message for each device, none for each tag.
    whole: bool,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    if let Some(changing) = options.serve {
        return serve::serve(changing);
    }
    if let Some([devices, tags, modbus, mqtt, is_read]) = options.floor.as_deref() {
        let (modbus, mqtt) = (*modbus as u16, *mqtt as u16);
        return floor::run(*devices, *tags as u16, modbus, mqtt, *is_read == 1);
    }
    line_time();
    let mut gateways = options.gateways.clone();
    if gateways.is_empty() {
        gateways.push(beside());
    }
    if let Some(gateway) = gateways.iter().find(|gateway| !gateway.exists()) {
        let text = format!(
            "{} is missing: cargo build --release -p fieldgate",
            gateway.display()
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    println!(
        "\n{} tags a device at 1 s; late: a request, ms; age: a value at its first reader, ms",
        options.tags
    );
    println!(
        "| devices | changing | readers | payload | who | cores | to the floor | us a tag | MB | late p50, p99 | \
         age p50, p99 | messages/s | wrong |"
    );
    println!("|--:|--:|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for load in loads(&options) {
        // More readers cost the floor what one does: it would write to each.
        let floor = measure(&options, load, None)?;
        floor.print(load, "floor", floor.cores);
        for (index, gateway) in gateways.iter().enumerate() {
            match measure(&options, load, Some(gateway)) {
                Ok(found) => found.print(load, &format!("gateway {}", index + 1), floor.cores),
                Err(error) => println!("gateway {} cannot: {error}", index + 1),
            }
        }
    }
    Ok(())
}

fn loads(options: &Options) -> Vec<Load> {
    let mut loads = Vec::new();
    for &devices in &options.devices {
        for &changing in &options.changing {
            for &subscribers in &options.subscribers {
                for whole in [false, true] {
                    // Fewer changes are of interest with one reader, and one message for a device, too.
                    let is_usual = (changing == 100 && !whole) || subscribers == 1;
                    if is_usual {
                        loads.push(Load {
                            devices,
                            tags: options.tags,
                            changing,
                            subscribers,
                            whole,
                        });
                    }
                }
            }
        }
    }
    loads
}

/// target/release/deps/NAME-HASH
fn beside() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    let profile = own.parent().and_then(Path::parent);
    profile.unwrap_or(Path::new("")).join("fieldgate")
}

/// A child that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process that plays the devices and the subscribers.
struct Plant {
    _child: Running,
    lines: Lines<BufReader<ChildStdout>>,
    say: ChildStdin,
    port: u16,
}

impl Plant {
    fn start(changing: u16) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--serve", &changing.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::Other)?;
        let mut lines = BufReader::new(stdout).lines();
        let say = child.stdin.take().ok_or(io::ErrorKind::Other)?;
        let child = Running(child);
        let port = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        Ok(Self {
            _child: child,
            lines,
            say,
            port: port.parse().map_err(io::Error::other)?,
        })
    }

    fn say(&mut self, words: &str) -> io::Result<()> {
        io::Write::write_all(&mut self.say, format!("{words}\n").as_bytes())
    }

    fn hear(&mut self) -> io::Result<String> {
        self.lines.next().ok_or(io::ErrorKind::UnexpectedEof)?
    }
}

/// What one row found.
struct Found {
    cores: f64,
    memory: f64,
    seconds: f64,
    requests: f64,
    late: [f64; 3],
    age: [f64; 3],
    messages: f64,
    wrong: f64,
}

impl Found {
    fn print(&self, load: Load, who: &str, floor: f64) {
        let Self { cores, memory, .. } = self;
        let tags = self.requests * f64::from(load.tags);
        let age = match load.subscribers {
            0 => "-".to_owned(),
            _ => format!("{:.1}, {:.1}", self.age[0], self.age[1]),
        };
        println!(
            "| {} | {} % | {} | {} | {who} | {cores:.3} | {:.1} | {:.2} | {memory:.0} | {:.1}, {:.1} | {age} | {:.0} | {} |",
            load.devices,
            load.changing,
            load.subscribers,
            if load.whole { "device" } else { "json" },
            cores / floor,
            cores * self.seconds * 1e6 / tags,
            self.late[0],
            self.late[1],
            self.messages / self.seconds,
            self.wrong,
        );
    }
}

/// Measures a gateway, or the floor without one.
fn measure(options: &Options, load: Load, gateway: Option<&Path>) -> io::Result<Found> {
    let mut plant = Plant::start(load.changing)?;
    let mqtt = free_port();
    let folder = env::temp_dir().join(format!("fieldgate-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut command = match gateway {
        Some(gateway) => {
            let file = folder.join("gateway.yaml");
            fs::write(&file, configuration(load, plant.port, mqtt))?;
            let mut command = Command::new(gateway);
            command
                .arg("run")
                .arg(file)
                .arg("--control")
                .arg(folder.join("control"));
            command
        }
        None => {
            let is_read = u32::from(load.subscribers > 0);
            let mut command = Command::new(env::current_exe()?);
            let (tags, modbus, mqtt) = (load.tags.into(), plant.port.into(), mqtt.into());
            let numbers = [load.devices, tags, modbus, mqtt, is_read];
            command
                .arg("--floor")
                .args(numbers.map(|number| number.to_string()));
            command
        }
    };
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let child = Running(child);
    let readers = if gateway.is_none() {
        load.subscribers.min(1)
    } else {
        load.subscribers
    };
    plant.say(&format!("subscribe {mqtt} {readers}"))?;
    let answer = plant.hear()?;
    if answer != "subscribed" {
        return Err(io::Error::other(answer));
    }
    thread::sleep(Duration::from_secs(options.settle));
    plant.say("begin")?;
    let (before, begun) = (cpu(child.0.id())?, Instant::now());
    thread::sleep(Duration::from_secs(options.seconds));
    let used = cpu(child.0.id())? - before;
    let seconds = begun.elapsed().as_secs_f64();
    let memory = held(child.0.id())?;
    plant.say("end")?;
    let line = plant.hear()?;
    drop(child);
    fs::remove_dir_all(&folder)?;
    let figures: Vec<f64> = line
        .split(' ')
        .filter_map(|text| text.parse().ok())
        .collect();
    let [
        requests,
        l50,
        l99,
        worst_late,
        a50,
        a99,
        oldest,
        messages,
        wrong,
    ] = figures[..]
    else {
        return Err(io::Error::other(line));
    };
    Ok(Found {
        cores: used / seconds,
        memory,
        seconds,
        requests,
        late: [l50, l99, worst_late],
        age: [a50, a99, oldest],
        messages,
        wrong,
    })
}

fn configuration(load: Load, modbus: u16, mqtt: u16) -> String {
    let payload = if load.whole {
        "device, points: false"
    } else {
        "json"
    };
    let mut text = format!(
        "version: 1\ngateway: {{name: bench}}\n\
         broker: {{listen: {{tcp: \"127.0.0.1:{mqtt}\"}}, allow_anonymous: true}}\n\
         mqtt: {{payload: {payload}}}\ndefaults: {{poll: 1s}}\ntypes:\n  t:\n    points:\n"
    );
    for tag in 0..load.tags {
        // Writing to a string does not fail.
        let _ = writeln!(text, "      p{tag}: {{input: {tag}, as: u16}}");
    }
    text += "buses:\n";
    for device in 0..load.devices {
        let (high, low) = (device / 250, device % 250 + 1);
        let _ = writeln!(
            text,
            "  b{device}: {{tcp: \"127.1.{high}.{low}:{modbus}\"}}"
        );
    }
    text += "devices:\n";
    for device in 0..load.devices {
        let _ = writeln!(text, "  d{device}: {{type: t, bus: b{device}, unit: 1}}");
    }
    text
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_or(21_883, |address| address.port())
}

/// Seconds of processor time that a process has used.
fn cpu(id: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    // The kernel's unit for other programs is a hundredth of a second.
    Ok(ticks / 100.0)
}

/// Its share of memory, in MB: what it shares with others is divided.
fn held(id: u32) -> io::Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    Ok(kilobytes.unwrap_or_default() * 1024.0 / 1e6)
}

/// The time of one round over a meter on a line of 9600 baud, 8E1: as planned, with one request
/// for each point, and the least, in which no byte is sent that is not a value that was asked for.
fn line_time() {
    const CHARACTER: f64 = 11.0 / 9600.0;
    /// Silence before the request and before the answer.
    const SILENCES: f64 = 2.0 * 3.5;
    /// Request and answer without the registers.
    const FRAMES: f64 = 8.0 + 5.0;
    let time = |requests: f64, registers: f64| {
        (requests * (FRAMES + SILENCES) + registers * 2.0) * CHARACTER * 1000.0
    };
    println!("one round at 9600 baud, 8E1, without the time that the meter thinks:");
    println!("| points | requests planned | ms planned | ms one by one | ms at least |");
    println!("|--|--:|--:|--:|--:|");
    for (name, requests, read, points) in plans::plans() {
        let wanted = points * 2.0;
        let least = time((wanted / 125.0).ceil(), wanted);
        println!(
            "| {name} | {requests} | {:.0} | {:.0} | {least:.0} |",
            time(requests, read),
            time(points, wanted)
        );
    }
}
