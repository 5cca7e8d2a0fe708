//! PUBLISH.

use super::bytes::{counted, field, outcome, packet, verdict};
use fieldgate_mqtt::*;

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;

fn publish(bytes: &[u8], version: Version) -> Publish<'_> {
    match outcome(bytes, version) {
        Ok(Packet::Publish(publish)) => publish,
        other => panic!("{other:?}"),
    }
}

fn message(topic: &str) -> Publish<'_> {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic,
        packet_id: None,
        properties: PublishProperties::default(),
        payload: b"21.5",
    }
}

#[test]
fn flags_topic_identifier_and_payload_are_read() {
    let id = PacketId::new(0x1234);
    for (first, dup, qos, retain) in [
        (0x30, false, QoS::AtMostOnce, false),
        (0x31, false, QoS::AtMostOnce, true),
        (0x32, false, QoS::AtLeastOnce, false),
        (0x3B, true, QoS::AtLeastOnce, true),
        (0x34, false, QoS::ExactlyOnce, false),
        (0x3D, true, QoS::ExactlyOnce, true),
    ] {
        for (version, properties) in [
            (Version::V3, &[][..]),
            (Version::V4, &[]),
            (Version::V5, &[0]),
        ] {
            let with_id = qos > QoS::AtMostOnce;
            let id_bytes: &[u8] = if with_id { &[0x12, 0x34] } else { &[] };
            let bytes = packet(first, &[&field("a/ü"), id_bytes, properties, b"21.5"]);
            let want = Publish {
                dup,
                qos,
                retain,
                packet_id: id.filter(|_| with_id),
                ..message("a/ü")
            };
            assert_eq!(publish(&bytes, version), want);
            let mut encoded = Vec::new();
            encode_publish(&mut encoded, version, &want);
            assert_eq!(encoded, bytes);
            assert_eq!(publish_len(version, &want), bytes.len());
        }
    }
}

#[test]
fn wrong_flags_and_identifiers_are_refused() {
    for (first, id, want) in [
        (0x32, &[0, 1][..], Ok(())),
        (0x32, &[0, 0], Err(PROTOCOL)),
        (0x34, &[0, 0], Err(PROTOCOL)),
        (0x36, &[0, 1], Err(MALFORMED)), // QoS 3
        (0x3E, &[0, 1], Err(MALFORMED)),
        (0x38, &[], Err(MALFORMED)), // DUP with QoS 0
        (0x3A, &[0, 1], Ok(())),
    ] {
        for (version, properties) in [(Version::V4, &[][..]), (Version::V5, &[0])] {
            let bytes = packet(first, &[&field("t"), id, properties]);
            assert_eq!(
                verdict(&bytes, version),
                want,
                "{first:02x} {id:?} {version:?}"
            );
        }
    }
}

#[test]
fn the_topic_is_a_name_and_empty_only_with_an_alias() {
    let alias: &[u8] = b"\x03\x23\x00\x01";
    for (topic, properties, v4, v5) in [
        (&b"a"[..], &[0][..], Ok(()), Ok(())),
        (b"/", &[0], Ok(()), Ok(())),
        (b"$SYS/x", &[0], Ok(()), Ok(())),
        ("\u{FEFF}ä/日本".as_bytes(), &[0], Ok(()), Ok(())),
        (b"", &[0], Err(PROTOCOL), Err(PROTOCOL)),
        (b"", alias, Err(PROTOCOL), Ok(())),
        (b"a", alias, Ok(()), Ok(())),
        (b"a/+", &[0], Err(MALFORMED), Err(MALFORMED)),
        (b"+", &[0], Err(MALFORMED), Err(MALFORMED)),
        (b"a#", &[0], Err(MALFORMED), Err(MALFORMED)),
        (b"a+b", alias, Err(MALFORMED), Err(MALFORMED)),
        (b"a\x00b", &[0], Err(MALFORMED), Err(MALFORMED)),
        (b"+\x00", &[0], Err(MALFORMED), Err(MALFORMED)),
        (b"\xED\xA0\x80", &[0], Err(MALFORMED), Err(MALFORMED)),
        (b"\xED\xBF\xBF", &[0], Err(MALFORMED), Err(MALFORMED)),
        (b"\xC3", &[0], Err(MALFORMED), Err(MALFORMED)),
        (b"\xE0\x80\xAF", &[0], Err(MALFORMED), Err(MALFORMED)),
    ] {
        let bytes = packet(0x30, &[&field(topic), properties]);
        assert_eq!(verdict(&bytes, Version::V4), v4, "{topic:02x?}");
        assert_eq!(verdict(&bytes, Version::V5), v5, "{topic:02x?}");
    }
}

