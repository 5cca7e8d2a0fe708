//! Names, large numbers and texts.

use super::*;

/// A client that shouts means the same, and what has no name is not written.
#[test]
fn where_values_have_names_case_does_not_matter_and_nothing_else_is_written() {
    let swapped = r#""coil": 0, "enum": {"true": "off", "false": "on"}, "write": true"#;
    let modes = r#""as": "u16", "enum": {"1": "Day", "2": "night"}, "write": true"#;
    let coil = |on| Ok(WriteRequest::Coil { address: 0, on });
    let word = |word| {
        Ok(WriteRequest::Registers {
            address: 0,
            words: vec![word],
        })
    };
    let refused = |names: &str, got: &str| Err(format!("expected one of {names}, got `{got}`"));
    for (keys, payload, want) in [
        (swapped, "on", coil(false)),
        (swapped, "ON", coil(false)),
        (swapped, "Off", coil(true)),
        (swapped, "true", coil(true)),
        (swapped, "TRUE", coil(true)),
        (swapped, "1", coil(true)),
        (swapped, "7", refused("`off`, `on`", "7")),
        (modes, "DAY", word(1)),
        (modes, "Night", word(2)),
        (modes, "2", word(2)),
        (modes, "7", refused("`Day`, `night`", "7")),
        (modes, "noon", refused("`Day`, `night`", "noon")),
    ] {
        assert_eq!(written(keys, payload), want, "{keys} {payload}");
    }
}

#[test]
fn a_float_takes_every_number_that_it_can_hold() {
    let f32 = r#""as": "f32", "write": true"#;
    let f64 = r#""as": "f64", "write": true"#;
    for (keys, payload, want) in [
        (f32, "3.4028235e38", Ok(vec![0x7F7F, 0xFFFF])),
        (f32, "-3.4028235e38", Ok(vec![0xFF7F, 0xFFFF])),
        (f32, "1e-40", Ok(vec![0x0001, 0x16C2])),
        (
            f64,
            "1.7976931348623157e308",
            Ok(vec![0x7FEF, 0xFFFF, 0xFFFF, 0xFFFF]),
        ),
        (f64, "\"1e300\"", Ok(vec![0x7E37, 0xE43C, 0x8800, 0x759C])),
        (f32, "1e39", Err("too large for f32")),
        (f64, "1e400", Err("expected a number, got `1e400`")),
        (
            r#""as": "u16", "write": true"#,
            "1e300",
            Err("does not fit u16"),
        ),
        (
            r#""as": "f32", "write": {"max": 80}"#,
            "1e38",
            Err("outside the limits ..=80"),
        ),
        (
            r#""as": "f64", "write": {"max": 80}"#,
            "1e300",
            Err("outside the limits ..=80"),
        ),
        (
            r#""as": "f64", "scale": 10, "write": true"#,
            "1e301",
            Ok(vec![0x7E37, 0xE43C, 0x8800, 0x759C]),
        ),
    ] {
        let got = match parse_command_value(payload.as_bytes()) {
            Ok(value) => encode(&point(keys), &value).map(|(request, _)| request),
            Err(error) => Err(error),
        };
        match want {
            Ok(words) => {
                let want = WriteRequest::Registers { address: 0, words };
                assert_eq!(got, Ok(want), "{keys} {payload}");
            }
            Err(want) => {
                let error = got.unwrap_err();
                assert!(error.contains(want), "{keys} {payload}: {error}");
            }
        }
    }
}

#[test]
fn texts_are_written_in_their_encoding() {
    let latin = r#""as": "string(4)", "encoding": "latin-1", "write": true"#;
    let wide = r#""as": "string(8)", "encoding": "utf-16", "write": true"#;
    let registers = |words: &[u16]| {
        Ok(WriteRequest::Registers {
            address: 0,
            words: words.to_vec(),
        })
    };
    for (keys, payload, want) in [
        (latin, "Zähl", registers(&[0x5AE4, 0x686C])),
        (latin, "5 €", Err("`€` is not in latin-1".into())),
        (wide, "2.4", registers(&[0x32, 0x2E, 0x34, 0])),
    ] {
        assert_eq!(written(keys, payload), want, "{payload}");
    }
}
