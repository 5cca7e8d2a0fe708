use super::*;
use crate::config::PointEntry;
use fieldgate_bridge::Defaults;

/// A point at `holding: 0` from the rest of its keys.
pub(crate) fn point(keys: &str) -> PointConfig {
    let place = if keys.starts_with("\"coil\"") {
        ""
    } else {
        "\"holding\": 0, "
    };
    let entry: PointEntry = serde_json::from_str(&format!("{{{place}{keys}}}")).unwrap();
    entry.resolve(&Default::default(), &Defaults::default())
}

fn shown(keys: &str, words: &[u16]) -> String {
    match decode(&point(keys), &Data::Words(words.to_vec())) {
        Ok(value) => value.to_string(),
        Err(error) => format!("! {error}"),
    }
}

#[test]
fn every_type_is_decoded_in_every_order() {
    for (kind, want, [abcd, cdab, badc, dcba]) in [
        (
            "u16",
            "4660",
            [&[0x1234][..], &[0x1234], &[0x3412], &[0x3412]],
        ),
        ("i16", "-2", [&[0xFFFE], &[0xFFFE], &[0xFEFF], &[0xFEFF]]),
        (
            "u8_high",
            "18",
            [&[0x1234], &[0x1234], &[0x3412], &[0x3412]],
        ),
        ("u8_low", "52", [&[0x1234], &[0x1234], &[0x3412], &[0x3412]]),
        (
            "bit(0)",
            "true",
            [&[0x0001], &[0x0001], &[0x0100], &[0x0100]],
        ),
        (
            "bit(15)",
            "true",
            [&[0x8000], &[0x8000], &[0x0080], &[0x0080]],
        ),
        (
            "bit(3)",
            "false",
            [&[0xFFF7], &[0xFFF7], &[0xF7FF], &[0xF7FF]],
        ),
        (
            "u24",
            "1193046",
            [
                &[0xAB12, 0x3456],
                &[0x3456, 0xAB12],
                &[0x12AB, 0x5634],
                &[0x5634, 0x12AB],
            ],
        ),
        (
            "i24",
            "-2",
            [
                &[0x00FF, 0xFFFE],
                &[0xFFFE, 0x00FF],
                &[0xFF00, 0xFEFF],
                &[0xFEFF, 0xFF00],
            ],
        ),
        (
            "i24",
            "8388607",
            [
                &[0xFF7F, 0xFFFF],
                &[0xFFFF, 0xFF7F],
                &[0x7FFF, 0xFFFF],
                &[0xFFFF, 0x7FFF],
            ],
        ),
        (
            "u32",
            "305419896",
            [
                &[0x1234, 0x5678],
                &[0x5678, 0x1234],
                &[0x3412, 0x7856],
                &[0x7856, 0x3412],
            ],
        ),
        (
            "i32",
            "-2",
            [
                &[0xFFFF, 0xFFFE],
                &[0xFFFE, 0xFFFF],
                &[0xFFFF, 0xFEFF],
                &[0xFEFF, 0xFFFF],
            ],
        ),
        (
            "u64",
            "9007199254740993",
            [
                &[0x0020, 0, 0, 1],
                &[1, 0, 0, 0x0020],
                &[0x2000, 0, 0, 0x0100],
                &[0x0100, 0, 0, 0x2000],
            ],
        ),
        (
            "u64",
            "18446744073709551614",
            [
                &[0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE],
                &[0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF],
                &[0xFFFF, 0xFFFF, 0xFFFF, 0xFEFF],
                &[0xFEFF, 0xFFFF, 0xFFFF, 0xFFFF],
            ],
        ),
        (
            "i64",
            "-9223372036854775807",
            [
                &[0x8000, 0, 0, 1],
                &[1, 0, 0, 0x8000],
                &[0x0080, 0, 0, 0x0100],
                &[0x0100, 0, 0, 0x0080],
            ],
        ),
        ("f16", "21.5", [&[0x4D60], &[0x4D60], &[0x604D], &[0x604D]]),
        ("f16", "0.1", [&[0x2E66], &[0x2E66], &[0x662E], &[0x662E]]),
        (
            "f32",
            "123456",
            [
                &[0x47F1, 0x2000],
                &[0x2000, 0x47F1],
                &[0xF147, 0x0020],
                &[0x0020, 0xF147],
            ],
        ),
        (
            "f32",
            "0.1",
            [
                &[0x3DCC, 0xCCCD],
                &[0xCCCD, 0x3DCC],
                &[0xCC3D, 0xCDCC],
                &[0xCDCC, 0xCC3D],
            ],
        ),
        (
            "f64",
            "0.1",
            [
                &[0x3FB9, 0x9999, 0x9999, 0x999A],
                &[0x999A, 0x9999, 0x9999, 0x3FB9],
                &[0xB93F, 0x9999, 0x9999, 0x9A99],
                &[0x9A99, 0x9999, 0x9999, 0xB93F],
            ],
        ),
        (
            "bcd16",
            "1234",
            [&[0x1234], &[0x1234], &[0x3412], &[0x3412]],
        ),
        (
            "bcd32",
            "98765432",
            [
                &[0x9876, 0x5432],
                &[0x5432, 0x9876],
                &[0x7698, 0x3254],
                &[0x3254, 0x7698],
            ],
        ),
        // Registers of texts and bytes are never reversed, only their bytes swapped.
        (
            "string(3)",
            "abc",
            [
                &[0x6162, 0x6300],
                &[0x6162, 0x6300],
                &[0x6261, 0x0063],
                &[0x6261, 0x0063],
            ],
        ),
        (
            "bytes(3)",
            "0a0b0c",
            [
                &[0x0A0B, 0x0CFF],
                &[0x0A0B, 0x0CFF],
                &[0x0B0A, 0xFF0C],
                &[0x0B0A, 0xFF0C],
            ],
        ),
    ] {
        for (order, words) in [
            ("ABCD", abcd),
            ("CDAB", cdab),
            ("BADC", badc),
            ("DCBA", dcba),
        ] {
            let keys = format!("\"as\": \"{kind}\", \"order\": \"{order}\"");
            assert_eq!(shown(&keys, words), want, "{kind} {order}");
        }
    }
}

