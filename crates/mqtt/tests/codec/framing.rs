//! The fixed header.

use super::bytes::{packet, verdict};
use fieldgate_mqtt::{MAX_PACKET_SIZE, Packet, ReasonCode, Version, decode, frame_len};

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];

#[test]
fn the_flags_of_every_type_are_fixed_except_those_of_publish() {
    for version in VERSIONS {
        for first in 0..=255u8 {
            let valid = match (first >> 4, first & 0x0F) {
                (0, _) => false,
                (3, flags) => flags & 0b0110 != 0b0110 && flags & 0b1110 != 0b1000,
                (6 | 8 | 10, 0b0010) => true,
                // MQTT 3.1 sets DUP on these, and does not use RETAIN.
                (6 | 8 | 10, flags) => version == Version::V3 && flags & 0b0110 == 0b0010,
                (15, flags) => version == Version::V5 && flags == 0,
                (_, flags) => version == Version::V3 || flags == 0,
            };
            if first >> 4 == 3 {
                let publish = packet(first, &[b"\x00\x01a\x00\x01\x00"]);
                assert_eq!(verdict(&publish, version).is_ok(), valid, "{first:02x}");
            } else {
                // Found as soon as the first byte is there.
                let input = [first];
                let refused = decode(&input, version, 100).map_err(|error| error.reason);
                let want = if valid { Ok(None) } else { Err(MALFORMED) };
                assert_eq!(refused, want, "{first:02x} in {version:?}");
            }
        }
    }
}

#[test]
fn the_remaining_length_has_one_to_four_bytes_and_no_more_than_it_needs() {
    for (input, want) in [
        (&[][..], Ok(None)),
        (&[0xC0], Ok(None)),
        (&[0xC0, 0x00], Ok(Some(2))),
        (&[0xC0, 0x7F], Ok(Some(2 + 127))),
        (&[0xC0, 0x80], Ok(None)),
        (&[0xC0, 0x80, 0x01], Ok(Some(3 + 128))),
        (&[0xC0, 0xFF, 0x7F], Ok(Some(3 + 16_383))),
        (&[0xC0, 0x80, 0x80, 0x01], Ok(Some(4 + 16_384))),
        (&[0xC0, 0xFF, 0xFF, 0x7F], Ok(Some(4 + 2_097_151))),
        (&[0xC0, 0x80, 0x80, 0x80, 0x01], Ok(Some(5 + 2_097_152))),
        (&[0xC0, 0xFF, 0xFF, 0xFF], Ok(None)),
        (&[0xC0, 0xFF, 0xFF, 0xFF, 0x7F], Ok(Some(MAX_PACKET_SIZE))),
        (&[0xC0, 0xFF, 0xFF, 0xFF, 0xFF], Err(MALFORMED)),
        (&[0xC0, 0x80, 0x80, 0x80, 0x80, 0x01], Err(MALFORMED)),
        (&[0xC0, 0x80, 0x00], Err(MALFORMED)),
        (&[0xC0, 0xFF, 0x80, 0x00], Err(MALFORMED)),
        (&[0xC0, 0xFF, 0xFF, 0x80, 0x00], Err(MALFORMED)),
    ] {
        let len = frame_len(input).map_err(|error| error.reason);
        assert_eq!(len, want, "{input:02x?}");
    }
}

#[test]
fn a_packet_above_the_limit_is_refused_before_it_is_complete() {
    let publish = packet(0x30, &[b"\x00\x01a", &[0; 200]]);
    assert_eq!(publish.len(), 206);
    for (limit, have, want) in [
        (206, 206, Ok(true)),
        (206, 205, Ok(false)),
        (205, 206, Err(ReasonCode::PACKET_TOO_LARGE)),
        (205, 3, Err(ReasonCode::PACKET_TOO_LARGE)),
        (205, 2, Ok(false)),
        (0, 3, Err(ReasonCode::PACKET_TOO_LARGE)),
    ] {
        let decoded = decode(&publish[..have], Version::V4, limit)
            .map(|packet| packet.is_some())
            .map_err(|error| error.reason);
        assert_eq!(decoded, want, "{have} bytes, limit {limit}");
    }
}

#[test]
fn a_packet_ends_where_its_remaining_length_says() {
    let input = [0xC0, 0x00, 0xD0, 0x00, 0x40];
    let (first, len) = decode(&input, Version::V4, 100).unwrap().unwrap();
    assert_eq!((first, len), (Packet::PingReq, 2));
    let (second, len) = decode(&input[2..], Version::V4, 100).unwrap().unwrap();
    assert_eq!((second, len), (Packet::PingResp, 2));
    assert_eq!(decode(&input[4..], Version::V4, 100), Ok(None));
}

#[test]
fn bytes_after_the_last_field_are_malformed() {
    for (version, bytes) in [
        (Version::V4, &b"\xC0\x01\x00"[..]),
        (Version::V5, b"\xD0\x01\x00"),
        (Version::V4, b"\x40\x03\x00\x01\x00"),
        (Version::V3, b"\x62\x03\x00\x01\x00"),
        (Version::V5, b"\x40\x05\x00\x01\x00\x00\x00"),
        (Version::V4, b"\x20\x03\x00\x00\x00"),
        (Version::V5, b"\x20\x04\x00\x00\x00\x00"),
        (Version::V4, b"\xB0\x03\x00\x01\x00"),
        (Version::V4, b"\xE0\x01\x00"),
        (Version::V5, b"\xE0\x03\x00\x00\x00"),
        (Version::V5, b"\xF0\x07\x18\x04\x15\x00\x01m\x00"),
        (
            Version::V4,
            b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x01a\x00",
        ),
    ] {
        assert_eq!(verdict(bytes, version), Err(MALFORMED), "{bytes:02x?}");
    }
}

#[test]
fn a_packet_that_ends_inside_a_field_is_malformed() {
    for (version, bytes) in [
        (Version::V4, &b"\x30\x00"[..]),
        (Version::V4, b"\x30\x01\x00"),
        (Version::V4, b"\x30\x03\x00\x02a"),
        (Version::V4, b"\x32\x04\x00\x01a\x00"),
        (Version::V5, b"\x30\x03\x00\x01a"),
        (Version::V5, b"\x30\x05\x00\x01a\x02\x02"),
        (Version::V5, b"\x30\x06\x00\x01a\x02\x02\x00"),
        (Version::V5, b"\x30\x04\x00\x01a\x80"),
        (Version::V4, b"\x40\x01\x00"),
        (Version::V4, b"\x82\x05\x00\x01\x00\x01a"),
        (Version::V4, b"\xA2\x04\x00\x01\x00\x01"),
        (Version::V4, b"\x20\x01\x00"),
        (Version::V5, b"\x20\x02\x00\x00"),
        (Version::V5, b"\x90\x02\x00\x01"),
        (Version::V5, b"\xB0\x02\x00\x01"),
        (Version::V5, b"\xF0\x01\x18"),
        (Version::V4, b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x00\x00\x01"),
        (Version::V4, b"\x10\x00"),
    ] {
        assert_eq!(verdict(bytes, version), Err(MALFORMED), "{bytes:02x?}");
    }
}