#[test]
fn every_property_is_read_wherever_it_stands() {
    let properties = counted(
        &[
            &b"\x26\x00\x01a\x00\x011"[..],
            b"\x0B\x07",
            b"\x01\x00",
            b"\x26\x00\x01b\x00\x012",
            b"\x02\x00\x00\x00\x3C",
            b"\x23\x00\x09",
            b"\x0B\xFF\xFF\xFF\x7F",
            b"\x08\x00\x03r/t",
            b"\x09\x00\x02\x00\xFF",
            b"\x03\x00\x04text",
            b"\x26\x00\x01a\x00\x013",
        ]
        .concat(),
    );
    let bytes = packet(0x30, &[&field("t"), &properties, b"p"]);
    let found = publish(&bytes, Version::V5).properties;
    assert_eq!(found.payload_format_utf8, Some(false));
    assert_eq!(found.message_expiry, Some(60));
    assert_eq!(found.topic_alias.map(|alias| alias.get()), Some(9));
    assert_eq!(found.response_topic, Some("r/t"));
    assert_eq!(found.correlation_data, Some(&b"\x00\xFF"[..]));
    assert_eq!(found.content_type, Some("text"));
    let ids: Vec<_> = found.subscription_ids.iter().collect();
    assert_eq!(ids, [7, 268_435_455]);
    let pairs: Vec<_> = found.user_properties.iter().collect();
    assert_eq!(pairs, [("a", "1"), ("b", "2"), ("a", "3")]);
    // Only the pairs are handed on, without what lies between them.
    let mut pairs = Vec::new();
    found.user_properties.encode_into(&mut pairs);
    assert_eq!(
        pairs,
        b"\x26\x00\x01a\x00\x011\x26\x00\x01b\x00\x012\x26\x00\x01a\x00\x013"
    );
    assert_eq!(found.user_properties.encoded_len(), pairs.len());
    assert_eq!(
        UserProperties::from_encoded(&pairs),
        Ok(found.user_properties)
    );
}

#[test]
fn stored_user_properties_are_checked_when_they_are_taken_back() {
    for (bytes, want) in [
        (&b""[..], Ok(0)),
        (b"\x26\x00\x01a\x00\x011", Ok(1)),
        (b"\x26\x00\x01a\x00\x011\x01\x00", Err(MALFORMED)),
        (b"\x26\x00\x01a\x00", Err(MALFORMED)),
        (b"\x26\x00\x01\x00\x00\x00", Err(MALFORMED)),
        (b"\x01\x00", Err(MALFORMED)),
    ] {
        let found = UserProperties::from_encoded(bytes)
            .map(|properties| properties.iter().count())
            .map_err(|error| error.reason);
        assert_eq!(found, want, "{bytes:02x?}");
    }
}

#[test]
fn what_no_packet_can_hold_is_above_every_limit_and_not_appended() {
    let long = "x".repeat(65_536);
    let huge = vec![0; MAX_PACKET_SIZE];
    let mut pairs = UserPropertiesBuf::new();
    assert_eq!(pairs.push(&long, ""), Err(EncodeError::TooLarge));
    assert_eq!(pairs.push("", &long), Err(EncodeError::TooLarge));
    assert!(pairs.as_properties().is_empty());
    let with = |properties| Publish {
        properties,
        ..message("t")
    };
    let none = PublishProperties::default();
    for (publish, want) in [
        (message(&long), EncodeError::TooLarge),
        (
            Publish {
                payload: &huge,
                ..message("t")
            },
            EncodeError::TooLarge,
        ),
        (
            Publish {
                qos: QoS::AtLeastOnce,
                ..message("t")
            },
            EncodeError::NoPacketId,
        ),
        (
            with(PublishProperties {
                response_topic: Some(&long),
                ..none
            }),
            EncodeError::TooLarge,
        ),
        (
            with(PublishProperties {
                content_type: Some(&long),
                ..none
            }),
            EncodeError::TooLarge,
        ),
        (
            with(PublishProperties {
                correlation_data: Some(long.as_bytes()),
                ..none
            }),
            EncodeError::TooLarge,
        ),
        (
            with(PublishProperties {
                subscription_ids: SubscriptionIds::from_list(&[0]),
                ..none
            }),
            EncodeError::TooLarge,
        ),
        (
            with(PublishProperties {
                subscription_ids: SubscriptionIds::from_list(&[1, 268_435_456]),
                ..none
            }),
            EncodeError::TooLarge,
        ),
    ] {
        let mut out = vec![1, 2, 3];
        assert_eq!(publish_len(Version::V5, &publish), usize::MAX);
        encode_publish(&mut out, Version::V5, &publish);
        encode_publish_head(&mut out, Version::V5, &publish);
        assert_eq!(out, [1, 2, 3]);
        let encoded = Packet::Publish(publish).encode(Version::V5, &mut out);
        assert_eq!((encoded, &out[..]), (Err(want), &[1, 2, 3][..]));
    }
}

