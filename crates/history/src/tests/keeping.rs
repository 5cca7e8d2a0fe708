//! The keeper on a real folder, with a clock of the test.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use fieldgate_model::{Decimal, Quality, Sample, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::reading::Reading;
use crate::{History, Keeps, Now, Range, Reader, Series, Settings};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Noon of some day.
pub(super) const NOON: i64 = 20_000 * DAY + 12 * HOUR;
pub(super) const ALL: Range = Range {
    from: i64::MIN / 2,
    to: i64::MAX / 2,
};

pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("history-{}-{number}", std::process::id()));
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names
            .filter(|name| !["journal", "counters", "events"].contains(&name.as_str()))
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn settings(folder: &Path) -> Settings {
    Settings {
        folder: folder.to_owned(),
        max: 1 << 30,
        keep: Duration::from_secs(30 * 86_400),
        reserve: 0,
        events: 1 << 20,
        flush: Duration::from_secs(3_600),
        memory: 16 << 20,
        trust: Duration::ZERO,
        keep_counters: Duration::from_secs(731 * 86_400),
        zone: TimeZone::UTC,
    }
}

pub(super) struct Plant {
    pub(super) history: History,
    now: Arc<AtomicI64>,
}

impl Plant {
    pub(super) fn new(settings: Settings, now: i64) -> Self {
        let now = Arc::new(AtomicI64::new(now));
        let clock = Arc::clone(&now);
        let history = History::start(settings, move || Now {
            at: clock.load(Ordering::Relaxed),
            is_set: true,
        });
        Self {
            history: history.unwrap(),
            now,
        }
    }

    /// Tells values one second apart, from `at` on.
    pub(super) fn tell(&self, at: i64, values: impl IntoIterator<Item = i64>) {
        let tap = self
            .history
            .tap()
            .device("meter", ["power", "secret"], |point| Keeps {
                readings: point != "secret",
                counter: None,
            });
        let samples = (0..).zip(values).flat_map(|(second, value)| {
            let at = Timestamp::from_millisecond(at + second * 1_000).unwrap();
            let value = Value::Decimal(Decimal::new(value.into(), 1).unwrap());
            [
                Sample::good(0, value.clone(), at),
                Sample::good(1, value, at),
            ]
        });
        tap.take(&samples.collect::<Vec<_>>(), true);
    }

    /// Tells what a counter shows, a second apart, from `at` on.
    pub(super) fn count(&self, at: i64, values: &[&str]) {
        let samples = (0..).zip(values).map(|(second, value)| {
            let value = Value::Decimal(value.parse().unwrap());
            Sample::good(0, value, moment(at + second * 1_000))
        });
        self.counter(&samples.collect::<Vec<_>>());
    }

    /// Tells that the counter's device does not answer.
    pub(super) fn lose(&self, at: i64) {
        self.counter(&[Sample::bad(0, moment(at))]);
    }

    fn counter(&self, samples: &[Sample]) {
        let keeps = |_: &str| Keeps {
            readings: true,
            counter: Some("kWh".to_owned()),
        };
        let tap = self.history.tap().device("meter", ["energy"], keeps);
        tap.take(samples, true);
        self.history.flush();
    }

    /// Has the keeper look at the clock.
    pub(super) fn turn(&self, now: i64) {
        self.now.store(now, Ordering::Relaxed);
        self.history.close();
    }
}

fn moment(at: i64) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap()
}

fn power() -> Series {
    Series {
        device: "meter".into(),
        point: "power".into(),
    }
}

fn found(reader: &Reader) -> Vec<Reading> {
    let mut all = Vec::new();
    let each = &mut |reading: &Reading| {
        all.push(reading.clone());
        ControlFlow::Continue(())
    };
    reader.readings(&power(), ALL, each).unwrap();
    all
}

fn values(reader: &Reader) -> Vec<i64> {
    let numbers = found(reader)
        .into_iter()
        .filter_map(|reading| reading.number);
    numbers
        .map(|number| (number.to_f64() * 10.0).round() as i64)
        .collect()
}

