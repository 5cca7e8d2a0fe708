//! A card that takes nothing more: readings wait in memory as far as they fit, and nothing is wrong afterwards.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fieldgate_history::{History, Keeps, Now, Range, Reader, Reading, Series, Settings};
use fieldgate_model::{Sample, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;

const NAME: &str = "a_full_card_stops_nothing_and_history_goes_on_when_there_is_room";
/// Named in the environment of the process that keeps.
const FOLDER: &str = "HISTORY_FULL_FOLDER";
/// It may write no file past this size, in units of 512 bytes, as if the disk were full.
const BLOCKS: u32 = 100;

fn value(number: i64) -> i64 {
    number.wrapping_mul(number).wrapping_mul(7_919) % 1_000_003
}

/// Tells numbers, a hundred at a time, and says whether the card takes them and how many were dropped.
fn keep(folder: &Path) -> ! {
    let settings = Settings {
        folder: folder.to_owned(),
        max: 1 << 30,
        keep: Duration::from_secs(86_400),
        reserve: 0,
        events: 1 << 20,
        flush: Duration::from_secs(3_600),
        memory: 128 << 10,
        keep_counters: Duration::from_secs(86_400),
        zone: TimeZone::UTC,
        trust: Duration::MAX,
    };
    let now = || Now {
        at: 0,
        is_set: true,
    };
    let history = History::start(settings, now).unwrap();
    let tap = history.tap().device("d", ["p"], |_| Keeps::readings());
    let mut out = std::io::stdout();
    for batch in 0_i64.. {
        let samples = (batch * 100..batch * 100 + 100).map(|number| {
            let at = Timestamp::from_millisecond(number).unwrap();
            Sample::good(0, Value::Decimal(value(number).into()), at)
        });
        tap.take(&samples.collect::<Vec<_>>(), true);
        history.flush();
        let figures = history.reader().figures();
        writeln!(out, "{batch} {} {}", figures.is_stuck, figures.dropped).unwrap();
        out.flush().unwrap();
    }
    unreachable!()
}

fn numbers(folder: &Path) -> Vec<i64> {
    let series = Series {
        device: "d".into(),
        point: "p".into(),
    };
    let all = Range {
        from: 0,
        to: i64::MAX,
    };
    let mut numbers = Vec::new();
    let each = &mut |reading: &Reading| {
        assert_eq!(
            reading.number.as_ref().unwrap().value(),
            Value::Decimal(value(reading.at).into())
        );
        numbers.push(reading.at);
        ControlFlow::Continue(())
    };
    Reader::of_folder(folder)
        .unwrap()
        .readings(&series, all, each)
        .unwrap();
    numbers
}

#[test]
fn a_full_card_stops_nothing_and_history_goes_on_when_there_is_room() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        keep(&PathBuf::from(folder));
    }
    let folder = std::env::temp_dir().join(format!("history-full-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let limited = format!("trap '' XFSZ; ulimit -S -f {BLOCKS}; exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(FOLDER, &folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut states = lines.filter_map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((
            words.next()?.parse::<i64>().ok()?,
            words.next()? == "true",
            words.next()?.parse::<u64>().ok()?,
        ))
    });
    let (stuck, ..) = states
        .find(|(_, is_stuck, dropped)| *is_stuck && *dropped > 1_000)
        .unwrap();
    let raised = Command::new("prlimit")
        .args(["--pid", &child.id().to_string(), "--fsize=unlimited"])
        .status();
    assert!(raised.unwrap().success());
    let (again, ..) = states.find(|(_, is_stuck, _)| !*is_stuck).unwrap();
    let (last, _, dropped) = states.find(|(batch, ..)| *batch >= again + 50).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let found = numbers(&folder);
    assert!(found.is_sorted_by(|a, b| a < b), "each once, and in order");
    assert!(
        found.contains(&(last * 100)),
        "what came after the card took readings again"
    );
    assert!(found.contains(&50), "what was there before");
    let missing = (last + 1) * 100
        - found
            .iter()
            .filter(|number| **number < (last + 1) * 100)
            .count() as i64;
    assert!(
        missing as u64 <= dropped,
        "{missing} of {dropped} that it has counted, stuck at {stuck}"
    );
    let _ = fs::remove_dir_all(&folder);
}
