use proptest::prelude::*;

use super::*;

fn unit() -> Unit {
    let mut unit = Unit::new();
    let bits: Vec<bool> = (0..2000).map(|n| n % 3 == 0).collect();
    unit.set_bits(Table::Coil, 0, &bits);
    unit.set_bits(Table::Discrete, 100, &[true, false, true]);
    unit.set_words(Table::Holding, 0, &(0..200).collect::<Vec<_>>());
    unit.set_words(Table::Input, 0, &[0x1234, 0xABCD]);
    unit
}

fn ask(unit: &mut Unit, request: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    answer(unit, request, Duration::ZERO, &mut out);
    out
}

#[test]
fn every_function_answers_as_the_specification_shows() {
    for (request, want) in [
        (&[1, 0, 0, 0, 10][..], &[1, 2, 0b0100_1001, 0b10][..]),
        (&[2, 0, 100, 0, 3], &[2, 1, 0b101]),
        (&[3, 0, 5, 0, 2], &[3, 4, 0, 5, 0, 6]),
        (&[4, 0, 0, 0, 2], &[4, 4, 0x12, 0x34, 0xAB, 0xCD]),
        (&[5, 0, 1, 0xFF, 0], &[5, 0, 1, 0xFF, 0]),
        (&[6, 0, 1, 0xBE, 0xEF], &[6, 0, 1, 0xBE, 0xEF]),
        (&[15, 0, 1, 0, 9, 2, 0xFF, 1], &[15, 0, 1, 0, 9]),
        (&[16, 0, 1, 0, 2, 4, 1, 2, 3, 4], &[16, 0, 1, 0, 2]),
        (&[22, 0, 4, 0, 0xF2, 0, 0x25], &[22, 0, 4, 0, 0xF2, 0, 0x25]),
        (&[23, 0, 1, 0, 2, 0, 2, 0, 1, 2, 9, 9], &[23, 4, 0, 1, 9, 9]),
    ] {
        assert_eq!(ask(&mut unit(), request), want, "{request:02x?}");
    }
}

#[test]
fn writes_are_seen_by_the_next_read() {
    for (write, read, want) in [
        (&[5, 0, 1, 0xFF, 0][..], [1, 0, 0, 0, 3], &[1, 1, 0b011][..]),
        (&[5, 0, 0, 0, 0], [1, 0, 0, 0, 3], &[1, 1, 0b000]),
        (
            &[15, 0, 1, 0, 9, 2, 0xFF, 1],
            [1, 0, 0, 0, 10],
            &[1, 2, 0xFF, 0b11],
        ),
        (&[6, 0, 1, 0xBE, 0xEF], [3, 0, 1, 0, 1], &[3, 2, 0xBE, 0xEF]),
        (
            &[16, 0, 1, 0, 2, 4, 1, 2, 3, 4],
            [3, 0, 1, 0, 2],
            &[3, 4, 1, 2, 3, 4],
        ),
        // 0x12 in register 18; the masks are the example of section 6.16.
        (
            &[22, 0, 18, 0, 0xF2, 0, 0x25],
            [3, 0, 18, 0, 1],
            &[3, 2, 0, 0x17],
        ),
    ] {
        let mut unit = unit();
        ask(&mut unit, write);
        assert_eq!(ask(&mut unit, &read), want, "{write:02x?}");
    }
}

