//! Receive maximum and maximum packet size, in both directions.

use std::num::{NonZeroU16, NonZeroU32};

use fieldgate_broker::Limits;
use fieldgate_mqtt::{
    AckKind, Connect, ConnectProperties, Packet, PacketId, Publish, Subscribe, SubscriptionOptions,
    Unsubscribe,
};

use crate::support::*;

#[test]
fn a_client_never_has_more_unacknowledged_messages_than_it_takes() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let connect = Connect {
        properties: ConnectProperties {
            receive_maximum: NonZeroU16::new(3),
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, "c")
    };
    let mut client = Client::open(&broker, &connect);
    client.subscribe("t", QoS::ExactlyOnce);
    let mut sent = Vec::new();
    for number in 0..12 {
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][number % 2];
        publisher.publish("t", &number.to_string(), qos);
        sent.push(number.to_string());
    }
    publisher.publish("t", "zero", QoS::AtMostOnce);
    publisher.nothing_more();
    let mut open: Vec<_> = (0..3).map(|_| client.message()).collect();
    let mut seen: Vec<_> = open.iter().map(|m| m.text().to_owned()).collect();
    // It needs no place in the window.
    assert_eq!(client.message().text(), "zero");
    while !open.is_empty() {
        client.nothing_more();
        let first = open.remove(0);
        client.acknowledge(&first);
        if first.qos == 2 {
            assert_eq!(client.next(), Event::Ack(AckKind::PubRel, first.id, 0));
            client.nothing_more();
            client.ack(AckKind::PubComp, first.id);
        }
        if seen.len() < sent.len() {
            open.push(client.message());
            seen.extend(open.last().map(|m| m.text().to_owned()));
        }
    }
    assert_eq!(seen, sent);
}

#[test]
fn a_pubrec_that_is_an_error_ends_the_exchange() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut connect = connect_v5("c", 60);
    connect.properties.receive_maximum = NonZeroU16::new(1);
    let mut client = Client::open(&broker, &connect);
    client.subscribe("t", QoS::ExactlyOnce);
    publisher.publish("t", "refused", QoS::ExactlyOnce);
    publisher.publish("t", "next", QoS::ExactlyOnce);
    let refused = client.message();
    client.ack_with(AckKind::PubRec, refused.id, ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(client.message().text(), "next");
    client.vanish();
    let mut client = Client::open(&broker, &connect);
    assert_eq!(client.message().text(), "next");
    client.nothing_more();
}

