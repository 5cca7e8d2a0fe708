//! Events: their coding by its properties, and the keeper on a real folder with a clock of the test.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::keeping::{Folder, Plant, settings};
use crate::events::blocks::{self, Walked};
use crate::events::store::{Bounds, Store};
use crate::{Asked, Event, Kind, Range, Reader};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const NOON: i64 = 20_000 * DAY + 12 * HOUR;

fn event() -> impl Strategy<Value = Event> {
    let time = prop_oneof![8 => 0..5_000_000_000_i64, 1 => any::<i64>()];
    let kind = prop::sample::select(Kind::all().collect::<Vec<_>>());
    let text = prop_oneof![4 => "[a-z]{0,12}", 1 => "\\PC{0,300}", 1 => Just(String::new())];
    let texts = prop::array::uniform5(text);
    let left_out = prop_oneof![4 => Just(0), 1 => any::<u64>()];
    let all = (time, kind, texts, left_out, any::<bool>());
    all.prop_map(
        |(at, kind, [device, name, value, text, by], left_out, is_clock_set)| {
            Event {
                at,
                kind,
                device,
                name,
                value,
                text,
                by,
                left_out,
                is_clock_set,
            }
            .bounded()
        },
    )
}

fn file<'e>(writes: impl IntoIterator<Item = &'e [Event]>) -> Vec<u8> {
    let blocks = writes.into_iter().flat_map(blocks::encode);
    blocks::header().into_iter().chain(blocks).collect()
}

fn walk(bytes: &[u8]) -> (Vec<Event>, Walked) {
    let mut found = Vec::new();
    let walked = blocks::walk(bytes, |event| found.push(event));
    (found, walked)
}

proptest! {
    #[test]
    fn events_come_out_as_they_went_in(events in prop::collection::vec(event(), 0..150), share in 1..40_usize) {
        let bytes = file(events.chunks(share));
        let (found, walked) = walk(&bytes);
        prop_assert_eq!(found, events);
        let want = Walked { damaged: 0, whole: bytes.len() as u64, has_rest: false };
        prop_assert_eq!(walked, want);
    }

    #[test]
    fn no_bytes_make_walking_fail(mut bytes in prop::collection::vec(any::<u8>(), 0..300), has_header in any::<bool>()) {
        if has_header {
            bytes.splice(..0, blocks::header());
        }
        let (_, walked) = walk(&bytes);
        prop_assert!(walked.whole <= bytes.len() as u64);
    }

    /// What is read was written, and what is lost is no more than the write that was hit.
    #[test]
    fn damage_costs_one_write_at_most(
        events in prop::collection::vec(event(), 1..60),
        at in any::<usize>(),
        with in 1..=255_u8,
        cut in any::<bool>(),
    ) {
        let mut bytes = file(events.chunks(5));
        let at = 16 + at % (bytes.len() - 16);
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= with;
        }
        let (found, walked) = walk(&bytes);
        let lost = events.len() - found.len();
        if cut {
            prop_assert_eq!(&events[..found.len()], found.as_slice());
            prop_assert_eq!(walked.damaged, 0, "a write without its end was never acknowledged");
        } else {
            prop_assert!(lost <= 5, "{} lost", lost);
            prop_assert!(found.iter().all(|event| events.contains(event)));
            prop_assert_eq!(lost > 0, walked.damaged > 0 || walked.has_rest);
        }
    }
}

fn moment(at: i64) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap()
}

fn offline(device: &str, at: i64) -> Event {
    Event::new(Kind::Offline, moment(at))
        .of(device)
        .saying("no answer")
}

/// Everything that is there.
fn all() -> Asked {
    Asked {
        range: Range {
            from: i64::MIN / 2,
            to: i64::MAX / 2,
        },
        device: None,
        with_gateway: false,
        kinds: Vec::new(),
        most: 100_000,
    }
}

/// Kinds, devices and values of what is there, in order.
fn seen(reader: &Reader, asked: &Asked) -> Vec<String> {
    let told = reader.events(asked, &|| true).unwrap();
    let events = told.events.into_iter();
    let texts = events.map(|event| [event.kind.name(), &event.device, &event.value].join(" "));
    texts.map(|text| text.trim_end().to_owned()).collect()
}

