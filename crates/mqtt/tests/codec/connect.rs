//! CONNECT.

use super::bytes::{counted, field, packet};
use fieldgate_mqtt::{
    Connect, ConnectProperties, MAX_PACKET_SIZE, Packet, QoS, ReasonCode, Version, Will,
    WillProperties, answer_version, decode, decode_connect,
};

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;
const VERSION: ReasonCode = ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;

/// A CONNECT of 3.1, 3.1.1 or 5.0 from its flags and its payload.
fn connect(version: u8, flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    let name = if version == 3 { "MQIsdp" } else { "MQTT" };
    let head: &[u8] = &[version, flags, 0, 60];
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    packet(0x10, &[&field(name), head, properties, &payload.concat()])
}

fn connect_outcome(bytes: &[u8]) -> Result<Connect<'_>, ReasonCode> {
    match decode_connect(bytes, MAX_PACKET_SIZE) {
        Ok(Some((connect, len))) => {
            assert_eq!(len, bytes.len());
            Ok(connect)
        }
        Ok(None) => panic!("incomplete: {bytes:02x?}"),
        Err(error) => Err(error.reason),
    }
}

#[test]
fn the_protocol_name_and_level_choose_the_version() {
    for (name, level, want) in [
        ("MQIsdp", 3, Ok((Version::V3, false))),
        ("MQIsdp", 0x83, Ok((Version::V3, true))),
        ("MQTT", 4, Ok((Version::V4, false))),
        ("MQTT", 0x84, Ok((Version::V4, true))),
        ("MQTT", 5, Ok((Version::V5, false))),
        ("MQTT", 0x85, Err(VERSION)),
        ("MQTT", 3, Err(VERSION)),
        ("MQTT", 6, Err(VERSION)),
        ("MQTT", 0, Err(VERSION)),
        ("MQIsdp", 4, Err(VERSION)),
        ("MQIsdp", 5, Err(VERSION)),
        ("mqtt", 4, Err(VERSION)),
        ("MQTTX", 4, Err(VERSION)),
        ("", 4, Err(VERSION)),
    ] {
        let properties: &[u8] = if level == 5 { &[0] } else { &[] };
        let bytes = packet(
            0x10,
            &[&field(name), &[level, 2, 0, 60], properties, &field("c")],
        );
        let found = connect_outcome(&bytes).map(|connect| (connect.version, connect.bridge));
        assert_eq!(found, want, "{name} {level}");
    }
}

#[test]
fn the_bridge_mark_is_written_only_where_it_exists() {
    for (version, want) in [(3, 0x83), (4, 0x84), (5, 5)] {
        let bytes = connect(version, 2, &[&field("c")]);
        let mut found = connect_outcome(&bytes).unwrap();
        found.bridge = true;
        let mut out = Vec::new();
        let packet = Packet::Connect(Box::new(found));
        packet.encode(Version::V5, &mut out).unwrap();
        let level = bytes
            .iter()
            .zip(&out)
            .find(|(before, after)| before != after);
        let level = level.map_or(version, |(_, &after)| after);
        assert_eq!((level, out.len()), (want, bytes.len()));
    }
}

#[test]
fn a_refusal_is_answered_in_the_version_that_the_client_understands() {
    for (bytes, want) in [
        (connect(3, 1, &[]), Some(Version::V3)),
        (connect(4, 1, &[]), Some(Version::V4)),
        (connect(0x84, 1, &[]), Some(Version::V4)),
        (connect(5, 1, &[]), Some(Version::V5)),
        (connect(6, 2, &[]), Some(Version::V5)),
        (connect(9, 2, &[]), Some(Version::V5)),
        (connect(0, 2, &[]), Some(Version::V4)),
        (packet(0x10, &[&field("MQTX"), &[4]]), None),
        (packet(0x10, &[&field("MQTT")]), None),
        (packet(0x10, &[]), None),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), None),
        (vec![0x10], None),
        (vec![], None),
    ] {
        assert_eq!(answer_version(&bytes), want, "{bytes:02x?}");
    }
}

#[test]
fn the_first_packet_must_be_connect() {
    for (bytes, want) in [
        (&b"\xC0\x00"[..], PROTOCOL),
        (b"\x30", PROTOCOL),
        (b"\x00", PROTOCOL),
        (b"GET / HTTP/1.1\r\n\r\n", PROTOCOL),
        (b"\x16\x03\x01", MALFORMED), // A TLS client.
        (b"\x11\x0C\x00\x04", MALFORMED),
        (b"\x11\x0E\x00\x06MQIsdq", MALFORMED),
    ] {
        let error = decode_connect(bytes, 100).unwrap_err();
        assert_eq!(error.reason, want, "{bytes:02x?}");
    }
    for begun in [&b""[..], b"\x11", b"\x11\x80", b"\x1F\x0E\x00\x06MQI"] {
        assert_eq!(decode_connect(begun, 100), Ok(None), "{begun:02x?}");
    }
    let error = decode_connect(&connect(4, 2, &[&field([b'x'; 100])]), 100).unwrap_err();
    assert_eq!(error.reason, ReasonCode::PACKET_TOO_LARGE);
}

