//! What `as` and `absent` do.

use super::*;

const BINARY: &str = r#"{"binary": {
    "text": {"at": 0, "as": "string(6)"}, "number": {"at": 6, "as": "u8"}, "bit": {"at": 6, "as": "bit(1)"},
    "float": {"at": 7, "as": "f32"}, "bytes": {"at": 6, "as": "bytes(1)"}}}"#;

/// What a frame says about a point, as text.
fn said(device: &SerialConfig, frame: &[u8]) -> String {
    let record = device.parse.parse(frame).unwrap();
    match read(&device.points[0].1, &record, device.parse.numbers) {
        None => "absent".to_owned(),
        Some(Ok(value)) => format!("{value:?}"),
        Some(Err(error)) => error.to_string(),
    }
}

#[test]
fn as_holds_for_fields_that_have_a_type_of_their_own() {
    let hex = &BINARY.replace("binary", "hex");
    let two = &b"001250\x02\x41\xC8\0\0"[..];
    let text = &b"12.5x \x01\x7F\x80\0\0"[..];
    let digits = &b"303031323530024 1C80000"[..];
    for (parse, point, frame, want) in [
        (
            BINARY,
            r#"{"field": "text", "as": "decimal", "unit": "kg"}"#,
            two,
            "Decimal(1250)",
        ),
        (
            BINARY,
            r#"{"field": "text", "unit": "kg"}"#,
            two,
            "Decimal(1250)",
        ),
        (BINARY, r#"{"field": "text"}"#, two, r#"Text("001250")"#),
        (
            BINARY,
            r#"{"field": "text", "as": "decimal"}"#,
            text,
            "\"12.5x\" is no number",
        ),
        (
            BINARY,
            r#"{"field": "text", "as": "hex"}"#,
            b"zzzz\0\0\0\0\0\0\0",
            "\"zzzz\" is no text in hexadecimal digits",
        ),
        (
            BINARY,
            r#"{"field": "text", "as": "hex"}"#,
            b"00ff\0\0\0\0\0\0\0",
            "Decimal(255)",
        ),
        (
            BINARY,
            r#"{"field": "text", "as": "bool"}"#,
            b"ON    \0\0\0\0\0",
            "Bool(true)",
        ),
        (
            BINARY,
            r#"{"field": "text"}"#,
            b"      \0\0\0\0\0",
            "the device has no value",
        ),
        (
            BINARY,
            r#"{"field": "number", "as": "bool"}"#,
            two,
            "2 is no switch",
        ),
        (
            BINARY,
            r#"{"field": "number", "as": "bool"}"#,
            text,
            "Bool(true)",
        ),
        (
            BINARY,
            r#"{"field": "number", "as": "text"}"#,
            two,
            r#"Text("2")"#,
        ),
        (
            BINARY,
            r#"{"field": "bit", "as": "text"}"#,
            two,
            r#"Text("true")"#,
        ),
        (
            BINARY,
            r#"{"field": "bytes", "as": "text"}"#,
            two,
            r#"Text("02")"#,
        ),
        (
            BINARY,
            r#"{"field": "float", "as": "decimal"}"#,
            two,
            "F32(25.0)",
        ),
        (
            BINARY,
            r#"{"field": "float", "deadband": 1}"#,
            two,
            "F32(25.0)",
        ),
        (BINARY, r#"{"field": "float"}"#, text, "inf is no number"),
        (
            hex,
            r#"{"field": "text", "as": "decimal", "deadband": 1}"#,
            digits,
            "Decimal(1250)",
        ),
        (
            hex,
            r#"{"field": "number", "as": "bool"}"#,
            digits,
            "2 is no switch",
        ),
        (
            "\"json\"",
            r#"{"field": "a"}"#,
            br#"{"a": 2}"#,
            "Decimal(2)",
        ),
        (
            "\"json\"",
            r#"{"field": "a", "as": "bool"}"#,
            br#"{"a": 2}"#,
            "2 is no switch",
        ),
        (
            "\"json\"",
            r#"{"field": "a", "as": "bool"}"#,
            br#"{"a": "On"}"#,
            "Bool(true)",
        ),
        (
            "\"json\"",
            r#"{"field": "a", "as": "decimal"}"#,
            br#"{"a": true}"#,
            "true is no number",
        ),
        (
            "\"json\"",
            r#"{"field": "a", "unit": "V"}"#,
            br#"{"a": false}"#,
            "false is no number",
        ),
        (
            "\"json\"",
            r#"{"field": "a", "as": "text"}"#,
            br#"{"a": 1.50}"#,
            r#"Text("1.5")"#,
        ),
        (
            "\"json\"",
            r#"{"field": "a", "as": "hex"}"#,
            br#"{"a": 10}"#,
            "10 is no text in hexadecimal digits",
        ),
        (
            "\"json\"",
            r#"{"field": "a", "as": "hex"}"#,
            br#"{"a": "1F"}"#,
            "Decimal(31)",
        ),
        (
            r#"{"binary": {"n": {"at": 0, "as": "u8"}}}"#,
            r#"{"field": "n", "invalid": 255, "as": "text"}"#,
            b"\xFF",
            "the device has no value",
        ),
    ] {
        let got = said(&device(parse, point), frame);
        let want = match want.strip_prefix("Decimal(") {
            Some(number) => format!(
                "{:?}",
                Value::Decimal(number.trim_end_matches(')').parse().unwrap())
            ),
            None => want.to_owned(),
        };
        assert_eq!(got, want, "{parse} {point}");
    }
}

#[test]
fn a_type_that_a_field_never_has_is_a_mistake() {
    for (point, want) in [
        (
            r#"{"field": "bit", "as": "decimal"}"#,
            "points.p.as: the field is a bit",
        ),
        (
            r#"{"field": "bit", "deadband": 1}"#,
            "points.p.deadband: the field is a bit",
        ),
        (
            r#"{"field": "bit", "unit": "V"}"#,
            "points.p.unit: the field is a bit",
        ),
        (
            r#"{"field": "bytes", "as": "bool"}"#,
            "points.p.as: the field is bytes",
        ),
        (
            r#"{"field": "bytes", "scale": 2}"#,
            "points.p.scale: the field is bytes",
        ),
        (
            r#"{"field": "number", "as": "hex"}"#,
            "points.p.as: `hex` reads a text",
        ),
        (
            r#"{"fields": ["text", "float"], "as": "bool"}"#,
            "points.p.as: the field is a float",
        ),
    ] {
        let error = misfits(BINARY, point);
        assert!(error.contains(want), "{point}: {error}");
    }
}

/// What is wrong with a device.
fn misfits(parse: &str, point: &str) -> String {
    let json = format!(
        r#"{{"serial": {{"port": "/dev/x"}}, "parse": {parse}, "points": {{"p": {point}}}}}"#
    );
    let entry: SerialEntry = match serde_json::from_str(&json) {
        Ok(entry) => entry,
        Err(error) => return error.to_string(),
    };
    let misfits = entry.resolve("d", &Defaults::default()).expect_err(&json);
    let text = |misfit: &fieldgate_bridge::Misfit| {
        format!("{}: {}", misfit.path.join("."), misfit.message)
    };
    misfits.iter().map(text).collect::<Vec<_>>().join("; ")
}

#[test]
fn absence_means_what_the_point_says() {
    let none = |point: &str| absence(&device(SCALE, point).points[0].1);
    for (point, want) in [
        (r#"{"field": "u"}"#, None),
        (
            r#"{"field": "u", "absent": "bad"}"#,
            Some(Err(Unusable::Absent)),
        ),
        (
            r#"{"field": "u", "absent": {"value": "none"}}"#,
            Some(Ok(Value::Text("none".into()))),
        ),
        (
            r#"{"field": "u", "absent": {"value": false}}"#,
            Some(Ok(Value::Bool(false))),
        ),
        (
            r#"{"fields": ["u", "n"], "absent": "bad"}"#,
            Some(Err(Unusable::Absent)),
        ),
    ] {
        assert_eq!(none(point), want, "{point}");
    }
    let nmea = r#"{"sentence": "GGA", "field": "lat", "absent": "bad"}"#;
    for (parse, point, want) in [
        (
            SCALE,
            r#"{"field": "u", "absent": "none"}"#,
            "expected bad, or a value such as {value: none}",
        ),
        (
            SCALE,
            r#"{"fields": ["u"], "absent": {"value": 1}}"#,
            "absent: a point of several fields",
        ),
        (
            SCALE,
            r#"{"absent": "bad", "write": {"send": "T"}}"#,
            "points.p.absent: needs `field`",
        ),
        ("\"nmea\"", nmea, "points.p.absent: not with `parse: nmea`"),
    ] {
        let error = misfits(parse, point);
        assert!(error.contains(want), "{point}: {error}");
    }
}
