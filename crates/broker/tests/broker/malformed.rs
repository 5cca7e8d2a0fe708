//! Packets that break the rules, one by one, and the reason that an MQTT 5.0 client is told.

use crate::support::*;

#[test]
fn a_broken_packet_ends_the_connection_with_the_reason_that_the_specification_names() {
    let broker = broker();
    let malformed = ReasonCode::MALFORMED_PACKET;
    let protocol = ReasonCode::PROTOCOL_ERROR;
    for (name, bytes, want) in [
        ("packet type 0", &[0x00, 0][..], malformed),
        ("flags of PINGREQ", &[0xC1, 0], malformed),
        (
            "flags of SUBSCRIBE",
            &[0x80, 7, 0, 1, 0, 0, 1, b'a', 0],
            malformed,
        ),
        ("flags of PUBREL", &[0x60, 2, 0, 1], malformed),
        ("QoS 3", &[0x36, 6, 0, 1, b'a', 0, 1, 0], malformed),
        ("DUP with QoS 0", &[0x38, 4, 0, 1, b'a', 0], malformed),
        (
            "length of five bytes",
            &[0x30, 0x80, 0x80, 0x80, 0x80, 0],
            malformed,
        ),
        (
            "length longer than needed",
            &[0x30, 0x84, 0, 0, 1, b'a', 0],
            malformed,
        ),
        (
            "topic beyond the packet",
            &[0x30, 4, 0, 9, b'a', 0],
            malformed,
        ),
        (
            "topic with a surrogate",
            &[0x30, 6, 0, 3, 0xED, 0xA0, 0x80, 0],
            malformed,
        ),
        ("topic with U+0000", &[0x30, 4, 0, 1, 0, 0], malformed),
        ("wildcard in a topic", &[0x30, 4, 0, 1, b'#', 0], malformed),
        ("no topic and no alias", &[0x30, 3, 0, 0, 0], protocol),
        ("empty filter", &[0x82, 6, 0, 1, 0, 0, 0, 0], malformed),
        (
            "filter with # in front",
            &[0x82, 9, 0, 1, 0, 0, 3, b'#', b'/', b'a', 0],
            malformed,
        ),
        (
            "shared filter without a group",
            &[
                0x82, 15, 0, 1, 0, 0, 9, b'$', b's', b'h', b'a', b'r', b'e', b'/', b'/', b'a', 0,
            ],
            malformed,
        ),
        (
            "empty filter to unsubscribe",
            &[0xA2, 5, 0, 1, 0, 0, 0],
            malformed,
        ),
        (
            "filter with + in a level to unsubscribe",
            &[0xA2, 7, 0, 1, 0, 0, 2, b'a', b'+'],
            malformed,
        ),
        (
            "packet identifier 0",
            &[0x32, 6, 0, 1, b'a', 0, 0, 0],
            protocol,
        ),
        (
            "unknown property",
            &[0x30, 6, 0, 1, b'a', 2, 0x7F, 0],
            malformed,
        ),
        (
            "property of CONNECT in PUBLISH",
            &[0x30, 9, 0, 1, b'a', 5, 0x11, 0, 0, 0, 1],
            malformed,
        ),
        (
            "property twice",
            &[0x30, 8, 0, 1, b'a', 4, 1, 1, 1, 1],
            protocol,
        ),
        (
            "payload format 2",
            &[0x30, 6, 0, 1, b'a', 2, 1, 2],
            protocol,
        ),
        (
            "response topic with a wildcard",
            &[0x30, 8, 0, 1, b'a', 4, 8, 0, 1, b'+'],
            protocol,
        ),
        (
            "subscription identifier from a client",
            &[0x30, 6, 0, 1, b'a', 2, 0x0B, 1],
            protocol,
        ),
        (
            "subscription identifier 0",
            &[0x82, 9, 0, 1, 2, 0x0B, 0, 0, 1, b'a', 0],
            protocol,
        ),
        ("SUBSCRIBE without a filter", &[0x82, 3, 0, 1, 0], protocol),
        (
            "reserved subscription option",
            &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x40],
            malformed,
        ),
        (
            "UNSUBSCRIBE without a filter",
            &[0xA2, 3, 0, 1, 0],
            protocol,
        ),
        (
            "PUBACK with a reason of another packet",
            &[0x40, 3, 0, 1, 0x8E],
            protocol,
        ),
        ("PINGREQ with a body", &[0xC0, 1, 0], malformed),
        ("PINGRESP from a client", &[0xD0, 0], protocol),
        ("CONNACK from a client", &[0x20, 3, 0, 0, 0], protocol),
        ("SUBACK from a client", &[0x90, 4, 0, 1, 0, 0], protocol),
        ("UNSUBACK from a client", &[0xB0, 4, 0, 1, 0, 0], protocol),
        ("AUTH without a method", &[0xF0, 2, 0x18, 0], protocol),
        (
            "DISCONNECT with a reason of another packet",
            &[0xE0, 1, 0x10],
            protocol,
        ),
    ] {
        let mut client = Client::v5(&broker, "c");
        client.send_bytes(bytes);
        assert_eq!(client.next(), Event::Disconnect(want.0), "{name}");
        assert_eq!(client.next(), Event::Closed, "{name}");
    }
}