#[test]
fn what_happened_is_told_from_memory_and_from_the_card_and_stays_over_restarts() {
    let folder = Folder::new();
    let plant = Plant::new(settings(&folder.0), NOON);
    let tap = plant.history.tap();
    tap.event(offline("a", NOON + 1_000));
    plant.history.flush();
    tap.event(offline("b", NOON + 2_000));
    let command = Event::new(Kind::Command, moment(NOON + 3_000))
        .of("a")
        .named("pump");
    tap.event(command.with("true").by("vera at 10.0.0.7"));
    let reader = plant.history.reader();
    let before = reader.figures().written;
    plant.history.flush();
    let want = ["started", "offline a", "offline b", "command a true"];
    assert_eq!(seen(&reader, &all()), want);
    let flushed = reader.figures().written;
    assert!(
        flushed - before < 160,
        "{} bytes for two events",
        flushed - before
    );
    plant.history.flush();
    plant.history.flush();
    let again = reader.figures().written;
    assert_eq!(again, flushed, "nothing happened, and nothing was written");
    let length = fs::metadata(folder.0.join("events/e-00001.fge"))
        .unwrap()
        .len();
    assert_eq!(length, 16 << 10, "written ahead");
    let figures = reader.figures();
    assert_eq!((figures.events, figures.events_left_out), (4, 0));
    let outside = Reader::of_folder(&folder.0).unwrap();
    assert_eq!(seen(&outside, &all()), want);
    drop(plant);
    let plant = Plant::new(settings(&folder.0), NOON + HOUR);
    let now = seen(&plant.history.reader(), &all());
    // The clock of this test stood still.
    assert_eq!(now[..2], ["started", "stopped"]);
    assert_eq!(
        (&now[2..5], &now[5]),
        (&want.map(str::to_owned)[1..], &want[0].to_owned())
    );
}

#[test]
fn questions_choose_a_range_a_device_kinds_and_the_newest() {
    let folder = Folder::new();
    let plant = Plant::new(settings(&folder.0), NOON);
    let tap = plant.history.tap();
    for number in 0..6 {
        tap.event(offline(
            ["a", "b"][number % 2],
            NOON + number as i64 * 1_000,
        ));
        tap.event(Event::new(Kind::Online, moment(NOON + number as i64 * 1_000 + 500)).of("a"));
    }
    plant.history.flush();
    let reader = plant.history.reader();
    let of = |device: &str, with_gateway| Asked {
        device: Some(device.to_owned()),
        with_gateway,
        ..all()
    };
    let range = |from, to| Range {
        from: NOON + from,
        to: NOON + to,
    };
    for (asked, want, is_cut) in [
        (of("b", false), &["offline b"; 3][..], false),
        (of("", false), &["started"], false),
        (of("c", true), &["started"], false),
        (
            Asked {
                range: range(1_000, 2_000),
                ..all()
            },
            &["offline b", "online a"],
            false,
        ),
        (
            Asked {
                kinds: vec![Kind::Started, Kind::Online],
                most: 2,
                ..all()
            },
            &["online a"; 2],
            true,
        ),
        (
            Asked {
                most: 3,
                ..of("b", true)
            },
            &["offline b"; 3],
            true,
        ),
        (
            Asked {
                range: range(60_000, 70_000),
                ..all()
            },
            &[],
            false,
        ),
    ] {
        assert_eq!(seen(&reader, &asked), want, "{asked:?}");
        assert_eq!(
            reader.events(&asked, &|| true).unwrap().is_cut,
            is_cut,
            "{asked:?}"
        );
    }
    assert!(
        reader.events(&all(), &|| false).is_err(),
        "the one who asked has gone"
    );
}

#[test]
fn a_device_that_flaps_leaves_its_last_state_and_how_many_were_left_out() {
    let folder = Folder::new();
    let plant = Plant::new(settings(&folder.0), NOON);
    let tap = plant.history.tap();
    for number in 0..1_000 {
        tap.event(offline("flaps", NOON + number));
    }
    tap.event(offline("calm", NOON + 5_000));
    plant.history.flush();
    let reader = plant.history.reader();
    let want: Vec<_> = std::iter::once("started")
        .chain(["offline flaps"; 20])
        .chain(["offline calm"])
        .collect();
    assert_eq!(seen(&reader, &all()), want);
    drop(plant);
    let reader = Reader::of_folder(&folder.0).unwrap();
    let told = reader.events(&all(), &|| true).unwrap().events;
    let last = told.iter().rfind(|event| event.device == "flaps").unwrap();
    assert_eq!((last.millisecond(), last.left_out), (NOON + 999, 979));
    assert!(reader.figures().bytes <= 16 << 10);
}

#[test]
fn a_run_without_an_end_is_told_at_the_next_start_also_a_short_one() {
    let folder = Folder::new();
    let copy = Folder::new();
    for (copied, want) in [(true, "started_again"), (false, "started")] {
        let plant = Plant::new(settings(&folder.0), NOON);
        // The card as a power failure right after the start leaves it.
        let files = folder.0.join("events");
        fs::create_dir_all(copy.0.join("events")).unwrap();
        for entry in fs::read_dir(&files).unwrap().filter(|_| copied) {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.0.join("events").join(path.file_name().unwrap())).unwrap();
        }
        drop(plant);
        let place = if copied { &copy.0 } else { &folder.0 };
        let next = Plant::new(settings(place), NOON + 1_000);
        let told = seen(&next.history.reader(), &all());
        assert_eq!(told.last().map(String::as_str), Some(want), "{told:?}");
    }
}