#[test]
fn a_connect_that_is_not_the_first_packet_has_no_version_to_choose() {
    for version in [Version::V3, Version::V4, Version::V5] {
        let bytes = connect(6, 2, &[&field("c")]);
        let error = decode(&bytes, version, MAX_PACKET_SIZE).unwrap_err();
        assert_eq!(error.reason, PROTOCOL);
        let bytes = connect(4, 3, &[&field("c")]);
        let error = decode(&bytes, version, MAX_PACKET_SIZE).unwrap_err();
        assert_eq!(error.reason, MALFORMED);
    }
}

#[test]
fn dup_qos_and_retain_of_connect_mean_nothing_in_mqtt_3_1_and_are_malformed_later() {
    for flags in 0..=15 {
        for version in [3, 4, 5] {
            let mut bytes = connect(version, 2, &[&field("c")]);
            bytes[0] |= flags;
            let want = match version == 3 || flags == 0 {
                true => Ok("c"),
                false => Err(MALFORMED),
            };
            let found = connect_outcome(&bytes).map(|connect| connect.client_id);
            assert_eq!(found, want, "version {version}, flags {flags:04b}");
        }
    }
    // The name of MQTT 3.1 with a level that it does not have.
    let mut bytes = connect(3, 2, &[&field("c")]);
    bytes[0] |= 8;
    bytes[10] = 4;
    assert_eq!(connect_outcome(&bytes).map(|_| ()), Err(VERSION));
}

#[test]
fn connect_flags_must_agree_with_each_other() {
    let id: &[u8] = &field("c");
    let will: &[u8] = &[field("t"), field("m")].concat();
    let will_v5: &[u8] = &[&[0], will].concat();
    let user: &[u8] = &field("u");
    let password: &[u8] = &field([0xFF, 0x00]);
    for (version, flags, payload, want) in [
        (4, 0x00, &[id][..], Ok(())),
        (4, 0x02, &[id], Ok(())),
        // The reserved bit.
        (3, 0x01, &[id], Ok(())),
        (4, 0x01, &[id], Err(MALFORMED)),
        (5, 0x01, &[id], Err(MALFORMED)),
        // Will QoS and will retain.
        (4, 0x04, &[id, will], Ok(())),
        (4, 0x34, &[id, will], Ok(())),
        (5, 0x34, &[id, will_v5], Ok(())),
        (3, 0x1C, &[id, will], Err(MALFORMED)),
        (4, 0x1C, &[id, will], Err(MALFORMED)),
        (5, 0x1C, &[id, will_v5], Err(MALFORMED)),
        (3, 0x18, &[id], Err(MALFORMED)),
        (4, 0x18, &[id], Err(MALFORMED)),
        (3, 0x08, &[id], Ok(())),
        (4, 0x08, &[id], Err(MALFORMED)),
        (4, 0x10, &[id], Err(MALFORMED)),
        (4, 0x20, &[id], Err(MALFORMED)),
        (5, 0x20, &[id], Err(MALFORMED)),
        // The will that a flag announces, and one that no flag announces.
        (4, 0x04, &[id], Err(MALFORMED)),
        (4, 0x00, &[id, will], Err(MALFORMED)),
        // User name and password.
        (4, 0xC0, &[id, user, password], Ok(())),
        (4, 0x80, &[id, user], Ok(())),
        (4, 0x40, &[id, password], Err(MALFORMED)),
        (3, 0x40, &[id, password], Err(MALFORMED)),
        (5, 0x40, &[id, password], Ok(())),
        (4, 0x80, &[id], Err(MALFORMED)),
        (4, 0xC0, &[id, user], Err(MALFORMED)),
        (4, 0x00, &[id, user], Err(MALFORMED)),
        // MQTT 3.1 lets a flag be set and its field be missing.
        (3, 0x80, &[id], Ok(())),
        (3, 0xC0, &[id, user], Ok(())),
        (3, 0xC0, &[id], Ok(())),
    ] {
        let bytes = connect(version, flags, payload);
        let verdict = connect_outcome(&bytes).map(|_| ());
        assert_eq!(verdict, want, "version {version}, flags {flags:02x}");
    }
}

