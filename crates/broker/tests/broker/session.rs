//! Sessions that outlive their connections: resuming, repeating, expiring.

use std::time::{Duration, Instant};

use fieldgate_broker::Limits;
use fieldgate_mqtt::{AckKind, Connect, ConnectProperties};

use crate::support::*;

/// A CONNECT that takes up a session which outlives its connection.
fn lasting(version: Version, id: &str) -> Connect<'_> {
    match version {
        Version::V5 => connect_v5(id, 60),
        _ => Connect {
            clean_start: false,
            ..connect(version, id)
        },
    }
}

#[test]
fn a_session_is_resumed_with_its_subscriptions_and_what_came_meanwhile() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    for version in VERSIONS {
        let id = format!("subscriber {version:?}");
        let connect = lasting(version, &id);
        let mut client = Client::open(&broker, &connect);
        assert!(!client.greeting.session_present);
        client.subscribe("t", QoS::ExactlyOnce);
        client.leave();
        for qos in QOS {
            publisher.publish("t", &format!("{qos:?}"), qos);
        }
        let mut client = Client::open(&broker, &connect);
        // MQTT 3.1 cannot say so.
        let present = client.greeting.session_present;
        assert_eq!(present, version > Version::V3, "{version:?}");
        assert_eq!(client.texts(2), ["AtLeastOnce", "ExactlyOnce"]);
        publisher.publish("t", "live", QoS::AtMostOnce);
        assert_eq!(client.next(), Event::Ack(AckKind::PubRel, 2, 0));
        assert_eq!(client.message(), got("t", "live", 0));
        client.ack(AckKind::PubComp, 2);
        client.leave();
    }
}

#[test]
fn a_clean_start_forgets_the_session_and_a_session_without_expiry_ends_with_its_connection() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let clean = |version| Connect {
        clean_start: true,
        ..lasting(version, "c")
    };
    for version in VERSIONS {
        for (first, second) in [
            (lasting(version, "c"), clean(version)),
            (connect(version, "c"), lasting(version, "c")),
        ] {
            let mut client = Client::open(&broker, &first);
            client.subscribe("t", QoS::AtLeastOnce);
            client.vanish();
            publisher.publish("t", "lost", QoS::AtLeastOnce);
            let mut client = Client::open(&broker, &second);
            assert!(!client.greeting.session_present, "{version:?}");
            publisher.publish("t", "lost too", QoS::AtLeastOnce);
            client.nothing_more();
            client.leave();
            Client::open(&broker, &connect(version, "c")).leave();
        }
    }
}

#[test]
fn what_was_not_acknowledged_comes_again_in_order_with_dup_and_the_same_identifiers() {
    let broker = broker();
    for version in VERSIONS {
        let connect = lasting(version, "subscriber");
        let mut publisher = Client::open(&broker, &super::support::connect(version, "publisher"));
        let mut client = Client::open(&broker, &connect);
        client.subscribe("t", QoS::ExactlyOnce);
        let mut sent = Vec::new();
        for (text, qos) in [
            ("a", QoS::AtLeastOnce),
            ("b", QoS::ExactlyOnce),
            ("c", QoS::AtLeastOnce),
            ("d", QoS::ExactlyOnce),
            ("e", QoS::ExactlyOnce),
        ] {
            publisher.publish("t", text, qos);
            let message = client.message();
            assert!(!message.dup);
            sent.push(message);
        }
        client.ack(AckKind::PubAck, sent[0].id);
        for done in [1, 3] {
            client.ack(AckKind::PubRec, sent[done].id);
            let released = Event::Ack(AckKind::PubRel, sent[done].id, 0);
            assert_eq!(client.next(), released);
        }
        client.ack(AckKind::PubComp, sent[3].id);
        client.nothing_more();
        client.vanish();

        let mut client = Client::open(&broker, &connect);
        let again = |index: usize| {
            Event::Publish(Box::new(Got {
                dup: true,
                ..sent[index].clone()
            }))
        };
        assert_eq!(client.next(), Event::Ack(AckKind::PubRel, sent[1].id, 0));
        assert_eq!(client.next(), again(2));
        assert_eq!(client.next(), again(4));
        client.nothing_more();
        for id in [sent[1].id, sent[4].id] {
            client.ack(AckKind::PubRec, id);
            assert_eq!(client.next(), Event::Ack(AckKind::PubRel, id, 0));
            client.ack(AckKind::PubComp, id);
        }
        client.ack(AckKind::PubAck, sent[2].id);
        client.nothing_more();
        client.vanish();
        let mut client = Client::open(&broker, &connect);
        client.nothing_more();
        client.leave();
        Client::open(&broker, &super::support::connect(version, "subscriber")).leave();
    }
}