#[test]
fn steps_of_the_clock_and_damage_are_events() {
    let folder = Folder::new();
    let plant = Plant::new(settings(&folder.0), NOON);
    plant.turn(NOON + HOUR);
    plant.turn(NOON - HOUR);
    let told = seen(&plant.history.reader(), &all());
    let steps: Vec<_> = told
        .iter()
        .filter(|text| text.starts_with("clock"))
        .collect();
    assert_eq!(steps.len(), 2, "{told:?}");
    assert!(
        steps[0].starts_with("clock_step  -7") && steps[1].starts_with("clock_step  +3"),
        "by their new times: {told:?}"
    );
    drop(plant);
    let path = folder.0.join("events/e-00001.fge");
    let mut bytes = fs::read(&path).unwrap();
    // In the first block: the start.
    bytes[30] ^= 4;
    fs::write(&path, bytes).unwrap();
    let plant = Plant::new(settings(&folder.0), NOON);
    plant.history.flush();
    plant.history.close();
    let told = seen(&plant.history.reader(), &all());
    assert!(told.contains(&"damaged  1".to_owned()), "{told:?}");
    assert!(
        told.contains(&"stopped".to_owned()),
        "the rest is read: {told:?}"
    );
    assert_eq!(plant.history.reader().figures().damaged, 1);
}

fn store(folder: &Path, bytes: u64, days: u64) -> Store {
    let keep = Duration::from_secs(days * 86_400);
    Store::open(folder, Bounds { bytes, keep }).unwrap()
}

#[test]
fn the_oldest_go_by_bytes_and_by_age_and_no_more_is_written_than_has_to_be() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    let mut events = store(&folder.0, 32 << 10, 30);
    let mut written = 0;
    for number in 0..1_200_i64 {
        written += events
            .append(&[offline("meter", NOON + number * 120_000)])
            .unwrap();
        events.make_room(None);
        assert!(events.bytes() <= (32 << 10) + 100, "{}", events.bytes());
    }
    assert!(written < 1_200 * 64, "{} bytes an event", written / 1_200);
    assert!(
        (15..=18).contains(&events.files.len()),
        "{}",
        events.files.len()
    );
    let last = NOON + 1_200 * 120_000;
    let gone = events.make_room(Some(last - DAY));
    assert!(gone > 0);
    let oldest = events.files.first().and_then(|piece| piece.times).unwrap();
    assert!(oldest.1 >= last - DAY && oldest.1 < last - DAY + 8 * HOUR);
    // A quiet plant begins a file every two days, so that what is too old can go.
    let mut quiet = store(&folder.0, 32 << 10, 30);
    for day in 0..60 {
        quiet.append(&[offline("meter", last + day * DAY)]).unwrap();
        quiet.make_room(Some(last + day * DAY - 30 * DAY));
    }
    assert!(
        (15..=18).contains(&quiet.files.len()),
        "{}",
        quiet.files.len()
    );
    // A clock that jumps there and back makes no more files than there may be.
    for day in 0..150 {
        let at = last + if day % 2 == 0 { 10_000 * DAY } else { day };
        quiet.append(&[offline("meter", at)]).unwrap();
        quiet.make_room(None);
    }
    assert!(quiet.files.len() <= 64, "{}", quiet.files.len());
}

#[test]
fn what_was_written_half_is_cut_off_and_files_of_other_versions_stay() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("events/e-00001.fge");
    let count = |folder: &Path| {
        let reader = Reader::of_folder(folder).unwrap();
        reader.events(&all(), &|| true).unwrap().events.len()
    };
    let mut events = store(&folder.0, 1 << 20, 30);
    events.append(&[offline("a", NOON)]).unwrap();
    events.append(&[offline("b", NOON)]).unwrap();
    let whole = events.bytes();
    drop(events);
    for missing in 1..40 {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(whole - missing).unwrap();
        if missing % 2 == 0 {
            // As zeros that were written ahead leave it.
            file.set_len(16 << 10).unwrap();
        }
        let there = count(&folder.0);
        let mut events = store(&folder.0, 1 << 20, 30);
        events.append(&[offline("c", NOON)]).unwrap();
        assert_eq!(count(&folder.0), there + 1, "{missing} bytes missing");
        assert_eq!(store(&folder.0, 1 << 20, 30).damaged, 0, "{missing}");
        drop(events);
        fs::remove_file(&path).unwrap();
        let mut events = store(&folder.0, 1 << 20, 30);
        events.append(&[offline("a", NOON)]).unwrap();
        events.append(&[offline("b", NOON)]).unwrap();
    }
    let mut events = store(&folder.0, 1 << 20, 30);
    fs::remove_file(&path).unwrap();
    events.append(&[offline("a", NOON)]).unwrap();
    assert_eq!(count(&folder.0), 1, "somebody removed the file");
    fs::rename(folder.0.join("events/e-00002.fge"), &path).unwrap();
    let mut other = fs::read(&path).unwrap();
    other[8] = 2;
    let sum = crate::layout::CRC.checksum(&other[..12]);
    other[12..16].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, &other).unwrap();
    fs::write(folder.0.join("events/e-00002.fge"), b"FGev").unwrap();
    let mut events = store(&folder.0, 1 << 20, 30);
    events.append(&[offline("d", NOON)]).unwrap();
    assert_eq!(count(&folder.0), 1);
    assert_eq!(fs::read(&path).unwrap(), other, "it is left as it is");
}
