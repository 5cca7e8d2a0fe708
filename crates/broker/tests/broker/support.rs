//! A broker on a free port, and a client that sends and sees single packets.

mod client;
mod people;

use std::future::Future;
use std::time::{Duration, Instant};

use fieldgate_broker::{Broker, Config, Limits, Listener};

pub(crate) use client::{Client, connect, connect_v5, will};
pub(crate) use fieldgate_test_client::{Event, Greeting, Message as Got};
pub(crate) use people::{broker_for, enter, named, password, people, rules};

pub(crate) use fieldgate_mqtt::{QoS, ReasonCode, Version};

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

pub(crate) const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];

/// A message as most tests expect it.
pub(crate) fn got(topic: &str, payload: &str, qos: u8) -> Got {
    Got {
        topic: topic.into(),
        payload: payload.into(),
        qos,
        ..Got::default()
    }
}

/// A broker with the default limits and two workers, so that clients meet across threads.
pub(crate) fn broker() -> Broker {
    broker_with(Limits::default())
}

pub(crate) fn broker_with(limits: Limits) -> Broker {
    start(Config { limits, ..config() })
}

pub(crate) fn config() -> Config {
    Config {
        listeners: vec![Listener::tcp("127.0.0.1:0".parse().unwrap())],
        workers: 2,
        sys_interval: Duration::ZERO,
        ..Config::default()
    }
}

pub(crate) fn start(config: Config) -> Broker {
    Broker::start(config).unwrap()
}

/// Polls until something has happened that is not announced.
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The broker counts a batch of packets after it has answered them.
#[track_caller]
pub(crate) fn eventually(want: u64, mut count: impl FnMut() -> u64) {
    let until = Instant::now() + PATIENCE;
    while count() != want && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(count(), want);
}

/// So many connections that those which come later are served by different workers.
pub(crate) fn crowd(broker: &Broker) -> Vec<Client> {
    let names: Vec<_> = (0..80).map(|number| format!("crowd {number}")).collect();
    let open = |id: &String| Client::v5(broker, id);
    names.iter().map(open).collect()
}

/// Runs what is asynchronous in the broker's interface, for a bounded time.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bounded = async { tokio::time::timeout(PATIENCE, future).await };
    runtime.block_on(bounded).unwrap()
}
