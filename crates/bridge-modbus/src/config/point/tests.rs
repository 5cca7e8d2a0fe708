use super::*;

fn read(json: &str) -> Result<PointEntry, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn the_points_of_the_mapping_document_are_read() {
    for json in [
        r#"{"input": 0, "as": "f32", "unit": "V", "deadband": 0.5}"#,
        r#"{"input": 72, "as": "f32", "unit": "kWh", "poll": "10s"}"#,
        r#"{"holding": 100, "as": "i16", "scale": 0.1, "offset": -40, "unit": "°C", "invalid": 32767}"#,
        r#"{"holding": 102, "as": "u32", "order": "CDAB"}"#,
        r#"{"holding": 110, "as": "string(12)", "poll": "once"}"#,
        r#"{"holding": 116, "as": "u16", "enum": {"1": "day", "2": "night"}}"#,
        r#"{"holding": 117, "as": "bit(3)"}"#,
        r#"{"coil": 0, "write": true, "readback": "2s"}"#,
        r#"{"holding": 10, "as": "f32", "order": "CDAB", "write": {"min": 0, "max": 80}}"#,
        r#"{"discrete": 65535}"#,
        r#"{"input": 65534, "as": "u32", "deadband": "1%", "publish": "every_poll", "heartbeat": "60s"}"#,
        r#"{"input": 0, "as": "i16", "invalid": -32768}"#,
        r#"{"input": 0, "as": "f32", "invalid": -9999.5}"#,
        r#"{"input": 0, "as": "string(4)", "invalid": "----"}"#,
    ] {
        assert!(read(json).is_ok(), "{json}: {:?}", read(json));
    }
}

#[test]
fn a_wrong_point_is_refused_by_key() {
    for (json, want) in [
        (
            r#"{}"#,
            "expected one of `input`, `holding`, `coil` or `discrete`",
        ),
        (
            r#"{"input": 1, "coil": 2}"#,
            "coil: the point already has `input`",
        ),
        (r#"{"input": 1}"#, "input: a register needs its type"),
        (r#"{"coil": 1, "as": "u16"}"#, "as: a coil is one bit"),
        (
            r#"{"input": 65535, "as": "u32"}"#,
            "input: 65535 and 2 registers of u32 pass",
        ),
        (r#"{"holding": 65536, "as": "u16"}"#, "65536"),
        (
            r#"{"input": 1, "as": "u16", "scale": 0}"#,
            "scale: must not be 0",
        ),
        (
            r#"{"input": 1, "as": "string(4)", "scale": 2}"#,
            "scale: string(4) is not a number",
        ),
        (
            r#"{"coil": 1, "deadband": 2}"#,
            "deadband: bool is not a number",
        ),
        (
            r#"{"input": 1, "as": "u16", "deadband": -2}"#,
            "a number that is not negative",
        ),
        (
            r#"{"input": 1, "as": "u16", "write": true}"#,
            "write: the input table is read-only",
        ),
        (
            r#"{"holding": 1, "as": "u16", "write": {"min": 5, "max": 1}}"#,
            "write: min 5 is above",
        ),
        (
            r#"{"holding": 1, "as": "u16", "write": {"mn": 5}}"#,
            "unknown field `mn`",
        ),
        (
            r#"{"holding": 1, "as": "u16", "write": 1}"#,
            "true, false, or limits",
        ),
        (
            r#"{"holding": 1, "as": "string(2)", "write": {"max": 1}}"#,
            "write: string(2) is not",
        ),
        (
            r#"{"holding": 1, "as": "u16", "readback": "1s"}"#,
            "readback: only a point with",
        ),
        (
            r#"{"coil": 1, "write": true, "readback": "2m"}"#,
            "readback: must be at most 60s",
        ),
        (
            r#"{"coil": 1, "readback": "soon", "write": true}"#,
            "or never",
        ),
        (
            r#"{"coil": 1, "poll": "never"}"#,
            "poll: a point that is never read needs `write`",
        ),
        (
            r#"{"input": 1, "as": "u16", "encoding": "latin-1"}"#,
            "encoding: u16 is no text",
        ),
        (
            r#"{"input": 1, "as": "string(4)", "encoding": "ebcdic"}"#,
            "unknown variant `ebcdic`",
        ),
        (r#"{"coil": 1, "order": "DCBA"}"#, "order: one bit"),
        (
            r#"{"input": 1, "as": "u16", "enum": {"0-9": "low"}}"#,
            "enum: `0-9` is no number",
        ),
        (
            r#"{"holding": 1, "as": "u16", "enum": {"1": "a", "2": "a"}, "write": true}"#,
            "enum: duplicate label `a`",
        ),
        (
            r#"{"input": 1, "as": "u32", "invalid": "0x80000000"}"#,
            "invalid: remove the quotes: u32 needs the number 0x80000000",
        ),
        (
            r#"{"input": 1, "as": "u32", "order": "ACBD"}"#,
            "unknown variant `ACBD`",
        ),
        (
            r#"{"input": 1, "as": "u16", "invalid": 65536}"#,
            "invalid: 65536 is no raw value",
        ),
        (
            r#"{"input": 1, "as": "u16", "invalid": 0.5}"#,
            "invalid: 0.5 is no raw value",
        ),
        (
            r#"{"input": 1, "as": "u16", "invalid": "x"}"#,
            "invalid: expected a number",
        ),
        (
            r#"{"input": 1, "as": "f32", "scale_from": "sf"}"#,
            "scale_from: f32 is not an integer",
        ),
        (
            r#"{"holding": 1, "as": "u16", "scale_from": "sf", "write": true}"#,
            "scale_from: goes with none of `offset`, `enum` and `write`",
        ),
        (
            r#"{"input": 1, "as": "u16", "addr": 1}"#,
            "unknown field `addr`",
        ),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(want), "{json}: {error}");
    }
}
