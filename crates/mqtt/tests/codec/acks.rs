//! PUBACK, PUBREC, PUBREL, PUBCOMP, CONNACK, DISCONNECT, AUTH, and reason codes.

use super::bytes::{outcome, packet, verdict};
use fieldgate_mqtt::*;

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;

const PUBACK: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const PUBREL: &[u8] = &[0x00, 0x92];
const CONNACK: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97,
    0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
];
const DISCONNECT: &[u8] = &[
    0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95,
    0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];
const AUTH: &[u8] = &[0x00, 0x18, 0x19];

#[test]
fn reason_codes_are_those_of_the_packets_table() {
    for code in 0..=255u8 {
        for (bytes, allowed) in [
            (packet(0x40, &[&[0, 1, code]]), PUBACK),
            (packet(0x50, &[&[0, 1, code, 0]]), PUBACK),
            (packet(0x62, &[&[0, 1, code]]), PUBREL),
            (packet(0x70, &[&[0, 1, code, 0]]), PUBREL),
            (packet(0x20, &[&[0, code, 0]]), CONNACK),
            (packet(0xE0, &[&[code]]), DISCONNECT),
            (packet(0xE0, &[&[code, 0]]), DISCONNECT),
            (packet(0xF0, &[&[code, 4], b"\x15\x00\x01m"]), AUTH),
        ] {
            let want = match allowed.contains(&code) {
                true => Ok(()),
                false => Err(PROTOCOL),
            };
            assert_eq!(verdict(&bytes, Version::V5), want, "{bytes:02x?}");
        }
        let connack = packet(0x20, &[&[0, code]]);
        let want = if code <= 5 { Ok(()) } else { Err(PROTOCOL) };
        assert_eq!(verdict(&connack, Version::V4), want, "{code}");
    }
}

#[test]
fn the_short_forms_of_acknowledgements_are_read_and_written() {
    let kinds = [
        (0x40, AckKind::PubAck, ReasonCode::NOT_AUTHORIZED),
        (0x50, AckKind::PubRec, ReasonCode::NO_MATCHING_SUBSCRIBERS),
        (
            0x62,
            AckKind::PubRel,
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        ),
        (
            0x70,
            AckKind::PubComp,
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        ),
    ];
    for (first, kind, failure) in kinds {
        let ack = |reason, text| Ack {
            packet_id: PacketId::new(0x0A0B).unwrap(),
            reason,
            properties: AckProperties {
                reason_string: text,
                ..AckProperties::default()
            },
        };
        let ok = ReasonCode::SUCCESS;
        for (version, body, want, canonical) in [
            (Version::V3, &b"\x0A\x0B"[..], ack(ok, None), true),
            (Version::V4, b"\x0A\x0B", ack(ok, None), true),
            (Version::V5, b"\x0A\x0B", ack(ok, None), true),
            (Version::V5, b"\x0A\x0B\x00", ack(ok, None), false),
            (Version::V5, b"\x0A\x0B\x00\x00", ack(ok, None), false),
            (
                Version::V5,
                &[0x0A, 0x0B, failure.0],
                ack(failure, None),
                true,
            ),
            (
                Version::V5,
                &[0x0A, 0x0B, failure.0, 0],
                ack(failure, None),
                false,
            ),
            (
                Version::V5,
                b"\x0A\x0B\x00\x04\x1F\x00\x01x",
                ack(ok, Some("x")),
                true,
            ),
        ] {
            let bytes = packet(first, &[body]);
            let wrapped = match kind {
                AckKind::PubAck => Packet::PubAck(want),
                AckKind::PubRec => Packet::PubRec(want),
                AckKind::PubRel => Packet::PubRel(want),
                AckKind::PubComp => Packet::PubComp(want),
            };
            assert_eq!(outcome(&bytes, version), Ok(wrapped.clone()));
            let mut encoded = Vec::new();
            wrapped.encode(version, &mut encoded).unwrap();
            assert_eq!(encoded == bytes, canonical, "{encoded:02x?}");
            if canonical && want.properties == AckProperties::default() {
                let mut short = Vec::new();
                encode_ack(&mut short, version, kind, want.packet_id, want.reason);
                assert_eq!(short, bytes);
            }
        }
        for (version, body, want) in [
            (Version::V4, &b"\x00\x00"[..], PROTOCOL),
            (Version::V5, b"\x00\x00", PROTOCOL),
            (Version::V5, b"\x00", MALFORMED),
            (Version::V4, b"\x00\x01\x00", MALFORMED),
        ] {
            assert_eq!(verdict(&packet(first, &[body]), version), Err(want));
        }
        let mut v4 = Vec::new();
        encode_ack(&mut v4, Version::V4, kind, PacketId::MIN, failure);
        assert_eq!(v4, [first, 2, 0, 1]);
    }
}

