//! The rules on properties that hold for every packet (section 2.2.2).

use super::bytes::{counted, field, packet, verdict};
use fieldgate_mqtt::{ReasonCode, Version};

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;

/// Where properties can be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

use Place::*;

const PLACES: [Place; 14] = [
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
];

/// Table 2-4: a valid example of each property, and where it may be.
const PROPERTIES: [(&[u8], &[Place]); 27] = [
    (b"\x01\x01", &[Publish, Will]),
    (b"\x02\x00\x00\x00\x01", &[Publish, Will]),
    (b"\x03\x00\x01x", &[Publish, Will]),
    (b"\x08\x00\x01x", &[Publish, Will]),
    (b"\x09\x00\x01x", &[Publish, Will]),
    (b"\x0B\x01", &[Publish, Subscribe]),
    (b"\x11\x00\x00\x00\x01", &[Connect, ConnAck, Disconnect]),
    (b"\x12\x00\x01x", &[ConnAck]),
    (b"\x13\x00\x01", &[ConnAck]),
    (b"\x15\x00\x01x", &[Connect, ConnAck, Auth]),
    (b"\x16\x00\x01x", &[Connect, ConnAck, Auth]),
    (b"\x17\x01", &[Connect]),
    (b"\x18\x00\x00\x00\x01", &[Will]),
    (b"\x19\x01", &[Connect]),
    (b"\x1A\x00\x01x", &[ConnAck]),
    (b"\x1C\x00\x01x", &[ConnAck, Disconnect]),
    (
        b"\x1F\x00\x01x",
        &[
            ConnAck, PubAck, PubRec, PubRel, PubComp, SubAck, UnsubAck, Disconnect, Auth,
        ],
    ),
    (b"\x21\x00\x01", &[Connect, ConnAck]),
    (b"\x22\x00\x01", &[Connect, ConnAck]),
    (b"\x23\x00\x01", &[Publish]),
    (b"\x24\x01", &[ConnAck]),
    (b"\x25\x01", &[ConnAck]),
    (b"\x26\x00\x01x\x00\x01y", &PLACES),
    (b"\x27\x00\x00\x00\x01", &[Connect, ConnAck]),
    (b"\x28\x01", &[ConnAck]),
    (b"\x29\x01", &[ConnAck]),
    (b"\x2A\x01", &[ConnAck]),
];

/// A packet that is valid when its properties are.
fn packet_with(place: Place, properties: &[u8]) -> Vec<u8> {
    let counted = counted(properties);
    let connect = field("MQTT");
    let text = field("t");
    match place {
        Connect => packet(0x10, &[&connect, &[5, 2, 0, 0], &counted, &text]),
        Will => packet(
            0x10,
            &[&connect, &[5, 6, 0, 0, 0], &text, &counted, &text, &text],
        ),
        ConnAck => packet(0x20, &[&[0, 0], &counted]),
        Publish => packet(0x32, &[&text, &[0, 1], &counted, b"payload"]),
        PubAck => packet(0x40, &[&[0, 1, 0], &counted]),
        PubRec => packet(0x50, &[&[0, 1, 0], &counted]),
        PubRel => packet(0x62, &[&[0, 1, 0], &counted]),
        PubComp => packet(0x70, &[&[0, 1, 0], &counted]),
        Subscribe => packet(0x82, &[&[0, 1], &counted, &text, &[0]]),
        SubAck => packet(0x90, &[&[0, 1], &counted, &[0]]),
        Unsubscribe => packet(0xA2, &[&[0, 1], &counted, &text]),
        UnsubAck => packet(0xB0, &[&[0, 1], &counted, &[0]]),
        Disconnect => packet(0xE0, &[&[0], &counted]),
        Auth => packet(0xF0, &[&[0x18], &counted]),
    }
}

/// AUTH always needs a method, and authentication data does in CONNECT.
fn method_for(place: Place, property: &[u8]) -> &'static [u8] {
    match (place, property.first()) {
        (Auth, Some(id)) if *id != 0x15 => b"\x15\x00\x01m",
        (Connect, Some(0x16)) => b"\x15\x00\x01m",
        _ => b"",
    }
}

#[test]
fn a_property_is_malformed_where_it_does_not_belong() {
    for (property, allowed) in PROPERTIES {
        for place in PLACES {
            let properties = [property, method_for(place, property)].concat();
            let want = match allowed.contains(&place) {
                true => Ok(()),
                false => Err(MALFORMED),
            };
            let bytes = packet_with(place, &properties);
            assert_eq!(
                verdict(&bytes, Version::V5),
                want,
                "{property:02x?} in {place:?}"
            );
        }
    }
}

#[test]
fn a_property_occurs_once_except_user_properties_and_the_identifiers_of_publish() {
    for (property, allowed) in PROPERTIES {
        for &place in allowed {
            let other = b"\x26\x00\x00\x00\x00";
            let properties = [property, other, property, method_for(place, property)].concat();
            let want = match (property[0], place) {
                (0x26, _) | (0x0B, Publish) => Ok(()),
                _ => Err(PROTOCOL),
            };
            let bytes = packet_with(place, &properties);
            assert_eq!(
                verdict(&bytes, Version::V5),
                want,
                "{property:02x?} in {place:?}"
            );
        }
    }
}