#[test]
fn a_qos_2_message_repeated_before_its_release_is_passed_on_once_even_across_connections() {
    let broker = broker();
    let mut subscriber = Client::v5(&broker, "subscriber");
    subscriber.subscribe("t", QoS::ExactlyOnce);
    let connect = connect_v5("publisher", 60);
    let mut publisher = Client::open(&broker, &connect);
    let first = publisher.publication("t", b"once", QoS::ExactlyOnce);
    let again = fieldgate_mqtt::Publish { dup: true, ..first };
    let id = first.packet_id.unwrap().get();
    let send = |publisher: &mut Client, publish| {
        publisher.send(&fieldgate_mqtt::Packet::Publish(publish));
        assert_eq!(publisher.next(), Event::Ack(AckKind::PubRec, id, 0));
    };
    send(&mut publisher, first);
    send(&mut publisher, again);
    publisher.vanish();
    let mut publisher = Client::open(&broker, &connect);
    send(&mut publisher, again);
    for reason in [0, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND.0] {
        publisher.ack(AckKind::PubRel, id);
        assert_eq!(publisher.next(), Event::Ack(AckKind::PubComp, id, reason));
    }
    assert_eq!(subscriber.message().text(), "once");
    subscriber.nothing_more();
    send(&mut publisher, first);
    assert_eq!(subscriber.message().text(), "once");
}

#[test]
fn a_session_lives_as_long_as_connect_or_disconnect_said() {
    let broker = broker();
    let second = Duration::from_secs(1);
    for (name, at_connect, at_disconnect) in [
        ("zero", 0, None),
        ("one", 1, None),
        ("override to zero", 60, Some(0)),
        ("override to one", 60, Some(1)),
        ("override to more", 1, Some(60)),
        ("for ever", u32::MAX, None),
    ] {
        let client = Client::open(&broker, &connect_v5(name, at_connect));
        client.leave_with(ReasonCode::NORMAL_DISCONNECTION, at_disconnect);
        let soon = Client::open(&broker, &connect_v5(name, at_connect));
        let at_once = at_disconnect.unwrap_or(at_connect) == 0;
        assert_eq!(soon.greeting.session_present, !at_once, "{name}");
        soon.leave_with(ReasonCode::NORMAL_DISCONNECTION, at_disconnect);
    }
    let left = Instant::now();
    wait_until("two sessions have expired", || {
        broker.totals().sessions_expired == 2
    });
    assert!(left.elapsed() > second * 8 / 10);
    for (name, kept) in [
        ("zero", false),
        ("one", false),
        ("override to zero", false),
        ("override to one", false),
        ("override to more", true),
        ("for ever", true),
    ] {
        let client = Client::open(&broker, &connect_v5(name, 60));
        assert_eq!(client.greeting.session_present, kept, "{name}");
    }
}

#[test]
fn a_client_that_comes_back_in_time_keeps_its_session_for_good() {
    let broker = broker();
    let client = Client::open(&broker, &connect_v5("c", 1));
    client.vanish();
    let mut client = Client::open(&broker, &connect_v5("c", 1));
    let marker = Client::open(&broker, &connect_v5("marker", 1));
    marker.vanish();
    wait_until("a session that ended later has expired", || {
        broker.totals().sessions_expired == 1
    });
    client.nothing_more();
    client.vanish();
    let client = Client::open(&broker, &connect_v5("c", 1));
    assert!(client.greeting.session_present);
}

#[test]
fn a_session_without_expiry_cannot_be_given_one_by_disconnect() {
    let broker = broker();
    let mut client = Client::v5(&broker, "c");
    // DISCONNECT with a session expiry interval of 5 s.
    client.send_bytes(&[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 5]);
    client.disconnected_with(ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn a_longer_session_than_the_limit_is_cut_and_the_client_is_told() {
    let broker = broker_with(Limits {
        session_expiry: Some(Duration::from_secs(30)),
        ..Limits::default()
    });
    for (asked, told) in [
        (Some(10), None),
        (Some(30), None),
        (Some(31), Some(30)),
        (Some(u32::MAX), Some(30)),
        (None, None),
    ] {
        let connect = Connect {
            properties: ConnectProperties {
                session_expiry: asked,
                ..ConnectProperties::default()
            },
            ..connect(Version::V5, "c")
        };
        let client = Client::open(&broker, &connect);
        assert_eq!(client.greeting.session_expiry, told, "{asked:?}");
    }
}

#[test]
fn the_version_may_change_between_two_connections_of_a_session() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut client = Client::open(&broker, &lasting(Version::V5, "c"));
    client.subscribe("t", QoS::AtLeastOnce);
    publisher.publish("t", "1", QoS::AtLeastOnce);
    let first = client.message();
    client.vanish();
    publisher.publish("t", "2", QoS::AtLeastOnce);
    let mut client = Client::open(&broker, &lasting(Version::V4, "c"));
    assert!(client.greeting.session_present);
    assert_eq!(client.message(), Got { dup: true, ..first });
    assert_eq!(client.message().text(), "2");
}