#[test]
fn scaling_is_exact_for_integers_and_hides_no_digit_of_a_float() {
    for (keys, words, want) in [
        (
            "\"as\": \"i16\", \"scale\": 0.1, \"offset\": -40",
            &[0x0267][..],
            "21.5",
        ),
        (
            "\"as\": \"u64\", \"scale\": 0.1",
            &[0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF],
            "1844674407370955161.5",
        ),
        (
            "\"as\": \"u64\", \"scale\": 1000",
            &[0x0020, 0, 0, 1],
            "9007199254740993000",
        ),
        (
            "\"as\": \"u64\", \"scale\": 1e30",
            &[0xFFFF, 0, 0, 1],
            "! the scaled number has too many digits",
        ),
        ("\"as\": \"u16\", \"scale\": 0.01", &[70], "0.7"),
        ("\"as\": \"bcd16\", \"scale\": 0.1", &[0x0215], "21.5"),
        ("\"as\": \"f32\", \"scale\": 10", &[0x3DCC, 0xCCCD], "1"),
        (
            "\"as\": \"f32\", \"scale\": 0.001",
            &[0x47F1, 0x2000],
            "123.456",
        ),
        ("\"as\": \"f32\", \"offset\": 0.2", &[0x3DCC, 0xCCCD], "0.3"),
        (
            "\"as\": \"f64\", \"scale\": 3",
            &[0x3FB9, 0x9999, 0x9999, 0x999A],
            "0.3",
        ),
        ("\"as\": \"f16\", \"scale\": 10", &[0x2E66], "1"),
        // Too many digits for a decimal: a double will do.
        (
            "\"as\": \"f32\", \"scale\": 2",
            &[0x0000, 0x0001],
            "2.802596928649634e-45",
        ),
        (
            "\"as\": \"f32\", \"scale\": 10",
            &[0x7F7F, 0xFFFF],
            "3.4028234663852886e39",
        ),
        (
            "\"as\": \"f64\", \"scale\": 10",
            &[0x7FEF, 0xFFFF, 0xFFFF, 0xFFFF],
            "! not a finite number",
        ),
    ] {
        assert_eq!(shown(keys, words), want, "{keys}");
    }
}

