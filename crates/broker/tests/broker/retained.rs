//! Retained messages.

use std::collections::BTreeSet;

use fieldgate_broker::Limits;
use fieldgate_mqtt::{
    Connect, Packet, Publish, PublishProperties, RetainHandling, SubscriptionOptions, Will,
};

use crate::support::*;

#[test]
fn the_last_retained_message_of_a_topic_comes_with_the_subscription_in_every_version() {
    let broker = broker();
    for version in VERSIONS {
        let mut publisher = Client::open(&broker, &connect(version, "publisher"));
        publisher.retain("a/b", "old");
        publisher.retain("a/b", "new");
        for to in VERSIONS {
            let mut client = Client::open(&broker, &connect(to, "c"));
            client.subscribe("a/+", QoS::ExactlyOnce);
            let want = Got {
                retain: true,
                ..got("a/b", "new", 1)
            };
            let kept = client.message();
            client.acknowledge(&kept);
            assert_eq!(kept.anonymous(), want, "{version:?} to {to:?}");
            publisher.retain("a/b", "live");
            let live = client.message();
            assert_eq!(live.anonymous(), got("a/b", "live", 1));
            publisher.retain("a/b", "new");
        }
    }
}

#[test]
fn an_empty_payload_removes_the_retained_message_and_is_delivered_itself() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut client = Client::v5(&broker, "c");
    publisher.retain("t", "x");
    client.subscribe("t", QoS::AtMostOnce);
    assert_eq!(client.message().text(), "x");
    publisher.retain("t", "");
    assert_eq!(client.message(), got("t", "", 0));
    let mut late = Client::v5(&broker, "late");
    late.subscribe("t", QoS::AtMostOnce);
    late.nothing_more();
    // Without the flag an empty payload removes nothing.
    publisher.retain("t", "y");
    publisher.publish("t", "", QoS::AtLeastOnce);
    assert_eq!(late.texts(2), ["y", ""]);
    late.subscribe("t", QoS::AtMostOnce);
    assert_eq!(late.texts(1), ["y"]);
}

#[test]
fn wildcards_find_the_retained_messages_that_they_match() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let topics = ["a", "a/b", "a/b/c", "/a", "b"];
    for topic in topics {
        publisher.retain(topic, topic);
    }
    for (filter, want) in [
        ("#", &["/a", "a", "a/b", "a/b/c", "b"][..]),
        ("+", &["a", "b"]),
        ("a/#", &["a", "a/b", "a/b/c"]),
        ("+/b/#", &["a/b", "a/b/c"]),
        ("/+", &["/a"]),
        ("+/+", &["/a", "a/b"]),
        ("a/b", &["a/b"]),
        ("A", &[]),
    ] {
        let mut client = Client::v5(&broker, "c");
        client.subscribe(filter, QoS::AtMostOnce);
        let mut found = client.texts(want.len());
        found.sort_unstable();
        assert_eq!(found, want, "{filter}");
        client.nothing_more();
    }
}

#[test]
fn retain_handling_decides_whether_a_subscription_brings_retained_messages() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    publisher.retain("t", "x");
    for (handling, first, again) in [
        (RetainHandling::SendAtSubscribe, true, true),
        (RetainHandling::SendIfNew, true, false),
        (RetainHandling::DoNotSend, false, false),
    ] {
        let mut client = Client::v5(&broker, "c");
        let options = SubscriptionOptions {
            retain_handling: handling,
            ..SubscriptionOptions::new(QoS::AtMostOnce)
        };
        for comes in [first, again] {
            client.subscribe_to(None, &[("t", options)]);
            if comes {
                assert_eq!(client.message().text(), "x", "{handling:?}");
            }
            client.nothing_more();
        }
        client.unsubscribe(&["t"]);
        client.subscribe_to(None, &[("t", options)]);
        if first {
            assert_eq!(client.message().text(), "x", "{handling:?}");
        }
        client.nothing_more();
    }
}

#[test]
fn retain_as_published_keeps_the_flag_of_live_messages() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    for (as_published, retain, want) in [
        (false, false, false),
        (false, true, false),
        (true, false, false),
        (true, true, true),
    ] {
        let mut client = Client::v5(&broker, "c");
        let options = SubscriptionOptions {
            retain_as_published: as_published,
            retain_handling: RetainHandling::DoNotSend,
            ..SubscriptionOptions::new(QoS::AtLeastOnce)
        };
        client.subscribe_to(None, &[("t", options)]);
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let publish = Publish {
                retain,
                ..publisher.publication("t", b"x", qos)
            };
            publisher.publish_packet(&publish);
            let message = client.message();
            assert_eq!(message.retain, want, "{as_published} {retain} {qos:?}");
        }
    }
}

