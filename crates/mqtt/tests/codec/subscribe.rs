//! SUBSCRIBE, UNSUBSCRIBE and their answers.

use super::bytes::{counted, field, outcome, packet, verdict};
use fieldgate_mqtt::*;

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;

fn subscribe(version: Version, properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = vec![0, 7];
    if version == Version::V5 {
        body.extend(counted(properties));
    }
    for (filter, options) in filters {
        body.extend(field(filter));
        body.push(*options);
    }
    packet(0x82, &[&body])
}

#[test]
fn subscription_options_are_read_and_their_reserved_bits_refused() {
    for (byte, v4, v5) in [
        (0x00, Ok(()), Ok(())),
        (0x01, Ok(()), Ok(())),
        (0x02, Ok(()), Ok(())),
        (0x03, Err(PROTOCOL), Err(PROTOCOL)),
        (0x04, Err(MALFORMED), Ok(())),
        (0x08, Err(MALFORMED), Ok(())),
        (0x10, Err(MALFORMED), Ok(())),
        (0x2E, Err(MALFORMED), Ok(())),
        (0x30, Err(MALFORMED), Err(PROTOCOL)),
        (0x40, Err(MALFORMED), Err(MALFORMED)),
        (0x80, Err(MALFORMED), Err(MALFORMED)),
    ] {
        for (version, want) in [(Version::V3, v4), (Version::V4, v4), (Version::V5, v5)] {
            let bytes = subscribe(version, b"", &[("a", 0), ("b/#", byte)]);
            assert_eq!(verdict(&bytes, version), want, "{byte:02x} in {version:?}");
        }
    }
}

#[test]
fn filters_come_in_order_with_their_options() {
    let properties = b"\x26\x00\x01k\x00\x01v\x0B\x80\x01";
    let bytes = subscribe(
        Version::V5,
        properties,
        &[("a/+", 0x2D), ("#", 0x12), ("a/+", 0)],
    );
    let Ok(Packet::Subscribe(found)) = outcome(&bytes, Version::V5) else {
        panic!("{bytes:02x?}");
    };
    assert_eq!(found.packet_id.get(), 7);
    assert_eq!(found.subscription_id, Some(128));
    let pairs: Vec<_> = found.user_properties.iter().collect();
    assert_eq!(pairs, [("k", "v")]);
    let want = [
        (
            "a/+",
            SubscriptionOptions {
                qos: QoS::AtLeastOnce,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::DoNotSend,
            },
        ),
        (
            "#",
            SubscriptionOptions {
                retain_handling: RetainHandling::SendIfNew,
                ..SubscriptionOptions::new(QoS::ExactlyOnce)
            },
        ),
        ("a/+", SubscriptionOptions::default()),
    ];
    assert_eq!(found.filters().collect::<Vec<_>>(), want);
    let mut built = Subscribe::new(found.packet_id, &want);
    built.subscription_id = Some(128);
    built.user_properties = found.user_properties;
    assert_eq!(built, found);
}

#[test]
fn no_local_on_a_shared_subscription_refuses_the_packet() {
    for (filter, options, want) in [
        ("$share/g/a", 0x00, Ok(())),
        ("$share/g/a", 0x04, Err(PROTOCOL)),
        ("$share/g/a#", 0x04, Err(MALFORMED)),
        ("$share", 0x04, Ok(())),
        ("$shared/g/a", 0x04, Ok(())),
        ("x/$share/g", 0x04, Ok(())),
    ] {
        let bytes = subscribe(Version::V5, b"", &[("a", 0), (filter, options)]);
        assert_eq!(verdict(&bytes, Version::V5), want, "{filter} {options:02x}");
    }
}

#[test]
fn a_filter_that_breaks_the_rules_of_its_version_makes_the_packet_malformed() {
    let bad = Err(MALFORMED);
    for (filter, v3_and_v4, v5) in [
        ("", bad, bad),
        ("a/#/b", bad, bad),
        ("a+", bad, bad),
        ("+a/b", bad, bad),
        ("a#", bad, bad),
        ("a/b#", bad, bad),
        ("##", bad, bad),
        ("#/", bad, bad),
        // A filter like any other before there were shared subscriptions.
        ("$share/g", Ok(()), bad),
        ("$share//a", Ok(()), bad),
        ("$share/g/", Ok(()), bad),
        ("$share/+/a", Ok(()), bad),
        ("$share/g/a#", bad, bad),
        ("$share/g/a/#", Ok(()), Ok(())),
        ("$share", Ok(()), Ok(())),
        ("/", Ok(()), Ok(())),
        ("+/+/#", Ok(()), Ok(())),
    ] {
        for version in [Version::V3, Version::V4, Version::V5] {
            let want = match version {
                Version::V5 => v5,
                _ => v3_and_v4,
            };
            let bytes = subscribe(version, b"", &[("a", 0), (filter, 0)]);
            assert_eq!(verdict(&bytes, version), want, "{filter:?} in {version:?}");
            let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
            let bytes = packet(0xA2, &[&[0, 7], properties, &field("a"), &field(filter)]);
            assert_eq!(verdict(&bytes, version), want, "{filter:?} in {version:?}");
        }
    }
}