#[test]
fn a_property_that_is_cut_or_has_trailing_bytes_is_malformed() {
    for (property, allowed) in PROPERTIES {
        for &place in allowed {
            for len in 1..property.len() {
                let properties = [method_for(place, property), &property[..len]].concat();
                let bytes = packet_with(place, &properties);
                assert_eq!(
                    verdict(&bytes, Version::V5),
                    Err(MALFORMED),
                    "{property:02x?} cut to {len} in {place:?}"
                );
            }
        }
    }
}

#[test]
fn identifiers_that_do_not_exist_are_malformed() {
    let known: Vec<u8> = PROPERTIES.iter().map(|(property, _)| property[0]).collect();
    for id in (0..=255u8).filter(|id| !known.contains(id)) {
        for place in PLACES {
            let bytes = packet_with(place, &[id, 0, 0, 0, 0]);
            assert_eq!(
                verdict(&bytes, Version::V5),
                Err(MALFORMED),
                "{id:02x} in {place:?}"
            );
        }
    }
}

#[test]
fn values_out_of_range_are_protocol_errors_and_bad_strings_are_malformed() {
    for (place, property, want) in [
        (Publish, &b"\x01\x00"[..], Ok(())),
        (Publish, b"\x01\x02", Err(PROTOCOL)),
        (Will, b"\x01\xFF", Err(PROTOCOL)),
        (Publish, b"\x02\x00\x00\x00\x00", Ok(())),
        (Publish, b"\x0B\x00", Err(PROTOCOL)),
        (Subscribe, b"\x0B\x00", Err(PROTOCOL)),
        (Subscribe, b"\x0B\xFF\xFF\xFF\x7F", Ok(())),
        (Subscribe, b"\x0B\x80\x00", Err(MALFORMED)),
        (Subscribe, b"\x0B\x81\x80\x00", Err(MALFORMED)),
        (Subscribe, b"\x0B\xFF\xFF\xFF\xFF\x01", Err(MALFORMED)),
        (Publish, b"\x23\x00\x00", Err(PROTOCOL)),
        (Connect, b"\x21\x00\x00", Err(PROTOCOL)),
        (ConnAck, b"\x21\x00\x00", Err(PROTOCOL)),
        (Connect, b"\x27\x00\x00\x00\x00", Err(PROTOCOL)),
        (ConnAck, b"\x27\x00\x00\x00\x00", Err(PROTOCOL)),
        (Connect, b"\x22\x00\x00", Ok(())),
        (Connect, b"\x17\x02", Err(PROTOCOL)),
        (Connect, b"\x19\x02", Err(PROTOCOL)),
        (ConnAck, b"\x24\x00", Ok(())),
        (ConnAck, b"\x24\x02", Err(PROTOCOL)),
        (ConnAck, b"\x25\x02", Err(PROTOCOL)),
        (ConnAck, b"\x28\x02", Err(PROTOCOL)),
        (ConnAck, b"\x29\x02", Err(PROTOCOL)),
        (ConnAck, b"\x2A\x02", Err(PROTOCOL)),
        (Publish, b"\x08\x00\x00", Err(PROTOCOL)),
        (Publish, b"\x08\x00\x01#", Err(PROTOCOL)),
        (Will, b"\x08\x00\x03a/+", Err(PROTOCOL)),
        (Publish, b"\x08\x00\x01\x00", Err(MALFORMED)),
        (Publish, b"\x03\x00\x01\x00", Err(MALFORMED)),
        (Publish, b"\x03\x00\x01\xFF", Err(MALFORMED)),
        (Publish, b"\x03\x00\x00", Ok(())),
        (Publish, b"\x09\x00\x02\x00\xFF", Ok(())),
        (Publish, b"\x26\x00\x01\xFF\x00\x01a", Err(MALFORMED)),
        (Publish, b"\x26\x00\x01a\x00\x01\x00", Err(MALFORMED)),
        (PubAck, b"\x1F\x00\x03\xED\xA0\x80", Err(MALFORMED)),
        (Auth, b"\x15\x00\x01\x00", Err(MALFORMED)),
    ] {
        let bytes = packet_with(place, property);
        assert_eq!(
            verdict(&bytes, Version::V5),
            want,
            "{property:02x?} in {place:?}"
        );
    }
}

#[test]
fn the_property_length_is_minimal_and_within_the_packet() {
    for (bytes, want) in [
        (&b"\x30\x04\x00\x01t\x00"[..], Ok(())),
        (b"\x30\x05\x00\x01t\x80\x00", Err(MALFORMED)),
        (b"\x30\x06\x00\x01t\x80\x80\x00", Err(MALFORMED)),
        (b"\x30\x07\x00\x01t\x80\x80\x80\x01", Err(MALFORMED)),
        (b"\x30\x08\x00\x01t\x80\x80\x80\x80\x00", Err(MALFORMED)),
        (b"\x30\x05\x00\x01t\x02\x01", Err(MALFORMED)),
        (b"\x40\x05\x00\x01\x00\x80\x00", Err(MALFORMED)),
        (b"\xE0\x03\x00\x80\x00", Err(MALFORMED)),
    ] {
        assert_eq!(verdict(bytes, Version::V5), want, "{bytes:02x?}");
    }
}