#[test]
fn the_largest_fields_fit() {
    let name = "x".repeat(65_535);
    let mut out = Vec::new();
    encode_publish(&mut out, Version::V5, &message(&name));
    assert_eq!(publish(&out, Version::V5).topic, name);
}

#[test]
fn the_remaining_length_takes_as_many_bytes_as_its_value_needs() {
    let payload = vec![0; 2_097_152];
    for (remaining, header) in [
        (127, 2),
        (128, 3),
        (16_383, 3),
        (16_384, 4),
        (2_097_151, 4),
        (2_097_152, 5),
    ] {
        let publish = Publish {
            payload: &payload[..remaining - 3],
            ..message("t")
        };
        let mut out = Vec::new();
        encode_publish(&mut out, Version::V4, &publish);
        assert_eq!(out.len(), header + remaining);
        assert_eq!(publish_len(Version::V4, &publish), out.len());
        assert_eq!(outcome(&out, Version::V4), Ok(Packet::Publish(publish)));
    }
}

#[test]
fn lists_are_equal_when_their_items_are() {
    let pairs = |list: &[(&str, &str)]| {
        let mut buf = UserPropertiesBuf::new();
        for (name, value) in list {
            buf.push(name, value).unwrap();
        }
        buf
    };
    let one = pairs(&[("a", "1"), ("b", "2")]);
    assert_eq!(UserPropertiesBuf::from(one.as_properties()), one);
    for other in [
        &[("b", "2"), ("a", "1")][..],
        &[("a", "1")],
        &[("a", "1"), ("b", "3")],
        &[],
    ] {
        assert_ne!(one.as_properties(), pairs(other).as_properties());
    }
    let ids = SubscriptionIds::from_list(&[1, 2]);
    assert_eq!(ids, SubscriptionIds::from_list(&[1, 2]));
    for other in [&[2, 1][..], &[1], &[1, 2, 3], &[]] {
        assert_ne!(ids, SubscriptionIds::from_list(other));
    }
    let options = SubscriptionOptions::default();
    let exactly = SubscriptionOptions::new(QoS::ExactlyOnce);
    let subscribe = [("a", options), ("b", options)];
    for other in [&[("a", options)][..], &[("a", options), ("b", exactly)]] {
        assert_ne!(
            Subscribe::new(PacketId::MIN, &subscribe),
            Subscribe::new(PacketId::MIN, other)
        );
    }
    assert_ne!(
        Unsubscribe::new(PacketId::MIN, &["a", "b"]),
        Unsubscribe::new(PacketId::MIN, &["a"])
    );
}

#[test]
fn what_fits_no_packet_appends_nothing_by_the_short_way_either() {
    let long = "t".repeat(65_536);
    for (topic, qos, packet_id, fits) in [
        (&long[1..], QoS::AtMostOnce, None, true),
        (&long, QoS::AtMostOnce, None, false),
        ("t", QoS::AtLeastOnce, None, false),
        ("t", QoS::AtLeastOnce, PacketId::new(7), true),
    ] {
        let plain = PlainPublish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id,
            payload: b"1",
        };
        let mut out = b"kept".to_vec();
        let len = encode_plain_publish(&mut out, Version::V5, &plain);
        assert_eq!(
            (len > 0, out.len()),
            (fits, 4 + len),
            "{} {qos:?}",
            topic.len()
        );
    }
}
