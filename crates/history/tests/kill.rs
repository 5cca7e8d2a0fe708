//! A gateway that is killed again and again: what was flushed is there, once, and as it was.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use fieldgate_history::{Asked, Event, History, Keeps, Kind, Now, Range, Reader, Series, Settings};
use fieldgate_model::{Decimal, Sample, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;

const ROUNDS: u32 = 200;
const POINTS: usize = 20;
const HOUR: i64 = 3_600_000;
/// Named in the environment of the process that is killed.
const FOLDER: &str = "HISTORY_KILL_FOLDER";

fn value(number: i64, point: usize) -> Decimal {
    let noise = number.wrapping_mul(7_919 + point as i64) % 1_009;
    Decimal::new((number * 10 + noise).into(), 2).unwrap()
}

/// Tells numbers from the one after the last that is there, says how far they are flushed, and goes on until it is
/// killed. Every 40 of them an hour passes, every 400 a day: files are written all the time.
fn keep(folder: &Path) -> ! {
    let clock = Arc::new(AtomicI64::new(0));
    let now = Arc::clone(&clock);
    let settings = Settings {
        folder: folder.to_owned(),
        max: 1 << 30,
        keep: Duration::from_secs(3_650 * 86_400),
        reserve: 0,
        events: 1 << 20,
        flush: Duration::from_secs(3_600),
        memory: 16 << 20,
        keep_counters: Duration::from_secs(86_400),
        zone: TimeZone::UTC,
        trust: Duration::ZERO,
    };
    let history = History::start(settings, move || Now {
        at: now.load(Ordering::Relaxed),
        is_set: true,
    });
    let history = history.unwrap();
    let names: Vec<String> = (0..POINTS).map(|point| format!("p{point}")).collect();
    let tap = history
        .tap()
        .device("d", names.iter().map(String::as_str), |_| Keeps::readings());
    let mut out = std::io::stdout();
    let first = numbers(&history.reader(), 0)
        .last()
        .map_or(0, |last| last + 1);
    for number in first.. {
        let at = Timestamp::from_millisecond(number * HOUR / 40).unwrap();
        let samples =
            (0..POINTS).map(|point| Sample::good(point, Value::Decimal(value(number, point)), at));
        tap.take(&samples.collect::<Vec<_>>(), true);
        let event = Event::new(Kind::Offline, at).of(&format!("d{number}"));
        tap.tap().event(event);
        clock.store(at.as_millisecond() / 400 * 24 * 10, Ordering::Relaxed);
        match number % 10 {
            9 => history.close(),
            4 => history.flush(),
            _ => continue,
        }
        writeln!(out, "{number}").unwrap();
        out.flush().unwrap();
    }
    unreachable!()
}

/// The numbers that are there of a point; each value is that of its number.
fn numbers(reader: &Reader, point: usize) -> Vec<i64> {
    let series = Series {
        device: "d".into(),
        point: format!("p{point}"),
    };
    let all = Range {
        from: i64::MIN / 2,
        to: i64::MAX / 2,
    };
    let mut numbers = Vec::new();
    let each = &mut |reading: &fieldgate_history::Reading| {
        let number = reading.at * 40 / HOUR;
        let found = reading.number.as_ref().unwrap().value();
        assert_eq!(found, Value::Decimal(value(number, point)), "{number}");
        numbers.push(number);
        ControlFlow::Continue(())
    };
    reader.readings(&series, all, each).unwrap();
    numbers
}

/// The numbers of the events that are there.
fn events(reader: &Reader) -> Vec<i64> {
    let asked = Asked {
        range: Range {
            from: i64::MIN / 2,
            to: i64::MAX / 2,
        },
        device: None,
        with_gateway: false,
        kinds: vec![Kind::Offline],
        most: usize::MAX,
    };
    let told = reader.events(&asked, &|| true).unwrap();
    let numbers = told.events.iter().map(|event| {
        let number = event.device.strip_prefix('d').unwrap().parse().unwrap();
        assert_eq!(event.millisecond(), number * HOUR / 40);
        number
    });
    numbers.collect()
}

#[test]
fn nothing_that_was_flushed_is_lost_changed_or_there_twice_after_a_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        keep(&PathBuf::from(folder));
    }
    let folder = std::env::temp_dir().join(format!("history-kill-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let mut told = -1;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "nothing_that_was_flushed_is_lost_changed_or_there_twice_after_a_kill",
                "--nocapture",
            ])
            .env(FOLDER, &folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let mut lines = lines.filter_map(|line| line.trim().parse::<i64>().ok());
        // Somewhere in a write: at another moment in each round.
        for _ in 0..=round % 7 {
            told = lines.next().expect("it runs until it is killed");
        }
        std::thread::sleep(Duration::from_micros(u64::from(round) * 97 % 9_000));
        child.kill().unwrap();
        child.wait().unwrap();
        told = lines.last().unwrap_or(told);
        let reader = Reader::of_folder(&folder).unwrap();
        for point in [0, POINTS - 1] {
            let found = numbers(&reader, point);
            let want: Vec<i64> = (0..found.len() as i64).collect();
            assert!(
                found == want,
                "round {round}: {:?}",
                found.iter().zip(&want).find(|(a, b)| a != b)
            );
            assert!(
                found.len() as i64 > told,
                "round {round}: {} of {told}",
                found.len()
            );
        }
        // Events are written before readings: the next run tells those anew whose readings were lost.
        let mut found = events(&reader);
        found.dedup();
        let want: Vec<i64> = (0..found.len() as i64).collect();
        assert_eq!(found, want, "round {round}");
        assert!(
            found.len() as i64 > told,
            "round {round}: {told} were flushed"
        );
        assert_eq!(reader.figures().damaged, 0);
    }
    let days = fs::read_dir(&folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("d-")
    });
    assert!(days.count() > 3, "files of days were written, too");
    let _ = fs::remove_dir_all(&folder);
}
