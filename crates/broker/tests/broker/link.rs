//! Clients inside the process.

use std::time::Duration;

use fieldgate_broker::{Broker, Delivery, Link, LinkError, Outgoing};
use fieldgate_mqtt::{Packet, Publish, PublishProperties};

use crate::support::*;

fn outgoing<'a>(topic: &'a str, payload: &'a str) -> Outgoing<'a> {
    Outgoing {
        topic,
        payload: payload.as_bytes(),
        qos: QoS::AtLeastOnce,
        retain: false,
        correlation_data: None,
    }
}

fn text(delivery: &Delivery) -> &str {
    std::str::from_utf8(delivery.message().payload()).unwrap()
}

#[test]
fn a_link_publishes_to_clients_of_every_version_and_hears_them() {
    let broker = broker();
    let link = broker.link("gateway");
    link.subscribe("to/link/#", QoS::AtLeastOnce).unwrap();
    wait_for(async {
        for version in VERSIONS {
            let mut client = Client::open(&broker, &connect(version, "c"));
            client.subscribe("from/link", QoS::ExactlyOnce);
            link.publish(outgoing("from/link", "hello")).await.unwrap();
            assert_eq!(client.message().anonymous(), got("from/link", "hello", 1));
            for qos in QOS {
                client.publish("to/link/x", "back", qos);
                let delivery = link.recv().await;
                assert_eq!(delivery.message().topic(), "to/link/x");
                assert_eq!(text(&delivery), "back");
                assert!(!delivery.is_retained());
            }
        }
    });
}

#[test]
fn a_link_tells_retained_messages_from_live_ones() {
    let broker = broker();
    let link = broker.link("gateway");
    let mut client = Client::v5(&broker, "c");
    wait_for(async {
        let kept = Outgoing {
            retain: true,
            ..outgoing("t", "kept")
        };
        link.publish(kept).await.unwrap();
        link.subscribe("t", QoS::AtMostOnce).unwrap();
        client.retain("t", "live");
        let first = link.recv().await;
        assert_eq!((text(&first), first.is_retained()), ("kept", true));
        let second = link.recv().await;
        assert_eq!((text(&second), second.is_retained()), ("live", false));
        client.subscribe("t", QoS::AtMostOnce);
        let want = Got {
            retain: true,
            ..got("t", "live", 0)
        };
        assert_eq!(client.message(), want);
    });
}

#[test]
fn a_request_shows_where_its_answer_goes_and_the_answer_finds_its_request() {
    let broker = broker();
    let link = broker.link("gateway");
    link.subscribe("+/set", QoS::AtLeastOnce).unwrap();
    let mut client = Client::v5(&broker, "c");
    client.subscribe("answers", QoS::AtMostOnce);
    let request = Publish {
        properties: PublishProperties {
            response_topic: Some("answers"),
            correlation_data: Some(&[1, 2, 3]),
            ..PublishProperties::default()
        },
        ..client.publication("a/set", b"1", QoS::AtLeastOnce)
    };
    assert_eq!(client.publish_packet(&request), 0);
    wait_for(async {
        let delivery = link.recv().await;
        let message = delivery.message();
        assert_eq!(message.response_topic(), Some("answers"));
        assert_eq!(message.correlation_data(), Some(&[1, 2, 3][..]));
        let answer = Outgoing {
            correlation_data: message.correlation_data(),
            ..outgoing("answers", "done")
        };
        link.publish(answer).await.unwrap();
        let want = Got {
            correlation: Some(vec![1, 2, 3]),
            ..got("answers", "done", 0)
        };
        assert_eq!(client.message(), want);
    });
}

#[test]
fn the_will_of_a_link_goes_out_when_its_last_clone_is_dropped_and_not_after_close() {
    let broker = broker();
    let mut client = Client::v5(&broker, "c");
    client.subscribe("state", QoS::AtLeastOnce);
    let with_will = |text| -> Link {
        let link = broker.link("gateway");
        let will = Outgoing {
            retain: true,
            ..outgoing("state", text)
        };
        link.set_will(will).unwrap();
        link
    };
    let link = with_will("dropped");
    let clone = link.clone();
    drop(link);
    client.nothing_more();
    drop(clone);
    let message = client.message();
    client.acknowledge(&message);
    assert_eq!(message.anonymous(), got("state", "dropped", 1));
    let link = with_will("closed");
    link.close();
    drop(link);
    client.nothing_more();
}

#[test]
fn messages_between_links_and_clients_keep_their_order() {
    const COUNT: usize = 3_000;
    let broker = broker();
    let link = broker.link("gateway");
    let other = broker.link("other");
    other.subscribe("t", QoS::AtMostOnce).unwrap();
    let mut client = Client::v5(&broker, "c");
    client.subscribe("t", QoS::AtMostOnce);
    wait_for(async {
        for number in 0..COUNT {
            let number = number.to_string();
            link.publish(outgoing("t", &number)).await.unwrap();
        }
        for number in 0..COUNT {
            assert_eq!(text(&other.recv().await), number.to_string());
        }
    });
    let texts: Vec<_> = (0..COUNT).map(|n| n.to_string()).collect();
    assert_eq!(client.texts(COUNT), texts);
}

#[test]
fn names_and_filters_that_mqtt_forbids_are_refused() {
    let broker = broker();
    let link = broker.link("gateway");
    let long = "x".repeat(65_536);
    for topic in ["", "a/+", "#", "a\0", &long] {
        let refused = wait_for(link.publish(outgoing(topic, "x")));
        assert_eq!(refused, Err(LinkError::TopicName), "{topic:.10?}");
        let refused = link.set_will(outgoing(topic, "x"));
        assert_eq!(refused, Err(LinkError::TopicName), "{topic:?}");
    }
    for filter in ["", "a#", "a/#/b", "a\0", &long] {
        let refused = link.subscribe(filter, QoS::AtMostOnce);
        assert_eq!(refused, Err(LinkError::TopicFilter), "{filter:?}");
    }
}

/// Sends `count` numbered messages of QoS 0 and waits until the broker has handled them.
fn flood(broker: &Broker, count: usize) {
    let mut client = Client::v5(broker, "flood");
    for number in 0..count {
        let text = number.to_string();
        let publish = client.publication("t", text.as_bytes(), QoS::AtMostOnce);
        client.send(&Packet::Publish(publish));
    }
    client.nothing_more();
}

#[test]
fn an_unread_link_pauses_publishers_and_then_loses_the_oldest_messages_counted() {
    let broker = broker_with(fieldgate_broker::Limits {
        backpressure: Duration::from_millis(200),
        ..fieldgate_broker::Limits::default()
    });
    let link = broker.link("gateway");
    link.subscribe("t", QoS::AtMostOnce).unwrap();
    flood(&broker, 12_000);
    eventually(2_000, || broker.totals().publish_dropped);
    eventually(1, || broker.totals().slow_subscribers);
    assert!(broker.totals().pauses > 0);
    wait_for(async {
        for number in 2_000..12_000 {
            assert_eq!(text(&link.recv().await), number.to_string());
        }
    });
}

#[test]
fn a_link_that_is_read_slowly_loses_nothing() {
    const COUNT: usize = 30_000;
    let broker = broker();
    let link = broker.link("gateway");
    link.subscribe("t", QoS::AtMostOnce).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| flood(&broker, COUNT));
        wait_until("the publisher is paused", || broker.totals().pauses > 0);
        wait_for(async {
            for number in 0..COUNT {
                assert_eq!(text(&link.recv().await), number.to_string());
            }
        });
    });
    assert_eq!(broker.totals().publish_dropped, 0);
}
