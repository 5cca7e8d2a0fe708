use proptest::prelude::*;

use super::*;

fn plain<'a>(subject: &'a str, reply: Option<&'a str>, payload: &'a [u8]) -> Op<'a> {
    Op::Message(Message {
        subject,
        sid: 1,
        reply,
        headers: Headers(b""),
        payload,
    })
}

#[test]
fn what_a_server_says_is_understood() {
    for (input, want, len) in [
        (&b"PING\r\n"[..], Op::Ping, 6),
        (b"pong\n+OK\r\n", Op::Pong, 5),
        (b"+OK\r\nPING", Op::Ok, 5),
        (b"INFO {\"a\":1} \r\n", Op::Info(b"{\"a\":1}"), 15),
        (b"INFO\t{}\r\n", Op::Info(b"{}"), 9),
        (
            b"-ERR 'Stale Connection'\r\n",
            Op::Err("'Stale Connection'"),
            25,
        ),
        (b"MSG a.b 1 2\r\nhi\r\n", plain("a.b", None, b"hi"), 17),
        (
            b"MSG a 1 r.1 0\r\n\r\nPING",
            plain("a", Some("r.1"), b""),
            17,
        ),
        // A payload may hold what ends lines.
        (
            b"MSG a 1 4\r\n\r\n\r\n\r\n",
            plain("a", None, b"\r\n\r\n"),
            17,
        ),
    ] {
        let decoded = decode(input, 100).unwrap();
        assert_eq!(decoded, Some((want, len)), "{}", input.escape_ascii());
    }
}

#[test]
fn what_is_not_the_protocol_is_refused_before_it_is_kept() {
    let long = vec![b'x'; LINE_MAX];
    for (input, want) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], WireError::Unknown),
        (b"\x10\x00\n", WireError::Unknown),
        (b"MSG a\r\n", WireError::Malformed),
        (b"MSG a 1 b c 2\r\n", WireError::Malformed),
        (b"MSG a 1 -1\r\n", WireError::Malformed),
        (b"MSG a x 1\r\n", WireError::Malformed),
        (b"MSG \xff 1 1\r\n", WireError::Malformed),
        (b"HMSG a 1 9 4\r\n", WireError::Malformed),
        (b"MSG a 1 101\r\n", WireError::TooLong(101)),
        (
            b"MSG a 1 18446744073709551615\r\n",
            WireError::TooLong(usize::MAX),
        ),
        (b"MSG a 1 99999999999999999999\r\n", WireError::Malformed),
        (b"MSG a 1 1\r\nhi\r\n", WireError::End),
        (&long, WireError::Line),
    ] {
        assert_eq!(
            decode(input, 100),
            Err(want),
            "{:.40}",
            input.escape_ascii()
        );
    }
}

#[test]
fn headers_have_a_status_and_values_by_names_in_any_case() {
    for (head, status, name, want) in [
        (
            &b"NATS/1.0\r\nFg-Via: a,b\r\n\r\n"[..],
            None,
            "fg-via",
            Some("a,b"),
        ),
        (b"NATS/1.0 503\r\n\r\n", Some(503), "fg-via", None),
        (
            b"NATS/1.0 404 No Messages\r\nX:  1 \r\n\r\n",
            Some(404),
            "x",
            Some("1"),
        ),
        (b"NATS/1.0 5\r\n\r\n", None, "x", None),
        (b"nothing", None, "x", None),
        (b"", None, "x", None),
        (b"NATS/1.0\r\n\xff: 1\r\nX:\r\n", None, "X", Some("")),
    ] {
        let headers = Headers(head);
        assert_eq!(headers.status(), status, "{}", head.escape_ascii());
        assert_eq!(headers.get(name), want, "{}", head.escape_ascii());
    }
}

#[test]
fn no_pair_can_begin_a_line_of_its_own() {
    let mut headers = HeadersBuf::default();
    for (name, value, want) in [
        ("A", "b c", true),
        ("", "b", false),
        ("a b", "c", false),
        ("a:", "c", false),
        ("a\r\nB", "c", false),
        ("a", "c\r\nB: d", false),
        ("ä", "c", false),
        ("a", "ü", true),
    ] {
        assert_eq!(headers.push(name, value), want, "{name:?} {value:?}");
    }
    let mut out = Vec::new();
    publish("s", Some(("_INBOX.x.", 7)), &headers, b"hi", &mut out);
    let want = "HPUB s _INBOX.x.7 27 29\r\nNATS/1.0\r\nA: b c\r\na: ü\r\n\r\nhi\r\n";
    assert_eq!(String::from_utf8_lossy(&out), want);
}

proptest! {
    #[test]
    fn a_message_comes_back_however_it_is_cut(
        subject in "[a-z.]{1,20}", sid in any::<u64>(), reply in prop::option::of("[a-z.]{1,9}"),
        pairs in prop::collection::vec(("[A-Za-z-]{1,9}", "[ -~]{0,9}"), 0..4),
        payload in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut headers = HeadersBuf::default();
        for (name, value) in &pairs {
            prop_assert!(headers.push(name, value));
        }
        let mut bytes = Vec::new();
        let head = headers.wire_len();
        let reply_word = reply.as_ref().map_or(String::new(), |reply| format!("{reply} "));
        let (word, sizes) = match head {
            0 => ("MSG", payload.len().to_string()),
            head => ("HMSG", format!("{head} {}", head + payload.len())),
        };
        write!(bytes, "{word} {subject} {sid} {reply_word}{sizes}\r\n").unwrap();
        bytes.extend_from_slice(&headers.0);
        if head > 0 {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(b"\r\n");
        for cut in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..cut], 1_000), Ok(None));
        }
        let Ok(Some((Op::Message(message), len))) = decode(&bytes, 1_000) else {
            panic!("{}", bytes.escape_ascii());
        };
        prop_assert_eq!((message.subject, message.sid), (subject.as_str(), sid));
        prop_assert_eq!((message.reply, message.payload), (reply.as_deref(), &payload[..]));
        prop_assert_eq!(len, bytes.len());
        let found: Vec<_> = message.headers.iter().filter(|(name, _)| !name.is_empty()).collect();
        let want: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.trim())).collect();
        prop_assert_eq!(found, want);
    }

    #[test]
    fn no_bytes_make_decoding_panic_or_take_more_than_there_is(
        word in "(MSG|HMSG|INFO|-ERR|) ?", bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let input = [word.as_bytes(), &bytes].concat();
        if let Ok(Some((op, len))) = decode(&input, 64) {
            prop_assert!(len <= input.len());
            if let Op::Message(message) = op {
                prop_assert!(message.payload.len() <= 64);
                let _ = (message.headers.status(), message.headers.iter().count());
            }
        }
    }
}
