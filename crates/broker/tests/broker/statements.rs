//! Statements of the standard that no other test has to do with.

use std::time::Duration;

use fieldgate_mqtt::{
    AckKind, Connect, ConnectProperties, Packet, PacketId, Publish, SubscriptionOptions, Will,
};

use crate::support::*;

/// Everything that is retained under a filter.
fn retained(broker: &fieldgate_broker::Broker, filter: &str) -> Vec<String> {
    let mut client = Client::v5(broker, "looks");
    client.subscribe(filter, QoS::AtMostOnce);
    client.send(&Packet::PingReq);
    let mut found = Vec::new();
    while let Event::Publish(got) = client.next() {
        found.push(got.text().to_owned());
    }
    client.leave();
    found
}

#[test]
fn a_will_without_retain_is_not_kept() {
    let broker = broker();
    for retain in [false, true] {
        let connect = Connect {
            will: Some(Will {
                retain,
                ..will("will", "gone", 0)
            }),
            ..connect(Version::V5, "mortal")
        };
        Client::open(&broker, &connect).vanish();
        let want: &[&str] = if retain { &["gone"] } else { &[] };
        assert_eq!(retained(&broker, "will"), want, "retain {retain}");
    }
}

#[test]
fn a_delayed_will_goes_out_once_though_the_session_ends_later() {
    let broker = broker();
    let mut watcher = Client::v5(&broker, "watcher");
    watcher.subscribe("will", QoS::AtMostOnce);
    let connect = Connect {
        will: Some(will("will", "gone", 1)),
        ..connect_v5("mortal", 2)
    };
    Client::open(&broker, &connect).vanish();
    assert_eq!(watcher.message().text(), "gone");
    wait_until("the session has ended", || {
        broker.totals().sessions_expired == 1
    });
    watcher.nothing_more();
}

#[test]
fn the_session_of_an_assigned_identifier_can_be_resumed_under_it() {
    let broker = broker();
    let mut client = Client::open(&broker, &connect_v5("", 60));
    client.subscribe("t", QoS::AtLeastOnce);
    let assigned = client.greeting.assigned.clone().unwrap();
    client.vanish();
    Client::v5(&broker, "other").publish("t", "x", QoS::AtLeastOnce);
    let mut client = Client::open(&broker, &connect_v5(&assigned, 60));
    assert!(client.greeting.session_present);
    assert_eq!(client.greeting.assigned, None);
    assert_eq!(client.texts(1), ["x"]);
}

#[test]
fn nothing_behind_a_connect_that_is_refused_is_done() {
    let broker = broker();
    let mut watcher = Client::v5(&broker, "watcher");
    watcher.subscribe("#", QoS::AtMostOnce);
    let refused = Connect {
        properties: ConnectProperties {
            authentication_method: Some("none such"),
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, "refused")
    };
    let mut bytes = Vec::new();
    let packet = Packet::Connect(Box::new(refused));
    packet.encode(Version::V5, &mut bytes).unwrap();
    // PUBLISH of QoS 0 to `a`, retained, then SUBSCRIBE to `#`.
    bytes.extend(b"\x31\x05\0\x01a\0x\x82\x07\0\x01\0\0\x01#\0");
    let mut client = Client::raw(&broker, Version::V5);
    client.send_bytes(&bytes);
    assert!(matches!(client.next(), Event::ConnAck(greeting) if greeting.reason == 0x8C));
    assert_eq!(client.next(), Event::Closed);
    watcher.nothing_more();
    assert!(retained(&broker, "a").is_empty());
}

#[test]
fn the_dup_of_a_publisher_is_not_passed_on() {
    let broker = broker();
    let mut subscriber = Client::v5(&broker, "subscriber");
    subscriber.subscribe("t", QoS::ExactlyOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let publish = Publish {
            dup: true,
            ..publisher.publication("t", b"x", qos)
        };
        assert_eq!(publisher.publish_packet(&publish), 0);
        let got = subscriber.message();
        assert_eq!((got.dup, got.qos), (false, qos as u8));
        subscriber.acknowledge(&got);
    }
}