#[test]
fn a_client_of_an_older_version_is_only_disconnected() {
    let broker = broker();
    for (name, bytes) in [
        ("QoS 3", &[0x36, 5, 0, 1, b'a', 0, 1][..]),
        ("AUTH", &[0xF0, 0]),
        ("wildcard in a topic", &[0x30, 3, 0, 1, b'#']),
        ("empty topic", &[0x30, 2, 0, 0]),
        ("DISCONNECT with a body", &[0xE0, 1, 0]),
        ("no-local in MQTT 3.1.1", &[0x82, 6, 0, 1, 0, 1, b'a', 4]),
        ("empty filter", &[0x82, 5, 0, 1, 0, 0, 0]),
        ("filter a#", &[0x82, 7, 0, 1, 0, 2, b'a', b'#', 0]),
        ("empty filter to unsubscribe", &[0xA2, 4, 0, 1, 0, 0]),
        (
            "filter +a to unsubscribe",
            &[0xA2, 6, 0, 1, 0, 2, b'+', b'a'],
        ),
    ] {
        for version in [Version::V3, Version::V4] {
            let mut client = Client::open(&broker, &connect(version, "c"));
            client.send_bytes(bytes);
            assert_eq!(client.next(), Event::Closed, "{name} in {version:?}");
        }
    }
}

#[test]
fn what_mqtt_3_1_does_not_use_of_the_first_byte_does_not_matter() {
    let broker = broker();
    for flags in 0..16 {
        let mut client = Client::raw(&broker, Version::V3);
        let mut bytes = Vec::new();
        let packet = fieldgate_mqtt::Packet::Connect(Box::new(connect(Version::V3, "c")));
        packet.encode(Version::V3, &mut bytes).unwrap();
        bytes[0] |= flags;
        client.send_bytes(&bytes);
        assert!(matches!(client.next(), Event::ConnAck(greeting) if greeting.reason == 0));
        client.send_bytes(&[0xC0 | flags, 0]);
        assert_eq!(client.next(), Event::PingResp, "{flags:04b}");
        client.send_bytes(&[0xE0 | flags, 0]);
        assert_eq!(client.next(), Event::Closed, "{flags:04b}");
    }
    assert_eq!(broker.totals().protocol_errors, 0);
}

#[test]
fn a_broken_connect_is_refused_in_mqtt_5_and_dropped_before() {
    let broker = broker();
    // The rest of a CONNECT after the protocol name.
    for (name, rest, want) in [
        (
            "reserved flag",
            &[5, 3, 0, 60, 0, 0, 1, b'c'][..],
            Some(0x81),
        ),
        ("will QoS 3", &[5, 0x1E, 0, 60, 0, 0, 1, b'c'], Some(0x81)),
        (
            "will QoS without a will",
            &[5, 0x0A, 0, 60, 0, 0, 1, b'c'],
            Some(0x81),
        ),
        (
            "receive maximum 0",
            &[5, 2, 0, 60, 3, 0x21, 0, 0, 0, 1, b'c'],
            Some(0x82),
        ),
        (
            "packet size 0",
            &[5, 2, 0, 60, 5, 0x27, 0, 0, 0, 0, 0, 1, b'c'],
            Some(0x82),
        ),
        (
            "data without method",
            &[5, 2, 0, 60, 4, 0x16, 0, 1, 1, 0, 1, b'c'],
            Some(0x82),
        ),
        (
            "client identifier cut",
            &[5, 2, 0, 60, 0, 0, 9, b'c'],
            Some(0x81),
        ),
        ("bytes behind", &[5, 2, 0, 60, 0, 0, 1, b'c', 0], Some(0x81)),
        ("reserved flag in 3.1.1", &[4, 3, 0, 60, 0, 1, b'c'], None),
        (
            "password alone in 3.1.1",
            &[4, 0x42, 0, 60, 0, 1, b'c', 0, 0],
            None,
        ),
    ] {
        let mut client = Client::raw(&broker, Version::V5);
        let mut bytes = vec![0x10, 6 + rest.len() as u8, 0, 4];
        bytes.extend_from_slice(b"MQTT");
        bytes.extend_from_slice(rest);
        client.send_bytes(&bytes);
        if let Some(want) = want {
            match client.next() {
                Event::ConnAck(greeting) => assert_eq!(greeting.reason, want, "{name}"),
                other => panic!("{other:?}: {name}"),
            }
        }
        assert_eq!(client.next(), Event::Closed, "{name}");
    }
}

#[test]
fn what_came_before_a_broken_packet_counts() {
    let broker = broker();
    let mut subscriber = Client::v5(&broker, "subscriber");
    subscriber.subscribe("a", QoS::AtMostOnce);
    let mut client = Client::v5(&broker, "c");
    // A QoS 1 message, then nonsense, in one write.
    client.send_bytes(&[0x32, 7, 0, 1, b'a', 0, 9, 0, b'x', 0xFF, 0xFF]);
    let acknowledged = Event::Ack(fieldgate_mqtt::AckKind::PubAck, 9, 0);
    assert_eq!(client.next(), acknowledged);
    client.disconnected_with(ReasonCode::MALFORMED_PACKET);
    assert_eq!(subscriber.message(), got("a", "x", 0));
}