#[test]
fn what_is_no_value_is_an_error_and_never_a_number() {
    for (keys, words, want) in [
        (
            "\"as\": \"i16\", \"invalid\": 32767",
            &[0x7FFF][..],
            "! the invalid marker",
        ),
        (
            "\"as\": \"i16\", \"invalid\": 32767, \"order\": \"DCBA\"",
            &[0xFF7F],
            "! the invalid marker",
        ),
        (
            "\"as\": \"i16\", \"invalid\": -32768",
            &[0x8000],
            "! the invalid marker",
        ),
        (
            "\"as\": \"i16\", \"invalid\": 32768",
            &[0x8000],
            "! the invalid marker",
        ),
        ("\"as\": \"i16\", \"invalid\": 32767", &[0x7FFE], "32766"),
        (
            "\"as\": \"u64\", \"invalid\": -1",
            &[0xFFFF; 4],
            "! the invalid marker",
        ),
        (
            "\"as\": \"u64\", \"invalid\": 18446744073709551615",
            &[0xFFFF; 4],
            "! the invalid marker",
        ),
        (
            "\"as\": \"u24\", \"invalid\": 16777215",
            &[0x12FF, 0xFFFF],
            "! the invalid marker",
        ),
        (
            "\"as\": \"u8_low\", \"invalid\": 255",
            &[0x00FF],
            "! the invalid marker",
        ),
        ("\"as\": \"u8_high\", \"invalid\": 255", &[0x00FF], "0"),
        (
            "\"as\": \"bit(3)\", \"invalid\": 65535",
            &[0xFFFF],
            "! the invalid marker",
        ),
        ("\"as\": \"bit(3)\", \"invalid\": 65535", &[0xFFFE], "true"),
        (
            "\"as\": \"bcd16\", \"invalid\": 65535",
            &[0xFFFF],
            "! the invalid marker",
        ),
        (
            "\"as\": \"bcd16\"",
            &[0xFFFF],
            "! 0xffff is not a BCD number",
        ),
        (
            "\"as\": \"bcd32\"",
            &[0x1234, 0x567A],
            "! 0x1234567a is not a BCD number",
        ),
        ("\"as\": \"f32\"", &[0x7FC0, 0], "! not a finite number"),
        ("\"as\": \"f32\"", &[0xFF80, 0], "! not a finite number"),
        ("\"as\": \"f16\"", &[0x7E00], "! not a finite number"),
        (
            "\"as\": \"f64\", \"scale\": 0.1",
            &[0x7FF0, 0, 0, 0],
            "! not a finite number",
        ),
        (
            "\"as\": \"f32\", \"invalid\": -9999.5",
            &[0xC61C, 0x3E00],
            "! the invalid marker",
        ),
        (
            "\"as\": \"f32\", \"invalid\": -9999, \"scale\": 0.1",
            &[0xC61C, 0x3C00],
            "! the invalid marker",
        ),
        (
            "\"as\": \"f32\", \"invalid\": 2139095039",
            &[0x7F7F, 0xFFFF],
            "! the invalid marker",
        ),
        (
            "\"as\": \"string(4)\"",
            &[0x61E4, 0x0000],
            "! not UTF-8 text; is it `encoding: latin-1`?",
        ),
        (
            "\"as\": \"string(4)\", \"invalid\": \"--\"",
            &[0x2D2D, 0x2020],
            "! the invalid marker",
        ),
        (
            "\"as\": \"bytes(2)\", \"invalid\": \"ffff\"",
            &[0xFFFF],
            "! the invalid marker",
        ),
        (
            "\"as\": \"u32\"",
            &[1],
            "! not as many registers as the type has",
        ),
        (
            "\"as\": \"u16\"",
            &[],
            "! not as many registers as the type has",
        ),
        (
            "\"as\": \"u16\"",
            &[1, 2],
            "! not as many registers as the type has",
        ),
    ] {
        assert_eq!(shown(keys, words), want, "{keys} {words:04x?}");
    }
}