#[test]
fn a_message_without_retain_leaves_the_retained_one_in_place() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    publisher.retain("t", "kept");
    for qos in QOS {
        publisher.publish("t", "live", qos);
        assert_eq!(retained(&broker, "t"), ["kept"], "{qos:?}");
    }
}

#[test]
fn an_exchange_that_has_begun_is_completed_though_its_subscription_ends() {
    let broker = broker();
    let mut subscriber = Client::open(&broker, &connect_v5("subscriber", 60));
    subscriber.subscribe("t", QoS::ExactlyOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish("t", "x", qos);
    }
    let (first, second) = (subscriber.message(), subscriber.message());
    subscriber.unsubscribe(&["t"]);
    publisher.publish("t", "too late", QoS::ExactlyOnce);
    subscriber.vanish();
    let mut subscriber = Client::open(&broker, &connect_v5("subscriber", 60));
    for want in [first, second] {
        let got = subscriber.message();
        assert_eq!((got.id, got.qos, got.dup), (want.id, want.qos, true));
        subscriber.acknowledge(&got);
        if got.qos == 2 {
            assert_eq!(subscriber.next(), Event::Ack(AckKind::PubRel, got.id, 0));
            subscriber.ack(AckKind::PubComp, got.id);
        }
    }
    subscriber.nothing_more();
}