#[test]
fn a_connack_has_a_session_only_when_it_accepts() {
    for (version, body, want) in [
        (Version::V4, &[0, 0][..], Ok(false)),
        (Version::V4, &[1, 0], Ok(true)),
        (Version::V4, &[1, 5], Err(PROTOCOL)),
        (Version::V4, &[2, 0], Err(MALFORMED)),
        (Version::V4, &[0x81, 0], Err(MALFORMED)),
        (Version::V5, &[1, 0, 0], Ok(true)),
        (Version::V5, &[1, 0x87, 0], Err(PROTOCOL)),
        (Version::V5, &[3, 0, 0], Err(MALFORMED)),
        // Reserved in MQTT 3.1, without a rule.
        (Version::V3, &[1, 0], Ok(false)),
    ] {
        let bytes = packet(0x20, &[body]);
        let present = outcome(&bytes, version).map(|packet| match packet {
            Packet::ConnAck(connack) => connack.session_present,
            other => panic!("{other:?}"),
        });
        assert_eq!(present, want, "{version:?} {body:?}");
    }
    for (version, reason, want) in [
        (Version::V3, ReasonCode::SUCCESS, &b"\x20\x02\x00\x00"[..]),
        (Version::V4, ReasonCode::SUCCESS, b"\x20\x02\x01\x00"),
        (Version::V4, ReasonCode::NOT_AUTHORIZED, b"\x20\x02\x00\x05"),
        (Version::V5, ReasonCode::SUCCESS, b"\x20\x03\x01\x00\x00"),
        (
            Version::V5,
            ReasonCode::NOT_AUTHORIZED,
            b"\x20\x03\x00\x87\x00",
        ),
    ] {
        let connack = Packet::ConnAck(Box::new(ConnAck {
            session_present: true,
            reason,
            properties: ConnAckProperties::default(),
        }));
        let mut out = Vec::new();
        connack.encode(version, &mut out).unwrap();
        assert_eq!(out, want, "{version:?} {reason}");
    }
}

#[test]
fn the_short_forms_of_disconnect_and_auth_are_read_and_written() {
    let disconnect = |reason| {
        Packet::Disconnect(Disconnect {
            reason,
            properties: DisconnectProperties::default(),
        })
    };
    let normal = disconnect(ReasonCode::NORMAL_DISCONNECTION);
    let with_will = disconnect(ReasonCode::DISCONNECT_WITH_WILL);
    let empty_auth = Packet::Auth(Auth::default());
    let auth = Packet::Auth(Auth {
        reason: ReasonCode::CONTINUE_AUTHENTICATION,
        method: Some("m"),
        ..Auth::default()
    });
    for (version, bytes, want, canonical) in [
        (Version::V3, &b"\xE0\x00"[..], &normal, true),
        (Version::V4, b"\xE0\x00", &normal, true),
        (Version::V5, b"\xE0\x00", &normal, true),
        (Version::V5, b"\xE0\x01\x00", &normal, false),
        (Version::V5, b"\xE0\x02\x00\x00", &normal, false),
        (Version::V5, b"\xE0\x01\x04", &with_will, true),
        (Version::V5, b"\xE0\x02\x04\x00", &with_will, false),
        (Version::V5, b"\xF0\x00", &empty_auth, true),
        (Version::V5, b"\xF0\x06\x18\x04\x15\x00\x01m", &auth, true),
    ] {
        assert_eq!(outcome(bytes, version).as_ref(), Ok(want));
        let mut encoded = Vec::new();
        want.encode(version, &mut encoded).unwrap();
        assert_eq!(encoded == bytes, canonical, "{encoded:02x?}");
    }
    for (bytes, want) in [
        (&b"\xF0\x02\x18\x00"[..], PROTOCOL), // No method.
        (b"\xF0\x06\x18\x04\x16\x00\x01d", PROTOCOL),
        (b"\xF0\x01\x18", MALFORMED),
    ] {
        assert_eq!(verdict(bytes, Version::V5), Err(want), "{bytes:02x?}");
    }
    let mut out = vec![1];
    let encoded = empty_auth.encode(Version::V4, &mut out);
    assert_eq!(
        (encoded, &out[..]),
        (Err(EncodeError::NotInVersion), &[1][..])
    );
}