#[test]
fn texts_end_at_a_nul_and_lose_trailing_spaces() {
    for (words, want) in [
        (&[0x5344, 0x4D31, 0x3230][..], "SDM120"),
        (&[0x5344, 0x2020, 0x2000], "SD"),
        (&[0x2041, 0x0042, 0x4300], " A"),
        (&[0x0000, 0x4142, 0x4344], ""),
        (&[0xC2B0, 0x4300, 0x0000], "°C"),
    ] {
        assert_eq!(shown("\"as\": \"string(6)\"", words), want, "{words:04x?}");
    }
}

#[test]
fn labels_stand_for_values_and_a_value_without_one_stays() {
    let keys = "\"as\": \"u16\", \"enum\": {\"1\": \"day\", \"2\": \"night\"}";
    assert_eq!(shown(keys, &[1]), "day");
    assert_eq!(shown(keys, &[2]), "night");
    assert_eq!(shown(keys, &[3]), "3");
    let switch = point("\"coil\": 0, \"enum\": {\"0\": \"closed\", \"1\": \"open\"}");
    for (bit, want) in [(false, "closed"), (true, "open")] {
        let value = decode(&switch, &Data::Bits(vec![bit])).unwrap();
        assert_eq!(value, Value::Text(want.into()));
    }
}

#[test]
fn bits_and_registers_are_not_mixed_up() {
    let coil = point("\"coil\": 0");
    let register = point("\"as\": \"u16\"");
    for (point, data) in [
        (&coil, Data::Words(vec![1])),
        (&coil, Data::Bits(vec![])),
        (&coil, Data::Bits(vec![true, true])),
        (&register, Data::Bits(vec![true])),
    ] {
        assert_eq!(decode(point, &data), Err(DecodeError::Length), "{data:?}");
    }
}

#[test]
fn texts_are_read_in_their_encoding_or_bad() {
    let plain = r#""as": "string(8)""#;
    let latin = r#""as": "string(8)", "encoding": "latin-1""#;
    let wide = r#""as": "string(8)", "encoding": "utf-16""#;
    let swapped = r#""as": "string(8)", "encoding": "utf-16", "order": "BADC""#;
    for (keys, words, want) in [
        (
            plain,
            [0x0032, 0x002E, 0x0034, 0],
            "! a NUL beside each character",
        ),
        (
            plain,
            [0x3200, 0x2E00, 0x3400, 0],
            "! a NUL beside each character",
        ),
        (wide, [0x0032, 0x002E, 0x0034, 0], "2.4"),
        (swapped, [0x3200, 0x2E00, 0x3400, 0], "2.4"),
        (plain, [0x322E, 0x34FF, 0xFFFF, 0xFFFF], "2.4"),
        (plain, [0x322E, 0x3420, 0x2020, 0x2020], "2.4"),
        (plain, [0x5AE4, 0x686C, 0, 0], "! not UTF-8 text"),
        (latin, [0x5AE4, 0x686C, 0, 0], "Zähl"),
    ] {
        let got = shown(keys, &words);
        let is_same = got == want || want.starts_with('!') && got.starts_with(want);
        assert!(is_same, "{keys} {words:x?}: {got}");
    }
}
