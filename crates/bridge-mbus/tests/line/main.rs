//! Simulated meters behind a TCP port and on a line without a cable, read as the gateway does.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldgate_bridge::{Cause, Counters, Defaults, Event, Ports, channel, run};
use fieldgate_bridge_mbus::config::Transport;
use fieldgate_bridge_mbus::sim::{SimLine, SimMeter, SimServer, serve};
use fieldgate_bridge_mbus::{
    Address, End, Found, MbusBus, MbusBusEntry, MbusBusHandle, MbusConfig, MbusDriver, MbusEntry,
    probe, scan_primary, scan_secondary,
};
use fieldgate_model::{Quality, Sample, Value};
use fieldgate_sim::Pty;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than any test needs on a slow machine.
const LIMIT: Duration = Duration::from_secs(20);

fn meters() -> SimLine {
    let meter = |address, id: &str, start| SimMeter::heat(address, id.parse().unwrap(), start);
    SimLine::new(vec![
        meter(1, "11111111ELS0104", 1000.0),
        meter(2, "22222222KAM0206", 2000.0),
    ])
}

fn bus(transport: Transport) -> MbusBusHandle {
    let config = MbusBusEntry::new(transport).unwrap();
    MbusBus::spawn("heating", config, CancellationToken::new())
}

fn device(keys: &str) -> MbusConfig {
    let yaml = format!(
        "{{bus: heating, {keys}, poll: 100ms, points: {{
            energy: {{quantity: energy, unit: MWh}}, due: {{record: 1, unit: kWh}}, number: {{header: id}}}}}}"
    );
    let entry: MbusEntry = serde_yaml::from_str(&yaml).unwrap();
    entry.resolve("meter", None, &Defaults::default()).unwrap()
}

/// Runs a device until it has been read twice, and returns what the first readout showed.
async fn first_samples(config: MbusConfig, bus: &MbusBusHandle) -> Vec<Sample> {
    let driver = MbusDriver::new(config.clone(), bus.clone());
    let (_requests, waiting) = channel(4);
    let (events, mut told) = channel(4);
    let cancel = CancellationToken::new();
    let ports = Ports {
        requests: waiting,
        events,
        cancel: cancel.clone(),
    };
    let counters = Arc::<Counters>::default();
    let running = tokio::spawn(run(
        driver,
        config.settings(1),
        Arc::clone(&counters),
        ports,
    ));
    let mut samples = None;
    let begun = Instant::now();
    while counters.snapshot().polls < 2 {
        assert!(begun.elapsed() < LIMIT);
        if let Ok(Some(event)) = timeout(Duration::from_millis(50), told.recv()).await
            && let Event::Samples(first) = *event
        {
            samples.get_or_insert(first);
        }
    }
    cancel.cancel();
    running.await.unwrap();
    samples.unwrap()
}

fn shown(samples: &[Sample]) -> Vec<(Quality, Option<String>)> {
    let shown = |sample: &Sample| (sample.quality, sample.value.as_ref().map(Value::to_string));
    samples.iter().map(shown).collect()
}

fn good(values: [&str; 3]) -> Vec<(Quality, Option<String>)> {
    let good = |value: &str| (Quality::Good, Some(value.to_owned()));
    values.map(good).to_vec()
}

#[tokio::test]
async fn two_meters_behind_a_tcp_port_are_read_and_the_connection_is_made_again() {
    let server = SimServer::listen("127.0.0.1:0".parse().unwrap(), meters());
    let server = server.await.unwrap();
    let bus = bus(Transport::Tcp(server.address().to_string()));
    let first = first_samples(device("address: 1"), &bus).await;
    assert_eq!(shown(&first), good(["1", "1000", "11111111"]));
    let second = first_samples(device("secondary: \"2222222F\""), &bus).await;
    assert_eq!(shown(&second), good(["2", "2000", "22222222"]));

    let address = server.address();
    server.end().await;
    let error = bus.read(Address::Primary(1), 1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Lost, "{error}");
    let server = SimServer::listen(address, meters()).await.unwrap();
    bus.read(Address::Primary(1), 1).await.unwrap();
    server.end().await;
}

#[tokio::test]
async fn meters_on_a_serial_line_are_read_probed_and_found() {
    let mut line = Pty::open().unwrap();
    let path = line.path().display().to_string();
    let cancel = CancellationToken::new();
    let ends = cancel.clone();
    let serving = tokio::spawn(async move {
        let meters = Mutex::new(meters());
        serve(&mut line, &meters, Instant::now(), &ends).await
    });
    // A pseudo-terminal has no parity.
    let config = format!("{{serial: {path}, baud: 38400, parity: none, timeout: 200ms}}");
    let config = serde_yaml::from_str(&config).unwrap();
    let bus = MbusBus::spawn("heating", config, CancellationToken::new());

    let samples = first_samples(device("address: 2"), &bus).await;
    assert_eq!(shown(&samples), good(["2", "2000", "22222222"]));

    let config = device("secondary: \"11111111\"");
    let seen = probe(&config, &bus).await.unwrap();
    let lines = seen.lines(&config);
    assert!(lines[0].starts_with("secondary 11111111: 11111111, ELS, version 1, heat (outlet)"));
    assert_eq!(lines[2], "  1: energy, storage 1: 1000000 Wh (vif 06)");
    assert_eq!(lines[9], "energy: 1 MWh");
    assert_eq!(lines[10], "due: 1000 kWh (record 1)");

    let mut found = Vec::new();
    let mut note = |one: Found| match one {
        Found::Meter { at, .. } => found.push(at.to_string()),
        other => panic!("{other:?}"),
    };
    scan_primary(&bus, 0..=3, &mut note).await.unwrap();
    let end = scan_secondary(&bus, LIMIT, &mut note).await;
    assert_eq!(end, Ok(End::Complete));
    assert_eq!(
        found,
        [
            "address 1",
            "address 2",
            "secondary 11111111ELS0104",
            "secondary 22222222KAM0206",
        ]
    );
    let counts = bus.counters().bus;
    assert!(counts.requests > counts.answers && counts.answers > 10);
    cancel.cancel();
    serving.await.unwrap().unwrap();
}
