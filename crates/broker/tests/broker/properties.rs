//! What travels with a message from publisher to subscriber.

use fieldgate_mqtt::{Publish, PublishProperties, UserPropertiesBuf};

use crate::support::*;

#[test]
fn properties_reach_every_subscriber_unaltered_and_in_order() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    // One for the shared encoding, one for its own, one that is away, one that comes late.
    let mut plain = ["one", "two"].map(|id| {
        let mut client = Client::v5(&broker, id);
        client.subscribe("request", QoS::AtMostOnce);
        client
    });
    let mut tracked = Client::v5(&broker, "tracked");
    tracked.subscribe("request", QoS::AtLeastOnce);
    let mut away = Client::open(&broker, &connect_v5("away", 60));
    away.subscribe("request", QoS::AtLeastOnce);
    away.vanish();
    let pairs = [("z", "1"), ("a", "2"), ("z", ""), ("", "ü"), ("a", "2")];
    let mut user = UserPropertiesBuf::new();
    for (name, value) in pairs {
        user.push(name, value).unwrap();
    }
    let publish = Publish {
        retain: true,
        properties: PublishProperties {
            payload_format_utf8: Some(true),
            response_topic: Some("answer/é"),
            correlation_data: Some(&[0, 1, 0xFF]),
            content_type: Some("application/json; é"),
            user_properties: user.as_properties(),
            ..PublishProperties::default()
        },
        ..publisher.publication("request", b"{}", QoS::AtLeastOnce)
    };
    assert_eq!(publisher.publish_packet(&publish), 0);
    let want = Got {
        utf8: Some(true),
        response_topic: Some("answer/é".into()),
        correlation: Some(vec![0, 1, 0xFF]),
        content_type: Some("application/json; é".into()),
        user: pairs
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..got("request", "{}", 0)
    };
    for client in &mut plain {
        assert_eq!(client.message(), want);
    }
    let tracked_want = Got {
        qos: 1,
        ..want.clone()
    };
    assert_eq!(tracked.message().anonymous(), tracked_want);
    let mut away = Client::open(&broker, &connect_v5("away", 60));
    assert_eq!(away.message().anonymous(), tracked_want);
    let mut late = Client::v5(&broker, "late");
    late.subscribe("request", QoS::AtMostOnce);
    assert_eq!(
        late.message(),
        Got {
            retain: true,
            ..want
        }
    );
    // A client of an older version gets the message alone.
    let mut old = Client::open(&broker, &connect(Version::V4, "old"));
    old.subscribe("request", QoS::AtMostOnce);
    let bare = Got {
        retain: true,
        ..got("request", "{}", 0)
    };
    assert_eq!(old.message(), bare);
}

#[test]
fn properties_that_are_empty_or_zero_are_not_the_same_as_none() {
    let broker = broker();
    let mut client = Client::v5(&broker, "c");
    client.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    let publish = Publish {
        properties: PublishProperties {
            payload_format_utf8: Some(false),
            correlation_data: Some(&[]),
            content_type: Some(""),
            ..PublishProperties::default()
        },
        ..publisher.publication("t", b"", QoS::AtLeastOnce)
    };
    publisher.publish_packet(&publish);
    let want = Got {
        utf8: Some(false),
        correlation: Some(vec![]),
        content_type: Some(String::new()),
        ..got("t", "", 0)
    };
    assert_eq!(client.message(), want);
}

#[test]
fn a_message_that_waited_says_how_long_it_has_left_and_one_that_expired_is_gone() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    client.subscribe("t", QoS::AtLeastOnce);
    client.vanish();
    for (text, expiry) in [("short", Some(1)), ("long", Some(1_000)), ("ever", None)] {
        let publish = Publish {
            properties: PublishProperties {
                message_expiry: expiry,
                ..PublishProperties::default()
            },
            ..publisher.publication("t", text.as_bytes(), QoS::AtLeastOnce)
        };
        publisher.publish_packet(&publish);
    }
    let marker = Client::open(&broker, &connect_v5("marker", 1));
    marker.vanish();
    wait_until("a second has passed", || {
        broker.totals().sessions_expired == 1
    });
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    let long = client.message();
    assert_eq!(long.text(), "long");
    assert!(matches!(long.expiry, Some(997..=999)), "{long:?}");
    let ever = client.message();
    assert_eq!((ever.text(), ever.expiry), ("ever", None));
    client.nothing_more();
    assert_eq!(broker.totals().publish_expired, 1);
}

#[test]
fn a_live_message_keeps_its_expiry() {
    let broker = broker();
    let mut clients = ["one", "two"].map(|id| {
        let mut client = Client::v5(&broker, id);
        client.subscribe("t", QoS::AtMostOnce);
        client
    });
    let mut publisher = Client::v5(&broker, "publisher");
    for expiry in [1, 100, u32::MAX] {
        let publish = Publish {
            properties: PublishProperties {
                message_expiry: Some(expiry),
                ..PublishProperties::default()
            },
            ..publisher.publication("t", b"x", QoS::AtMostOnce)
        };
        publisher.publish_packet(&publish);
        for client in &mut clients {
            assert_eq!(client.message().expiry, Some(expiry));
        }
    }
}
