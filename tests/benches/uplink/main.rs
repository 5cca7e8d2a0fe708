//! What goes on to another broker costs, and what is lost on the way: the gateway's uplink beside mosquitto's bridge.
//!
//! See `tests/benches/README.md`. The remote is a mosquitto behind a proxy with faults; a client publishes numbers here,
//! and another counts them there.

mod cuts;
mod day;
mod sender;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use clap::Parser;
use fieldgate_tests::bench::process::{Broker, Process};
use fieldgate_tests::bench::stats::median;
use fieldgate_tests::counter::Wire;
use fieldgate_tests::cuts::Fault;
use fieldgate_tests::faults::{Mode, Proxy};

use sender::{ANXIOUS, CAREFUL, Kind, UNLIMITED, remote};

#[derive(Parser)]
#[command(
    name = "uplink",
    about = "Messages on to another broker: processor time, and what cuts and outages cost"
)]
struct Args {
    /// Messages a second
    #[arg(long, value_name = "N", default_value_t = 500)]
    rate: u32,
    /// How long processor time is measured, each time
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u32,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Rounds of faults
    #[arg(long, value_name = "N", default_value_t = 45)]
    cuts: usize,
    /// Only these
    #[arg(long)]
    only_cuts: bool,
    /// Only faults whose name contains it
    #[arg(long, value_name = "NAME", default_value = "")]
    fault: String,
    /// Only senders whose name begins with it
    #[arg(long, value_name = "NAME", default_value = "")]
    who: String,
    /// How long the remote is away
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    away: u32,
    /// Only this: a day without the remote at so many messages a second, all at once, and how it goes up afterwards
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "100")]
    day: Option<u32>,
    /// The fieldgate to measure, instead of the one beside this bench
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// Nothing comes for so long: what has not come by then is lost.
const SILENCE: Duration = Duration::from_secs(45);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let binary = args.binary.clone().unwrap_or_else(beside);
    if !binary.exists() {
        let text = "is missing: cargo build --release -p fieldgate";
        return Err(format!("{} {text}", binary.display()).into());
    }
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = base.join(format!("uplink-{}", process::id()));
    fs::create_dir_all(&folder)?;
    if let Some(rate) = args.day {
        day::run(&Kind::Fieldgate(binary), rate, &folder)?;
        return Ok(fs::remove_dir_all(&folder)?);
    }
    let kinds = [
        Kind::Fieldgate(binary),
        Kind::Mosquitto(""),
        Kind::Mosquitto(UNLIMITED),
        Kind::Mosquitto(CAREFUL),
        Kind::Mosquitto(ANXIOUS),
    ];
    println!("{}", Broker::Mosquitto.version().unwrap_or_default());
    if !args.only_cuts {
        cost(&args, &kinds, &folder)?;
    }
    let [fieldgate, usual, unlimited, careful, anxious] = &kinds;
    let faults = Fault::ALL.into_iter();
    let faults: Vec<_> = faults
        .filter(|fault| fault.name().contains(&args.fault))
        .collect();
    let senders: Vec<_> = [fieldgate, usual, careful, anxious]
        .into_iter()
        .filter(|kind| kind.name().starts_with(&args.who))
        .collect();
    cuts::run((args.cuts, args.rate), &faults, &senders, &folder)?;
    if args.only_cuts {
        return Ok(fs::remove_dir_all(&folder)?);
    }
    println!("\n| faults | who | messages | connections | lost | twice |");
    println!("|---|---|--:|--:|--:|--:|");
    for kind in [fieldgate, usual, unlimited] {
        outage(&args, kind, &folder)?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn beside() -> PathBuf {
    // target/release/deps/NAME-HASH
    let own = env::current_exe().unwrap_or_default();
    let profile = own.parent().and_then(Path::parent);
    profile.unwrap_or(Path::new("")).join("fieldgate")
}

/// Processor time of a message that goes on, beside one that does not, in turns.
fn cost(args: &Args, kinds: &[Kind], folder: &Path) -> io::Result<()> {
    println!(
        "\nµs of processor time a message, QoS 1, {} messages/s: medians of {}",
        args.rate, args.rounds
    );
    println!("| who | taken and sent on | taken only | difference | resident MiB |");
    println!("|---|--:|--:|--:|--:|");
    let mut found: BTreeMap<usize, [Vec<f64>; 3]> = BTreeMap::new();
    // mosquitto acknowledges at once, as the second does.
    let who = [
        (&kinds[0], ""),
        (&kinds[0], "    spool: {durable: none}\n"),
        (&kinds[1], ""),
    ];
    for _ in 0..args.rounds {
        for (place, (kind, more)) in who.iter().enumerate() {
            let (remote_process, remote_port) = remote()?;
            for (column, to) in [(0, Some(remote_port)), (1, None)] {
                let sender = kind.start_with(&folder.join("cost"), to, more)?;
                let (micros, memory) = one_cost(args, &sender, remote_port, to.is_some())?;
                let figures = found.entry(place).or_default();
                figures[column].push(micros);
                if column == 0 {
                    figures[2].push(memory);
                }
            }
            drop(remote_process);
        }
    }
    for (place, figures) in &found {
        let [both, taken, memory] = figures.each_ref().map(|all| median(all).unwrap_or(0.0));
        let name = ["fieldgate", "fieldgate, `durable: none`", "mosquitto"][*place];
        println!(
            "| {name} | {both:.0} | {taken:.0} | {:.0} | {memory:.0} |",
            both - taken
        );
    }
    Ok(())
}

fn one_cost(
    args: &Args,
    sender: &Process,
    remote: u16,
    is_sent_on: bool,
) -> io::Result<(f64, f64)> {
    let mut there = Wire::connect(remote, "counter");
    there.subscribe("data/#");
    let mut here = Wire::connect(sender.address.port(), "publisher");
    if is_sent_on {
        wait_through(&mut here, &mut there);
    }
    let count = args.rate * args.seconds;
    let counting = is_sent_on.then(|| {
        thread::spawn(move || {
            let mut seen = 0;
            while seen < count && there.message(SILENCE).is_some() {
                seen += 1;
            }
            seen
        })
    });
    let before = sender.cpu()?;
    pace(&mut here, 0..u64::from(count), args.rate);
    if let Some(counting) = counting {
        let seen = counting
            .join()
            .map_err(|_| io::Error::other("the counter has ended"))?;
        if seen != count {
            return Err(io::Error::other(format!("{seen} of {count} came")));
        }
    }
    let took = sender.cpu()? - before;
    let memory = sender.memory_now()? as f64 / f64::from(1 << 20);
    Ok((took.as_secs_f64() * 1e6 / f64::from(count), memory))
}

/// Publishes until something arrives, and takes what has.
fn wait_through(here: &mut Wire, there: &mut Wire) {
    loop {
        here.publish("data/probe", "probe", false);
        if there.message(Duration::from_millis(200)).is_some() {
            break;
        }
    }
    while there.message(Duration::from_millis(500)).is_some() {}
}

/// So many a second, by number. Does not wait for one acknowledgement before the next message, but for all at the end.
fn pace(here: &mut Wire, numbers: std::ops::Range<u64>, rate: u32) {
    let began = Instant::now();
    let first = numbers.start;
    for number in numbers.clone() {
        let due = Duration::from_secs(1).mul_f64((number - first) as f64 / f64::from(rate));
        thread::sleep(due.saturating_sub(began.elapsed()));
        here.post(
            &format!("data/p{}", number % 50),
            &number.to_string(),
            false,
        );
    }
    for _ in numbers {
        here.acknowledged(SILENCE).expect("an acknowledgement");
    }
}

/// Counts what comes until all numbers are there or nothing comes any more.
fn collect(there: &mut Wire, seen: &mut BTreeMap<u64, u64>, count: u64) {
    while (seen.len() as u64) < count {
        let Some(got) = there.message(SILENCE) else {
            return;
        };
        if let Ok(number) = got.payload.parse() {
            *seen.entry(number).or_default() += 1;
        }
    }
}

fn print(what: &str, kind: &Kind, seen: &BTreeMap<u64, u64>, sent: u64, connections: usize) {
    let twice: u64 = seen.values().map(|times| times - 1).sum();
    let lost = sent - seen.len() as u64;
    let name = kind.name();
    println!("| {what} | {name} | {sent} | {connections} | {lost} | {twice} |");
}

/// The remote is away.
fn outage(args: &Args, kind: &Kind, folder: &Path) -> io::Result<()> {
    let (_remote, port) = remote()?;
    let proxy = Proxy::start(port);
    let sender = kind.start(&folder.join("outage"), Some(proxy.port))?;
    let mut there = Wire::connect(port, "counter");
    there.subscribe("data/#");
    let mut here = Wire::connect(sender.address.port(), "publisher");
    wait_through(&mut here, &mut there);
    proxy.set(Mode::Refuse);
    proxy.cut();
    let count = u64::from(args.rate * args.away);
    pace(&mut here, 0..count, args.rate);
    proxy.set(Mode::Pass);
    let mut seen = BTreeMap::new();
    collect(&mut there, &mut seen, count);
    let what = format!("{} s without the remote", args.away);
    print(&what, kind, &seen, count, proxy.connections());
    Ok(())
}
