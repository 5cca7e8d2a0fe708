use super::*;
use crate::config::{SerialConfig, SerialEntry};
use fieldgate_bridge::Defaults;

/// A streaming device with these keys and one point `p`.
fn device(parse: &str, point: &str) -> SerialConfig {
    let json = format!(
        r#"{{"serial": {{"port": "/dev/x"}}, "parse": {parse}, "points": {{"p": {point}}}}}"#
    );
    let entry: SerialEntry = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{json}: {e}"));
    entry
        .resolve("d", &Defaults::default())
        .unwrap_or_else(|faults| panic!("{json}: {faults:?}"))
}

const SCALE: &str = r#"{"regex": "^(?P<st>\\w+),(?P<n>.*?)(?P<u>kg|g|lb)?$"}"#;
const GERMAN: &str = r#"{"regex": "^(?P<n>.*)$", "decimal": ",", "thousands": "."}"#;

#[test]
fn a_field_becomes_the_value_that_the_point_says() {
    for (parse, point, frame, want) in [
        (
            SCALE,
            r#"{"field": "n", "as": "decimal"}"#,
            "ST,  12.50kg",
            "12.5",
        ),
        (
            SCALE,
            r#"{"field": "n", "unit": "kg"}"#,
            "ST, - 12.50kg",
            "-12.5",
        ),
        (SCALE, r#"{"field": "n"}"#, "ST,007", "007"),
        (
            SCALE,
            r#"{"field": "n", "as": "decimal"}"#,
            "ST,ABC",
            "\"ABC\" is no number",
        ),
        (
            SCALE,
            r#"{"field": "n", "as": "decimal"}"#,
            "ST,   kg",
            "the device has no value",
        ),
        (
            SCALE,
            r#"{"field": "n", "as": "decimal", "invalid": "-----"}"#,
            "ST,-----kg",
            "the device has no value",
        ),
        (
            SCALE,
            r#"{"field": "n", "as": "decimal", "invalid": 9999}"#,
            "ST,09999.0kg",
            "the device has no value",
        ),
        (
            SCALE,
            r#"{"field": "n", "scale": 0.001, "offset": 1}"#,
            "ST,500",
            "1.5",
        ),
        (
            SCALE,
            r#"{"field": "st", "enum": {"ST": true, "US": false}}"#,
            "ST,1",
            "true",
        ),
        (
            SCALE,
            r#"{"field": "st", "enum": {"ST": true, "US": false}}"#,
            "OL,1",
            "OL",
        ),
        (
            SCALE,
            r#"{"field": "n", "as": "decimal", "enum": {"1": "day"}}"#,
            "M,01",
            "day",
        ),
        (SCALE, r#"{"field": "n", "as": "hex"}"#, "M,00ff", "255"),
        (
            SCALE,
            r#"{"field": "n", "as": "hex"}"#,
            "M,+f",
            "\"+f\" is no text in hexadecimal digits",
        ),
        (SCALE, r#"{"field": "n", "as": "bool"}"#, "M,ON", "true"),
        (
            SCALE,
            r#"{"field": "n", "unit": "kg", "unit_from": {"field": "u", "factors": {"kg": 1, "g": 0.001, "lb": 0.45359237}}}"#,
            "ST,250g",
            "0.25",
        ),
        (
            SCALE,
            r#"{"field": "n", "unit": "kg", "unit_from": {"field": "u", "factors": {"g": 0.001}}}"#,
            "ST,2lb",
            "the unit \"lb\" is not in unit_from",
        ),
        (
            SCALE,
            r#"{"field": "n", "unit": "kg", "unit_from": {"field": "u", "factors": {"g": 0.001}}}"#,
            "ST,2",
            "the frame names no unit",
        ),
        (
            SCALE,
            r#"{"field": "n", "enum": {"M": true, "": false}}"#,
            "ST,  kg",
            "false",
        ),
        (
            GERMAN,
            r#"{"field": "n", "as": "decimal"}"#,
            "1.234,50",
            "1234.5",
        ),
        (
            SCALE,
            r#"{"fields": ["st", "n", "u"]}"#,
            "ST,5",
            r#"{"st":"ST","n":"5","u":null}"#,
        ),
        (SCALE, r#"{"fields": ["u", "n"]}"#, "ST,5", "absent"),
        ("\"text\"", "{}", " 4006381333931", "4006381333931"),
    ] {
        let device = device(parse, point);
        let record = device.parse.parse(frame.as_bytes()).unwrap();
        let got = match read(&device.points[0].1, &record, device.parse.numbers) {
            None => "absent".to_owned(),
            Some(Ok(value)) => value.to_string(),
            Some(Err(error)) => error.to_string(),
        };
        assert_eq!(got, want, "{point}: {frame}");
    }
}

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
        let error = faults(BINARY, point);
        assert!(error.contains(want), "{point}: {error}");
    }
}

/// What is wrong with a device.
fn faults(parse: &str, point: &str) -> String {
    let json = format!(
        r#"{{"serial": {{"port": "/dev/x"}}, "parse": {parse}, "points": {{"p": {point}}}}}"#
    );
    let entry: SerialEntry = match serde_json::from_str(&json) {
        Ok(entry) => entry,
        Err(error) => return error.to_string(),
    };
    let faults = entry.resolve("d", &Defaults::default()).expect_err(&json);
    let text = |fault: &crate::Fault| format!("{}: {}", fault.path.join("."), fault.message);
    faults.iter().map(text).collect::<Vec<_>>().join("; ")
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
        let error = faults(parse, point);
        assert!(error.contains(want), "{point}: {error}");
    }
}

#[test]
fn a_command_is_sent_as_the_template_says_or_refused_before_anything_is_sent() {
    let number = |text: &str| Value::Decimal(text.parse().unwrap());
    let text = |text: &str| Value::Text(text.into());
    let limits = r#"{"field": "n", "unit": "kg", "write": {"send": "L {value:.1}\\r\\n", "min": 0, "max": 80}}"#;
    let scaled = r#"{"field": "n", "scale": 0.1, "write": {"send": "L{value}"}}"#;
    let named =
        r#"{"field": "st", "enum": {"M1": "day", "M2": "night"}, "write": {"send": "{value}!"}}"#;
    let switch = r#"{"field": "st", "as": "bool", "write": {"send": "R{value}"}}"#;
    let inverted = r#"{"field": "st", "as": "bool", "enum": {"1": "off", "0": "on"}, "write": {"send": "R{value}"}}"#;
    let levels = r#"{"field": "n", "scale": 0.1, "enum": {"1": "low", "2": "high"}, "write": {"send": "L{value}"}}"#;
    let hex = r#"{"field": "n", "as": "hex", "write": {"send": "A{value:04}"}}"#;
    let button = r#"{"write": {"send": "T\r\n"}}"#;
    for (parse, point, value, want) in [
        (
            SCALE,
            limits,
            number("21.5"),
            Ok(("L 21.5\r\n", number("21.5"))),
        ),
        (
            GERMAN,
            r#"{"field": "n", "as": "decimal", "write": {"send": "L {value:.1}"}}"#,
            text("2.5"),
            Ok(("L 2,5", number("2.5"))),
        ),
        (
            SCALE,
            limits,
            number("81"),
            Err("81 is outside the limits 0..=80"),
        ),
        (SCALE, limits, number("0.55"), Err("more than 1 digits")),
        (SCALE, limits, text("hot"), Err("hot is no number")),
        (SCALE, scaled, number("1.5"), Ok(("L15", number("1.5")))),
        (SCALE, scaled, number("1.55"), Err("between two values")),
        (SCALE, named, text("night"), Ok(("M2!", text("night")))),
        (SCALE, named, text("M1"), Ok(("M1!", text("day")))),
        (SCALE, named, text("NIGHT"), Ok(("M2!", text("night")))),
        (SCALE, named, text("m1"), Ok(("M1!", text("day")))),
        (SCALE, named, number("2"), Err("2 is none of day, night")),
        (SCALE, inverted, text("ON"), Ok(("R0", text("on")))),
        (SCALE, inverted, text("on"), Ok(("R0", text("on")))),
        (SCALE, inverted, number("1"), Ok(("R1", text("off")))),
        (SCALE, inverted, number("7"), Err("7 is none of off, on")),
        (SCALE, levels, text("HIGH"), Ok(("L20", text("high")))),
        (SCALE, levels, number("2"), Ok(("L20", text("high")))),
        (SCALE, levels, number("3"), Err("3 is none of low, high")),
        (SCALE, hex, number("255"), Ok(("A00FF", number("255")))),
        (SCALE, hex, number("0.5"), Err("no whole number")),
        (SCALE, hex, text("FF"), Err("FF is no number")),
        (
            SCALE,
            named,
            text("noon"),
            Err("noon is none of day, night"),
        ),
        (SCALE, switch, text("on"), Ok(("R1", Value::Bool(true)))),
        (SCALE, switch, number("7"), Err("neither on nor off")),
        (SCALE, button, number("1"), Ok(("T\r\n", number("1")))),
    ] {
        let device = device(parse, point);
        let point = &device.points[0].1;
        let got = write(
            point,
            point.write.as_ref().unwrap(),
            &value,
            device.parse.numbers,
        );
        match (got, want) {
            (Ok((bytes, set)), Ok((want, want_set))) => {
                assert_eq!(
                    (bytes.as_slice(), set),
                    (want.as_bytes(), want_set),
                    "{value}"
                );
            }
            (Err(error), Err(want)) => assert!(error.contains(want), "{value}: {error}"),
            (got, want) => panic!("{value}: {got:?}, expected {want:?}"),
        }
    }
}
