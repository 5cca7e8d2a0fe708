use super::*;
use crate::frame::FrameKind;
use fieldgate_bridge::Defaults;

fn read(json: &str) -> Result<SerialEntry, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn misfits(json: &str) -> Vec<String> {
    let entry = read(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    let misfits = entry.resolve("d", &Defaults::default()).expect_err(json);
    let text = |misfit: fieldgate_bridge::Misfit| {
        let known = misfit.known.map(|(_, known)| known.join(" "));
        format!(
            "{}: {} [{}]",
            misfit.path.join("."),
            misfit.message,
            known.unwrap_or_default()
        )
    };
    misfits.into_iter().map(text).collect()
}

#[test]
fn the_devices_of_the_mapping_document_are_read() {
    let scale = r#"{
        "serial": {"port": "/dev/serial/by-path/platform-usb-0:1.2:1.0-port0", "baud": 9600},
        "frame": {"line": "\r\n", "max": 64},
        "request": {"send": "P\r\n", "every": "1s", "timeout": "500ms"},
        "parse": {"regex": "^(?P<st>ST|US),GS,\\s*(?P<kg>[-+]?\\d+\\.\\d+)\\s*kg$"},
        "points": {
            "weight": {"field": "kg", "as": "decimal", "unit": "kg", "deadband": 0.002},
            "stable": {"field": "st", "enum": {"ST": true, "US": false}}
        }}"#;
    let scale = read(scale)
        .unwrap()
        .resolve("scale", &Defaults::default())
        .unwrap();
    assert_eq!(scale.requests[0].send, b"P\r\n");
    assert_eq!((scale.offline.after, scale.raw_index()), (3, 2));
    assert!(
        scale
            .points
            .iter()
            .all(|(_, point)| point.request == Some(0))
    );
    let gps = r#"{
        "serial": {"port": "/dev/gps0"},
        "parse": "nmea",
        "points": {
            "position": {"sentence": "GGA", "fields": ["lat", "lon", "alt", "sats"]},
            "speed": {"sentence": "RMC", "field": "speed", "unit": "kn"},
            "first": {"sentence": "GPGSA", "field": 3}
        }}"#;
    let gps = read(gps)
        .unwrap()
        .resolve("gps", &Defaults::default())
        .unwrap();
    assert_eq!(
        gps.frame.kind,
        FrameKind::Line {
            end: b"\n".to_vec()
        }
    );
    assert_eq!((gps.port.baud, gps.offline.after), (9600, 1));
    assert_eq!(gps.points[2].1.request, None);
}