#[test]
fn readings_go_from_memory_to_journal_to_hour_to_day_and_stay_the_same() {
    let folder = Folder::new();
    let want: Vec<i64> = (0..7_200).map(|second| 2_300 + second % 17).collect();
    {
        let plant = Plant::new(settings(&folder.0), NOON);
        plant.tell(NOON, want[..100].to_vec());
        plant.history.flush();
        assert_eq!(values(&plant.history.reader()), want[..100]);
    }
    let reader = Reader::of_folder(&folder.0).unwrap();
    assert_eq!(values(&reader), want[..100], "from outside");
    let plant = Plant::new(settings(&folder.0), NOON);
    assert_eq!(
        values(&plant.history.reader()),
        want[..100],
        "after a restart"
    );
    plant.tell(NOON + 100_000, want[100..3_600].to_vec());
    plant.turn(NOON + HOUR);
    assert_eq!(folder.names(), ["h-0000000001-0000000001-20241004.fgh"]);
    plant.tell(NOON + HOUR, want[3_600..].to_vec());
    plant.turn(NOON + 2 * HOUR);
    assert_eq!(folder.names().len(), 2);
    assert_eq!(values(&plant.history.reader()), want);
    plant.turn(NOON + DAY);
    let names = [
        "d-0000000001-0000000002-20241004.fgh",
        "r-0000000001-0000000002-20241004.fgh",
    ];
    assert_eq!(folder.names(), names);
    assert_eq!(values(&plant.history.reader()), want);
    drop(plant);
    assert_eq!(
        values(&Plant::new(settings(&folder.0), NOON + DAY).history.reader()),
        want
    );
    let series = Reader::of_folder(&folder.0).unwrap().series(ALL).unwrap();
    assert_eq!(series, [power()].into());
}

#[test]
fn columns_of_readings_minutes_and_hours_say_the_same() {
    let folder = Folder::new();
    let plant = Plant::new(settings(&folder.0), NOON);
    plant.tell(NOON, (0..7_200).map(|second| second % 60));
    let ask = |from: i64, to: i64, width| {
        let range = Range { from, to };
        plant
            .history
            .reader()
            .columns(&power(), range, width, &|| true)
            .unwrap()
    };
    let check = |whence: &str| {
        for (length, width, cells, count) in [
            (60_000, 60, 60, 1),
            (2 * HOUR, 120, 120, 60),
            (4 * HOUR, 4, 2, 3_600),
            (2 * HOUR, 1, 1, 7_200),
        ] {
            let found = ask(NOON, NOON + length, width);
            assert_eq!(found.cells.len(), cells, "{whence}");
            assert!(
                found.cells.iter().all(|cell| cell.count == count),
                "{whence}"
            );
            if count >= 60 {
                let numbers = found.cells[0].numbers.unwrap();
                assert_eq!(
                    (numbers.min, numbers.max, numbers.first, numbers.last),
                    (0.0, 5.9, 0.0, 5.9)
                );
                assert!(
                    (numbers.mean - 2.95).abs() < 1e-9,
                    "{whence}: {}",
                    numbers.mean
                );
            }
        }
        let later = ask(NOON + 3 * HOUR, NOON + 4 * HOUR, 100);
        assert!(later.cells.is_empty());
        let before = later.before.unwrap();
        assert_eq!(
            (before.at, before.number.unwrap().to_f64()),
            (NOON + 7_199_000, 5.9),
            "{whence}"
        );
    };
    plant.history.flush();
    check("chunks");
    plant.turn(NOON + 2 * HOUR);
    check("an hour's file");
    plant.turn(NOON + DAY);
    check("a day's file");
    let day = folder
        .names()
        .into_iter()
        .find(|name| name.starts_with("d-"))
        .unwrap();
    drop(plant);
    fs::remove_file(folder.0.join(day)).unwrap();
    let plant = Plant::new(settings(&folder.0), NOON + DAY);
    let range = Range {
        from: NOON,
        to: NOON + HOUR,
    };
    let hours = plant
        .history
        .reader()
        .columns(&power(), range, 60, &|| true)
        .unwrap();
    assert_eq!(hours.cells.len(), 1, "what is left of a day that had to go");
    assert_eq!(hours.cells[0].count, 3_600);
}

