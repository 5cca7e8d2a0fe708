//! What polling costs: a thousand Modbus TCP devices of a hundred tags at 1 s each, and how much
//! of a serial line's time a plan takes beside the least that it could.
//!
//! The gateway is the real binary in a process of its own; so are the devices, all behind one
//! port, each with an address of its own in 127.0.0.0/8. Devices note when requests come.

mod serve;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use clap::Parser;

#[derive(Parser)]
struct Options {
    /// Devices, each with a connection of its own.
    #[arg(long, default_value_t = 1000)]
    devices: u32,
    /// Tags of each device, one register each.
    #[arg(long, default_value_t = 100)]
    tags: u16,
    /// How long to measure, after ten seconds to settle.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many of a hundred tags change from one second to the next; may be repeated.
    #[arg(long = "changing", default_values_t = [1u16, 10, 100])]
    changing: Vec<u16>,
    /// The gateway, instead of the one beside this bench.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Plays the devices, with so many of a hundred tags that change.
    #[arg(long, hide = true)]
    serve: Option<u16>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    if let Some(changing) = options.serve {
        return serve::serve(changing);
    }
    line_time();
    let gateway = options.gateway.clone().unwrap_or_else(beside);
    if !gateway.exists() {
        let text = format!(
            "{} is missing: cargo build --release -p fieldgate",
            gateway.display()
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    println!(
        "\n{} devices of {} tags at 1 s: {} tags a second",
        options.devices,
        options.tags,
        options.devices * u32::from(options.tags)
    );
    println!("| tags that change | cores | memory | µs CPU a tag | p50 late | p99 late | worst |");
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    for changing in &options.changing {
        measure(&options, &gateway, *changing)?;
    }
    Ok(())
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

fn measure(options: &Options, gateway: &Path, changing: u16) -> io::Result<()> {
    let mut serving = Command::new(env::current_exe()?)
        .args(["--serve", &changing.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(serving.stdout.take().ok_or(io::ErrorKind::Other)?).lines();
    let mut say = serving.stdin.take().ok_or(io::ErrorKind::Other)?;
    let _serving = Running(serving);
    let port = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
    let folder = env::temp_dir().join(format!("fieldgate-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let file = folder.join("gateway.yaml");
    fs::write(&file, configuration(options, &port))?;
    let child = Command::new(gateway)
        .arg("run")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let child = Running(child);
    thread::sleep(Duration::from_secs(10));
    io::Write::write_all(&mut say, b"begin\n")?;
    let (before, begun) = (cpu(child.0.id())?, Instant::now());
    thread::sleep(Duration::from_secs(options.seconds));
    let used = cpu(child.0.id())? - before;
    let took = begun.elapsed().as_secs_f64();
    let memory = resident(child.0.id())?;
    io::Write::write_all(&mut say, b"end\n")?;
    let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
    let figures: Vec<f64> = line
        .split(' ')
        .filter_map(|text| text.parse().ok())
        .collect();
    let [requests, p50, p99, worst] = figures[..] else {
        return Err(io::Error::other(line));
    };
    let tags = requests * f64::from(options.tags);
    println!(
        "| {changing} % | {:.3} | {:.0} MB | {:.2} | {p50:.1} ms | {p99:.1} ms | {worst:.1} ms | {:.0} tags/s",
        used / took,
        memory / 1e6,
        used * 1e6 / tags,
        tags / took
    );
    drop(child);
    fs::remove_dir_all(&folder)
}

fn configuration(options: &Options, port: &str) -> String {
    let mut text = String::from(
        "version: 1\ngateway: {name: bench}\nbroker: {listen: {tcp: \"127.0.0.1:0\"}}\n\
         defaults: {poll: 1s}\ntypes:\n  t:\n    points:\n",
    );
    text = text.replace("127.0.0.1:0", &format!("127.0.0.1:{}", free_port()));
    for tag in 0..options.tags {
        // Writing to a string does not fail.
        let _ = writeln!(text, "      p{tag}: {{input: {tag}, as: u16}}");
    }
    text += "buses:\n";
    for device in 0..options.devices {
        let (high, low) = (device / 250, device % 250 + 1);
        let _ = writeln!(text, "  b{device}: {{tcp: \"127.1.{high}.{low}:{port}\"}}");
    }
    text += "devices:\n";
    for device in 0..options.devices {
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

fn resident(id: u32) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    Ok(kilobytes.unwrap_or_default() * 1024.0)
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
    for (name, requests, read, points) in serve::plans() {
        let wanted = points * 2.0;
        let least = time((wanted / 125.0).ceil(), wanted);
        println!(
            "| {name} | {requests} | {:.0} | {:.0} | {least:.0} |",
            time(requests, read),
            time(points, wanted)
        );
    }
}
