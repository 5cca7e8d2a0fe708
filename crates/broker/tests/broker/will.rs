//! Wills: when they go out, when they do not, and what they carry.

use std::time::{Duration, Instant};

use fieldgate_broker::Broker;
use fieldgate_mqtt::{Connect, UserPropertiesBuf, Will, WillProperties};

use crate::support::*;

fn watcher(broker: &Broker) -> Client {
    let mut watcher = Client::v5(broker, "watcher");
    watcher.subscribe("will/#", QoS::ExactlyOnce);
    watcher
}

#[test]
fn a_will_goes_out_unless_the_client_says_goodbye() {
    let broker = broker();
    let mut watcher = watcher(&broker);
    type Leave = fn(Client);
    let cases: [(&str, Leave, bool); 6] = [
        ("goodbye", Client::leave, false),
        ("closed without a word", Client::vanish, true),
        (
            "goodbye with will",
            |client| client.leave_with(ReasonCode::DISCONNECT_WITH_WILL, None),
            true,
        ),
        (
            "goodbye because of an error",
            |client| client.leave_with(ReasonCode::UNSPECIFIED_ERROR, None),
            true,
        ),
        (
            "protocol error",
            |mut client| {
                client.send_bytes(&[0xF0, 2, 0x42, 0]);
                client.disconnected_with(ReasonCode::PROTOCOL_ERROR);
            },
            true,
        ),
        (
            "malformed packet",
            |mut client| {
                client.send_bytes(&[0x36, 0]);
                client.disconnected_with(ReasonCode::MALFORMED_PACKET);
            },
            true,
        ),
    ];
    for (name, leave, want) in cases {
        let connect = Connect {
            will: Some(will("will/x", name, 0)),
            ..connect(Version::V5, "c")
        };
        leave(Client::open(&broker, &connect));
        if want {
            assert_eq!(watcher.message(), got("will/x", name, 0));
        }
        watcher.nothing_more();
    }
    for version in [Version::V3, Version::V4] {
        let connect = Connect {
            will: Some(will("will/x", "old", 0)),
            ..connect(version, "c")
        };
        Client::open(&broker, &connect).leave();
        watcher.nothing_more();
        Client::open(&broker, &connect).vanish();
        assert_eq!(watcher.message().text(), "old");
    }
}

#[test]
fn a_will_goes_out_when_the_keep_alive_runs_out() {
    let broker = broker();
    let mut watcher = watcher(&broker);
    let connect = Connect {
        keep_alive: 1,
        will: Some(will("will/x", "silent", 0)),
        ..connect(Version::V4, "c")
    };
    let lost = Instant::now();
    let mut client = Client::open(&broker, &connect);
    assert_eq!(watcher.message().text(), "silent");
    assert!(lost.elapsed() < Duration::from_secs(5));
    assert_eq!(client.next(), Event::Closed);
}

#[test]
fn a_delayed_will_waits_for_its_delay_or_the_end_of_the_session_whichever_is_first() {
    let broker = broker();
    let mut watcher = watcher(&broker);
    for (name, delay, expiry) in [("delay", 1, 60), ("session end", 60, 1)] {
        let connect = Connect {
            will: Some(will("will/x", name, delay)),
            ..connect_v5(name, expiry)
        };
        let client = Client::open(&broker, &connect);
        let lost = Instant::now();
        client.vanish();
        watcher.nothing_more();
        assert_eq!(watcher.message().text(), name);
        assert!(lost.elapsed() >= Duration::from_secs(1), "{name}");
    }
    // A session that ends with the connection does not wait.
    let connect = Connect {
        will: Some(will("will/x", "at once", 60)),
        ..connect_v5("c", 0)
    };
    Client::open(&broker, &connect).vanish();
    assert_eq!(watcher.message().text(), "at once");
}

#[test]
fn a_delayed_will_is_void_when_the_client_comes_back() {
    let broker = broker();
    let mut watcher = watcher(&broker);
    let with_will = |text| Connect {
        will: Some(will("will/x", text, 1)),
        ..connect_v5("c", 60)
    };
    Client::open(&broker, &with_will("void")).vanish();
    let client = Client::open(&broker, &with_will("due"));
    assert!(client.greeting.session_present);
    client.vanish();
    assert_eq!(watcher.message().text(), "due");
    watcher.nothing_more();
}

#[test]
fn a_retained_will_is_kept_with_its_properties() {
    let broker = broker();
    let mut watcher = watcher(&broker);
    let mut user = UserPropertiesBuf::new();
    for (name, value) in [("b", "1"), ("a", "2"), ("b", "3")] {
        user.push(name, value).unwrap();
    }
    let connect = Connect {
        will: Some(Will {
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: WillProperties {
                delay: 0,
                payload_format_utf8: Some(true),
                message_expiry: Some(100),
                content_type: Some("text/plain"),
                response_topic: Some("answer"),
                correlation_data: Some(b"\x00\xFF"),
                user_properties: user.as_properties(),
            },
            ..will("will/x", "gone", 0)
        }),
        ..connect(Version::V5, "c")
    };
    Client::open(&broker, &connect).vanish();
    let pairs = [("b", "1"), ("a", "2"), ("b", "3")];
    let want = Got {
        expiry: Some(100),
        utf8: Some(true),
        content_type: Some("text/plain".into()),
        response_topic: Some("answer".into()),
        correlation: Some(vec![0, 0xFF]),
        user: pairs
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..got("will/x", "gone", 1)
    };
    assert_eq!(watcher.message().anonymous(), want);
    let mut late = Client::v5(&broker, "late");
    late.subscribe("will/x", QoS::AtLeastOnce);
    let kept = late.message().anonymous();
    assert_eq!(
        kept,
        Got {
            retain: true,
            ..want
        }
    );
}

#[test]
fn a_will_expires_counted_from_its_publication() {
    let broker = broker();
    let connect = |text, expiry| Connect {
        will: Some(Will {
            qos: QoS::AtLeastOnce,
            properties: WillProperties {
                message_expiry: Some(expiry),
                ..WillProperties::default()
            },
            ..will("will/x", text, 0)
        }),
        ..connect(Version::V5, text)
    };
    let away = connect_v5("away", 60);
    let mut client = Client::open(&broker, &away);
    client.subscribe("will/x", QoS::AtLeastOnce);
    client.leave();
    Client::open(&broker, &connect("short", 1)).vanish();
    Client::open(&broker, &connect("long", 1_000)).vanish();
    let marker = Client::open(&broker, &connect_v5("marker", 1));
    marker.vanish();
    wait_until("a second has passed", || {
        broker.totals().sessions_expired == 1
    });
    let mut client = Client::open(&broker, &away);
    let message = client.message();
    assert_eq!(message.text(), "long");
    assert!(matches!(message.expiry, Some(997..=999)), "{message:?}");
    client.nothing_more();
    assert_eq!(broker.totals().publish_expired, 1);
}

#[test]
fn a_will_to_a_topic_that_clients_may_not_publish_to_is_refused() {
    let broker = broker();
    for (topic, want) in [
        ("$SYS/x", ReasonCode::NOT_AUTHORIZED),
        ("a/+", ReasonCode::MALFORMED_PACKET),
        ("a/#", ReasonCode::MALFORMED_PACKET),
        ("", ReasonCode::MALFORMED_PACKET),
    ] {
        let connect = Connect {
            will: Some(will(topic, "x", 0)),
            ..connect(Version::V5, "c")
        };
        let mut client = Client::greet(&broker, &connect);
        assert_eq!(client.greeting.reason, want.0, "{topic:?}");
        assert_eq!(client.next(), Event::Closed, "{topic:?}");
    }
}
