//! Runs our broker beside rumqttd and mosquitto over the loads of the yardstick table and prints the ratios.
//!
//! This is the command line and the order of the rounds; the loads, the clients and the table are in
//! `fieldgate_tests::bench`. See `tests/benches/README.md`.

mod serve;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, io};

use clap::Parser;
use fieldgate_tests::bench::flow::{self, Measured};
use fieldgate_tests::bench::load::{Kind, LOADS, Load};
use fieldgate_tests::bench::process::{Broker, Process, open_files_max};
use fieldgate_tests::bench::{idle, report};

#[derive(Parser)]
#[command(
    name = "broker",
    about = "Runs fieldgate, mosquitto and rumqttd side by side"
)]
struct Args {
    /// One short round, without the 10,000 idle clients: within a minute
    #[arg(long)]
    quick: bool,
    /// Only this load; may be given several times
    #[arg(long, value_name = "NAME", value_parser = LOADS.map(|load| load.name))]
    load: Vec<String>,
    /// Only this broker; may be given several times
    #[arg(long, value_name = "NAME", value_parser = Broker::ALL.map(Broker::name))]
    broker: Vec<String>,
    /// Rounds per load [default: 5, with --quick 1]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Seconds measured per broker, load and round [default: 2, with --quick 1, with --profile 30]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// How far QoS 0 publishers may run ahead of the slowest subscriber, in messages
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    lead: u64,
    /// What one write of a QoS 0 publisher holds at most; 1 gives every message a write of its own
    #[arg(long, value_name = "BYTES", default_value_t = 16_384)]
    write_bytes: usize,
    /// Print the broker's process id and keep the load up, for perf; needs one --broker and one --load
    #[arg(long)]
    profile: bool,
    /// Say each round's figures too
    #[arg(long)]
    verbose: bool,
    #[arg(long, hide = true, requires = "port")]
    serve: Option<String>,
    #[arg(long, hide = true)]
    port: Option<u16>,
    /// Cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

struct Plan {
    loads: Vec<Load>,
    brokers: Vec<Broker>,
    rounds: usize,
    flow: flow::Options,
    exe: PathBuf,
    profile: bool,
    verbose: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if let (Some(name), Some(port)) = (&args.serve, args.port) {
        let broker = Broker::from_name(name).ok_or("--serve: no such broker")?;
        return serve::serve(broker, port);
    }
    let plan = plan(&args)?;
    let mut rows = vec![];
    for load in &plan.loads {
        rows.extend(run_load(load, &plan));
    }
    println!("\n{}", report::table(&rows));
    Ok(())
}

fn plan(args: &Args) -> Result<Plan, Box<dyn Error>> {
    let mut brokers = vec![];
    for broker in Broker::ALL {
        if !args.broker.is_empty() && !args.broker.iter().any(|name| name == broker.name()) {
            continue;
        }
        match broker.version() {
            None => println!("{}: not installed, left out", broker.name()),
            Some(version) => {
                println!("{version}");
                brokers.push(broker);
            }
        }
    }
    let files = open_files_max()?;
    let mut loads = vec![];
    for load in LOADS {
        if args.load.is_empty() {
            if args.quick && load.name == "idle-10000" {
                continue;
            }
        } else if !args.load.iter().any(|name| name == load.name) {
            continue;
        }
        match load.kind {
            Kind::Idle { clients } if clients + 200 > files => println!(
                "{}: left out, only {files} open files are allowed (ulimit -n {} helps)",
                load.name,
                clients + 200
            ),
            _ => loads.push(load),
        }
    }
    if args.profile && (brokers.len() != 1 || loads.len() != 1) {
        return Err("--profile: needs exactly one --broker and one --load".into());
    }
    let default_s = match (args.profile, args.quick) {
        (true, _) => 30.0,
        (_, true) => 1.0,
        _ => 2.0,
    };
    let short = args.quick || args.profile;
    Ok(Plan {
        loads,
        brokers,
        rounds: args.rounds.unwrap_or(if short { 1 } else { 5 }),
        flow: flow::Options {
            warm_up: Duration::from_millis(if args.quick { 300 } else { 500 }),
            measure: Duration::try_from_secs_f64(args.seconds.unwrap_or(default_s))?,
            lead: args.lead,
            write_bytes: args.write_bytes,
        },
        exe: env::current_exe()?,
        profile: args.profile,
        verbose: args.verbose || args.profile,
    })
}

/// All rounds of one load. The brokers take turns, and each round begins with another one.
fn run_load(load: &Load, plan: &Plan) -> Vec<report::Row> {
    println!("{} ...", load.name);
    let mut rows: Vec<report::Row> = load
        .rows
        .iter()
        .map(|&yardstick| report::Row {
            yardstick,
            figures: Default::default(),
        })
        .collect();
    // Memory is the same every time, and ten thousand connections take their time.
    let rounds = match load.kind {
        Kind::Flow { .. } => plan.rounds,
        Kind::Idle { .. } => 1,
    };
    for round in 0..rounds {
        for turn in 0..plan.brokers.len() {
            let broker = plan.brokers[(round + turn) % plan.brokers.len()];
            let figures = measure(load, broker, plan).unwrap_or_else(|error| {
                println!("  {}: {error}", broker.name());
                vec![f64::NAN; load.rows.len()]
            });
            for (row, figure) in rows.iter_mut().zip(figures) {
                row.figures[broker as usize].push(figure);
            }
        }
    }
    rows
}

/// One load on one broker, freshly started: the figures in the order of the load's rows.
fn measure(load: &Load, broker: Broker, plan: &Plan) -> io::Result<Vec<f64>> {
    let process = Process::start(broker, &plan.exe)?;
    if plan.profile {
        println!("  {} is process {}", broker.name(), process.pid());
    }
    match load.kind {
        Kind::Flow { qos, shape, pace } => {
            let measured = flow::run(&process, qos, shape, pace, plan.flow)?;
            report_round(broker, qos, &measured, &process, plan)?;
            Ok([Some(measured.cpu_us), measured.p99_ms]
                .into_iter()
                .flatten()
                .collect())
        }
        Kind::Idle { clients } => {
            let bytes = idle::run(&process, clients)?;
            if plan.verbose {
                println!("  {}: {bytes:.0} bytes per client", broker.name());
            }
            Ok(vec![bytes / 1024.0])
        }
    }
}

/// Loss and repetition are always said where the standard forbids them.
fn report_round(
    broker: Broker,
    qos: u8,
    measured: &Measured,
    process: &Process,
    plan: &Plan,
) -> io::Result<()> {
    let wrong = qos > 0 && measured.lost + measured.repeated > 0;
    if plan.verbose || wrong {
        println!(
            "  {}: {:.2} us, p99 {}, {:.0}/s, cores {:.2} (generator {:.2}), lost {}, repeated {}, peak {} MiB",
            broker.name(),
            measured.cpu_us,
            measured
                .p99_ms
                .map_or("-".to_owned(), |ms| format!("{ms:.2} ms")),
            measured.delivered_per_s,
            measured.broker_cores,
            measured.generator_cores,
            measured.lost,
            measured.repeated,
            process.memory_peak()? >> 20,
        );
    }
    Ok(())
}
