use std::collections::BTreeMap;
use std::sync::Arc;

use fieldgate_bridge::{Figures, Receiver, Reply, Request, channel};
use fieldgate_model::{Outcome, Point, Quality, Sample, Value};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn point(name: &str, writable: bool) -> Point {
    Point {
        name: name.to_owned(),
        unit: None,
        writable,
        labels: None,
    }
}

/// A device in a plant, and where its commands arrive.
fn device(plant: &Plant, points: &[Point]) -> (Arc<Device>, Receiver<Box<Request>>) {
    let (requests, taken) = channel(1);
    let about = About {
        name: "plc".to_owned(),
        bridge: "modbus".to_owned(),
        bus: Some("net".to_owned()),
        points: points.into(),
        requests,
        raw: None,
    };
    let device = plant.new_device(about);
    plant.change(|layout| {
        layout.devices.insert("plc".to_owned(), Arc::clone(&device));
    });
    (device, taken)
}

fn good(point: usize, value: i64) -> Sample {
    Sample::good(point, Value::Decimal(value.into()), at(value))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn shown(device: &Device) -> Vec<Option<(Option<Value>, Quality)>> {
    let readings = device.readings().into_iter();
    readings
        .map(|reading| reading.map(|reading| (reading.value, reading.quality)))
        .collect()
}

fn number(value: i64, quality: Quality) -> Option<(Option<Value>, Quality)> {
    Some((Some(Value::Decimal(value.into())), quality))
}

#[test]
fn a_reader_sees_what_a_device_told_last() {
    let plant = Plant::default();
    let (device, _requests) = device(&plant, &[point("a", false), point("b", false)]);
    assert_eq!(shown(&device), [None, None]);
    assert_eq!(device.state(), State::Starting);
    assert_eq!(plant.count(), (0, 1));

    device.set_state(State::Online);
    let why: Arc<str> = "exception 2".into();
    let bad = Sample::bad(1, at(3)).because(&why);
    // A sample of a point that is not there, such as raw bytes.
    device.take(&[good(0, 5), bad, good(7, 1)]);
    assert_eq!(plant.count(), (1, 1));
    let readings = device.readings();
    let [Some(first), Some(second)] = &readings[..] else {
        panic!("{readings:?}");
    };
    assert_eq!((first.at, &first.error), (at(5), &None));
    assert_eq!((&second.value, &second.error), (&None, &Some(why)));
    assert_eq!(device.reading(0).as_ref(), Some(first));
    assert_eq!(device.reading(7), None);
}

#[test]
fn what_is_not_looked_at_any_more_is_stale_and_what_was_bad_stays_so() {
    let plant = Plant::default();
    let points = [point("a", false), point("b", false)];
    let (old, _requests) = device(&plant, &points);
    old.take(&[good(0, 5), Sample::bad(1, at(1))]);
    old.abandon("the gateway was stopped");
    let bad = Some((None, Quality::Bad));
    assert_eq!(shown(&old), [number(5, Quality::Stale), bad.clone()]);
    assert!(matches!(old.state(), State::Offline { error, .. } if error.contains("stopped")));

    let points = [point("new", false), point("b", false), point("a", false)];
    let (changed, _requests) = device(&plant, &points);
    changed.inherit(&old);
    assert_eq!(shown(&changed), [None, bad, number(5, Quality::Stale)]);
    assert_eq!(changed.state(), State::Starting);
}

#[test]
fn counters_count_as_a_change_only_when_they_moved() {
    let plant = Plant::default();
    let (device, _requests) = device(&plant, &[]);
    let figures = |count| Figures {
        routine: vec![("polls", count)],
        ..Figures::default()
    };
    for (count, want) in [(1, true), (1, false), (2, true)] {
        let before = plant.changes();
        device.count(&figures(count));
        assert_eq!(device.has_changed_since(before), want, "{count}");
    }
    assert_eq!(device.figures(), figures(2));
}

#[tokio::test]
async fn a_value_is_written_and_what_became_of_it_comes_back() {
    let plant = Plant::default();
    let (device, mut requests) = device(&plant, &[point("level", false), point("pump", true)]);
    for (point, want) in [
        (
            "level",
            "the point \"level\" is read-only: it has no `write`",
        ),
        ("lvl", "the device \"plc\" has no point \"lvl\""),
    ] {
        let refused = device.write(point, Value::Bool(true));
        assert_eq!(refused.err(), Some(Unsent(want.to_owned())));
    }
    let answer = device.write("pump", Value::Bool(true)).unwrap();
    let busy = Unsent("busy: too many commands are waiting".to_owned());
    let full = device.write_all(vec![("pump".to_owned(), Value::Bool(false))]);
    assert_eq!(full.err(), Some(busy));
    let request = requests.recv().await.unwrap();
    assert_eq!(request.commands[0].point, 1);
    assert!(matches!(request.reply, Reply::One(_)));
    request.reply.send(vec![Outcome::Failed("x".to_owned())]);
    assert_eq!(answer.await, Ok(Outcome::Failed("x".to_owned())));
    drop(requests);
    let stopped = device.write("pump", Value::Bool(true));
    assert_eq!(
        stopped.err(),
        Some(Unsent("the device was stopped".to_owned()))
    );
    assert!(device.write_raw(vec![1]).is_err());
}

/// What happens to a plant with three devices of two points.
#[derive(Clone, Debug)]
enum Step {
    Told(usize, usize, i64),
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize, 0..2_usize, 0..100_i64).prop_map(|(d, p, v)| Step::Told(d, p, v)),
        1 => Just(Step::Read),
    ]
}

proptest! {
    /// A reader that asks for changes only has the same picture as one that reads everything.
    #[test]
    fn a_reader_of_changes_has_the_whole_picture(steps in proptest::collection::vec(step(), 0..60)) {
        let plant = Plant::default();
        let points = [point("a", false), point("b", false)];
        let devices: Vec<_> = (0..3).map(|_| device(&plant, &points)).collect();
        let mut seen = BTreeMap::new();
        let mut known = 0;
        for step in steps.into_iter().chain([Step::Read]) {
            match step {
                Step::Told(index, point, value) => devices[index].0.take(&[good(point, value)]),
                Step::Read => {
                    let upto = plant.changes();
                    for (index, (device, _)) in devices.iter().enumerate() {
                        for (point, reading) in device.changed_since(known) {
                            prop_assert!(reading.change > known);
                            seen.insert((index, point), reading);
                        }
                    }
                    known = upto;
                    for (index, (device, _)) in devices.iter().enumerate() {
                        for (point, reading) in device.readings().into_iter().enumerate() {
                            prop_assert_eq!(seen.get(&(index, point)), reading.as_ref());
                        }
                    }
                }
            }
        }
    }
}
