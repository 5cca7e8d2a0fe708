//! Counters on a real folder: hours, days with 23 and 25 hours, resets, restarts, damage, bounds.

use std::fs;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::keeping::{Folder, Plant, settings};
use super::*;
use crate::counters::meter::Count;
use crate::counters::rows::{self, Named, Row};
use crate::counters::used::{By, Used, borders};
use crate::export::Chosen;
use crate::{Question, Range, Reader, Settings};

const HOUR: i64 = 3_600_000;
const BERLIN: &str = "Europe/Berlin";

fn at(text: &str) -> i64 {
    let time: jiff::Timestamp = text.parse().unwrap();
    time.as_millisecond()
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn question(from: &str, to: &str, by: By, zone: &str) -> Question {
    Question {
        chosen: Chosen::default(),
        range: Range {
            from: at(from),
            to: at(to),
        },
        by,
        zone: TimeZone::get(zone).unwrap(),
    }
}

/// What was used in each span, with its hours and resets.
fn used(reader: &Reader, question: &Question) -> Vec<(Option<String>, usize, usize)> {
    let told = reader.consumption(question, &|| true).unwrap().unwrap();
    let [Used { named, spans }] = told.counters.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(
        (named.series.point.as_str(), named.unit.as_str()),
        ("energy", "kWh")
    );
    let spans = spans.iter();
    spans
        .map(|span| {
            (
                span.used.map(|used| used.to_string()),
                span.hours,
                span.resets,
            )
        })
        .collect()
}

fn some(used: &str, hours: usize, resets: usize) -> (Option<String>, usize, usize) {
    (Some(used.to_owned()), hours, resets)
}

#[test]
fn days_are_those_of_the_zone_and_every_hour_counts_once() {
    let folder = Folder::new();
    let berlin = Settings {
        zone: TimeZone::get(BERLIN).unwrap(),
        ..settings(&folder.0)
    };
    // The clocks go back on the 25th: it has 25 hours.
    let start = at("2026-10-24T21:30:00Z");
    let plant = Plant::new(berlin, start);
    for half in 0..60 {
        plant.count(start + half * HOUR / 2, &[&(1_000 + half).to_string()]);
        plant.turn(start + half * HOUR / 2);
    }
    let reader = plant.history.reader();
    let days = question(
        "2026-10-24T10:00:00Z",
        "2026-10-26T10:00:00Z",
        By::Day,
        BERLIN,
    );
    // On the 24th only its last half hour, which it was first read in.
    let want = [some("0", 1, 0), some("50", 25, 0), some("9", 5, 0)];
    assert_eq!(used(&reader, &days), want);
    let hours = question(
        "2026-10-25T00:00:00Z",
        "2026-10-25T03:00:00Z",
        By::Hour,
        BERLIN,
    );
    assert_eq!(
        used(&reader, &hours),
        [some("2", 1, 0), some("2", 1, 0), some("2", 1, 0)]
    );
    let months = question(
        "2026-10-01T00:00:00Z",
        "2026-10-31T10:00:00Z",
        By::Month,
        BERLIN,
    );
    assert_eq!(used(&reader, &months), [some("59", 31, 0)]);
    drop(plant);
    for by in [&days, &hours, &months] {
        let again = Reader::of_folder(&folder.0).unwrap();
        assert_eq!(used(&again, by), used(&reader, by), "from the card");
    }
}

#[test]
fn a_value_that_stays_fills_its_hours_and_an_outage_leaves_a_gap_but_loses_nothing() {
    let folder = Folder::new();
    let start = at("2026-11-10T08:10:00Z");
    let plant = Plant::new(settings(&folder.0), start);
    plant.count(start, &["7.5"]);
    for hour in 1..4 {
        plant.turn(start + hour * HOUR);
    }
    plant.lose(start + 3 * HOUR);
    for hour in 4..7 {
        plant.turn(start + hour * HOUR);
    }
    plant.count(start + 7 * HOUR, &["9.75"]);
    let hours = question(
        "2026-11-10T08:00:00Z",
        "2026-11-10T16:00:00Z",
        By::Hour,
        "UTC",
    );
    let none = || (None, 0, 0);
    let want = [
        some("0", 1, 0),
        some("0", 1, 0),
        some("0", 1, 0),
        some("0", 1, 0),
        none(),
        none(),
        none(),
        some("2.25", 1, 0),
    ];
    assert_eq!(used(&plant.history.reader(), &hours), want);
}

#[test]
fn resets_and_restarts_lose_no_count_also_without_an_end() {
    let folder = Folder::new();
    let start = at("2026-11-10T08:00:00Z");
    let plant = Plant::new(settings(&folder.0), start);
    plant.count(start, &["100", "101", "0.5"]);
    plant.turn(start + HOUR);
    plant.count(start + HOUR, &["2"]);
    plant.history.flush();
    // What a power failure leaves: a copy of the files as they are now.
    let copy = Folder::new();
    copy_all(&folder.0, &copy.0);
    let cut = Plant::new(settings(&copy.0), start + HOUR);
    cut.count(start + 2 * HOUR, &["4"]);
    let hours = question(
        "2026-11-10T08:00:00Z",
        "2026-11-10T11:00:00Z",
        By::Hour,
        "UTC",
    );
    let want = [some("1.5", 1, 1), some("1.5", 1, 0), some("2", 1, 0)];
    assert_eq!(
        used(&cut.history.reader(), &hours),
        want,
        "after a power failure"
    );
    drop(plant);
    let plant = Plant::new(settings(&folder.0), start + HOUR);
    plant.count(start + 2 * HOUR, &["4"]);
    assert_eq!(
        used(&plant.history.reader(), &hours),
        want,
        "after a restart"
    );
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, path) = entry
            .map(|entry| (entry.path(), to.join(entry.file_name())))
            .unwrap();
        match entry.is_dir() {
            true => copy_all(&entry, &path),
            false => drop(fs::copy(&entry, &path).unwrap()),
        }
    }
}

