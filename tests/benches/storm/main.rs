//! Ten thousand clients arrive in seconds, and then half of them die at once: fieldgate beside mosquitto.
//!
//! See `tests/benches/README.md`. What `--serve` does inside the child is the broker bench's.

#[path = "../broker/serve.rs"]
mod serve;

use std::error::Error;
use std::time::{Duration, Instant};
use std::{env, io};

use clap::Parser;
use fieldgate_tests::bench::client::Client;
use fieldgate_tests::bench::process::{Broker, Process, open_files_max};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// An answer to CONNECT or SUBSCRIBE fits in.
const READ_BYTES: usize = 64;

#[derive(Parser)]
#[command(
    name = "storm",
    about = "Lets clients arrive all at once and die all at once"
)]
struct Args {
    /// Clients, with one subscription each
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    clients: usize,
    /// Clients that have begun to connect and not got their SUBACK, at a time
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    at_once: usize,
    /// Storms of each broker; they take turns, and the table shows medians
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    #[arg(long, hide = true, requires = "port")]
    serve: Option<String>,
    #[arg(long, hide = true)]
    port: Option<u16>,
    /// Cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rows of the table.
const ROWS: [&str; 6] = [
    "until the last SUBACK, ms",
    "CPU for a client, us",
    "CONNECT to CONNACK, median, ms",
    "CONNECT to CONNACK, 99th percentile, ms",
    "memory for a client, KiB",
    "half of them die: until a new client is served, ms",
];

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if let (Some(name), Some(port)) = (&args.serve, args.port) {
        let broker = Broker::from_name(name).ok_or("--serve: no such broker")?;
        return serve::serve(broker, port);
    }
    if args.clients + 200 > open_files_max()? {
        return Err(format!("needs ulimit -n {}", args.clients + 200).into());
    }
    let brokers: Vec<_> = [Broker::Fieldgate, Broker::Mosquitto]
        .into_iter()
        .filter(|broker| broker.version().is_some())
        .collect();
    let mut figures = vec![vec![]; brokers.len()];
    for round in 0..args.rounds {
        for turn in 0..brokers.len() {
            let which = (round + turn) % brokers.len();
            let storm = storm(brokers[which], &args)?;
            println!("{}: {storm:.1?}", brokers[which].name());
            figures[which].push(storm);
        }
    }
    println!("\n| {} clients |{}", args.clients, header(&brokers));
    for (row, name) in ROWS.iter().enumerate() {
        let cells = figures
            .iter()
            .map(|storms| format!(" {:.1} |", median(storms.iter().map(|storm| storm[row]))));
        println!("| {name} |{}", cells.collect::<String>());
    }
    Ok(())
}

fn header(brokers: &[Broker]) -> String {
    let names = brokers.iter().map(|broker| format!(" {} |", broker.name()));
    let line = "--:|".repeat(brokers.len());
    format!("{}\n|---|{line}", names.collect::<String>())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One storm on a broker that was just started: the figures in the order of the rows.
fn storm(broker: Broker, args: &Args) -> io::Result<[f64; ROWS.len()]> {
    let process = Process::start(broker, &env::current_exe()?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (cpu, memory) = (process.cpu()?, process.memory()?);
        let begin = Instant::now();
        let (mut streams, mut latencies) = arrive(&process, args).await?;
        let took = begin.elapsed();
        let cpu = process.cpu()?.saturating_sub(cpu);
        let memory = process.memory()?.saturating_sub(memory);
        latencies.sort();
        for stream in &streams {
            // A reset, as of a machine that is gone; and no port stays in TIME_WAIT.
            stream.set_zero_linger()?;
        }
        let begin = Instant::now();
        streams.truncate(args.clients / 2);
        let mut late = Client::open(process.address, "late", READ_BYTES).await?;
        late.subscribe("late", 0).await?;
        let served = begin.elapsed();
        let clients = args.clients as f64;
        Ok([
            ms(took),
            cpu.as_secs_f64() * 1e6 / clients,
            ms(latencies[latencies.len() / 2]),
            ms(latencies[latencies.len() * 99 / 100]),
            memory as f64 / 1024.0 / clients,
            ms(served),
        ])
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

async fn arrive(process: &Process, args: &Args) -> io::Result<(Vec<TcpStream>, Vec<Duration>)> {
    let (mut streams, mut latencies) = (vec![], vec![]);
    let address = process.address;
    let mut underway = JoinSet::new();
    for number in 0..args.clients + args.at_once {
        if number >= args.at_once
            && let Some(arrived) = underway.join_next().await
        {
            let (stream, latency) = arrived??;
            streams.push(stream);
            latencies.push(latency);
        }
        if number >= args.clients {
            continue;
        }
        underway.spawn(async move {
            let begin = Instant::now();
            let mut client = Client::open(address, &format!("storm-{number}"), READ_BYTES).await?;
            let latency = begin.elapsed();
            client.subscribe(&format!("storm/{number}"), 0).await?;
            Ok::<_, io::Error>((client.into_stream(), latency))
        });
    }
    Ok((streams, latencies))
}
