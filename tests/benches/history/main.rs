//! What a reading costs on the card and in the processor, and how long questions take. See `tests/benches/README.md`.

mod plant;

use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use fieldgate_history::{DeviceTap, History, Keeps, Now, Range, Reader, Series, Settings};

use plant::{KINDS, Plant};

#[derive(Parser)]
#[command(
    name = "history",
    about = "Bytes and processor time for each reading; times of questions"
)]
struct Args {
    /// Series that have a reading each second
    #[arg(long, value_name = "N", default_value_t = 200)]
    series: usize,
    /// Hours of them; after 24 the first day's file is made
    #[arg(long, value_name = "N", default_value_t = 26)]
    hours: i64,
    /// Series with a reading an hour for a year
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    year: usize,
    /// Where the files are, on a disk; else in cargo's folder for temporary files
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const START: i64 = 20_000 * DAY;

/// History in a folder of its own, with a clock that the bench turns.
struct Bench {
    history: Option<History>,
    clock: Arc<AtomicI64>,
    folder: PathBuf,
}

impl Bench {
    fn new(folder: PathBuf) -> Result<Self, Box<dyn Error>> {
        let _ = fs::remove_dir_all(&folder);
        let clock = Arc::new(AtomicI64::new(START));
        let settings = Settings {
            folder: folder.clone(),
            max: 1 << 40,
            keep: Duration::from_secs(3_650 * 86_400),
            reserve: 0,
            events: 1 << 20,
            flush: Duration::from_secs(3_600),
            memory: 64 << 20,
            keep_counters: Duration::from_secs(86_400),
            zone: jiff::tz::TimeZone::UTC,
            trust: Duration::MAX,
        };
        let now = Arc::clone(&clock);
        let history = History::start(settings, move || Now {
            at: now.load(Ordering::Relaxed),
            is_set: true,
        })?;
        Ok(Self {
            history: Some(history),
            clock,
            folder,
        })
    }

    fn history(&self) -> Result<&History, Box<dyn Error>> {
        Ok(self.history.as_ref().ok_or("it has ended")?)
    }

    fn turn(&self, at: i64) -> Result<(), Box<dyn Error>> {
        self.clock.store(at, Ordering::Relaxed);
        self.history()?.close();
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.history = None;
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let top = args
        .state
        .clone()
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    seconds(&args, &top.join("history-seconds"))?;
    year(&args, &top.join("history-year"))
}

fn tap(history: &History, names: &[String]) -> DeviceTap {
    history
        .tap()
        .device("d", names.iter().map(String::as_str), |_| Keeps::readings())
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("p{number}")).collect()
}

/// Readings each second: what they take, and what charts of them take.
fn seconds(args: &Args, folder: &Path) -> Result<(), Box<dyn Error>> {
    let bench = Bench::new(folder.to_owned())?;
    let names = names(args.series);
    let tap = tap(bench.history()?, &names);
    let mut plant = Plant::new(args.series);
    let (before, mut own) = (cpu()?, Duration::ZERO);
    for minute in 0..args.hours * 60 {
        let begun = cpu()?;
        let samples: Vec<_> = (0..60)
            .map(|second| plant.samples(START + minute * 60_000 + second * 1_000))
            .collect();
        own += cpu()? - begun;
        samples.iter().for_each(|samples| tap.take(samples, true));
        bench.history()?.flush();
        if minute % 60 == 59 {
            bench.turn(START + (minute + 1) * 60_000)?;
        }
    }
    let used = (cpu()? - before).saturating_sub(own);
    let figures = bench.history()?.reader().figures();
    let count = figures.kept as f64;
    println!(
        "{} series, a reading each second for {} h, all of them change:",
        args.series, args.hours
    );
    println!(
        "  kept           {:8.2} bytes each, in {} files",
        figures.bytes as f64 / count,
        figures.files
    );
    println!(
        "  written        {:8.2} bytes each: journal, hour and day",
        figures.written as f64 / count
    );
    println!(
        "  processor      {:8.0} ns each",
        used.as_nanos() as f64 / count
    );
    println!("  dropped        {:8}", figures.dropped);
    for (number, kind) in KINDS.iter().enumerate() {
        println!(
            "  {kind:14} {:8.2} bytes each in the files of hours and days",
            bytes_of(folder, number)?
        );
    }
    let reader = bench.history()?.reader();
    let end = START + args.hours * HOUR;
    ask(
        "50 sparklines of an hour",
        &reader,
        50.min(args.series),
        end - HOUR,
        end,
        60,
    )?;
    ask("a day of one series", &reader, 1, end - DAY, end, 600)?;
    let begun = Instant::now();
    let mut lines = 0_u64;
    let each = &mut |_: &fieldgate_history::Reading| {
        lines += 1;
        ControlFlow::Continue(())
    };
    let range = Range {
        from: START,
        to: end,
    };
    reader.readings(&series(0), range, each)?;
    println!(
        "  {:28} {:8.1} ms ({lines} readings)",
        "all readings of one series",
        begun.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

/// A year of roll-ups.
fn year(args: &Args, folder: &Path) -> Result<(), Box<dyn Error>> {
    let bench = Bench::new(folder.to_owned())?;
    let names = names(args.year);
    let tap = tap(bench.history()?, &names);
    let mut plant = Plant::new(args.year);
    for day in 0..365 {
        for hour in 0..24 {
            tap.take(&plant.samples(START + day * DAY + hour * HOUR), true);
        }
        bench.history()?.flush();
        bench.turn(START + (day + 1) * DAY)?;
    }
    let figures = bench.history()?.reader().figures();
    println!(
        "{} series, a reading an hour for a year: {:.0} MB",
        args.year,
        figures.bytes as f64 / 1e6
    );
    let (reader, end) = (bench.history()?.reader(), START + 365 * DAY);
    ask(
        "30 days of one series",
        &reader,
        1,
        end - 30 * DAY,
        end,
        720,
    )?;
    ask("a year of one series", &reader, 1, START, end, 730)
}

fn series(number: usize) -> Series {
    Series {
        device: "d".to_owned(),
        point: format!("p{number}"),
    }
}

fn ask(
    what: &str,
    reader: &Reader,
    count: usize,
    from: i64,
    to: i64,
    width: usize,
) -> Result<(), Box<dyn Error>> {
    let (begun, before) = (Instant::now(), cpu()?);
    let mut cells = 0;
    for number in 0..count {
        cells += reader
            .columns(&series(number), Range { from, to }, width, &|| true)?
            .cells
            .len();
    }
    println!(
        "  {what:28} {:8.1} ms, {:.1} ms of a processor ({cells} columns)",
        begun.elapsed().as_secs_f64() * 1e3,
        (cpu()? - before).as_secs_f64() * 1e3
    );
    Ok(())
}

/// Bytes of the blocks of a series in the files that are left, for each reading.
fn bytes_of(folder: &Path, number: usize) -> Result<f64, Box<dyn Error>> {
    let (mut bytes, mut count) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "fgh") {
            continue;
        }
        let opened = fieldgate_history::file::open(&fs::File::open(path)?)?;
        for entry in opened.of(series(number).hash()) {
            bytes += entry.length;
            if entry.what == fieldgate_history::file::What::Readings {
                count += entry.count;
            }
        }
    }
    Ok(f64::from(bytes) / f64::from(count.max(1)))
}

/// Processor time of this process.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .parse::<u64>()?;
    }
    Ok(Duration::from_nanos(sum))
}
