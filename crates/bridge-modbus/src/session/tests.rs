//! Whole devices: driver, session and run loop against a server that misbehaves.

mod commands;
mod factors;
mod in_flight;

use std::time::Duration;

use fieldgate_bridge::{Counters, Defaults, Event, Ports, Receiver, Request, Sender, channel, run};
use fieldgate_model::{Quality, Value};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::{BusConfig, DeviceEntry};
use fieldgate_test_device::{Act, Fake};

struct Device {
    config: DeviceConfig,
    events: Receiver<Box<Event>>,
    requests: Sender<Box<Request>>,
    counters: Arc<Counters>,
    cancel: CancellationToken,
}

fn bus_config(address: &str) -> BusConfig {
    let json = format!(
        r#"{{"tcp": "{address}", "timeout": "100ms", "reconnect": "1ms", "offline": {{"after": 2, "backoff": "20ms..80ms"}}}}"#
    );
    serde_json::from_str(&json).unwrap()
}

fn bus(fake: &Fake) -> BusHandle {
    BusHandle::spawn("test", bus_config(&fake.address), CancellationToken::new())
}

fn config(unit: u8, points: &str) -> DeviceConfig {
    let json = format!(r#"{{"bus": "b", "unit": {unit}, "points": {{{points}}}}}"#);
    let entry: DeviceEntry = serde_json::from_str(&json).unwrap();
    let defaults: Defaults =
        serde_json::from_str(r#"{"poll": "20ms", "publish": "every_poll"}"#).unwrap();
    entry
        .resolve(&format!("d{unit}"), unit, None, &defaults)
        .unwrap()
}

impl Device {
    fn start(bus: &BusHandle, unit: u8, points: &str) -> Self {
        let config = config(unit, points);
        let offline = bus_config("unused:1").offline;
        let settings = config.settings(&offline, u64::from(unit));
        let driver = ModbusDriver::new(config.clone(), bus.clone());
        let (requests, requests_rx) = channel(4);
        let (events_tx, events) = channel(1000);
        let counters = Arc::new(Counters::default());
        let cancel = CancellationToken::new();
        let ports = Ports {
            requests: requests_rx,
            events: events_tx,
            cancel: cancel.clone(),
        };
        tokio::spawn(run(driver, settings, counters.clone(), ports));
        Self {
            config,
            events,
            requests,
            counters,
            cancel,
        }
    }

    async fn next(&mut self) -> Event {
        timeout(Duration::from_secs(5), self.events.recv())
            .await
            .expect("an event in time")
            .map(|event| *event)
            .expect("a running device")
    }

    /// Waits for an event of a kind; the samples before it are dropped.
    async fn wait_for(&mut self, is_wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await;
            if is_wanted(&event) {
                return event;
            }
        }
    }

    async fn wait_online(&mut self) {
        self.wait_for(|event| *event == Event::Online).await;
    }

    async fn wait_offline(&mut self) -> String {
        let is_offline = |event: &Event| matches!(event, Event::Offline { .. });
        match self.wait_for(is_offline).await {
            Event::Offline { error, .. } => error,
            _ => unreachable!(),
        }
    }

    /// The next sample of each point as text, in the order of the points.
    async fn round(&mut self) -> Vec<String> {
        let mut texts = vec![None; self.config.points.len()];
        while texts.iter().any(Option::is_none) {
            if let Event::Samples(samples) = self.next().await {
                for sample in samples {
                    texts[sample.point] = Some(text(&sample));
                }
            }
        }
        texts.into_iter().flatten().collect()
    }

    async fn command(&mut self, point: usize, payload: &str) -> Outcome {
        let value = fieldgate_model::parse_command_value(payload.as_bytes()).unwrap();
        let (request, outcome) = Request::new(Command { point, value });
        self.requests.send(request).await.unwrap();
        timeout(Duration::from_secs(5), outcome)
            .await
            .unwrap()
            .unwrap()
    }
}

fn text(sample: &Sample) -> String {
    let value = sample.value.as_ref().map_or("-".into(), Value::to_string);
    match sample.quality {
        Quality::Good => value,
        quality => format!("{quality:?} {value}"),
    }
}

const THREE: &str = r#""a": {"input": 10, "as": "u16"}, "b": {"input": 12, "as": "u32"},
    "c": {"coil": 3}"#;

#[tokio::test]
async fn a_device_is_read_in_the_planned_requests_and_each_point_gets_its_own_registers() {
    let fake = Fake::start().await;
    let mut device = Device::start(&bus(&fake), 1, THREE);
    device.wait_online().await;
    assert_eq!(device.round().await, ["10", "786445", "true"]);
    assert_eq!(fake.requests()[..2], [(1, 3, 1), (4, 10, 4)]);
}

#[tokio::test]
async fn a_silent_unit_goes_offline_and_the_others_keep_their_pace() {
    let fake = Fake::start().await;
    fake.state.lock().unwrap().silent_units.insert(2);
    let bus = bus(&fake);
    let mut dead = Device::start(&bus, 2, r#""a": {"input": 1, "as": "u16"}"#);
    let error = dead.wait_offline().await;
    assert_eq!(error, "read input 1 of unit 2: no answer within 100 ms");
    let mut live = Device::start(&bus, 1, THREE);
    live.wait_online().await;
    let before = (live.counters.snapshot(), dead.counters.snapshot());
    for _ in 0..50 {
        assert_eq!(live.round().await, ["10", "786445", "true"]);
    }
    // In the time of 50 rounds at most a few pauses of the dead unit are over.
    let (live_before, dead_before) = before;
    let polls = live.counters.snapshot().polls - live_before.polls;
    let probes = dead.counters.snapshot().polls - dead_before.polls;
    assert!(
        polls >= 90 && probes * 4 <= polls,
        "{probes} probes in {polls} polls"
    );
    // It comes back by itself.
    fake.state.lock().unwrap().silent_units.clear();
    dead.wait_online().await;
    assert_eq!(dead.round().await, ["1"]);
}

#[tokio::test]
async fn a_server_that_is_stopped_takes_its_devices_offline_and_all_come_back() {
    let fake = Fake::start().await;
    let bus = bus(&fake);
    let mut devices = [1, 2, 3].map(|unit| Device::start(&bus, unit, THREE));
    for device in &mut devices {
        device.wait_online().await;
        device.round().await;
    }
    let (address, state) = fake.stop().await;
    for device in &mut devices {
        let error = device.wait_offline().await;
        assert!(error.contains("connect"), "{error}");
        let Event::Samples(stale) = device.next().await else {
            panic!("stale values follow");
        };
        assert!(stale.iter().all(|sample| sample.quality == Quality::Stale));
        let texts: Vec<_> = stale.iter().map(text).collect();
        assert_eq!(texts, ["Stale 10", "Stale 786445", "Stale true"]);
        let outcome = device.command(2, "1").await;
        assert!(
            matches!(outcome, Outcome::Failed(text) if text.starts_with("the device is offline"))
        );
    }
    let fake = Fake::start_on(&address, state).await;
    for device in &mut devices {
        device.wait_online().await;
        assert_eq!(device.round().await, ["10", "786445", "true"]);
    }
    assert!(fake.connections() >= 2);
}

#[tokio::test]
async fn a_hole_between_points_is_found_once_and_read_around() {
    let fake = Fake::start().await;
    fake.state.lock().unwrap().holes.extend([11, 15]);
    let points = r#""a": {"input": 10, "as": "u16"}, "b": {"input": 12, "as": "u16"},
        "c": {"input": 13, "as": "u16"}, "d": {"input": 15, "as": "u16"}"#;
    let mut device = Device::start(&bus(&fake), 1, points);
    device.wait_online().await;
    // Only the point that is itself in a hole is bad.
    while device.round().await != ["10", "12", "13", "Bad -"] || fake.requests().len() < 14 {}
    let requests = fake.requests();
    let search = [(4, 10, 6), (4, 10, 1), (4, 12, 4), (4, 12, 2), (4, 15, 1)];
    assert_eq!(requests[..5], search);
    // The other hole, in what was left.
    assert_eq!(requests[5..8], [(4, 10, 4), (4, 10, 1), (4, 12, 2)]);
    let mut rest = requests[8..].iter();
    assert!(
        rest.all(|place| [(4, 10, 1), (4, 12, 2), (4, 15, 1)].contains(place)),
        "{requests:?}"
    );
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_busy_unit_gives_a_bad_sample_and_never_a_zero() {
    let fake = Fake::start().await;
    fake.script(&[Act::Exception(6); 3]);
    let mut device = Device::start(&bus(&fake), 1, r#""a": {"input": 7, "as": "u16"}"#);
    // An exception is an answer: the unit is online.
    device.wait_online().await;
    // The first request of a session is not repeated, the second one once.
    assert_eq!(device.round().await, ["Bad -"]);
    assert_eq!(device.round().await, ["Bad -"]);
    assert_eq!(device.round().await, ["7"]);
}

#[tokio::test]
async fn a_gateway_that_reports_a_silent_unit_is_no_answer_of_the_unit() {
    let fake = Fake::start().await;
    fake.script(&[Act::Exception(11); 10]);
    let mut device = Device::start(&bus(&fake), 3, r#""a": {"input": 7, "as": "u16"}"#);
    let error = device.wait_offline().await;
    let want = "read input 7 of unit 3: exception 11 (GATEWAY TARGET DEVICE FAILED TO RESPOND)";
    assert_eq!(error, want);
    device.wait_online().await;
    assert_eq!(device.round().await, ["7"]);
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn no_fault_on_the_wire_ever_becomes_a_value() {
    let fake = Fake::start().await;
    fake.script(&[
        Act::Answer,
        Act::Late(150),
        Act::WrongId,
        Act::Twice,
        Act::Short,
        Act::CloseMidFrame,
        Act::WrongUnit,
        Act::AnswerAndClose,
        Act::Garbage,
        Act::Exception(4),
        Act::WrongFunction,
        Act::Close,
    ]);
    let bus = bus(&fake);
    let mut one = Device::start(&bus, 1, r#""a": {"input": 100, "as": "u16"}"#);
    let mut two = Device::start(&bus, 2, r#""a": {"input": 200, "as": "u16"}"#);
    for (device, want) in [(&mut one, "100"), (&mut two, "200")] {
        for _ in 0..20 {
            let got = device.round().await.concat();
            let is_right = got == want || got == "Bad -" || got == format!("Stale {want}");
            assert!(is_right, "{got} in place of {want}");
        }
    }
    assert!(fake.state.lock().unwrap().script.is_empty());
}

#[tokio::test]
async fn an_address_that_is_never_answered_does_not_stop_the_others() {
    let fake = Fake::start().await;
    let points =
        r#""a": {"coil": 1}, "b": {"input": 7, "as": "u16"}, "c": {"holding": 9, "as": "u16"}"#;
    let mut session = ModbusDriver::new(config(1, points), bus(&fake))
        .open()
        .await
        .unwrap();
    let mut out = Vec::new();
    // The first request of the plan is lost in every round.
    let mut failures = 0;
    for _ in 0..40 {
        session.ready().await;
        let is_coil = session
            .pending
            .front()
            .is_some_and(|(next, _)| next.table.is_bits())
            || session.pending.is_empty() && session.skip % 3 == 0;
        if is_coil {
            fake.script(&[Act::Silence, Act::Silence]);
        }
        failures += usize::from(session.poll(&mut out).await.is_err());
    }
    let seen = |point: usize| -> Vec<String> {
        out.iter()
            .filter(|sample| sample.point == point)
            .map(text)
            .collect()
    };
    assert!(failures >= 3, "{failures}");
    assert!(
        seen(1).iter().all(|text| text == "7") && seen(1).len() >= 5,
        "{:?}",
        seen(1)
    );
    assert!(
        seen(2).iter().all(|text| text == "9") && seen(2).len() >= 5,
        "{:?}",
        seen(2)
    );
    // No reader is left to think that its old value still holds.
    assert!(
        seen(0).iter().all(|text| text == "Bad -") && !seen(0).is_empty(),
        "{:?}",
        seen(0)
    );
}

#[tokio::test]
async fn many_slow_points_do_not_hold_up_a_fast_one() {
    let fake = Fake::start().await;
    fake.script(&[Act::Late(10); 61]);
    let slow = (0..60).map(|n| {
        format!(
            r#""s{n}": {{"input": {}, "as": "u16", "poll": "1h"}}"#,
            n * 100
        )
    });
    let points: Vec<_> = slow.chain([r#""fast": {"coil": 1}"#.into()]).collect();
    let config = config(1, &points.join(","));
    let mut session = ModbusDriver::new(config, bus(&fake)).open().await.unwrap();
    let mut out = Vec::new();
    let count = |out: &[Sample]| out.iter().filter(|sample| sample.point == 60).count();
    while out.len() - count(&out) < 60 {
        session.ready().await;
        session.poll(&mut out).await.unwrap();
    }
    // It is due every 20 ms, which is the time of two requests.
    assert!(count(&out) >= 15, "{}", count(&out));
    let slow: Vec<_> = out
        .iter()
        .filter(|sample| sample.point != 60)
        .map(text)
        .collect();
    assert_eq!(
        slow,
        (0..60).map(|n| (n * 100).to_string()).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_point_that_is_read_once_is_read_once_in_each_session() {
    let fake = Fake::start().await;
    let points = r#""model": {"holding": 0, "as": "string(2)", "poll": "once"}, "c": {"coil": 3}"#;
    let mut device = Device::start(&bus(&fake), 1, points);
    device.wait_online().await;
    while device.counters.snapshot().polls < 10 {
        device.next().await;
    }
    let reads = fake
        .requests()
        .iter()
        .filter(|request| request.0 == 3)
        .count();
    assert_eq!(reads, 1);
    device.cancel.cancel();
}

#[tokio::test]
async fn a_probe_shows_requests_registers_and_values() {
    let fake = Fake::start().await;
    fake.state.lock().unwrap().holes.extend([300, 402]);
    let points = r#""a": {"input": 10, "as": "u16", "invalid": 10}, "b": {"input": 12, "as": "u16"},
        "c": {"holding": 300, "as": "u16"},
        "d": {"holding": 400, "as": "u32"}, "e": {"holding": 403, "as": "u16"}"#;
    let (device, bus) = (config(1, points), bus(&fake));
    let read = async |request: &crate::ReadRequest| {
        let priority = crate::Priority::Command;
        bus.read(device.unit, request, priority, 0).await
    };
    let exchanges = crate::probe(&device, read).await;
    let shown: Vec<_> = exchanges
        .iter()
        .map(|exchange| {
            (
                exchange.request.describe(1),
                exchange.answer.is_ok(),
                exchange.is_divided,
            )
        })
        .collect();
    let want = [
        ("read input 10..=12 of unit 1", true, false),
        ("read holding 300 of unit 1", false, false),
        ("read holding 400..=403 of unit 1", false, true),
        ("read holding 400..=401 of unit 1", true, false),
        ("read holding 403 of unit 1", true, false),
    ];
    assert_eq!(
        shown,
        want.map(|(text, is_ok, is_divided)| (text.to_owned(), is_ok, is_divided))
    );
    assert_eq!(exchanges[0].answer, Ok(Data::Words(vec![10, 11, 12])));
    let values = [
        (0, Err(DecodeError::Invalid)),
        (1, Ok(Value::Decimal(12.into()))),
    ];
    assert_eq!(exchanges[0].values, values);
    let error = "read holding 300 of unit 1: exception 2 (ILLEGAL DATA ADDRESS)";
    assert_eq!(exchanges[1].answer, Err(error.into()));
    assert!(exchanges[1].values.is_empty());
    assert_eq!(exchanges[4].values, [(4, Ok(Value::Decimal(403.into())))]);
}
