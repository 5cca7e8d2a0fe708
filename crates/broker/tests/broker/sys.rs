//! `$SYS`: the broker's own topics.

use std::time::Duration;

use fieldgate_broker::Config;

use crate::support::*;

#[test]
fn figures_appear_under_the_names_that_tools_read_and_change_as_time_goes() {
    let broker = start(Config {
        sys_interval: Duration::from_millis(100),
        ..config()
    });
    let mut client = Client::v5(&broker, "c");
    client.subscribe("$SYS/#", QoS::AtMostOnce);
    let mut left = vec![
        "$SYS/broker/version",
        "$SYS/broker/uptime",
        "$SYS/broker/clients/connected",
        "$SYS/broker/clients/total",
        "$SYS/broker/messages/received",
        "$SYS/broker/publish/messages/received",
        "$SYS/broker/publish/messages/sent",
        "$SYS/broker/publish/messages/dropped",
        "$SYS/broker/bytes/received",
        "$SYS/broker/bytes/sent",
        "$SYS/broker/retained messages/count",
        "$SYS/broker/subscriptions/count",
        "$SYS/broker/load/messages/received/1min",
    ];
    while !left.is_empty() {
        let message = client.message();
        assert!(message.topic.starts_with("$SYS/broker/"), "{message:?}");
        left.retain(|topic| *topic != message.topic);
    }
    let connected = |client: &mut Client, want: &str| loop {
        let message = client.message();
        if message.topic == "$SYS/broker/clients/connected" && message.text() == want {
            break;
        }
    };
    connected(&mut client, "1");
    let _second = Client::v5(&broker, "second");
    connected(&mut client, "2");
}

#[test]
fn wildcards_at_the_first_level_do_not_match_and_clients_may_not_publish() {
    let broker = start(Config {
        sys_interval: Duration::from_secs(3_600),
        ..config()
    });
    let mut client = Client::v5(&broker, "c");
    client.subscribe("$SYS/broker/version", QoS::AtMostOnce);
    // The figures of the start are there, as retained messages or about to come.
    let version = client.message();
    assert!(version.text().starts_with("fieldgate "), "{version:?}");
    for filter in ["#", "+/broker/version", "+/+/#"] {
        let mut client = Client::v5(&broker, filter);
        client.subscribe(filter, QoS::AtMostOnce);
        client.nothing_more();
    }
    for topic in ["$SYS/broker/version", "$SYS", "$", "$share/g/t", "$other/x"] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let refused = ReasonCode::NOT_AUTHORIZED.0;
            assert_eq!(client.publish(topic, "forged", qos), refused, "{topic}");
        }
        client.publish(topic, "forged", QoS::AtMostOnce);
    }
    client.nothing_more();
    // MQTT 3.1.1 cannot refuse a message; it is acknowledged and dropped.
    let mut old = Client::open(&broker, &connect(Version::V4, "old"));
    old.publish("$SYS/broker/version", "forged", QoS::AtLeastOnce);
    client.nothing_more();
}