#[test]
fn a_field_that_is_too_long_leaves_the_output_as_it_was() {
    let long = "x".repeat(65_536);
    let properties = AckProperties {
        reason_string: Some(&long),
        ..AckProperties::default()
    };
    let mut subscribe_options = vec![("a", SubscriptionOptions::default()); 1];
    subscribe_options.push((&long, SubscriptionOptions::default()));
    let mut big_id = Subscribe::new(PacketId::MIN, &subscribe_options[..1]);
    big_id.subscription_id = Some(268_435_456);
    for packet in [
        Packet::PubAck(Ack {
            packet_id: PacketId::MIN,
            reason: ReasonCode::SUCCESS,
            properties,
        }),
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::SERVER_MOVED,
            properties: DisconnectProperties {
                server_reference: Some(&long),
                ..DisconnectProperties::default()
            },
        }),
        Packet::Subscribe(Subscribe::new(PacketId::MIN, &subscribe_options)),
        Packet::Subscribe(big_id),
    ] {
        let mut out = vec![1, 2, 3];
        let encoded = packet.encode(Version::V5, &mut out);
        assert_eq!(encoded, Err(EncodeError::TooLarge));
        assert_eq!(out, [1, 2, 3]);
    }
}

#[test]
fn reason_codes_have_names_and_a_return_code_in_mqtt_3() {
    for (code, debug, display, v3) in [
        (ReasonCode::SUCCESS, "SUCCESS(0x00)", "Success (0x00)", 0),
        (
            ReasonCode(0x84),
            "UNSUPPORTED_PROTOCOL_VERSION(0x84)",
            "Unsupported Protocol Version (0x84)",
            1,
        ),
        (
            ReasonCode(0x85),
            "CLIENT_IDENTIFIER_NOT_VALID(0x85)",
            "Client Identifier not valid (0x85)",
            2,
        ),
        (
            ReasonCode(0x88),
            "SERVER_UNAVAILABLE(0x88)",
            "Server unavailable (0x88)",
            3,
        ),
        (
            ReasonCode(0x86),
            "BAD_USER_NAME_OR_PASSWORD(0x86)",
            "Bad User Name or Password (0x86)",
            4,
        ),
        (
            ReasonCode(0x87),
            "NOT_AUTHORIZED(0x87)",
            "Not authorized (0x87)",
            5,
        ),
        (
            ReasonCode(0x97),
            "QUOTA_EXCEEDED(0x97)",
            "Quota exceeded (0x97)",
            3,
        ),
        (
            ReasonCode(0xA2),
            "WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED(0xA2)",
            "Wildcard Subscriptions not supported (0xA2)",
            3,
        ),
        (
            ReasonCode(0x7F),
            "ReasonCode(0x7F)",
            "unknown reason code (0x7F)",
            0,
        ),
    ] {
        assert_eq!(format!("{code:?}"), debug);
        assert_eq!(format!("{code}"), display);
        assert_eq!(code.connack_v3(), v3, "{code}");
        assert_eq!(code.is_error(), code.0 >= 0x80);
    }
}
