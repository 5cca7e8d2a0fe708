//! What must hold for any bytes. The fuzz targets and the replay of their corpora call this.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fieldgate_bridge::Defaults;
use fieldgate_bridge_serial::frame::{FrameConfig, FrameKind, Framer};
use fieldgate_bridge_serial::{SerialConfig, SerialEntry, point};

/// One of each kind; the first byte of an input chooses.
const FRAMES: &[&str] = &[
    r#"{"line": "\r\n", "max": 40}"#,
    r#"{"line": "\n", "max": 40, "gap": "3ms", "check": {"kind": "bcc", "hex": true, "from": 1}}"#,
    r#"{"delimiter": "\\x03\\x02", "max": 40, "check": "crc16_modbus"}"#,
    r#"{"length": 6, "start": "\\x02"}"#,
    r#"{"length": 9, "start": "\\x02\\x02", "check": "lrc"}"#,
    r#"{"prefix": {"offset": 1, "adjust": 3}, "start": "\\x02", "check": "bcc", "max": 40}"#,
    r#"{"prefix": {"offset": 0, "width": 4, "order": "little", "adjust": -3}, "max": 40}"#,
    r#"{"stx_etx": {}, "max": 40}"#,
    r#"{"stx_etx": {}, "max": 40, "check": {"kind": "crc16_ccitt", "hex": true, "with_start": true}}"#,
    r#"{"stx_etx": {"escape": "dle"}, "check": "crc16_arc", "max": 40}"#,
    r#"{"stx_etx": {"start": "~", "end": "~", "escape": {"byte": "}", "xor": 32}}, "check": "crc16_x25", "max": 40}"#,
    r#"{"stx_etx": {"escape": {"byte": "\\x1B"}}, "check": "sum8", "max": 40}"#,
    r#"{"silence": "3ms", "max": 40}"#,
];

/// A stream in pieces: the first byte chooses the framing, the second how it is cut and how much
/// time passes between the pieces.
pub(crate) fn frame(data: &[u8]) {
    let [kind, cut, stream @ ..] = data else {
        return;
    };
    let Some(json) = FRAMES.get(usize::from(*kind) % FRAMES.len()) else {
        return;
    };
    let config: FrameConfig = serde_json::from_str(json).unwrap();
    let start = Instant::now();
    let mut pieces = Framer::new(config.clone());
    let mut found = Vec::new();
    let length = usize::from(cut & 0x1F) + 1;
    let pause = Duration::from_millis(u64::from(cut >> 5));
    let mut now = start;
    for piece in stream.chunks(length) {
        now += pause;
        pieces.feed(piece, now, &mut found);
        assert!(
            pieces.held() <= config.max + 16,
            "{} bytes held",
            pieces.held()
        );
        if let Some(deadline) = pieces.deadline() {
            assert!(deadline > now);
        }
    }
    assert!(found.iter().all(|frame| frame.len() <= config.max));
    let has_time = config.gap.is_some_and(|gap| gap <= pause)
        || matches!(config.kind, FrameKind::Silence { .. });
    if pause.is_zero() || !has_time {
        let mut whole = Framer::new(config);
        let mut same = Vec::new();
        whole.feed(stream, start, &mut same);
        let is_silence = pieces.deadline().is_some() || whole.deadline().is_some();
        assert!(
            found == same || is_silence,
            "the pieces of a stream do not matter"
        );
    }
    // After a long silence it is as new, and whatever comes is taken.
    pieces.tick(now + Duration::from_secs(10), &mut found);
    pieces.clear();
    assert_eq!(pieces.held(), 0);
}

