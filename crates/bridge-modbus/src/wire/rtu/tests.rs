use super::*;
use proptest::prelude::*;

#[test]
fn the_check_is_that_of_public_examples() {
    for (bytes, want) in [
        // Specification over serial line, figure of the CRC's order; and widely published frames.
        (&[0x02, 0x07][..], [0x41, 0x12]),
        (&[0x01, 0x03, 0x00, 0x00, 0x00, 0x0A], [0xC5, 0xCD]),
        (&[0x11, 0x03, 0x00, 0x6B, 0x00, 0x03], [0x76, 0x87]),
        (&[0x01, 0x04, 0x02, 0xFF, 0xFF], [0xB8, 0x80]),
    ] {
        assert_eq!(crc(bytes), want, "{bytes:02x?}");
    }
}

fn pdus() -> Vec<(Side, Vec<u8>)> {
    use Side::{Answer, Request};
    let with = |head: &[u8], count: u8| {
        let mut pdu = head.to_vec();
        pdu.push(count);
        pdu.extend(0..count);
        pdu
    };
    vec![
        (Request, vec![3, 0, 1, 0, 2]),
        (Request, vec![6, 0, 1, 0, 2]),
        (Request, vec![7]),
        (Request, vec![8, 0, 0, 1, 2]),
        (Request, with(&[15, 0, 1, 0, 9], 2)),
        (Request, with(&[16, 0, 1, 0, 2], 4)),
        (Request, vec![17]),
        (Request, vec![22, 0, 1, 0, 2, 0, 3]),
        (Request, with(&[23, 0, 1, 0, 2, 0, 3, 0, 2], 4)),
        (Request, vec![43, 14, 1, 0]),
        (Answer, vec![0x83, 2]),
        (Answer, with(&[1], 3)),
        (Answer, with(&[4], 250)),
        (Answer, vec![5, 0, 1, 0xFF, 0]),
        (Answer, vec![16, 0, 1, 0, 2]),
        (Answer, with(&[17], 5)),
        (Answer, with(&[23], 4)),
        (Answer, vec![24, 0, 4, 0, 1, 9, 9]),
        (
            Answer,
            b"\x2B\x0E\x01\x01\x00\x00\x02\x00\x02AB\x01\x01C".to_vec(),
        ),
    ]
}

#[test]
fn every_known_function_is_delimited_without_silence() {
    for (side, pdu) in pdus() {
        let mut pdu = pdu;
        if pdu[0] == 24 {
            pdu.truncate(7);
        }
        let frame = frame(7, &pdu);
        let whole = frame.len();
        // Whatever follows is the next frame's.
        let mut stream = frame.clone();
        stream.extend([7, 3]);
        assert_eq!(scan(&stream, side), Scan::Frame(whole), "{pdu:02x?}");
        for cut in 0..whole {
            let seen = scan(&stream[..cut], side);
            assert!(matches!(seen, Scan::More(_)), "{pdu:02x?} {cut}: {seen:?}");
        }
        stream[whole - 1] ^= 1;
        assert_eq!(scan(&stream, side), Scan::Broken(whole), "{pdu:02x?}");
        assert_eq!(open(&frame), Some((7, &pdu[..])));
    }
}

#[test]
fn a_frame_of_unknown_length_ends_with_silence() {
    for (bytes, side) in [
        (&[1, 65, 0][..], Side::Answer),
        (&[1, 65, 0], Side::Request),
        (&[1, 43, 13], Side::Answer),
        // Longer than a frame may be.
        (&[1, 3, 252], Side::Answer),
        (&[1, 24, 255, 255], Side::Answer),
    ] {
        assert_eq!(scan(bytes, side), Scan::Unknown, "{bytes:?}");
    }
}

#[test]
fn a_glitch_before_a_frame_is_known_unless_it_can_be_its_unit() {
    for (bytes, unit, want) in [
        (&[0, 0xFF, 0, 7, 3][..], 7, 3),
        (&[7, 0], 7, 0),
        (&[0, 3], 0, 0),
        (&[0xFF, 3], 255, 0),
        (&[], 1, 0),
    ] {
        assert_eq!(glitch(bytes, unit), want, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn no_buffer_is_too_strange_and_a_turned_bit_is_found(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        pdu in proptest::collection::vec(any::<u8>(), 1..250),
        bit in any::<prop::sample::Index>(),
    ) {
        for side in [Side::Request, Side::Answer] {
            match scan(&bytes, side) {
                Scan::Frame(length) => prop_assert!(open(&bytes[..length]).is_some()),
                Scan::Broken(length) => prop_assert!(length <= bytes.len()),
                Scan::More(Some(length)) => prop_assert!(length > bytes.len() && length <= FRAME_MAX),
                Scan::More(None) | Scan::Unknown => {}
            }
        }
        let mut frame = frame(1, &pdu);
        let bit = bit.index(frame.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(open(&frame), None);
    }
}
