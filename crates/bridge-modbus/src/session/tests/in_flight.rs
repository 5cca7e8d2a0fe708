//! Several requests of one device at a time.

use super::*;

/// Three requests, as nothing joins them.
const APART: &str = r#""a": {"input": 10, "as": "u16"}, "b": {"input": 300, "as": "u16"},
    "c": {"input": 600, "as": "u16"}"#;

fn wide_bus(fake: &Fake, in_flight: usize) -> BusHandle {
    let mut config = bus_config(&fake.address);
    config.in_flight = in_flight;
    BusHandle::spawn("test", config, CancellationToken::new())
}

#[tokio::test]
async fn one_device_has_as_many_requests_under_way_as_its_bus_allows() {
    for in_flight in [3, 4] {
        let fake = Fake::start().await;
        // Slow, so that the second round begins after the first.
        let points = APART.replace("\"u16\"", "\"u16\", \"poll\": \"300ms\"");
        let mut device = Device::start(&wide_bus(&fake, in_flight), 1, &points);
        device.round().await;
        // Answers three requests together, in the wrong order, and none before.
        fake.state.lock().unwrap().hold = 3;
        assert_eq!(device.round().await, ["10", "300", "600"], "{in_flight}");
        device.cancel.cancel();
    }
}

#[tokio::test]
async fn what_is_refused_among_requests_under_way_together_is_searched_one_after_the_other() {
    let fake = Fake::start().await;
    fake.state.lock().unwrap().holes = [11, 301].into();
    let points = r#""a": {"input": 10, "as": "u16"}, "b": {"input": 12, "as": "u16"},
        "c": {"input": 300, "as": "u16"}, "d": {"input": 302, "as": "u16"}"#;
    let mut device = Device::start(&wide_bus(&fake, 4), 1, points);
    device.wait_online().await;
    for _ in 0..2 {
        assert_eq!(device.round().await, ["10", "12", "300", "302"]);
    }
}

#[tokio::test]
async fn a_lost_connection_loses_all_requests_under_way_and_no_value_is_wrong_after_it() {
    let fake = Fake::start().await;
    let mut device = Device::start(&wide_bus(&fake, 3), 1, APART);
    device.wait_online().await;
    fake.script(&[Act::Answer, Act::WrongUnit, Act::Answer, Act::Close]);
    for _ in 0..3 {
        assert_eq!(device.round().await, ["10", "300", "600"]);
    }
}