#[test]
fn a_bad_request_gets_the_exception_that_the_specification_names_and_changes_nothing() {
    use Exception::{IllegalDataAddress, IllegalDataValue, IllegalFunction};
    for (request, want) in [
        (&[7][..], IllegalFunction),
        (&[43, 14, 1, 0], IllegalFunction),
        (&[1, 0, 0, 0, 0], IllegalDataValue),
        (&[1, 0, 0, 0x07, 0xD1], IllegalDataValue), // 2001 coils.
        (&[2, 0, 99, 0, 2], IllegalDataAddress),
        (&[2, 0, 102, 0, 2], IllegalDataAddress),
        (&[3, 0, 0, 0, 126], IllegalDataValue),
        (&[3, 0, 0, 0, 0], IllegalDataValue),
        (&[3, 0, 199, 0, 2], IllegalDataAddress),
        (&[3, 0xFF, 0xFF, 0, 2], IllegalDataAddress),
        (&[4, 0, 2, 0, 1], IllegalDataAddress),
        (&[4, 0, 0, 0], IllegalDataValue),
        (&[4, 0, 0, 0, 1, 0], IllegalDataValue),
        (&[5, 0, 0, 0, 1], IllegalDataValue),
        (&[5, 0xFF, 0xFF, 0xFF, 0], IllegalDataAddress),
        (&[6, 0x01, 0, 0, 0], IllegalDataAddress),
        (&[15, 0, 0, 0, 9, 1, 0xFF], IllegalDataValue), // 9 coils need 2 bytes.
        (&[15, 0, 0, 0, 0, 0], IllegalDataValue),
        (&[16, 0, 0, 0, 0, 0], IllegalDataValue),
        (&[16, 0, 0, 0, 2, 4, 0, 0, 0], IllegalDataValue), // One byte is missing.
        (&[16, 0, 199, 0, 2, 4, 0, 0, 0, 0], IllegalDataAddress),
        (&[22, 0x01, 0, 0, 0, 0, 0], IllegalDataAddress),
        (
            &[23, 0x01, 0, 0, 1, 0, 0, 0, 1, 2, 9, 9],
            IllegalDataAddress,
        ),
        (&[23, 0, 0, 0, 126, 0, 0, 0, 1, 2, 9, 9], IllegalDataValue),
    ] {
        let mut unit = unit();
        let function = request.first().unwrap();
        let refused = vec![function | 0x80, want as u8];
        assert_eq!(ask(&mut unit, request), refused, "{request:02x?}");
        for table in [Table::Holding, Table::Input] {
            let count = if table == Table::Holding { 200 } else { 2 };
            let now = Duration::ZERO;
            let words = unit.words(table, 0, count, now);
            let fresh = super::tests::unit().words(table, 0, count, now);
            assert_eq!(words, fresh, "{request:02x?}");
        }
        let coils = unit.bits(Table::Coil, 0, 2000, Duration::ZERO);
        let fresh = super::tests::unit().bits(Table::Coil, 0, 2000, Duration::ZERO);
        assert_eq!(coils, fresh, "{request:02x?}");
    }
}

#[test]
fn the_largest_requests_of_each_function_are_answered() {
    let mut unit = unit();
    let mut write_coils = vec![15, 0, 0, 0x07, 0xB0, 246];
    write_coils.extend([0x55; 246]);
    let mut write_words = vec![16, 0, 0, 0, 123, 246];
    write_words.extend([0x55; 246]);
    let mut both = vec![23, 0, 0, 0, 125, 0, 0, 0, 121, 242];
    both.extend([0x66; 242]);
    for (request, length) in [
        (vec![1, 0, 0, 0x07, 0xD0], 2 + 250),
        (vec![3, 0, 0, 0, 125], 2 + 250),
        (write_coils, 5),
        (write_words, 5),
        (both, 2 + 250),
    ] {
        let got = ask(&mut unit, &request);
        assert_eq!(got.first(), request.first());
        assert_eq!(got.len(), length, "{request:02x?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer_that_fits_a_frame(
        function in 0u8..30,
        body in prop::collection::vec(any::<u8>(), 0..260),
    ) {
        let mut request = vec![function];
        request.extend(body);
        let got = ask(&mut unit(), &request);
        prop_assert!((2..=253).contains(&got.len()), "{} bytes", got.len());
        prop_assert_eq!(got[0] & 0x7F, function);
    }
}

#[test]
fn a_unit_says_who_it_is_if_it_was_told() {
    let mut unit = Unit::new();
    let ask = |unit: &mut Unit, body: &[u8]| ask(unit, &[&[43], body].concat());
    assert_eq!(ask(&mut unit, &[14, 1, 0]), [0xAB, 1]);
    unit.identity = ["ACME", "M3", "1.0"].map(str::to_owned).to_vec();
    for (body, want) in [
        (
            &[14, 1, 0][..],
            &b"\x2B\x0E\x01\x81\0\0\x03\0\x04ACME\x01\x02M3\x02\x031.0"[..],
        ),
        (&[14, 4, 1], b"\x2B\x0E\x04\x81\0\0\x01\x01\x02M3"),
        (&[14, 4, 9], &[0xAB, 2]),
        (&[14, 5, 0], &[0xAB, 3]),
        (&[13, 1, 0], &[0xAB, 1]),
        (&[14, 1], &[0xAB, 3]),
    ] {
        assert_eq!(ask(&mut unit, body), want, "{body:?}");
    }
}