#[test]
fn the_oldest_files_go_and_a_clock_that_was_wrong_makes_no_other_old() {
    let folder = Folder::new();
    let careful = Settings {
        trust: Duration::from_secs(3_600),
        ..settings(&folder.0)
    };
    let plant = Plant::new(careful, NOON);
    plant.tell(NOON, [1]);
    plant.turn(NOON + HOUR);
    // Ten years ahead, and back.
    let ahead = NOON + 3_650 * DAY;
    plant.turn(ahead);
    plant.tell(ahead, [2]);
    plant.turn(ahead + HOUR);
    plant.turn(NOON + 2 * HOUR);
    plant.tell(NOON + 2 * HOUR, [3]);
    plant.turn(NOON + 3 * HOUR);
    plant.turn(NOON + 29 * DAY);
    assert_eq!(values(&plant.history.reader()), [1, 2, 3]);
    drop(plant);
    let plant = Plant::new(settings(&folder.0), NOON + 32 * DAY);
    plant.tell(NOON + 32 * DAY, [4]);
    plant.turn(NOON + 32 * DAY);
    plant.turn(NOON + 32 * DAY + HOUR);
    assert_eq!(values(&plant.history.reader()), [2, 4]);
    drop(plant);
    let small = Settings {
        max: 600 << 10,
        ..settings(&folder.0)
    };
    let plant = Plant::new(small, NOON + 33 * DAY);
    for hour in 0..100 {
        let start = NOON + 33 * DAY + hour * HOUR;
        let noise = (0..1_800_i64).map(|second| (second * second * 7_919 + hour) % 100_003);
        plant.tell(start, noise);
        plant.turn(start + HOUR);
    }
    let figures = plant.history.reader().figures();
    assert!(figures.removed > 10, "{figures:?}");
    assert!(figures.bytes <= 600 << 10, "{figures:?}");
    assert_eq!(figures.dropped, 0);
}

#[test]
fn files_of_other_versions_stay_and_unfinished_ones_go() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    let future = "h-0000000009-0000000009-20991231.fgh";
    let mut bytes = b"FGhist\r\n".to_vec();
    bytes.extend([9; 100]);
    fs::write(folder.0.join(future), bytes).unwrap();
    fs::write(folder.0.join("d-1-2-20240101.fgh.tmp"), "half").unwrap();
    fs::write(folder.0.join("notes.txt"), "of a person").unwrap();
    let plant = Plant::new(settings(&folder.0), NOON);
    plant.tell(NOON, [1]);
    plant.turn(NOON + HOUR);
    assert_eq!(
        folder.names(),
        ["h-0000000001-0000000001-20241004.fgh", future, "notes.txt"]
    );
}

#[test]
fn a_damaged_journal_is_set_aside_and_what_is_whole_of_it_is_kept() {
    let folder = Folder::new();
    {
        let plant = Plant::new(settings(&folder.0), NOON);
        for minute in 0..3 {
            plant.tell(NOON + minute * 60_000, [minute, minute]);
            plant.history.flush();
        }
    }
    let segment = folder.0.join("journal/00000.log");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4_096 + 100] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let plant = Plant::new(settings(&folder.0), NOON);
    assert_eq!(values(&plant.history.reader()), [0, 0, 2, 2]);
    assert_eq!(plant.history.reader().figures().damaged, 1);
    assert_eq!(folder.names(), ["journal.damaged"]);
    drop(plant);
    let plant = Plant::new(settings(&folder.0), NOON);
    assert_eq!(values(&plant.history.reader()), [0, 0, 2, 2]);
}

#[test]
fn too_much_for_the_memory_is_in_files_early_and_quality_comes_through() {
    let folder = Folder::new();
    let small = Settings {
        memory: 32 << 10,
        ..settings(&folder.0)
    };
    let plant = Plant::new(small, NOON);
    let want: Vec<i64> = (0..20_000_i64)
        .map(|second| second * second * 7_919 % 100_003)
        .collect();
    for (place, part) in (0..).zip(want.chunks(500)) {
        plant.tell(NOON + place * 500_000, part.to_vec());
        plant.history.flush();
    }
    assert!(folder.names().len() >= 2);
    let found_values = values(&plant.history.reader());
    let differ = found_values.iter().zip(&want).position(|(a, b)| a != b);
    assert_eq!(
        (found_values.len(), differ),
        (want.len(), None),
        "{:?}",
        plant.history.reader().figures()
    );
    let tap = plant
        .history
        .tap()
        .device("meter", ["power"], |_| Keeps::readings());
    let at = Timestamp::from_millisecond(NOON + HOUR).unwrap();
    tap.take(&[Sample::bad(0, at)], false);
    plant.history.flush();
    let last = found(&plant.history.reader()).pop().unwrap();
    assert_eq!(
        (last.number, last.quality, last.is_clock_set),
        (None, Quality::Bad, false)
    );
}
