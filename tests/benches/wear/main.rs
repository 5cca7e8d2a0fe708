//! How many bytes a day the gateway and its broker write to the card, beside mosquitto.
//!
//! See `tests/benches/README.md`. Each figure is of a process of its own, by `write_bytes` of its `/proc/PID/io`.

mod clients;
mod disk;
mod subject;
mod wifi;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use clap::Parser;
use fieldgate_tests::bench::process::{Broker, mosquitto};
use fieldgate_tests::bench::stats::percentile;

use clients::Clients;
use subject::Kind;

#[derive(Parser)]
#[command(
    name = "wear",
    about = "Bytes written to the card a day, and how long an acknowledgement takes"
)]
struct Args {
    /// How long each load is measured; the broker writes retained values every minute
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// How long each load runs before it is measured: the first values of all topics come then, and commits that
    /// the broker had saved up are used
    #[arg(long, value_name = "N", default_value_t = 60)]
    settle: u64,
    /// The fieldgate to measure, instead of the one beside this bench
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Where the state is kept, on a disk; else in cargo's folder for temporary files
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Adds a column with `broker.store.commit` of this
    #[arg(long, value_name = "TIME")]
    commit: Option<String>,
    /// Only the loads whose name contains this; may be repeated
    #[arg(long = "load", value_name = "NAME")]
    loads: Vec<String>,
    /// Has each log written over once before, so that none of its blocks is new: as after its first hours
    #[arg(long)]
    worn: bool,
    /// Counts what the disk under `--state` is told to write, the file system's own blocks included. Nothing else
    /// may write to it, so mosquitto is left out
    #[arg(long, conflicts_with = "commit")]
    device: bool,
    /// Leaves mosquitto out
    #[arg(long)]
    alone: bool,
    /// Cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// Who does what.
#[derive(Clone, Copy, PartialEq)]
enum Load {
    /// `config/demo.yaml`, with a persistent subscriber of QoS 1 or without.
    Demo(Option<Link>),
    /// 100 messages of QoS 1 a second to a persistent subscriber.
    Messages(Option<Link>),
    /// 1,000 retained topics, each set once a second with QoS 1.
    Topics,
    /// 1,000 readings of the gateway's own devices, each of which changes once a second.
    Readings,
}

/// How far away a subscriber is.
#[derive(Clone, Copy, PartialEq)]
enum Link {
    Loopback,
    Wifi,
}

struct Row {
    name: &'static str,
    load: Load,
    /// MB a day that it may write; 0: no target.
    target: f64,
    /// The same with a longer commit interval.
    target_commit: f64,
}

const fn row(name: &'static str, load: Load, target: f64, target_commit: f64) -> Row {
    Row {
        name,
        load,
        target,
        target_commit,
    }
}

const ROWS: [Row; 7] = [
    row("demo, no subscriber", Load::Demo(None), 50.0, 0.0),
    row(
        "demo, local subscriber",
        Load::Demo(Some(Link::Loopback)),
        100.0,
        0.0,
    ),
    row(
        "demo, subscriber behind 30 ms",
        Load::Demo(Some(Link::Wifi)),
        100.0,
        0.0,
    ),
    row(
        "100 messages/s, subscriber behind 30 ms",
        Load::Messages(Some(Link::Wifi)),
        300.0,
        0.0,
    ),
    row(
        "100 messages/s, subscriber away",
        Load::Messages(None),
        0.0,
        1500.0,
    ),
    row(
        "1,000 retained topics a second, QoS 1",
        Load::Topics,
        0.0,
        0.0,
    ),
    row("1,000 readings a second", Load::Readings, 0.0, 0.0),
];

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let binary = args.binary();
    if !binary.exists() {
        let text = "is missing: cargo build --release -p fieldgate";
        return Err(format!("{} {text}", binary.display()).into());
    }
    let base = args.state.clone();
    let base = base.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).to_path_buf());
    let folder = base.join(format!("wear-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let columns = columns(&args, &binary);
    let measured = measure_all(&args, &columns, &folder);
    let acknowledged = measured.and_then(|()| acknowledge_all(&args, &columns, &folder));
    fs::remove_dir_all(&folder)?;
    Ok(acknowledged?)
}

impl Args {
    fn binary(&self) -> PathBuf {
        if let Some(binary) = &self.binary {
            return binary.clone();
        }
        // target/release/deps/NAME-HASH
        let own = env::current_exe().unwrap_or_default();
        let profile = own.parent().and_then(Path::parent);
        profile.unwrap_or(Path::new("")).join("fieldgate")
    }
}

fn columns(args: &Args, binary: &Path) -> Vec<Kind> {
    let fieldgate = |commit: Option<String>| Kind::Fieldgate {
        binary: binary.to_path_buf(),
        commit,
    };
    let mut columns = vec![fieldgate(None)];
    if let Some(commit) = &args.commit {
        columns.push(fieldgate(Some(commit.clone())));
    }
    if !args.alone && !args.device && mosquitto().is_some() {
        columns.push(Kind::Mosquitto);
    }
    columns
}

fn measure_all(args: &Args, columns: &[Kind], folder: &Path) -> io::Result<()> {
    println!(
        "MB written a day, from {} s after {} s; {}",
        args.seconds,
        args.settle,
        Broker::Mosquitto.version().unwrap_or_default()
    );
    let names: String = columns
        .iter()
        .map(|kind| format!(" {} |", kind.name()))
        .collect();
    println!("| load | target |{names} messages/s |");
    println!("|---|--:|{}--:|", "--:|".repeat(columns.len()));
    for row in &ROWS {
        let wanted = |name: &String| row.name.contains(name.as_str());
        if !args.loads.is_empty() && !args.loads.iter().any(wanted) {
            continue;
        }
        // Side by side: none of the loads keeps a processor busy.
        let figures: Vec<io::Result<Figure>> = thread::scope(|scope| {
            let measure = |(number, kind)| {
                let folder = folder.join(format!("{number}"));
                scope.spawn(move || measure(args, kind, row.load, &folder))
            };
            let threads: Vec<_> = columns.iter().enumerate().map(measure).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|joined| joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let target = match (row.target, row.target_commit) {
            (0.0, 0.0) => "-".to_owned(),
            (0.0, with) => format!("{with} (commit: 1s)"),
            (target, _) => target.to_string(),
        };
        let (mut cells, mut rates) = (String::new(), vec![]);
        for figure in figures {
            let figure = figure?;
            cells += &format!(" {:.1} |", figure.mb_a_day);
            rates.push(format!("{:.0}", figure.messages_a_second));
        }
        let rates = rates.join(", ");
        println!("| {} | {target} |{cells} {rates} |", row.name);
    }
    Ok(())
}

struct Figure {
    mb_a_day: f64,
    messages_a_second: f64,
}

/// Once every half hour, as it comes.
const MOSQUITTO_SAVES_A_DAY: f64 = 48.0;

fn measure(args: &Args, kind: &Kind, load: Load, folder: &Path) -> io::Result<Figure> {
    let _ = fs::remove_dir_all(folder);
    let mut clients = Clients::default();
    let (subject, _source) = match (kind, load) {
        // mosquitto has no readings: a client publishes to it what a gateway without a store reads.
        (Kind::Mosquitto, Load::Demo(_) | Load::Readings) => {
            let source =
                Kind::fieldgate(args.binary()).start_plant(load, &folder.join("source"), false)?;
            let subject = kind.start(&folder.join("subject"))?;
            clients.forward(source.address(), subject.address());
            (subject, Some(source))
        }
        (_, Load::Demo(_) | Load::Readings) => (kind.start_plant(load, folder, true)?, None),
        _ => (kind.start(folder)?, None),
    };
    let address = subject.address();
    if args.worn && *kind != Kind::Mosquitto {
        clients::write_over(address)?;
    }
    match load {
        Load::Demo(Some(Link::Loopback)) => clients.subscribe(address, "demo/#")?,
        Load::Demo(Some(Link::Wifi)) => clients.subscribe(wifi::to(address)?, "demo/#")?,
        Load::Demo(None) => {}
        Load::Messages(link) => {
            match link {
                Some(_) => clients.subscribe(wifi::to(address)?, "wear/#")?,
                None => clients::subscribe_and_leave(address, "wear/#")?,
            }
            clients.publish(address, 10, 100, false);
        }
        Load::Topics => clients.publish(address, 1000, 1000, true),
        // A subscriber without a session is not kept: it counts.
        Load::Readings => clients.count(address)?,
    }
    thread::sleep(Duration::from_secs(args.settle));
    let written = || match args.device {
        true => disk::written(folder),
        false => subject.written(),
    };
    let (begin, before) = (Instant::now(), written()?);
    let counted = clients.messages.load(Ordering::Relaxed);
    thread::sleep(Duration::from_secs(args.seconds));
    let took = begin.elapsed().as_secs_f64();
    let written = written()? - before;
    let messages = clients.messages.load(Ordering::Relaxed) - counted;
    let days = took / 86_400.0;
    let mut bytes = written as f64 / days;
    if *kind == Kind::Mosquitto {
        bytes += subject.save()? as f64 * MOSQUITTO_SAVES_A_DAY;
    }
    clients.stop()?;
    Ok(Figure {
        mb_a_day: bytes / 1e6,
        messages_a_second: messages as f64 / took,
    })
}

/// From PUBLISH to PUBACK, one column after the other.
fn acknowledge_all(args: &Args, columns: &[Kind], folder: &Path) -> io::Result<()> {
    println!(
        "\nms from PUBLISH to PUBACK, 100 messages/s of QoS 1, a persistent subscriber connected"
    );
    println!("| subscriber | broker | p50 | p99 | messages |");
    println!("|---|---|--:|--:|--:|");
    for (place, link) in [("local", Link::Loopback), ("behind 30 ms", Link::Wifi)] {
        for (number, kind) in columns.iter().enumerate() {
            let folder = folder.join(format!("{number}"));
            let _ = fs::remove_dir_all(&folder);
            let subject = kind.start(&folder)?;
            let mut clients = Clients::default();
            let subscribed = match link {
                Link::Loopback => subject.address(),
                Link::Wifi => wifi::to(subject.address())?,
            };
            clients.subscribe(subscribed, "wear/#")?;
            thread::sleep(Duration::from_secs(1));
            clients.publish(subject.address(), 10, 100, false);
            thread::sleep(Duration::from_secs(args.seconds / 2));
            let mut times = clients.stop()?;
            let mut ms = |percent| percentile(&mut times, percent).unwrap_or_default() as f64 / 1e6;
            let (p50, p99) = (ms(50.0), ms(99.0));
            let (name, count) = (kind.name(), times.len());
            println!("| {place} | {name} | {p50:.2} | {p99:.2} | {count} |");
        }
    }
    Ok(())
}
