//! Many units on one line of 19,200 baud, on a clock that moves only while all tasks wait:
//! the times are those of the line, and the same in every run.

use std::time::Duration;

use fieldgate_bridge::{Counters, Defaults, Event, Ports, Receiver, channel, run};
use fieldgate_sim::{Image, Pace, Table as SimTable, Unit, serve_rtu};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::BusHandle;
use crate::config::{BusConfig, DeviceEntry};
use crate::counters::BusCounters;

const DEAD: std::ops::RangeInclusive<u8> = 22..=31;

fn bus(units: impl Iterator<Item = u8>) -> (BusHandle, BusConfig) {
    let json = r#"{"serial": {"port": "/dev/line", "baud": 19200, "parity": "even"},
        "timeout": "300ms", "offline": {"after": 3, "backoff": "1s..60s", "share": "2%"}}"#;
    let config: BusConfig = serde_json::from_str(json).unwrap();
    let image = Image::new();
    for id in units {
        let mut unit = Unit::new();
        unit.set_words(SimTable::Input, 0, &[u16::from(id); 10]);
        image.insert(id, unit);
    }
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let pace = Pace {
        character: Duration::from_nanos(572_917),
        thinks: Duration::from_millis(5),
    };
    tokio::spawn(
        async move { serve_rtu(&mut theirs, &image, pace, &CancellationToken::new()).await },
    );
    (BusHandle::spawn_on(config.clone(), ours), config)
}

/// A device that reads ten registers every two seconds, and the readings of its first point.
fn device(bus: &BusHandle, config: &BusConfig, unit: u8) -> Receiver<Box<Event>> {
    let points: Vec<_> = (0..10)
        .map(|at| format!("\"p{at}\": {{\"input\": {at}, \"as\": \"u16\"}}"))
        .collect();
    let json = format!(
        r#"{{"bus": "b", "unit": {unit}, "points": {{{}}}}}"#,
        points.join(",")
    );
    let entry: DeviceEntry = serde_json::from_str(&json).unwrap();
    let defaults: Defaults =
        serde_json::from_str(r#"{"poll": "2s", "publish": "every_poll"}"#).unwrap();
    let device = entry.resolve("d", unit, None, &defaults).unwrap();
    let settings = device.settings(&config.offline, u64::from(unit));
    let driver = ModbusDriver::new(device, bus.clone());
    let (events, told) = channel(10_000);
    let (_, requests) = channel(1);
    let cancel = CancellationToken::new();
    let ports = Ports {
        requests,
        events,
        cancel,
    };
    tokio::spawn(run(driver, settings, Arc::new(Counters::default()), ports));
    told
}

fn rounds(told: &mut Receiver<Box<Event>>) -> usize {
    let mut rounds = 0;
    while let Some(event) = told.try_recv() {
        rounds += usize::from(matches!(*event, Event::Samples(_)));
    }
    rounds
}

fn busy(before: &BusCounters, after: &BusCounters, units: impl Iterator<Item = u8>) -> Duration {
    let of = |counters: &BusCounters, unit| counters.units.get(&unit).map(|counts| counts.busy);
    units
        .map(|unit| of(after, unit).unwrap_or_default() - of(before, unit).unwrap_or_default())
        .sum()
}

#[tokio::test(start_paused = true)]
async fn ten_dead_units_of_31_leave_the_others_their_pace() {
    let (bus, config) = bus((1..=31).filter(|unit| !DEAD.contains(unit)));
    let mut told: Vec<_> = (1..=31).map(|unit| device(&bus, &config, unit)).collect();
    // From the cold start on, and then from when the dead ones are known.
    for (name, seconds, most_dead) in [("the first minute", 60u64, 0.5), ("later", 600, 0.22)] {
        let before = bus.counters();
        sleep(Duration::from_secs(seconds)).await;
        let after = bus.counters();
        let due = seconds as usize / 2;
        let alive: Vec<usize> = (1..22).map(|unit| rounds(&mut told[unit - 1])).collect();
        let worst = alive.iter().min().copied().unwrap_or_default();
        let dead = busy(&before, &after, DEAD).as_secs_f64() / seconds as f64;
        let live = busy(&before, &after, 1..=21).as_secs_f64() / seconds as f64;
        eprintln!(
            "{name}: {worst} of {due} rounds at least; the live units took {:.1} % of the time, the \
             dead ones {:.1} %",
            live * 100.0,
            dead * 100.0
        );
        // One round may be cut off at either end.
        assert!(worst + 2 >= due, "{name}: {alive:?} of {due}");
        assert!(dead <= most_dead, "{name}: {dead}");
    }
    let counters = bus.counters();
    assert!(
        DEAD.into_iter()
            .all(|unit| counters.units[&unit].breaker_openings == 1)
    );
    assert_eq!(counters.bus.wrong_answers + counters.bus.crc_errors, 0);
}
