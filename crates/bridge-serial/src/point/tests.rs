mod types;

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
            r#"{"field": "n", "unit": "kg", "unit_from": {"field": "u", "factors": {"g": 0.001, "": 2}}}"#,
            "ST,2",
            "4",
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
    let label = r#"{"write": {"send": "^FD{value}^FS"}}"#;
    let slash = r#"{"write": {"send": "^FD{value}^FS", "signs": "/"}}"#;
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
        (
            SCALE,
            label,
            text("Batch 7_b"),
            Ok(("^FDBatch 7_b^FS", text("Batch 7_b"))),
        ),
        (SCALE, label, text("x^XZ~JR^XA"), Err("`^` is not allowed")),
        (SCALE, label, text("x~JR"), Err("`~` is not allowed")),
        (SCALE, label, text("1;RST"), Err("`;` is not allowed")),
        (SCALE, label, text("a\r\nRST"), Err("printable ASCII")),
        (SCALE, slash, text("7/b"), Ok(("^FD7/b^FS", text("7/b")))),
        (SCALE, slash, text("7-b"), Err("`-` is not allowed")),
        (SCALE, slash, number("-7"), Ok(("^FD-7^FS", number("-7")))),
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
