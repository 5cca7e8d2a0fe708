//! The jobs that run in processes of their own, so that memory and bytes written are one engine's and one load's.
//!
//! A job prints its figures as lines of `name value`.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use fieldgate_tests::bench::stats::percentile;

use crate::machine;
use crate::pattern::{self, Window};
use crate::store::{Engine, Failure};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Job {
    Commits,
    Retained,
    Fill,
    Churn,
    Crash,
    Verify,
}

impl Job {
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// What a job is given on its command line.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Task {
    /// Messages in a batch
    #[arg(long, hide = true, default_value_t = 0)]
    pub size: u64,
    /// Batches that the store holds
    #[arg(long, hide = true, default_value_t = 0)]
    pub depth: u64,
    /// Batches to write; 0 is until killed, or until the time is over
    #[arg(long, hide = true, default_value_t = 0)]
    pub batches: u64,
    #[arg(long, hide = true, default_value_t = 0)]
    pub millis: u64,
    /// Use all key spaces
    #[arg(long, hide = true)]
    pub all_spaces: bool,
    /// Have the engine check the whole store as it opens
    #[arg(long, hide = true)]
    pub check: bool,
    /// End without closing the store
    #[arg(long, hide = true)]
    pub unclean: bool,
}

impl Task {
    pub fn window(&self) -> Window {
        Window {
            size: self.size,
            depth: self.depth,
            all_spaces: self.all_spaces,
        }
    }
}

fn say(name: &str, value: f64) {
    println!("{name} {value}");
}

pub fn run(job: Job, engine: Engine, dir: &Path, task: &Task) -> Result<(), Failure> {
    match job {
        Job::Commits => commits(engine, dir, task),
        Job::Retained => retained(engine, dir, task),
        Job::Fill => fill(engine, dir, task),
        Job::Churn => churn(engine, dir, task),
        Job::Crash => crash(engine, dir, task),
        Job::Verify => verify(engine, dir, task),
    }
}

fn commits(engine: Engine, dir: &Path, task: &Task) -> Result<(), Failure> {
    let mut store = engine.open(dir, false)?;
    let (written, size) = (machine::written()?, machine::occupied(dir)?);
    let mut times = vec![];
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(task.millis) {
        let batch = task.window().batch(times.len() as u64);
        let start = Instant::now();
        store.commit(batch)?;
        times.push(machine::nanos(start.elapsed()));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let messages = (times.len() as u64 * task.size) as f64;
    say("commits_per_s", times.len() as f64 / seconds);
    say("messages_per_s", messages / seconds);
    for percent in [50.0, 99.0] {
        let time = percentile(&mut times, percent).ok_or("not one commit")?;
        say(&format!("p{percent}_us"), time as f64 / 1e3);
    }
    let written = (machine::written()? - written) as f64;
    say("written_per_message", written / messages);
    let growth = machine::occupied(dir)? as f64 - size as f64;
    say("growth_per_message", growth / messages);
    Ok(())
}

fn retained(engine: Engine, dir: &Path, task: &Task) -> Result<(), Failure> {
    let mut store = engine.open(dir, false)?;
    let all = |version| (0..task.size).map(move |topic| pattern::retained(topic, version));
    store.commit(all(0).collect())?;
    let written = machine::written()?;
    let mut times = vec![];
    for version in 1..=task.batches {
        let batch = all(version).collect();
        let start = Instant::now();
        store.commit(batch)?;
        times.push(machine::nanos(start.elapsed()));
    }
    let written = (machine::written()? - written) as f64;
    say("written_per_batch", written / task.batches as f64);
    let time = percentile(&mut times, 50.0).ok_or("not one batch")?;
    say("p50_us", time as f64 / 1e3);
    say("occupied", machine::occupied(dir)? as f64);
    Ok(())
}

fn fill(engine: Engine, dir: &Path, task: &Task) -> Result<(), Failure> {
    let mut store = engine.open(dir, false)?;
    for number in 0..task.batches {
        store.commit(task.window().batch(number))?;
    }
    say("occupied", machine::occupied(dir)? as f64);
    if task.unclean {
        io::stdout().flush()?;
        std::process::exit(0);
    }
    Ok(())
}

fn churn(engine: Engine, dir: &Path, task: &Task) -> Result<(), Failure> {
    /// How often the size on disk is looked at, in batches
    const LOOK: u64 = 64;
    let mut store = engine.open(dir, false)?;
    let written = machine::written()?;
    let begin = Instant::now();
    let mut largest = 0;
    let mut done = 0;
    let mut longest = Duration::ZERO;
    while done < task.batches
        && (task.millis == 0 || begin.elapsed().as_millis() < task.millis.into())
    {
        let batch = task.window().batch(done);
        let start = Instant::now();
        store.commit(batch)?;
        longest = longest.max(start.elapsed());
        done += 1;
        if done % LOOK == 0 {
            largest = largest.max(machine::occupied(dir)?);
        }
    }
    let messages = (done * task.size) as f64;
    say("messages", messages);
    say("messages_per_s", messages / begin.elapsed().as_secs_f64());
    say("longest_us", longest.as_secs_f64() * 1e6);
    say("largest", largest as f64);
    say("end", machine::occupied(dir)? as f64);
    say("memory", machine::memory_peak()? as f64);
    drop(store);
    say("closed", machine::occupied(dir)? as f64);
    say(
        "written_per_message",
        (machine::written()? - written) as f64 / messages,
    );
    Ok(())
}

/// Goes on from what the store holds, and prints each batch that is on disk, until it is killed.
fn crash(engine: Engine, dir: &Path, task: &Task) -> Result<(), Failure> {
    let mut store = engine.open(dir, false)?;
    let last = task.window().verify(store.as_ref())?;
    let mut out = io::stdout().lock();
    for number in last.map_or(0, |last| last + 1).. {
        store.commit(task.window().batch(number))?;
        writeln!(out, "{number}")?;
        out.flush()?;
    }
    Ok(())
}

fn verify(engine: Engine, dir: &Path, task: &Task) -> Result<(), Failure> {
    let before = machine::memory_peak()?;
    let begin = Instant::now();
    let store = engine
        .open(dir, task.check)
        .inspect_err(|_| println!("at-open 1"))?;
    say("open_us", begin.elapsed().as_secs_f64() * 1e6);
    let last = task.window().verify(store.as_ref())?;
    say("ready_us", begin.elapsed().as_secs_f64() * 1e6);
    say("memory", (machine::memory_peak()? - before) as f64);
    say("last", last.map_or(-1.0, |last| last as f64));
    Ok(())
}