#[test]
fn a_frame_that_broke_off_is_given_up_after_a_time_that_depends_on_the_baud_rate() {
    for (frame, baud, want) in [
        (r#"{"line": "\r"}"#, 115_200, Some(1_002)),
        (r#"{"delimiter": ";"}"#, 9600, Some(1_025)),
        (r#"{"line": "\r"}"#, 300, Some(1_800)),
        (r#"{"stx_etx": {}}"#, 9600, Some(525)),
        (r#"{"length": 4}"#, 50, Some(5_300)),
        (r#"{"line": "\r", "gap": "3s"}"#, 300, Some(3_000)),
        (r#"{"line": "\r", "gap": "never"}"#, 300, None),
        (r#"{"silence": "20ms"}"#, 300, None),
    ] {
        let json = format!(
            r#"{{"serial": {{"port": "/dev/x", "baud": {baud}}}, "frame": {frame}, "points": {{"p": {{}}}}}}"#
        );
        let config = read(&json).unwrap();
        let config = config.resolve("d", &Defaults::default()).unwrap();
        let got = config.frame.gap.map(|gap| gap.as_millis());
        assert_eq!(got, want, "{frame} at {baud}");
    }
    let default = read(r#"{"serial": {"port": "/dev/x"}, "points": {"p": {}}}"#).unwrap();
    let default = default.resolve("d", &Defaults::default()).unwrap();
    assert_eq!(default.frame.gap.unwrap().as_millis(), 1_025);
    let soon = r#"{"serial": {"port": "/dev/x"}, "frame": {"line": ";", "gap": "soon"}, "points": {"p": {}}}"#;
    assert!(
        read(soon)
            .unwrap_err()
            .contains("a time such as 500ms, or never")
    );
}

#[test]
fn a_wrong_device_is_refused_by_key() {
    let device = |rest: &str| format!(r#"{{"serial": {{"port": "/dev/x"}}, {rest}}}"#);
    let point = |point: &str| device(&format!(r#""points": {{"p": {point}}}"#));
    let port = |rest: &str| {
        format!(r#"{{"serial": {{"port": "/dev/x", {rest}}}, "points": {{"p": {{}}}}}}"#)
    };
    for (json, want) in [
        (
            r#"{"points": {"p": {}}}"#.to_owned(),
            "missing field `serial`",
        ),
        (
            r#"{"serial": {"port": "COM1"}, "points": {"p": {}}}"#.to_owned(),
            "port: expected a path",
        ),
        (port(r#""baud": 10"#), "baud: 10 is outside 50..=12000000"),
        (port(r#""data_bits": 9"#), "data_bits: 9 is outside 5..=8"),
        (port(r#""stop_bits": 3"#), "stop_bits: expected 1 or 2"),
        (port(r#""parity": "evn""#), "unknown variant `evn`"),
        (
            port(r#""flow": "hardware", "rts": true"#),
            "rts: with `flow: hardware`",
        ),
        (
            device(r#""points": {}"#),
            "points: expected at least one point, or `raw: true`",
        ),
        (
            device(r#""request": {"send": ""}, "points": {"p": {}}"#),
            "request.send: there is nothing",
        ),
        (
            device(
                r#""request": {"send": "a"}, "requests": {"b": {"send": "b"}}, "points": {"p": {}}"#,
            ),
            "requests: the device already has `request`",
        ),
        (
            device(r#""request": {"send": "a"}, "timeout": "1s", "points": {"p": {}}"#),
            "timeout: a device that is asked",
        ),
        (
            device(r#""request": {"send": "a", "frames": 9}, "points": {"p": {}}"#),
            "request.frames: expected 1 to 8",
        ),
        (
            device(r#""request": {"send": "a", "refused": "("}, "points": {"p": {}}"#),
            "at character 1: unclosed group",
        ),
        (
            device(r#""late": "2h", "points": {"p": {}}"#),
            "late: must be at most 1h",
        ),
        (
            device(r#""offline": {"after": 0}, "points": {"p": {}}"#),
            "offline.after: must be at least 1",
        ),
        (
            device(r#""points": {"a/b": {}}"#),
            "cannot be part of a topic",
        ),
        (
            point(r#"{"field": "text", "fields": ["text"]}"#),
            "fields: the point already has `field`",
        ),
        (
            point(r#"{"as": "text", "deadband": 1}"#),
            "deadband: only a number has one",
        ),
        (point(r#"{"scale": 0}"#), "scale: must not be 0"),
        (
            point(r#"{"fields": ["text"], "deadband": 1}"#),
            "deadband: a point of several fields",
        ),
        (
            point(r#"{"unit_from": {"field": "text", "factors": {"g": 1}}}"#),
            "unit_from: needs `unit`",
        ),
        (point(r#"{"write": {"send": "{x}"}}"#), "is none of {value}"),
        (
            point(r#"{"write": {"send": "{value}", "signs": "+é"}}"#),
            "write.signs: 'é' is none of the signs of ASCII",
        ),
        (
            point(r#"{"write": {"send": "a", "signs": "+"}}"#),
            "write.signs: needs {value}",
        ),
        (
            point(r#"{"as": "decimal", "enum": {"0-9": "low"}}"#),
            "enum: `0-9` is no number",
        ),
        (
            point(r#"{"enum": {"1": "a", "2": "a"}, "write": {"send": "{value}"}}"#),
            "enum: duplicate label `a`",
        ),
        (
            point(r#"{"write": {"send": "a", "min": 2, "max": 1}}"#),
            "write.min: 2 is above max 1",
        ),
        (
            point(r#"{"write": {"send": "a", "refused": "E"}}"#),
            "write.refused: needs `answer`",
        ),
        (
            point(r#"{"write": {"send": "a", "answer": "("}}"#),
            "at character 1: unclosed group",
        ),
    ] {
        let error = read(&json).expect_err(&json);
        assert!(error.contains(want), "{json}: {error}");
    }
}

#[test]
fn what_does_not_fit_together_is_told_all_at_once_with_the_names_that_there_are() {
    let head = r#""serial": {"port": "/dev/x"}"#;
    for (json, want) in [
        (
            format!(
                r#"{{{head}, "parse": {{"regex": "(?P<kg>.)(?P<st>.)"}}, "points": {{
                    "a": {{"field": "kgg"}}, "b": {{"fields": ["st", "x"]}}, "c": {{}},
                    "e": {{"field": "kg", "unit": "g", "unit_from": {{"field": "u", "factors": {{"g": 1}}}}}},
                    "d": {{"field": "st", "sentence": "GGA"}}}}}}"#
            ),
            vec![
                "points.a.field: unknown field \"kgg\" [kg st]",
                "points.b.fields: unknown field \"x\" [kg st]",
                "points.c: expected `field`, one of kg, st []",
                "points.e.unit_from.field: unknown field \"u\" [kg st]",
                "points.d.sentence: only with `parse: nmea` []",
            ],
        ),
        (
            format!(
                r#"{{{head}, "parse": "nmea", "points": {{
                    "a": {{"field": "lat"}}, "b": {{"sentence": "gga", "field": "lat"}},
                    "c": {{"sentence": "HDT", "field": "headin"}}}}}}"#
            ),
            vec![
                "points.a: expected `sentence`, such as GGA, or GNGGA for one talker only []",
                "points.b.sentence: expected three capital letters such as GGA, or talker and type such as GNGGA []",
                "points.c.field: unknown field \"headin\" [heading a number from 1]",
            ],
        ),
        (
            format!(
                r#"{{{head}, "requests": {{"u": {{"send": "U?"}}, "i": {{"send": "I?"}}}}, "points": {{
                    "a": {{"field": "text"}}, "b": {{"field": "text", "request": "x"}},
                    "c": {{"field": "text", "request": "u"}}}}}}"#
            ),
            vec![
                "points.a: expected `request`, one of u, i []",
                "points.b.request: unknown request \"x\" [u i]",
            ],
        ),
        (
            format!(
                r#"{{{head}, "requests": {{"u": {{"send": "U?"}}, "i": {{"send": "I?"}}}}, "points": {{
                    "c": {{"field": "text", "request": "u"}}}}}}"#
            ),
            vec!["requests.i: no point shows what it answers []"],
        ),
    ] {
        assert_eq!(misfits(&json), want, "{json}");
    }
}