#[test]
fn a_retained_message_expires_and_says_how_long_it_has_left() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    for (topic, expiry) in [("short", Some(1)), ("long", Some(1_000)), ("ever", None)] {
        let publish = Publish {
            retain: true,
            properties: PublishProperties {
                message_expiry: expiry,
                ..PublishProperties::default()
            },
            ..publisher.publication(topic, topic.as_bytes(), QoS::AtLeastOnce)
        };
        publisher.publish_packet(&publish);
    }
    let marker = Client::open(&broker, &connect_v5("marker", 1));
    marker.vanish();
    wait_until("a second has passed", || {
        broker.totals().sessions_expired == 1
    });
    let mut client = Client::v5(&broker, "c");
    client.subscribe("#", QoS::AtMostOnce);
    let mut left: Vec<_> = (0..2).map(|_| client.message()).collect();
    left.sort_by(|a, b| a.topic.cmp(&b.topic));
    assert_eq!((left[0].text(), left[0].expiry), ("ever", None));
    assert_eq!(left[1].text(), "long");
    assert!(matches!(left[1].expiry, Some(997..=999)), "{left:?}");
    client.nothing_more();
    let mut old = Client::open(&broker, &connect(Version::V4, "old"));
    old.subscribe("#", QoS::AtMostOnce);
    assert_eq!(old.texts(2).len(), 2);
    old.nothing_more();
}

#[test]
fn thousands_of_retained_messages_all_arrive_whatever_the_qos() {
    const COUNT: usize = 20_000;
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    for number in 0..COUNT {
        let topic = format!("many/{number}");
        let publish = Publish {
            retain: true,
            ..publisher.publication(&topic, b"0123456789", QoS::AtMostOnce)
        };
        publisher.send(&Packet::Publish(publish));
    }
    publisher.nothing_more();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        publisher.retain("many/last", "last");
        let mut client = Client::v5(&broker, "c");
        client.subscribe("many/#", qos);
        publisher.publish("many/live", "live", QoS::AtMostOnce);
        // They are sent in turns, so that what comes meanwhile may be among them.
        let mut topics = BTreeSet::new();
        while topics.len() < COUNT + 2 {
            let message = client.message();
            assert_eq!(message.retain, message.text() != "live", "{message:?}");
            client.acknowledge(&message);
            assert!(topics.insert(message.topic));
        }
        client.nothing_more();
    }
    assert_eq!(broker.totals().publish_dropped, 0);
}

#[test]
fn a_full_store_refuses_new_topics_and_says_so() {
    // Two big ones fit into three eighths of it.
    let broker = broker_with(Limits {
        memory: 1 << 20,
        ..Limits::default()
    });
    let mut publisher = Client::v5(&broker, "publisher");
    let big = "1".repeat(150_000);
    let mut retain = |topic, payload: &[u8], qos| {
        let publish = Publish {
            retain: true,
            ..publisher.publication(topic, payload, qos)
        };
        publisher.publish_packet(&publish)
    };
    for (topic, payload, want) in [
        ("a", &*big, 0x10),
        ("b", &big, 0x10),
        ("c", &big, 0x97),
        ("a", "2", 0x10),
        ("b", "", 0x10),
        ("c", &big, 0x10),
    ] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let answer = retain(topic, payload.as_bytes(), qos);
            assert_eq!(answer, want, "{topic} {payload} {qos:?}");
        }
    }
    eventually(2, || broker.totals().publish_refused);
}

#[test]
fn a_full_store_delivers_all_the_same_and_keeps_no_value_that_is_not_the_last() {
    let broker = broker_with(Limits {
        memory: 160_000,
        ..Limits::default()
    });
    let mut publisher = Client::v5(&broker, "publisher");
    let mut reader = Client::v5(&broker, "reader");
    publisher.retain("a", "old");
    reader.subscribe("#", QoS::AtMostOnce);
    assert_eq!(reader.message().text(), "old");
    let big = "x".repeat(64_000);
    let publish = Publish {
        retain: true,
        ..publisher.publication("a", big.as_bytes(), QoS::AtMostOnce)
    };
    publisher.send(&Packet::Publish(publish));
    assert_eq!(reader.message().text(), big);
    let mut old = Client::open(&broker, &connect(Version::V4, "old"));
    old.retain("b", &big);
    assert_eq!(reader.message().text(), big);
    // A will is delivered, too.
    let with_will = Connect {
        will: Some(Will {
            retain: true,
            ..will("w", &big, 0)
        }),
        ..connect(Version::V5, "with will")
    };
    Client::open(&broker, &with_will).vanish();
    assert_eq!(reader.message().topic, "w");
    let mut late = Client::v5(&broker, "late");
    late.subscribe("#", QoS::AtMostOnce);
    late.nothing_more();
    eventually(3, || broker.totals().retained_refused);
}

#[test]
fn a_no_local_subscription_brings_no_retained_message_of_its_own_client() {
    let broker = broker();
    let mut client = Client::v5(&broker, "c");
    let mut other = Client::v5(&broker, "other");
    client.retain("mine", "1");
    other.retain("theirs", "2");
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::default()
    };
    client.subscribe_to(None, &[("#", options)]);
    assert_eq!(client.texts(1), ["2"]);
    client.nothing_more();
    client.subscribe("#", QoS::AtMostOnce);
    assert_eq!(client.texts(2).len(), 2);
}
