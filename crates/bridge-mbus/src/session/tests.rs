use super::*;
use crate::bus::MbusBus;
use crate::config::MbusBusEntry;
use crate::config::MbusEntry;
use crate::sim::{SimLine, SimMeter, serve};
use fieldgate_bridge::{Counters, Defaults, Event, Ports, Request, channel, run};
use fieldgate_model::{Quality, Value};
use std::sync::Mutex;
use tokio::io::duplex;
use tokio_util::sync::CancellationToken;

const METER: &str = "
bus: heating
address: 1
poll: 60s
offline: {after: 2, backoff: 5s..5s}
points:
  energy: {quantity: energy, unit: kWh}
  missing: {record: 50}
  number: {header: id}
";

fn config() -> MbusConfig {
    let entry: MbusEntry = serde_yaml::from_str(METER).unwrap();
    entry.resolve("meter", None, &Defaults::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_meter_is_polled_goes_offline_when_it_is_silent_and_comes_back() {
    let (near, mut far) = duplex(4096);
    let meter = SimMeter::heat(1, "12345678ELS0104".parse().unwrap(), 500.0);
    let meters = Arc::new(Mutex::new(SimLine::new(vec![meter])));
    let served = Arc::clone(&meters);
    let cancel = CancellationToken::new();
    let ends = cancel.clone();
    tokio::spawn(async move { serve(&mut far, &served, Instant::now(), &ends).await });
    let bus = MbusBusEntry::new(Transport::Serial("/dev/test".into())).unwrap();
    let bus = MbusBus::spawn_on(bus, near);
    let config = config();
    let driver = MbusDriver::new(config.clone(), bus.clone());
    let (requests, waiting) = channel(4);
    let (events, mut told) = channel(4);
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

    assert_eq!(*told.recv().await.unwrap(), Event::Online);
    let Event::Samples(samples) = *told.recv().await.unwrap() else {
        panic!("no samples");
    };
    let shown: Vec<_> = samples
        .iter()
        .map(|sample| (sample.quality, sample.value.as_ref().map(Value::to_string)))
        .collect();
    assert_eq!(
        shown,
        [
            (Quality::Good, Some("500".to_owned())),
            (Quality::Bad, None),
            (Quality::Good, Some("12345678".to_owned())),
        ]
    );
    assert_eq!(
        samples[1].error.as_deref(),
        Some("the meter sends no such record")
    );

    let (request, outcome) = Request::new(Command {
        point: 0,
        value: Value::Bool(true),
    });
    requests.send(request).await.unwrap();
    assert_eq!(
        outcome.await.unwrap(),
        Outcome::Failed("meters are only read".into())
    );

    let begun = Instant::now();
    meters.lock().unwrap().meter(0).unwrap().is_dead = true;
    let Event::Offline { error, .. } = *told.recv().await.unwrap() else {
        panic!("not offline");
    };
    assert_eq!(error, "address 1: no answer within 337 ms");
    assert!(
        begun.elapsed() < Duration::from_secs(75),
        "{:?}",
        begun.elapsed()
    );
    assert!(matches!(&*told.recv().await.unwrap(), Event::Samples(stale)
        if stale.iter().all(|sample| sample.quality != Quality::Good)));

    meters.lock().unwrap().meter(0).unwrap().is_dead = false;
    let back = Instant::now();
    assert_eq!(*told.recv().await.unwrap(), Event::Online);
    assert!(
        back.elapsed() < Duration::from_secs(7),
        "{:?}",
        back.elapsed()
    );
    assert!(counters.snapshot().failed_timeout >= 2);
    assert_eq!(
        bus.counters_of(crate::Address::Primary(1)),
        bus.counters().bus
    );
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_meter_that_is_removed_does_not_wait_for_the_line() {
    let (near, far) = duplex(4096);
    let bus = MbusBusEntry::new(Transport::Serial("/dev/test".into())).unwrap();
    let bus = MbusBus::spawn_on(bus, near);
    let mut first = MbusDriver::new(config(), bus.clone()).open().await.unwrap();
    let mut second = MbusDriver::new(config(), bus.clone()).open().await.unwrap();
    let begun = Instant::now();
    let ready = tokio::time::timeout(Duration::from_millis(10), async {
        tokio::join!(first.ready(), second.ready())
    });
    assert!(ready.await.is_err());
    drop(first);
    assert_eq!(begun.elapsed().as_millis(), 10);
    second.ready().await;
    let error = second.poll(&mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("no answer"), "{error}");
    drop(far);
}