#[test]
fn an_identifier_is_free_again_after_puback_and_after_a_pubrec_that_is_an_error() {
    let broker = broker_with(fieldgate_broker::Limits {
        memory: 400_000,
        ..fieldgate_broker::Limits::default()
    });
    let mut subscriber = Client::v5(&broker, "subscriber");
    subscriber.subscribe("t", QoS::ExactlyOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    let id = PacketId::new(7);
    for text in ["1", "2"] {
        let publish = Publish {
            packet_id: id,
            // Twice a new message, whatever DUP says.
            dup: text == "2",
            ..publisher.publication("t", text.as_bytes(), QoS::AtLeastOnce)
        };
        assert_eq!(publisher.publish_packet(&publish), 0);
    }
    let big = vec![b'x'; 150_000]; // Three eighths of the memory.
    let refused = Publish {
        packet_id: id,
        retain: true,
        ..publisher.publication("too big", &big, QoS::ExactlyOnce)
    };
    assert_eq!(
        publisher.publish_packet(&refused),
        ReasonCode::QUOTA_EXCEEDED.0
    );
    let third = Publish {
        packet_id: id,
        ..publisher.publication("t", b"3", QoS::ExactlyOnce)
    };
    assert_eq!(publisher.publish_packet(&third), 0);
    assert_eq!(subscriber.texts(3), ["1", "2", "3"]);
}

#[test]
fn a_puback_that_is_an_error_ends_the_exchange() {
    let broker = broker();
    let mut subscriber = Client::open(&broker, &connect_v5("subscriber", 60));
    subscriber.subscribe("t", QoS::AtLeastOnce);
    Client::v5(&broker, "publisher").publish("t", "x", QoS::AtLeastOnce);
    let got = subscriber.message();
    subscriber.ack_with(AckKind::PubAck, got.id, ReasonCode::UNSPECIFIED_ERROR);
    subscriber.nothing_more();
    subscriber.vanish();
    let mut subscriber = Client::open(&broker, &connect_v5("subscriber", 60));
    assert!(subscriber.greeting.session_present);
    subscriber.nothing_more();
}

#[test]
fn an_exchange_goes_on_though_its_message_has_expired_meanwhile() {
    let broker = broker();
    let mut subscriber = Client::open(&broker, &connect_v5("subscriber", 60));
    subscriber.subscribe("t", QoS::ExactlyOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    let mut publish = publisher.publication("t", b"x", QoS::ExactlyOnce);
    publish.properties.message_expiry = Some(1);
    let id = publish.packet_id.unwrap().get();
    publisher.send(&Packet::Publish(publish));
    assert_eq!(publisher.next(), Event::Ack(AckKind::PubRec, id, 0));
    let got = subscriber.message();
    subscriber.vanish();
    // Expiry is a matter of real time.
    std::thread::sleep(Duration::from_millis(1_200));
    publisher.ack(AckKind::PubRel, id);
    assert_eq!(publisher.next(), Event::Ack(AckKind::PubComp, id, 0));
    let mut subscriber = Client::open(&broker, &connect_v5("subscriber", 60));
    let again = subscriber.message();
    assert_eq!((again.id, again.dup), (got.id, true));
    subscriber.ack(AckKind::PubRec, got.id);
    assert_eq!(subscriber.next(), Event::Ack(AckKind::PubRel, got.id, 0));
}

#[test]
fn members_of_a_group_get_the_qos_that_was_granted_to_them() {
    let broker = broker();
    let mut members: Vec<_> = QOS
        .iter()
        .map(|&qos| {
            let mut member = Client::v5(&broker, &format!("member {qos:?}"));
            member.subscribe("$share/g/t", qos);
            member
        })
        .collect();
    let mut publisher = Client::v5(&broker, "publisher");
    for number in 0..30 {
        publisher.publish("t", &number.to_string(), QoS::ExactlyOnce);
    }
    let mut count = 0;
    for (member, qos) in members.iter_mut().zip(QOS) {
        member.send(&Packet::PingReq);
        while let Event::Publish(got) = member.next() {
            assert_eq!(got.qos, qos as u8);
            count += 1;
        }
    }
    assert_eq!(count, 30);
}

#[test]
fn a_message_that_a_member_began_or_refused_goes_to_no_other_member() {
    let broker = broker();
    let mut first = Client::open(&broker, &connect_v5("first", 60));
    first.subscribe("$share/g/t", QoS::ExactlyOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    for text in ["begun", "refused", "ended"] {
        publisher.publish("t", text, QoS::ExactlyOnce);
    }
    let got: Vec<_> = (0..3).map(|_| first.message()).collect();
    let mut second = Client::v5(&broker, "second");
    second.subscribe("$share/g/t", QoS::ExactlyOnce);
    first.ack_with(AckKind::PubRec, got[1].id, ReasonCode::UNSPECIFIED_ERROR);
    second.nothing_more();
    first.vanish();
    second.nothing_more();
    // Back again, it goes on with the first and never sees the second.
    let mut first = Client::open(&broker, &connect_v5("first", 60));
    let again = first.message();
    assert_eq!((again.id, again.text()), (got[0].id, "begun"));
    let ended = first.message();
    assert_eq!(ended.text(), "ended");
    first.ack(AckKind::PubRec, again.id);
    assert_eq!(first.next(), Event::Ack(AckKind::PubRel, again.id, 0));
    first.ack(AckKind::PubComp, again.id);
    first.nothing_more();
    // Its session ends with a message underway.
    drop(first);
    Client::v5(&broker, "first").leave();
    second.nothing_more();
}

#[test]
fn a_copy_has_the_identifiers_of_its_own_subscriptions() {
    let broker = broker();
    let mut client = Client::v5(&broker, "client");
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    client.subscribe_to(Some(1), &[("t", options)]);
    client.subscribe_to(Some(2), &[("$share/g/t", options)]);
    Client::v5(&broker, "publisher").publish("t", "x", QoS::AtMostOnce);
    let mut ids = [
        client.message().subscription_ids,
        client.message().subscription_ids,
    ];
    ids.sort();
    assert_eq!(ids, [vec![1], vec![2]]);
    client.nothing_more();
}

#[test]
fn aliases_of_the_broker_begin_anew_on_each_connection() {
    let broker = broker();
    let connect = Connect {
        properties: ConnectProperties {
            session_expiry: Some(60),
            topic_alias_maximum: 5,
            ..ConnectProperties::default()
        },
        ..connect_v5("client", 60)
    };
    let mut publisher = Client::v5(&broker, "publisher");
    for number in 0..2 {
        let mut client = Client::open(&broker, &connect);
        if number == 0 {
            client.subscribe("t", QoS::AtMostOnce);
        }
        for count in 0..3 {
            publisher.publish("t", "x", QoS::AtMostOnce);
            let topic = client.message().topic;
            assert!(count > 0 || topic == "t", "connection {number}: {topic:?}");
        }
        client.vanish();
    }
}