#[test]
fn every_string_is_utf_8_without_nul_and_binary_fields_are_free() {
    let good = [
        field("c"),
        field("t"),
        field([0, 0xFF]),
        field("u"),
        field([0, 0xFF]),
    ];
    for bad in [
        &b"\x00"[..],
        b"a\x00",
        b"\xFF",
        b"\xC0\x80",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
    ] {
        for (position, want) in [
            (0, Err(MALFORMED)),
            (1, Err(MALFORMED)),
            (2, Ok(())),
            (3, Err(MALFORMED)),
            (4, Ok(())),
        ] {
            let mut fields = good.clone();
            fields[position] = field(bad);
            let bytes = connect(4, 0xC4, &[&fields.concat()]);
            let verdict = connect_outcome(&bytes).map(|_| ());
            assert_eq!(verdict, want, "{bad:02x?} as field {position}");
        }
    }
}

#[test]
fn the_topic_of_a_will_is_a_topic_name() {
    let invalid = Err(MALFORMED);
    for (topic, want) in [
        ("a/b", Ok(())),
        ("/", Ok(())),
        ("ü", Ok(())),
        ("", invalid),
        ("a/+", invalid),
        ("#", invalid),
    ] {
        for (version, properties) in [(4, &[][..]), (5, &[0][..])] {
            let bytes = connect(
                version,
                0x04,
                &[&field("c"), properties, &field(topic), &field("m")],
            );
            let verdict = connect_outcome(&bytes).map(|_| ());
            assert_eq!(verdict, want, "{topic:?} in version {version}");
        }
    }
}

#[test]
fn an_empty_client_identifier_is_left_to_the_broker() {
    for version in [3, 4, 5] {
        let bytes = connect(version, 0, &[&field("")]);
        assert_eq!(connect_outcome(&bytes).unwrap().client_id, "");
    }
}

#[test]
fn every_field_of_an_mqtt_5_connect_is_read() {
    let properties = counted(
        &[
            &b"\x11\x00\x00\x00\x0A"[..],
            b"\x21\x00\x14",
            b"\x27\x00\x00\x01\x00",
            b"\x22\x00\x05",
            b"\x19\x01",
            b"\x17\x00",
            b"\x15\x00\x01m",
            b"\x16\x00\x01\xFF",
            b"\x26\x00\x01k\x00\x01v",
        ]
        .concat(),
    );
    let will_properties = counted(
        &[
            &b"\x18\x00\x00\x00\x07"[..],
            b"\x01\x01",
            b"\x02\x00\x00\x00\x09",
            b"\x03\x00\x01x",
            b"\x08\x00\x01r",
            b"\x09\x00\x01\x00",
        ]
        .concat(),
    );
    let bytes = packet(
        0x10,
        &[
            &field("MQTT"),
            &[5, 0b1111_0110, 0x12, 0x34],
            &properties,
            &field("client"),
            &will_properties,
            &field("will/topic"),
            &field("gone"),
            &field("user"),
            &field("secret"),
        ],
    );
    let connect = connect_outcome(&bytes).unwrap();
    let user = connect.properties.user_properties;
    assert_eq!(user.iter().collect::<Vec<_>>(), [("k", "v")]);
    let want = Connect {
        version: Version::V5,
        bridge: false,
        clean_start: true,
        keep_alive: 0x1234,
        client_id: "client",
        will: Some(Will {
            topic: "will/topic",
            payload: b"gone",
            qos: QoS::ExactlyOnce,
            retain: true,
            properties: WillProperties {
                delay: 7,
                payload_format_utf8: Some(true),
                message_expiry: Some(9),
                content_type: Some("x"),
                response_topic: Some("r"),
                correlation_data: Some(b"\x00"),
                user_properties: Default::default(),
            },
        }),
        username: Some("user"),
        password: Some(b"secret"),
        properties: ConnectProperties {
            session_expiry: Some(10),
            receive_maximum: 20.try_into().ok(),
            maximum_packet_size: 256.try_into().ok(),
            topic_alias_maximum: 5,
            request_response_information: true,
            request_problem_information: false,
            authentication_method: Some("m"),
            authentication_data: Some(b"\xFF"),
            user_properties: user,
        },
    };
    assert_eq!(connect, want);
}

#[test]
fn authentication_data_needs_a_method() {
    for (properties, want) in [
        (&b"\x15\x00\x01m"[..], Ok(())),
        (b"\x16\x00\x01d\x15\x00\x01m", Ok(())),
        (b"\x16\x00\x01d", Err(PROTOCOL)),
    ] {
        let bytes = packet(
            0x10,
            &[
                &field("MQTT"),
                &[5, 2, 0, 0],
                &counted(properties),
                &field("c"),
            ],
        );
        let verdict = connect_outcome(&bytes).map(|_| ());
        assert_eq!(verdict, want, "{properties:02x?}");
    }
}