const PARSERS: &[(&str, &str)] = &[
    ("\"text\"", r#"{"p": {}}"#),
    (
        r#"{"regex": "(?P<st>[A-Z]+),\\s*(?P<n>[-+ ]*[\\d.,']+)\\s*(?P<u>kg|g)?", "decimal": ",", "thousands": "."}"#,
        r#"{"st": {"field": "st", "enum": {"ST": true}}, "n": {"field": "n", "scale": 0.1, "offset": 3, "as": "decimal"},
            "u": {"field": "n", "unit": "kg", "unit_from": {"field": "u", "factors": {"kg": 1, "g": 0.001}}}}"#,
    ),
    (
        r#"{"columns": {"delimiter": ";", "names": ["a", "b"], "count": "any"}}"#,
        r#"{"a": {"field": "a", "as": "hex"}, "b": {"field": "b", "as": "bool"}, "c": {"field": 3, "as": "decimal", "invalid": 9}}"#,
    ),
    (
        r#"{"columns": {"delimiter": "blanks"}}"#,
        r#"{"o": {"fields": [1, 2, 9], "as": "decimal"}}"#,
    ),
    (
        "\"json\"",
        r#"{"a": {"field": "a/b", "scale": 2}, "o": {"fields": ["a", "/c~1d/0"]}}"#,
    ),
    (
        r#"{"fixed": {"a": {"at": 0, "length": 4}, "b": {"at": 3, "length": 8192}}}"#,
        r#"{"a": {"field": "a", "as": "decimal"}, "b": {"field": "b"}}"#,
    ),
    (
        r#"{"binary": {"a": {"at": 0, "as": "i24", "order": "little"}, "b": {"at": 1, "as": "bcd(3)"}, "c": {"at": 2, "as": "f32"},
            "d": {"at": 0, "as": "string(5)"}, "e": {"at": 4, "as": "bit(7)"}, "f": {"at": 0, "as": "f64"}, "g": {"at": 0, "as": "u64"}}}"#,
        r#"{"a": {"field": "a", "scale": 0.001}, "b": {"field": "b"}, "c": {"field": "c", "scale": 3}, "d": {"field": "d"},
            "e": {"field": "e"}, "f": {"field": "f", "offset": 1}, "g": {"field": "g", "scale": 1000000}}"#,
    ),
    (
        r#"{"hex": {"a": {"at": 0, "as": "i64"}, "b": {"at": 1, "as": "bytes(2)"}}}"#,
        r#"{"a": {"field": "a", "scale": 0.5}, "b": {"field": "b"}}"#,
    ),
    (
        "\"nmea\"",
        r#"{"a": {"sentence": "GGA", "fields": ["lat", "lon", "alt", "sats", "time", "hdop", 14]},
            "b": {"sentence": "RMC", "fields": ["datetime", "speed", "course", "variation", "date"]},
            "c": {"sentence": "VTG", "field": "speed_kmh"}, "d": {"sentence": "GSA", "fields": ["fix", "pdop", 3]},
            "e": {"sentence": "ZDA", "field": "datetime"}, "f": {"sentence": "HDT", "field": "heading", "unit": "°"},
            "g": {"sentence": "PUBX", "field": 2}}"#,
    ),
];

fn devices() -> &'static [SerialConfig] {
    static DEVICES: OnceLock<Vec<SerialConfig>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let device = |(parse, points): &(&str, &str)| {
            let json = format!(
                r#"{{"serial": {{"port": "/dev/x"}}, "parse": {parse}, "points": {points}}}"#
            );
            let entry: SerialEntry =
                serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
            entry.resolve("d", &Defaults::default()).unwrap()
        };
        PARSERS.iter().map(device).collect()
    })
}

/// A frame: the first byte chooses the parser. For NMEA, the checksum is made right, or nothing
/// would get any further.
pub(crate) fn parse(data: &[u8]) {
    let [kind, frame @ ..] = data else { return };
    let kind = usize::from(*kind) % PARSERS.len();
    let Some(device) = devices().get(kind) else {
        return;
    };
    let mut frame = frame.to_vec();
    if kind == PARSERS.len() - 1 && !frame.contains(&b'*') {
        let check = frame.iter().fold(0, |check, byte| check ^ byte);
        frame = [b"$", frame.as_slice(), format!("*{check:02X}").as_bytes()].concat();
    }
    let Ok(record) = device.parse.parse(&frame) else {
        return;
    };
    for (_, point) in &device.points {
        if let Some(Ok(value)) = point::read(point, &record, device.parse.numbers) {
            // What is published is no longer than what was read by much.
            assert!(value.to_string().len() <= frame.len() * 8 + 200, "{value}");
        }
    }
}
