//! Compares redb, fjall and SQLite as the store of the broker's sessions, under the broker's pattern of writes.
//!
//! This is the command line, the order of the rounds and the tables. See `tests/benches/README.md`.

mod child;
mod engine_fjall;
mod engine_redb;
mod engine_sqlite;
mod harm;
mod job;
mod machine;
mod pattern;
mod store;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use child::{Figures, Folder};
use clap::Parser;
use fieldgate_tests::bench::stats::{median, percentile};
use job::{Job, Task};
use store::{Engine, Failure};

#[derive(Parser)]
#[command(name = "store", about = "Compares stores for the broker's sessions")]
struct Args {
    /// One short round: about 30 seconds
    #[arg(long)]
    quick: bool,
    /// Where the stores are written; must exist [default: cargo's folder for temporary files]
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_TARGET_TMPDIR"), hide_default_value = true)]
    dir: PathBuf,
    /// Only this engine; may be given several times
    #[arg(long, value_name = "NAME", value_parser = Engine::ALL.map(Engine::name))]
    engine: Vec<String>,
    /// Say each error message of the damage tests too
    #[arg(long)]
    verbose: bool,
    #[arg(long, hide = true)]
    job: Option<Job>,
    #[command(flatten)]
    task: Task,
    /// Cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// How long everything takes.
struct Plan {
    engines: Vec<Engine>,
    dir: PathBuf,
    rounds: usize,
    commit_millis: u64,
    retained_batches: u64,
    backlog_batches: u64,
    churn_batches: u64,
    kills: usize,
    flips: u64,
    cuts: u64,
    verbose: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let engines: Vec<Engine> = Engine::ALL
        .into_iter()
        .filter(|engine| {
            args.engine.is_empty() || args.engine.iter().any(|name| name == engine.name())
        })
        .collect();
    let done = match (args.job, engines.first()) {
        (Some(job), Some(engine)) => job::run(job, *engine, &args.dir, &args.task),
        _ => compare(&plan(&args, engines)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn plan(args: &Args, engines: Vec<Engine>) -> Plan {
    let (dir, verbose) = (args.dir.clone(), args.verbose);
    if args.quick {
        Plan {
            engines,
            dir,
            rounds: 1,
            commit_millis: 400,
            retained_batches: 20,
            backlog_batches: 250,
            churn_batches: 800,
            kills: 4,
            flips: 3,
            cuts: 2,
            verbose,
        }
    } else {
        Plan {
            engines,
            dir,
            rounds: 3,
            commit_millis: 1000,
            retained_batches: 60,
            backlog_batches: 1563,
            churn_batches: 15_625,
            kills: 20,
            flips: 8,
            cuts: 4,
            verbose,
        }
    }
}

fn compare(plan: &Plan) -> Result<(), Failure> {
    println!("Stores on {}", machine::file_system(&plan.dir)?);
    print_sync_times(&plan.dir)?;
    for size in [1, 8, 64] {
        let task = Task {
            size,
            depth: 1,
            millis: plan.commit_millis,
            ..Task::default()
        };
        let rounds = in_rounds(plan, &format!("commits-{size}"), |engine, dir| {
            child::figures(Job::Commits, engine, dir, &task)
        })?;
        table(
            &format!("Group commits of {size} messages, the {size} before deleted"),
            &[
                ("p50 µs", "p50_us", 1.0),
                ("p99 µs", "p99_us", 1.0),
                ("commits/s", "commits_per_s", 1.0),
                ("messages/s", "messages_per_s", 1.0),
                ("written B/message", "written_per_message", 1.0),
                ("growth B/message", "growth_per_message", 1.0),
            ],
            &rounds,
        );
    }
    let task = Task {
        size: 2000,
        batches: plan.retained_batches,
        ..Task::default()
    };
    let rounds = in_rounds(plan, "retained", |engine, dir| {
        child::figures(Job::Retained, engine, dir, &task)
    })?;
    table(
        "Retained: 2,000 changed topics a batch",
        &[
            ("p50 µs", "p50_us", 1.0),
            ("written KiB/batch", "written_per_batch", 1024.0),
            ("on disk KiB", "occupied", 1024.0),
        ],
        &rounds,
    );
    backlog(plan)?;
    churn(plan)?;
    print_kills(plan)?;
    print_damage(plan)?;
    print_sync_times(&plan.dir)
}

fn print_sync_times(dir: &Path) -> Result<(), Failure> {
    let folder = Folder::new(dir, "sync")?;
    let mut times = machine::sync_times(folder.path(), 200)?;
    let mut micros = |percent| percentile(&mut times, percent).unwrap_or(0) / 1000;
    println!(
        "fdatasync of 4 KiB appended: p50 {} µs, p99 {} µs. An SD card may take far longer.",
        micros(50.0),
        micros(99.0)
    );
    Ok(())
}

type Rounds = Vec<(Engine, Vec<Figures>)>;

/// One engine after the other, and then again, so that a slow minute of the machine hits all of them.
fn in_rounds(
    plan: &Plan,
    name: &str,
    mut measure: impl FnMut(Engine, &Path) -> Result<Figures, Failure>,
) -> Result<Rounds, Failure> {
    let mut all: Rounds = plan
        .engines
        .iter()
        .map(|engine| (*engine, vec![]))
        .collect();
    for _ in 0..plan.rounds {
        for (engine, rounds) in &mut all {
            let folder = Folder::new(&plan.dir, &format!("{name}-{}", engine.name()))?;
            rounds.push(measure(*engine, folder.path())?);
        }
    }
    Ok(all)
}

/// Prints medians: a heading, a figure's name, and what it is divided by, for each column.
fn table(title: &str, columns: &[(&str, &str, f64)], rounds: &Rounds) {
    let rows = rounds.iter().map(|(engine, rounds)| {
        let cells = columns.iter().map(|(_, figure, divisor)| {
            let values: Vec<f64> = rounds
                .iter()
                .filter_map(|round| round.get(*figure).copied())
                .collect();
            median(&values).map_or_else(|| "-".into(), |value| number(value / divisor))
        });
        [engine.name().to_owned()]
            .into_iter()
            .chain(cells)
            .collect()
    });
    let headings: Vec<&str> = columns.iter().map(|(heading, _, _)| *heading).collect();
    print_table(title, &headings, rows);
}

fn print_table(title: &str, headings: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    println!("\n{title}\n");
    println!("| store | {} |", headings.join(" | "));
    println!("|---|{}", "--:|".repeat(headings.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

fn number(value: f64) -> String {
    let digits = if value.abs() < 100.0 { 1 } else { 0 };
    format!("{value:.digits$}")
}

fn backlog(plan: &Plan) -> Result<(), Failure> {
    let fill = Task {
        size: 64,
        depth: plan.backlog_batches,
        batches: plan.backlog_batches,
        unclean: true,
        ..Task::default()
    };
    let rounds = in_rounds(plan, "backlog", |engine, dir| {
        let mut all = Figures::new();
        let mut add = |prefix: &str, figures: Figures| {
            all.extend(
                figures
                    .into_iter()
                    .map(|(name, value)| (format!("{prefix}{name}"), value)),
            );
        };
        add("", child::figures(Job::Fill, engine, dir, &fill)?);
        add("killed_", child::figures(Job::Verify, engine, dir, &fill)?);
        add("closed_", child::figures(Job::Verify, engine, dir, &fill)?);
        if engine.has_check() {
            let check = Task {
                check: true,
                ..fill.clone()
            };
            add(
                "checked_",
                child::figures(Job::Verify, engine, dir, &check)?,
            );
        }
        Ok(all)
    })?;
    const MIB: f64 = 1024.0 * 1024.0;
    table(
        &format!(
            "A backlog of {} messages, reopened and read",
            plan.backlog_batches * 64
        ),
        &[
            ("open after kill ms", "killed_open_us", 1000.0),
            ("open and read ms", "killed_ready_us", 1000.0),
            ("open after close ms", "closed_open_us", 1000.0),
            ("open and read ms", "closed_ready_us", 1000.0),
            ("open checked ms", "checked_open_us", 1000.0),
            ("peak memory after kill MiB", "killed_memory", MIB),
            ("on disk MiB", "occupied", MIB),
        ],
        &rounds,
    );
    Ok(())
}

/// When the churn ends on a disk that is too slow for all of it, in milliseconds.
const CHURN_MILLIS: u64 = 60_000;

fn churn(plan: &Plan) -> Result<(), Failure> {
    let task = Task {
        size: 64,
        depth: 16,
        batches: plan.churn_batches,
        millis: CHURN_MILLIS,
        ..Task::default()
    };
    let mut rounds = Rounds::new();
    for engine in &plan.engines {
        let folder = Folder::new(&plan.dir, &format!("churn-{}", engine.name()))?;
        rounds.push((
            *engine,
            vec![child::figures(Job::Churn, *engine, folder.path(), &task)?],
        ));
    }
    const MIB: f64 = 1024.0 * 1024.0;
    table(
        &format!(
            "Churn: up to {} messages, 1,024 of them at a time",
            plan.churn_batches * 64
        ),
        &[
            ("messages", "messages", 1.0),
            ("messages/s", "messages_per_s", 1.0),
            ("longest commit ms", "longest_us", 1000.0),
            ("written B/message", "written_per_message", 1.0),
            ("largest MiB", "largest", MIB),
            ("at the end MiB", "end", MIB),
            ("closed MiB", "closed", MIB),
            ("peak memory MiB", "memory", MIB),
        ],
        &rounds,
    );
    Ok(())
}

fn print_kills(plan: &Plan) -> Result<(), Failure> {
    let mut rows = vec![];
    let mut faults = vec![];
    for engine in &plan.engines {
        let kills = harm::kills(*engine, &plan.dir, plan.kills)?;
        let millis = |us: Option<f64>| us.map_or_else(|| "-".into(), |us| number(us / 1000.0));
        rows.push(vec![
            engine.name().to_owned(),
            kills.rounds.to_string(),
            kills.acknowledged.to_string(),
            kills.faults.len().to_string(),
            millis(kills.open_us),
            millis(kills.open_max_us.map(|us| us as f64)),
        ]);
        faults.extend(
            kills
                .faults
                .iter()
                .map(|fault| format!("{}: {fault}", engine.name())),
        );
    }
    let headings = [
        "rounds",
        "batches acknowledged",
        "faults",
        "open p50 ms",
        "open max ms",
    ];
    print_table(
        "kill -9 while writing batches of 16 over all key spaces",
        &headings,
        rows.into_iter(),
    );
    faults.iter().for_each(|fault| println!("{fault}"));
    Ok(())
}

fn print_damage(plan: &Plan) -> Result<(), Failure> {
    let mut rows = vec![];
    let mut messages: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for engine in &plan.engines {
        for damage in harm::damage(*engine, &plan.dir, plan.flips, plan.cuts)? {
            let counts = harm::OUTCOMES.map(|name| {
                damage
                    .outcomes
                    .get(name)
                    .map_or_else(String::new, usize::to_string)
            });
            rows.push(
                [format!("{}: {}", engine.name(), damage.what)]
                    .into_iter()
                    .chain(counts)
                    .collect(),
            );
            let said = damage.messages.iter();
            messages
                .entry(engine.name())
                .or_default()
                .extend(said.map(|said| format!("{}: {said}", damage.what)));
        }
    }
    print_table(
        "Damaged stores of 38,400 messages: how often each happened",
        &harm::OUTCOMES,
        rows.into_iter(),
    );
    if plan.verbose {
        for (engine, messages) in messages {
            messages
                .iter()
                .for_each(|message| println!("{engine}: {message}"));
        }
    }
    Ok(())
}
