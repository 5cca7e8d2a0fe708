use super::*;
use crate::check::CheckKind;
use proptest::prelude::*;

fn config(json: &str) -> FrameConfig {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The frames of a stream whose bytes come one by one, and what was rejected.
fn frames(config: &FrameConfig, stream: &[u8]) -> (Vec<Vec<u8>>, Rejected) {
    let mut framer = Framer::new(config.clone());
    let (now, mut out) = (Instant::now(), Vec::new());
    for byte in stream {
        framer.feed(&[*byte], now, &mut out);
    }
    (out, framer.rejected())
}

fn check(json: &str, stream: &[u8], want: &[&[u8]], rejected: Rejected) {
    let config = config(json);
    let (got, counts) = frames(&config, stream);
    assert_eq!(got, want, "{json}: {}", crate::bytes::shown(stream));
    assert_eq!(counts, rejected, "{json}: {}", crate::bytes::shown(stream));
    // All at once is the same as byte by byte.
    let (mut framer, mut out) = (Framer::new(config), Vec::new());
    framer.feed(stream, Instant::now(), &mut out);
    assert_eq!((out, framer.rejected()), (got, counts), "{json}");
}

fn none() -> Rejected {
    Rejected::default()
}

#[test]
fn lines_and_delimiters_end_frames_and_what_is_too_long_is_skipped_to_its_end() {
    let line = r#"{"line": "\r\n", "max": 8}"#;
    for (stream, want, too_long) in [
        (&b"a\r\nbc\r\n"[..], vec![&b"a"[..], b"bc"], 0),
        (b"\r\n\r\na\r\n", vec![b"a"], 0),
        (b"a\rb\nc\r\n", vec![b"a\rb\nc"], 0),
        (b"12345678\r\n9\r\n", vec![b"12345678", b"9"], 0),
        (b"123456789\r\nok\r\n", vec![b"ok"], 1),
        (
            b"123456789012345678901234567890\r\r\nok\r\n",
            vec![b"ok"],
            1,
        ),
        (b"no end", vec![], 0),
    ] {
        check(line, stream, &want, Rejected { too_long, ..none() });
    }
    check(r#"{"line": "\n"}"#, b"a\r\nb\n\r\n", &[b"a", b"b"], none());
    check(
        r#"{"delimiter": "\\x00"}"#,
        b"a\0\0b\0",
        &[b"a", b"", b"b"],
        none(),
    );
    check(
        r#"{"delimiter": "END"}"#,
        b"aEENDbEND",
        &[b"aE", b"b"],
        none(),
    );
}

#[test]
fn a_line_may_carry_a_check_that_is_taken_off() {
    let json = r#"{"line": "\r", "check": {"kind": "bcc", "hex": true, "from": 1}}"#;
    // "AB" after the first byte: 0x41 ^ 0x42 = 0x03.
    let rejected = Rejected {
        bad_check: 2,
        ..none()
    };
    check(
        json,
        b"#AB03\r#AB04\r\rx\r#AB03\r",
        &[b"#AB", b"#AB"],
        rejected,
    );
}

#[test]
fn frames_of_fixed_length_are_found_again_after_garbage() {
    let json = r#"{"length": 4, "start": "\\xFF\\x86", "check": "sum8"}"#;
    let good = b"\xFF\x86\x01\x86";
    let start_twice = [&b"\xFF\xFF\x86"[..], &good[..]].concat();
    for (stream, want, rejected) in [
        (
            [&good[..], good].concat(),
            vec![&b"\xFF\x86\x01"[..]; 2],
            none(),
        ),
        (
            [b"ab\xFF", &good[..]].concat(),
            vec![b"\xFF\x86\x01"],
            Rejected {
                garbage: 3,
                ..none()
            },
        ),
        // A start without a frame: the good one begins inside of what looked like it.
        (
            start_twice,
            vec![b"\xFF\x86\x01"],
            Rejected {
                bad_check: 1,
                garbage: 2,
                ..none()
            },
        ),
        (b"\xFF\x86\x01".to_vec(), vec![], none()),
    ] {
        check(json, &stream, &want, rejected);
    }
    check(r#"{"length": 3}"#, b"abcdefg", &[b"abc", b"def"], none());
}

#[test]
fn the_length_may_be_in_the_frame_in_any_width_and_order() {
    for (json, stream, want) in [
        (
            r#"{"prefix": {"offset": 0, "adjust": 1}}"#,
            &b"\x02ab\x01c"[..],
            vec![&b"\x02ab"[..], b"\x01c"],
        ),
        (
            r#"{"prefix": {"offset": 1, "width": 2}}"#,
            b"x\0\x05ab",
            vec![b"x\0\x05ab"],
        ),
        (
            r#"{"prefix": {"offset": 1, "width": 2, "order": "little"}}"#,
            b"x\x05\0ab",
            vec![b"x\x05\0ab"],
        ),
        (
            r#"{"prefix": {"offset": 0, "width": 4, "adjust": 4}}"#,
            b"\0\0\0\x01a",
            vec![b"\0\0\0\x01a"],
        ),
        (
            r#"{"prefix": {"offset": 2, "adjust": -1}, "start": "AB"}"#,
            b"AB\x06xy",
            vec![b"AB\x06xy"],
        ),
        (
            r#"{"prefix": {"offset": 1, "adjust": 2}, "start": "S", "check": "bcc"}"#,
            b"S\x02a\x30",
            vec![b"S\x02a"],
        ),
    ] {
        check(json, stream, &want, none());
    }
    // 0xFF is longer than allowed, 1 is shorter than its own place.
    let json = r#"{"prefix": {"offset": 1}, "start": "S", "max": 16}"#;
    let rejected = Rejected {
        bad_length: 2,
        garbage: 2,
        ..none()
    };
    check(json, b"S\xFFS\x01S\x03a", &[b"S\x03a"], rejected);
}

#[test]
fn stx_and_etx_enclose_frames_with_and_without_escapes_and_checks() {
    let plain = r#"{"stx_etx": {}}"#;
    check(plain, b"\x02ab\x03\x02c\x03", &[b"ab", b"c"], none());
    check(
        plain,
        b"xy\x02ab\x03z",
        &[b"ab"],
        Rejected {
            garbage: 3,
            ..none()
        },
    );
    check(
        plain,
        b"\x02lost\x02ab\x03",
        &[b"ab"],
        Rejected {
            incomplete: 1,
            ..none()
        },
    );
    let dle = r#"{"stx_etx": {"escape": "dle"}, "check": {"kind": "bcc", "with_end": false}}"#;
    // The doubled DLE is one byte of data, for the check too.
    check(
        dle,
        b"\x10\x02a\x10\x10\x02\x10\x03\x73",
        &[b"a\x10\x02"],
        none(),
    );
    let wrong = Rejected {
        bad_escape: 1,
        garbage: 4,
        ..none()
    };
    check(
        dle,
        b"\x10\x02a\x10Zb\x10\x03\x61",
        &[],
        Rejected {
            garbage: 4,
            ..wrong
        },
    );
    let before = r#"{"stx_etx": {"escape": {"byte": "\\x1B"}}}"#;
    check(
        before,
        b"\x02a\x1B\x03\x1B\x1B\x1B\x02\x03",
        &[b"a\x03\x1B\x02"],
        none(),
    );
    // PPP: the flag is start and end, the check is inside, and one flag may serve two frames.
    let ppp = r#"{"stx_etx": {"start": "~", "end": "~", "escape": {"byte": "\\x7D", "xor": 32}},
                  "check": "crc16_x25"}"#;
    let mut frame = b"A\x7D\x5EB".to_vec();
    let check_bytes = Check::usual(CheckKind::Crc16X25).write(b"A~B".iter().copied());
    for byte in check_bytes {
        if matches!(byte, b'~' | 0x7D) {
            frame.extend([0x7D, byte ^ 0x20]);
        } else {
            frame.push(byte);
        }
    }
    let stream = [b"~", frame.as_slice(), b"~", &frame, b"~~", &frame, b"~"].concat();
    check(ppp, &stream, &[&b"A~B"[..]; 3], none());
}

#[test]
fn a_wrong_check_costs_one_frame_even_if_the_check_itself_was_lost() {
    let json = r#"{"stx_etx": {}, "check": "bcc"}"#;
    // STX not covered, ETX covered: 'a' ^ ETX.
    let good = b"\x02a\x03\x62";
    check(json, good, &[b"a"], none());
    let bad = Rejected {
        bad_check: 1,
        garbage: 1,
        ..none()
    };
    check(json, &[b"\x02a\x03\x63", &good[..]].concat(), &[b"a"], bad);
    // The next frame's STX stands where the check should be.
    let lost = Rejected {
        bad_check: 1,
        ..none()
    };
    check(json, &[b"\x02a\x03", &good[..]].concat(), &[b"a"], lost);
    let start = r#"{"stx_etx": {}, "check": {"kind": "lrc", "with_start": true, "hex": true}}"#;
    // 0x02 + 0x61 + 0x03 = 0x66; its complement is 0x9A.
    check(start, b"\x02a\x039A\x02a\x039a", &[b"a", b"a"], none());
}

#[test]
fn silence_ends_frames_and_gives_up_what_broke_off() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut framer = Framer::new(config(r#"{"silence": "20ms", "max": 4}"#));
    let mut out = Vec::new();
    for (ms, bytes) in [
        (0, &b"a"[..]),
        (15, b"b"),
        (34, b"c"),
        (60, b"d"),
        (90, b"12345"),
        (95, b"6"),
        (130, b"e"),
    ] {
        framer.feed(bytes, at(ms), &mut out);
    }
    assert_eq!(framer.deadline(), Some(at(150)));
    framer.tick(at(149), &mut out);
    assert_eq!(out, [&b"abc"[..], b"d"]);
    framer.tick(at(150), &mut out);
    assert_eq!(out, [&b"abc"[..], b"d", b"e"]);
    assert_eq!(framer.deadline(), None);
    assert_eq!(
        framer.rejected(),
        Rejected {
            too_long: 1,
            ..none()
        }
    );

    for json in [
        r#"{"line": "\n", "gap": "500ms"}"#,
        r#"{"length": 2}"#,
        r#"{"prefix": {"offset": 0, "adjust": 1}}"#,
        r#"{"stx_etx": {"end": "\n"}}"#,
    ] {
        let (whole, half): (&[u8], &[u8]) = match json.contains("line") {
            true => (b"a\n", b"x"),
            false if json.contains("stx") => (b"\x02a\n", b"\x02x"),
            false => (b"\x01a", b"\x01"),
        };
        let mut framer = Framer::new(config(json));
        let mut out = Vec::new();
        framer.feed(half, at(0), &mut out);
        framer.feed(whole, at(500), &mut out);
        assert_eq!(out.len(), 1, "{json}: {out:?}");
        assert_eq!(
            framer.rejected(),
            Rejected {
                incomplete: 1,
                ..none()
            },
            "{json}"
        );
    }
}

#[test]
fn wrong_frames_of_the_mapping_are_refused_by_key() {
    for (json, want) in [
        ("{}", "expected one of `line`"),
        (
            r#"{"line": "\n", "silence": "1s"}"#,
            "silence: the frame already has `line`",
        ),
        (r#"{"line": ""}"#, "line: expected 1 to 8 bytes"),
        (r#"{"line": "\n", "max": 0}"#, "max: 0 is outside 1..=8192"),
        (r#"{"line": "\n", "max": 9999}"#, "max: 9999 is outside"),
        (
            r#"{"line": "\n", "start": "a"}"#,
            "start: `line` has no such bytes",
        ),
        (r#"{"length": 0}"#, "length: must be at least 1"),
        (
            r#"{"length": 2, "start": "ab", "check": "bcc"}"#,
            "length: 2 is outside 3..=2",
        ),
        (
            r#"{"prefix": {"offset": 0, "width": 3}}"#,
            "prefix.width: expected 1, 2 or 4",
        ),
        (
            r#"{"prefix": {"offset": 0}, "start": "a"}"#,
            "prefix.offset: the number would be",
        ),
        (
            r#"{"stx_etx": {"start": "ab"}}"#,
            "stx_etx.start: expected one byte",
        ),
        (r#"{"stx_etx": {"escape": "dlee"}}"#, "dle, or a byte"),
        (
            r#"{"stx_etx": {"escape": {"byte": "\\x03"}}}"#,
            "it is the start or the end itself",
        ),
        (r#"{"silence": "61s"}"#, "silence: at most 60s"),
        (r#"{"line": "\n", "check": "bbc"}"#, "unknown variant `bbc`"),
        (
            r#"{"line": "\n", "check": {"kind": "bcc", "with_end": true}}"#,
            "only with `stx_etx`",
        ),
    ] {
        let error = serde_json::from_str::<FrameConfig>(json)
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "{json}: {error}");
    }
}

/// Configurations of every kind.
const KINDS: &[&str] = &[
    r#"{"line": "\r\n", "max": 20}"#,
    r#"{"delimiter": "\\x03\\x02", "max": 20, "check": "crc16_modbus"}"#,
    r#"{"length": 5, "start": "\\x02"}"#,
    r#"{"length": 6, "start": "\\x02", "check": "lrc", "max": 9}"#,
    r#"{"prefix": {"offset": 1, "adjust": 3}, "start": "\\x02", "check": "bcc", "max": 20}"#,
    r#"{"prefix": {"offset": 0, "width": 2, "order": "little", "adjust": -3}, "max": 20}"#,
    r#"{"stx_etx": {}, "max": 20}"#,
    r#"{"stx_etx": {"escape": "dle"}, "check": "crc16_arc", "max": 20}"#,
    r#"{"stx_etx": {"start": "\\x02", "end": "\\x02", "escape": {"byte": "\\x10", "xor": 32}}, "max": 20}"#,
    r#"{"silence": "5ms", "max": 20}"#,
];

fn noise() -> impl Strategy<Value = Vec<u8>> {
    // Mostly bytes that mean something to some framing.
    let special = prop::sample::select(&[0x02u8, 0x03, 0x10, b'\r', b'\n', 0, 1, 5][..]);
    prop::collection::vec(prop_oneof![3 => special, 1 => any::<u8>()], 0..300)
}

proptest! {
    #[test]
    fn any_stream_in_any_pieces_gives_the_same_frames_and_holds_little(
        kind in 0..KINDS.len() - 1,
        stream in noise(),
        cuts in prop::collection::vec(1usize..40, 0..60),
    ) {
        let config = config(KINDS[kind]);
        let (whole, rejected) = frames(&config, &stream);
        let (mut framer, mut out, mut rest) = (Framer::new(config.clone()), Vec::new(), &stream[..]);
        for cut in cuts.into_iter().chain([stream.len().max(1)]) {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            framer.feed(piece, Instant::now(), &mut out);
            prop_assert!(framer.held() <= config.max + 16, "{} held", framer.held());
            rest = after;
        }
        prop_assert!(out.iter().all(|frame| frame.len() <= config.max));
        prop_assert_eq!((out, framer.rejected()), (whole, rejected));
    }

    #[test]
    fn a_good_frame_after_any_noise_and_a_pause_is_found(kind in 0..KINDS.len(), noise in noise()) {
        let config = config(KINDS[kind]);
        let config = FrameConfig { gap: Some(Duration::from_millis(100)), ..config };
        let good: &[u8] = match kind {
            0 => b"hello\r\n",
            1 => &[&b"ab"[..], &Check::usual(CheckKind::Crc16Modbus).write(b"ab".iter().copied()), b"\x03\x02"].concat(),
            2 => b"\x02abcd",
            3 => &[&b"\x02abcd"[..], &Check::usual(CheckKind::Lrc).write(b"\x02abcd".iter().copied())].concat(),
            4 => b"\x02\x01a\x62",
            5 => b"\x08\0abc",
            6 => b"\x02ab\x03",
            7 => &[&b"\x10\x02ab\x10\x03"[..], &Check::usual(CheckKind::Crc16Arc).write(b"ab\x03".iter().copied())].concat(),
            8 => b"\x02ab\x02",
            _ => b"ab",
        };
        let config = if config.kind == (FrameKind::Silence { gap: Duration::from_millis(5) }) {
            FrameConfig { gap: None, ..config }
        } else {
            config
        };
        let (start, mut out) = (Instant::now(), Vec::new());
        let mut framer = Framer::new(config);
        framer.feed(&noise, start, &mut out);
        framer.tick(start + Duration::from_secs(1), &mut out);
        out.clear();
        framer.feed(good, start + Duration::from_secs(1), &mut out);
        framer.tick(start + Duration::from_secs(2), &mut out);
        prop_assert_eq!(out.len(), 1, "{:?}", framer.rejected());
    }
}

#[test]
fn a_code_that_was_cut_off_is_no_part_of_the_next_one() {
    for (json, end) in [(r#"{"line": "\r"}"#, "\r"), (r#"{"delimiter": ";"}"#, ";")] {
        for (pause, rest, want) in [
            (3000, "4006381333931", "4006381333931"),
            // A slow reader, or one behind a network.
            (900, "81333931", "4006381333931"),
        ] {
            let mut framer = Framer::new(config(json));
            let (now, mut out) = (Instant::now(), Vec::new());
            framer.feed(b"40063", now, &mut out);
            let later = now + Duration::from_millis(pause);
            framer.feed(rest.as_bytes(), later, &mut out);
            framer.feed(end.as_bytes(), later, &mut out);
            assert_eq!(out, [want.as_bytes()], "{json} {pause}");
            assert_eq!(framer.rejected().incomplete, u64::from(pause == 3000));
        }
    }
}

#[test]
fn what_comes_right_after_the_port_was_opened_may_be_the_rest_of_a_frame() {
    for (json, after, stream, want) in [
        (
            r#"{"line": "\r\n"}"#,
            20,
            "2.50\r\n13.75\r\n",
            vec!["13.75"],
        ),
        (r#"{"line": "\r\n"}"#, 20, "\r\n13.75\r\n", vec!["13.75"]),
        (r#"{"delimiter": ";"}"#, 20, "2.50;13.75;", vec!["13.75"]),
        (
            r#"{"line": "\r\n"}"#,
            120,
            "12.50\r\n13.75\r\n",
            vec!["12.50", "13.75"],
        ),
        (
            r#"{"stx_etx": {}}"#,
            20,
            "2.5\x0312.50\x03\x02ab\x03",
            vec!["ab"],
        ),
        (r#"{"length": 2}"#, 20, "abcd", vec!["ab", "cd"]),
        (r#"{"line": "\n", "check": "sum8"}"#, 20, "aa\n", vec!["a"]),
    ] {
        let (mut framer, mut out) = (Framer::new(config(json)), Vec::new());
        let now = Instant::now();
        framer.doubt(now + Duration::from_millis(100));
        framer.feed(
            stream.as_bytes(),
            now + Duration::from_millis(after),
            &mut out,
        );
        let got: Vec<_> = out
            .iter()
            .map(|frame| String::from_utf8_lossy(frame))
            .collect();
        assert_eq!(got, want, "{json} {stream}");
    }
}