#[test]
fn old_months_go_and_what_was_written_half_is_left_out() {
    let folder = Folder::new();
    let year = Settings {
        keep_counters: std::time::Duration::from_secs(90 * 86_400),
        ..settings(&folder.0)
    };
    let start = at("2026-01-15T00:00:00Z");
    let plant = Plant::new(year, start);
    let month = |number: i64| start + number * 30 * 24 * HOUR;
    for number in 0..7 {
        plant.count(month(number), &[&(number * 10).to_string()]);
        plant.turn(month(number) + HOUR);
    }
    let names = || {
        let entries = fs::read_dir(folder.0.join("counters")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    let kept = names();
    assert_eq!(kept.len(), 4, "{kept:?}");
    assert!(kept[0].ends_with("c-00004-202604.fgc"), "{kept:?}");
    drop(plant);
    let newest = &kept[3];
    let mut bytes = fs::read(newest).unwrap();
    let whole = bytes.len();
    bytes.extend([0x42, 0x43, 0x4C, 0x4B, 1, 2, 3]);
    fs::write(newest, &bytes).unwrap();
    let plant = Plant::new(settings(&folder.0), month(6) + HOUR);
    assert_eq!(plant.history.reader().figures().damaged, 1);
    plant.count(month(6) + 2 * HOUR, &["65"]);
    plant.turn(month(6) + 3 * HOUR);
    let hours = question(
        "2026-07-14T00:00:00Z",
        "2026-07-14T04:00:00Z",
        By::Hour,
        "UTC",
    );
    let told = used(&plant.history.reader(), &hours);
    assert_eq!(told[2], some("5", 1, 0), "{told:?} behind {whole} bytes");
}

#[test]
fn spans_have_a_bound_and_follow_each_other() {
    let zone = TimeZone::get(BERLIN).unwrap();
    let far = at("2030-01-01T00:00:00Z");
    let from = at("2026-03-28T12:00:00Z");
    assert_eq!(borders(from, far, By::Hour, &zone), None);
    let days = borders(from, from + 3 * 24 * HOUR, By::Day, &zone).unwrap();
    let hours: Vec<i64> = days
        .windows(2)
        .map(|day| (day[1] - day[0]) / HOUR)
        .collect();
    assert_eq!(hours, [24, 23, 24, 24]);
    assert!(borders(i64::MIN, i64::MAX, By::Month, &zone).is_none());
    assert_eq!(borders(from, from, By::Day, &zone).unwrap().len(), 2);
}

fn row() -> impl Strategy<Value = (Named, Row)> {
    let number = || (0..i64::MAX, 0..12_u8);
    let parts = (
        0..4_u8,
        0..50_i64,
        number(),
        prop_oneof![3 => Just((0, 0)), 1 => number()],
    );
    parts.prop_map(|(point, hour, value, offset)| {
        let exact = |(mantissa, digits): (i64, u8)| Decimal::new(mantissa.into(), digits).unwrap();
        let series = Series {
            device: "meter".into(),
            point: format!("p{point}"),
        };
        let unit = "kWh".to_owned();
        let count = Count {
            value: exact(value),
            offset: exact(offset),
        };
        let start = 490_000 * HOUR + hour * HOUR;
        (Named { series, unit }, Row { start, count })
    })
}

proptest! {
    #[test]
    fn rows_come_out_as_they_went_in_and_damage_never_makes_others(
        parts in proptest::collection::vec(proptest::collection::vec(row(), 0..30), 0..6),
        spoilt in proptest::collection::vec((any::<u16>(), 1..=u8::MAX), 0..4),
    ) {
        let mut bytes = rows::header().to_vec();
        for (start, part) in (1..).zip(&parts) {
            bytes.extend(rows::Writer::new(start).blocks(part));
        }
        let read = |bytes: &[u8]| {
            let mut found = Vec::new();
            let walked = rows::walk(bytes, |named, row| found.push((named.clone(), row)));
            (found, walked.damaged)
        };
        let all: Vec<(Named, Row)> = parts.into_iter().flatten().collect();
        prop_assert_eq!(read(&bytes), (all.clone(), 0));
        for (at, with) in &spoilt {
            let at = usize::from(*at) % bytes.len();
            bytes[at] ^= with;
        }
        let (found, _) = read(&bytes);
        let mut rest = all.iter();
        for row in &found {
            prop_assert!(rest.any(|other| other == row), "{row:?} was not written there");
        }
    }
}

#[test]
fn a_row_takes_less_than_24_bytes() {
    let named = |point: u32| Named {
        series: Series {
            device: format!("meter{point}"),
            point: "energy".into(),
        },
        unit: "kWh".into(),
    };
    let mut writer = rows::Writer::new(1);
    let mut bytes = 0;
    for hour in 0..24 {
        let rows: Vec<(Named, Row)> = (0..100)
            .map(|point| {
                let count = Count {
                    value: decimal("123456.789"),
                    offset: decimal("98765.432"),
                };
                (
                    named(point),
                    Row {
                        start: 490_008 * HOUR + hour * HOUR,
                        count,
                    },
                )
            })
            .collect();
        bytes += writer.blocks(&rows).len();
    }
    assert!(bytes / 2_400 <= 16, "{bytes}");
}