#[test]
fn lists_must_not_be_empty_and_identifiers_not_0() {
    for (version, bytes, want) in [
        (Version::V4, &b"\x82\x02\x00\x01"[..], Err(PROTOCOL)),
        (Version::V5, b"\x82\x03\x00\x01\x00", Err(PROTOCOL)),
        (Version::V4, b"\xA2\x02\x00\x01", Err(PROTOCOL)),
        (Version::V5, b"\xA2\x03\x00\x01\x00", Err(PROTOCOL)),
        (Version::V4, b"\x82\x06\x00\x00\x00\x01a\x00", Err(PROTOCOL)),
        (
            Version::V5,
            b"\x82\x07\x00\x00\x00\x00\x01a\x00",
            Err(PROTOCOL),
        ),
        (Version::V4, b"\xA2\x05\x00\x00\x00\x01a", Err(PROTOCOL)),
        (Version::V5, b"\xA2\x06\x00\x00\x00\x00\x01a", Err(PROTOCOL)),
        (Version::V4, b"\xA2\x05\x00\x01\x00\x01a", Ok(())),
        (Version::V4, b"\xA2\x05\x00\x01\x00\x01\x00", Err(MALFORMED)),
        (
            Version::V4,
            b"\x82\x06\x00\x01\x00\x01\xFF\x00",
            Err(MALFORMED),
        ),
        (Version::V4, b"\x90\x02\x00\x01", Err(MALFORMED)),
        (Version::V4, b"\x90\x03\x00\x00\x00", Err(PROTOCOL)),
        (Version::V5, b"\x90\x03\x00\x01\x00", Err(MALFORMED)),
        (Version::V5, b"\xB0\x03\x00\x01\x00", Err(MALFORMED)),
        (Version::V4, b"\xB0\x02\x00\x00", Err(PROTOCOL)),
        (Version::V4, b"\xB0\x02\x00\x01", Ok(())),
    ] {
        assert_eq!(verdict(bytes, version), want, "{bytes:02x?} {version:?}");
    }
}

#[test]
fn the_codes_of_suback_and_unsuback_are_those_of_their_tables() {
    let v5_suback = [
        0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
    ];
    let v5_unsuback = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
    for code in 0..=255u8 {
        let v4 = packet(0x90, &[&[0, 1, 0, code]]);
        let v5 = packet(0x90, &[&[0, 1, 0, 0, code]]);
        let unsuback = packet(0xB0, &[&[0, 1, 0, 0, code]]);
        for (bytes, version, valid) in [
            (&v4, Version::V3, [0, 1, 2, 0x80].contains(&code)),
            (&v4, Version::V4, [0, 1, 2, 0x80].contains(&code)),
            (&v5, Version::V5, v5_suback.contains(&code)),
            (&unsuback, Version::V5, v5_unsuback.contains(&code)),
        ] {
            let want = if valid { Ok(()) } else { Err(PROTOCOL) };
            assert_eq!(verdict(bytes, version), want, "{bytes:02x?} {version:?}");
        }
    }
}

#[test]
fn codes_are_encoded_as_far_as_the_version_has_them() {
    let suback = Packet::SubAck(SubAck {
        packet_id: PacketId::MIN,
        codes: &[0, 1, 2, 0x80, 0x8F, 0x87],
        properties: AckProperties::default(),
    });
    let unsuback = Packet::UnsubAck(UnsubAck {
        packet_id: PacketId::MIN,
        codes: &[0, 0x11],
        properties: AckProperties::default(),
    });
    for (packet, version, want) in [
        (
            &suback,
            Version::V3,
            &b"\x90\x08\x00\x01\x00\x01\x02\x80\x80\x80"[..],
        ),
        (
            &suback,
            Version::V4,
            b"\x90\x08\x00\x01\x00\x01\x02\x80\x80\x80",
        ),
        (
            &suback,
            Version::V5,
            b"\x90\x09\x00\x01\x00\x00\x01\x02\x80\x8F\x87",
        ),
        (&unsuback, Version::V4, b"\xB0\x02\x00\x01"),
        (&unsuback, Version::V5, b"\xB0\x05\x00\x01\x00\x00\x11"),
    ] {
        let mut out = Vec::new();
        packet.encode(version, &mut out).unwrap();
        assert_eq!(out, want, "{version:?}");
    }
}