#[test]
fn acknowledgements_of_nothing_are_answered_or_ignored_and_harm_nothing() {
    let broker = broker();
    let mut client = Client::v5(&broker, "c");
    client.ack(AckKind::PubAck, 77);
    client.ack(AckKind::PubComp, 77);
    client.nothing_more();
    let not_found = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND.0;
    client.ack(AckKind::PubRec, 77);
    assert_eq!(client.next(), Event::Ack(AckKind::PubRel, 77, not_found));
    client.ack(AckKind::PubRel, 77);
    assert_eq!(client.next(), Event::Ack(AckKind::PubComp, 77, not_found));
    client.nothing_more();
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_is_a_protocol_error_and_leaves_the_message() {
    use AckKind::{PubAck, PubComp, PubRec};
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    // What the client answers with, in turn; the last is wrong.
    for (qos, answers) in [
        (QoS::AtLeastOnce, &[PubRec][..]),
        (QoS::AtLeastOnce, &[PubComp]),
        (QoS::ExactlyOnce, &[PubAck]),
        (QoS::ExactlyOnce, &[PubComp]),
        (QoS::ExactlyOnce, &[PubRec, PubAck]),
    ] {
        for version in VERSIONS {
            let lasting = Connect {
                clean_start: false,
                ..match version {
                    Version::V5 => connect_v5("c", 60),
                    _ => connect(version, "c"),
                }
            };
            let mut client = Client::open(&broker, &lasting);
            client.subscribe("t", QoS::ExactlyOnce);
            publisher.publish("t", "x", qos);
            let got = client.message();
            for &answer in answers {
                client.ack(answer, got.id);
                if answers.len() > 1 && answer == PubRec {
                    assert_eq!(client.next(), Event::Ack(AckKind::PubRel, got.id, 0));
                }
            }
            if version == Version::V5 {
                assert_eq!(
                    client.next(),
                    Event::Disconnect(0x82),
                    "{qos:?} {answers:?}"
                );
            }
            assert_eq!(
                client.next(),
                Event::Closed,
                "{qos:?} {answers:?} {version:?}"
            );
            let mut client = Client::open(&broker, &lasting);
            let want = match answers.len() {
                1 => "x",
                _ => "PUBREL",
            };
            let again = match client.next() {
                Event::Publish(again) => again.text().to_owned(),
                Event::Ack(AckKind::PubRel, ..) => "PUBREL".to_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(again, want);
            client.leave();
            Client::open(&broker, &connect(version, "c")).leave();
        }
    }
}

#[test]
fn a_client_that_exceeds_the_brokers_receive_maximum_is_disconnected() {
    let broker = broker_with(Limits {
        receive_maximum: 2,
        ..Limits::default()
    });
    let mut client = Client::v5(&broker, "c");
    assert_eq!(client.greeting.receive_maximum, Some(2));
    for id in 1..=3 {
        let publish = client.publication("t", b"x", QoS::ExactlyOnce);
        client.send(&Packet::Publish(publish));
        if id <= 2 {
            let want = Event::Ack(AckKind::PubRec, id, 0x10);
            assert_eq!(client.next(), want);
        }
    }
    client.disconnected_with(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
    // A client of an older version knows no such limit.
    let mut old = Client::open(&broker, &connect(Version::V4, "old"));
    for id in 1..=10 {
        let publish = old.publication("t", b"x", QoS::ExactlyOnce);
        old.send(&Packet::Publish(publish));
        assert_eq!(old.next(), Event::Ack(AckKind::PubRec, id, 0));
    }
    // One that keeps to it may go on for ever.
    let mut client = Client::v5(&broker, "c");
    for _ in 0..10 {
        client.publish("t", "x", QoS::ExactlyOnce);
    }
}

#[test]
fn a_packet_bigger_than_the_broker_takes_ends_the_connection_before_it_is_read() {
    let broker = broker_with(Limits {
        packet_size: 1_000,
        ..Limits::default()
    });
    for version in VERSIONS {
        let mut client = Client::open(&broker, &connect(version, "c"));
        let head = 5 + if version == Version::V5 { 1 } else { 0 };
        let fits = vec![b'x'; 1_000 - head - 1];
        let publish = client.publication("t", &fits, QoS::AtMostOnce);
        client.send(&Packet::Publish(publish));
        client.nothing_more();
        // The head of a packet of 1,001 bytes.
        client.send_bytes(&[0x30, 0xE6, 0x07]);
        if version == Version::V5 {
            assert_eq!(client.greeting.maximum_packet_size, Some(1_000));
            client.disconnected_with(ReasonCode::PACKET_TOO_LARGE);
        } else {
            assert_eq!(client.next(), Event::Closed);
        }
    }
}

#[test]
fn a_message_bigger_than_a_client_takes_is_left_out_counted_and_holds_up_nothing() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let connect = Connect {
        properties: ConnectProperties {
            maximum_packet_size: NonZeroU32::new(100),
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, "c")
    };
    let mut client = Client::open(&broker, &connect);
    client.subscribe("t", QoS::ExactlyOnce);
    for qos in QOS {
        let id = if qos == QoS::AtMostOnce { 0 } else { 2 };
        let fits = 100 - 2 - 3 - id - 1;
        let all = "x".repeat(fits);
        publisher.publish("t", &format!("{all}y"), qos);
        publisher.publish("t", &all, qos);
        let message = client.message();
        assert_eq!(message.payload.len(), fits, "{qos:?}");
        client.acknowledge(&message);
    }
    eventually(3, || broker.totals().publish_oversize);
}

#[test]
fn reasons_are_left_out_for_a_client_that_takes_only_tiny_packets() {
    let broker = broker();
    let connect = Connect {
        properties: ConnectProperties {
            maximum_packet_size: NonZeroU32::new(24),
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, "tiny")
    };
    let mut client = Client::open(&broker, &connect);
    client.send(&Packet::Connect(Box::new(connect)));
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut client.stream(), &mut answer).unwrap();
    assert_eq!(answer[0], 0xE0);
    assert!(answer.len() <= 24, "DISCONNECT of {} bytes", answer.len());
}

#[test]
fn an_answer_to_filters_that_is_bigger_than_the_client_takes_ends_the_connection() {
    let broker = broker();
    let connect = Connect {
        properties: ConnectProperties {
            maximum_packet_size: NonZeroU32::new(24),
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, "tiny")
    };
    let filters = ["a"; 30];
    let options = filters.map(|filter| (filter, SubscriptionOptions::new(QoS::AtMostOnce)));
    let id = std::num::NonZeroU16::MIN;
    for packet in [
        Packet::Subscribe(Subscribe::new(id, &options)),
        Packet::Unsubscribe(Unsubscribe::new(id, &filters)),
    ] {
        let mut client = Client::open(&broker, &connect);
        client.send(&packet);
        client.disconnected_with(ReasonCode::PACKET_TOO_LARGE);
    }
}

#[test]
fn what_waits_from_an_earlier_connection_does_not_count_against_the_receive_maximum() {
    let broker = broker_with(Limits {
        receive_maximum: 2,
        ..Limits::default()
    });
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    for id in 1..=2 {
        let publish = client.publication("t", b"x", QoS::ExactlyOnce);
        client.send(&Packet::Publish(publish));
        assert_eq!(client.next(), Event::Ack(AckKind::PubRec, id, 0x10));
    }
    client.vanish();
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    for id in [11, 12] {
        let publish = Publish {
            packet_id: PacketId::new(id),
            ..client.publication("t", b"x", QoS::ExactlyOnce)
        };
        client.send(&Packet::Publish(publish));
        assert_eq!(client.next(), Event::Ack(AckKind::PubRec, id, 0x10));
    }
    for id in [1, 2, 11, 12] {
        client.ack(AckKind::PubRel, id);
        assert_eq!(client.next(), Event::Ack(AckKind::PubComp, id, 0));
    }
}
