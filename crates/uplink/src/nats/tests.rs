use fieldgate_mqtt::{PublishProperties, QoS, UserPropertiesBuf};

use super::*;

const INFO: &str =
    r#"{"server_id":"x","version":"2.10.27","headers":true,"max_payload":200,"nonce":"abc"}"#;

/// What is told of a stream with messages.
const FILLED: &str = r#"{"state":{"messages":3}}"#;

/// A client that has said CONNECT, and what it wrote since.
struct Talk {
    client: Client,
    now: Instant,
    out: Vec<u8>,
}

impl Talk {
    fn new(has_old: bool, memory: Memory) -> Self {
        let settings = Settings {
            name: "plant7".into(),
            most: 4_000,
            keep_alive: Duration::from_secs(30),
            secret: "s".into(),
            wanted: vec![Wanted {
                subject: "site.>".into(),
                needs_stream: true,
            }],
            has_old,
            ..Settings::default()
        };
        let now = Instant::now();
        Self {
            client: Client::new(settings, Login::default(), memory, now),
            now,
            out: Vec::new(),
        }
    }

    fn hear(&mut self, text: &str) -> Result<Vec<Event>, Fault> {
        let (mut rest, mut events) = (text.as_bytes(), Vec::new());
        while let Some((event, len)) = self.client.take(rest, self.now, &mut self.out)? {
            events.extend(event);
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
        Ok(events)
    }

    fn answer(&mut self, reply: &str, payload: &str) -> Result<Vec<Event>, Fault> {
        self.hear(&format!(
            "MSG _INBOX.s.{reply} 1 {}\r\n{payload}\r\n",
            payload.len()
        ))
    }

    fn said(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }

    /// Up, with a stream whose last message of ours has number 4.
    fn up() -> Self {
        let mut talk = Self::new(false, Memory::default());
        talk.hear(&format!("INFO {INFO}\r\n")).unwrap();
        talk.hear("PONG\r\n").unwrap();
        talk.answer("r1", r#"{"streams":["SITE"]}"#).unwrap();
        talk.answer("r2", FILLED).unwrap();
        let events = talk.answer("r3", r#"{"message":{"seq":4}}"#).unwrap();
        assert!(matches!(events[..], [Event::Connected(_)]), "{events:?}");
        talk.said();
        talk
    }

    fn publish(
        &mut self,
        id: Option<u16>,
        topic: &str,
        pairs: &[(&str, &str)],
        payload: &[u8],
    ) -> bool {
        let mut user = UserPropertiesBuf::new();
        for (name, value) in pairs {
            user.push(name, value).unwrap();
        }
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic,
            packet_id: id.and_then(PacketId::new),
            properties: PublishProperties {
                user_properties: user.as_properties(),
                ..PublishProperties::default()
            },
            payload,
        };
        self.client.publish(&publish, 200, self.now, &mut self.out)
    }
}

fn taken(id: u16) -> Vec<Event> {
    vec![Event::Acknowledged(
        PacketId::new(id).unwrap(),
        ReasonCode::SUCCESS,
        String::new(),
    )]
}

#[test]
fn a_connection_is_up_when_the_stream_was_read_back() {
    let mut memory = Memory::default();
    memory.low.insert("SITE".into(), 3);
    let mut talk = Talk::new(true, memory);
    talk.hear(&format!("INFO {INFO}\r\n")).unwrap();
    let said = talk.said();
    assert!(
        said.starts_with("CONNECT {") && said.contains("\"echo\":false"),
        "{said}"
    );
    assert!(
        said.ends_with("}\r\nSUB _INBOX.s.* 1\r\nPING\r\n"),
        "{said}"
    );
    assert_eq!(talk.hear("PONG\r\n"), Ok(vec![]));
    let want = "PUB $JS.API.STREAM.NAMES _INBOX.s.r1 20\r\n{\"subject\":\"site.>\"}\r\n";
    assert_eq!(talk.said(), want);
    talk.answer("r1", r#"{"streams":["SITE"]}"#).unwrap();
    let want = "PUB $JS.API.STREAM.INFO.SITE _INBOX.s.r2 2\r\n{}\r\n";
    assert_eq!(talk.said(), want);
    talk.answer("r2", FILLED).unwrap();
    assert!(
        talk.said()
            .contains("STREAM.MSG.GET.SITE _INBOX.s.r3 25\r\n{\"last_by_subj\":\"site.>\"}")
    );
    talk.answer("r3", r#"{"message":{"seq":4}}"#).unwrap();
    assert!(
        talk.said()
            .contains("STREAM.MSG.GET.SITE _INBOX.s.r4 33\r\n")
    );
    assert!(!talk.client.is_up());
    let hdrs = "TkFUUy8xLjANCk5hdHMtTXNnLUlkOiBnOjE6NwoNCg==";
    let events = talk
        .answer(
            "r4",
            &format!(r#"{{"message":{{"seq":4,"hdrs":"{hdrs}"}}}}"#),
        )
        .unwrap();
    let [Event::Connected(allowed)] = events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((allowed.packet, allowed.retain), (200, false));
    assert_eq!(
        [
            talk.client.knows("g:1:8"),
            talk.client.knows("g:1:7"),
            talk.client.knows("g:1:7")
        ],
        [false, true, false]
    );
}

#[test]
fn a_message_carries_its_name_and_marks_and_nothing_that_jetstream_would_act_on() {
    let mut talk = Talk::up();
    let pairs = [
        ("fg-id", "g:1:7"),
        ("fg-late", "1"),
        ("fg-via", "g"),
        ("unit", "m"),
        ("Nats-Rollup", "all"),
        ("nats-expected-last-sequence", "1"),
        ("a b", "c"),
    ];
    assert!(talk.publish(Some(1), "site/a.b/c", &pairs, b"7"));
    let head = "NATS/1.0\r\nNats-Msg-Id: g:1:7\r\nFg-Late: 1\r\nFg-Via: g\r\nunit: m\r\n\r\n";
    let want = format!(
        "HPUB site.a//b.c _INBOX.s.a1 {} {}\r\n{head}7\r\n",
        head.len(),
        head.len() + 1
    );
    assert_eq!(talk.said(), want);
    assert!(talk.publish(None, "a", &[], b"x"));
    assert_eq!(talk.said(), "PUB a 1\r\nx\r\n");
    assert!(!talk.publish(Some(2), "a", &[], &[0; 201]));
    assert_eq!(talk.said(), "");
}

#[test]
fn only_the_stream_acknowledges_and_only_what_was_sent() {
    let mut talk = Talk::up();
    talk.publish(Some(1), "a", &[], b"x");
    talk.publish(Some(2), "b", &[], b"x");
    for (reply, payload, want) in [
        ("a1", r#"{"stream":"SITE","seq":5}"#, taken(1)),
        ("a1", r#"{"stream":"SITE","seq":5}"#, vec![]),
        ("a9", r#"{"stream":"SITE","seq":5}"#, vec![]),
        ("ax", "", vec![]),
        // Another program that answers.
        ("a2", "pong", vec![]),
        (
            "a2",
            r#"{"stream":"SITE","seq":4,"duplicate":true}"#,
            taken(2),
        ),
    ] {
        assert_eq!(talk.answer(reply, payload), Ok(want), "{reply} {payload}");
    }
    assert_eq!(talk.client.take_duplicates(), 1);
}

#[test]
fn what_a_stream_cannot_take_now_ends_the_connection_and_loses_nothing() {
    for (text, want) in [
        (
            "HMSG _INBOX.s.a1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n".to_owned(),
            Fault::JetStream(Trouble::NoStream("site.a".into())),
        ),
        (
            {
                let json = r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
                format!("MSG _INBOX.s.a1 1 {}\r\n{json}\r\n", json.len())
            },
            Fault::Stream {
                subject: "site.a".into(),
                why: "maximum bytes exceeded".into(),
            },
        ),
        (
            "-ERR 'Stale Connection'\r\n".to_owned(),
            Fault::Ended("Stale Connection".into()),
        ),
        (
            format!("INFO {}\r\n", r#"{"ldm":true}"#),
            Fault::Ended("it is about to stop".into()),
        ),
    ] {
        let mut talk = Talk::up();
        talk.publish(Some(1), "site/a", &[], b"x");
        assert_eq!(talk.hear(&text), Err(want), "{text}");
        assert_eq!(talk.client.take_memory().low["SITE"], 4);
    }
}

#[test]
fn what_a_message_is_refused_for_is_its_own() {
    let mut talk = Talk::up();
    talk.publish(Some(1), "site/a", &[], b"x");
    talk.publish(Some(2), "site/b", &[], b"x");
    let json = r#"{"error":{"code":400,"err_code":10054,"description":"too big"}}"#;
    let refused = |id, reason, text: &str| {
        vec![Event::Acknowledged(
            PacketId::new(id).unwrap(),
            reason,
            text.into(),
        )]
    };
    assert_eq!(
        talk.answer("a1", json),
        Ok(refused(1, ReasonCode::PACKET_TOO_LARGE, "too big"))
    );
    let text = "Permissions Violation for Publish to \"site.b\"";
    let want = refused(2, ReasonCode::NOT_AUTHORIZED, text);
    assert_eq!(talk.hear(&format!("-ERR '{text}'\r\n")), Ok(want));
}

#[test]
fn a_user_who_may_not_ask_jetstream_can_still_send() {
    let mut talk = Talk::new(true, Memory::default());
    talk.hear(&format!("INFO {INFO}\r\n")).unwrap();
    talk.hear("PONG\r\n").unwrap();
    let events =
        talk.hear("-ERR 'Permissions Violation for Publish to \"$JS.API.STREAM.NAMES\"'\r\n");
    assert!(matches!(events.unwrap()[..], [Event::Connected(_)]));
    assert!(talk.client.is_up());
}

#[test]
fn a_server_that_is_not_as_it_should_be_is_left() {
    for (text, want) in [
        (
            "-ERR 'Authorization Violation'\r\n",
            Fault::Refused("Authorization Violation".into()),
        ),
        ("PING\r\n", Fault::Nonsense("no INFO".into())),
        ("INFO {\r\n", Fault::Nonsense("no INFO".into())),
        ("INFO {\"headers\":false}\r\n", Fault::TooOld),
        (
            "INFO {\"headers\":true,\"tls_required\":true}\r\n",
            Fault::NeedsTls,
        ),
        (
            "HTTP/1.1 400 Bad Request\r\n",
            Fault::Nonsense("an unknown word".into()),
        ),
    ] {
        assert_eq!(
            Talk::new(false, Memory::default()).hear(text),
            Err(want),
            "{text}"
        );
    }
}

#[test]
fn a_silent_server_is_asked_and_then_left() {
    let mut talk = Talk::up();
    let (start, seconds) = (talk.now, Duration::from_secs);
    let tick = |talk: &mut Talk, at| talk.client.tick(start + seconds(at), &mut talk.out);
    assert_eq!(tick(&mut talk, 29), Ok(()));
    assert_eq!(talk.said(), "");
    assert_eq!(tick(&mut talk, 30), Ok(()));
    assert_eq!(talk.said(), "PING\r\n");
    assert_eq!(tick(&mut talk, 45), Err(Fault::Silent("PONG", ANSWER)));
    let mut talk = Talk::up();
    talk.publish(Some(1), "a", &[], b"x");
    let late = talk.now + ACKNOWLEDGE;
    let told = talk.client.tick(late, &mut talk.out);
    assert_eq!(
        told,
        Err(Fault::Silent("acknowledgement of a stream", ACKNOWLEDGE))
    );
    let mut mute = Talk::new(false, Memory::default());
    let late = mute.now + ANSWER;
    assert_eq!(
        mute.client.tick(late, &mut mute.out),
        Err(Fault::Silent("answer", ANSWER))
    );
}

#[test]
fn what_comes_down_is_as_mqtt_would_have_it() {
    let mut talk = Talk::up();
    talk.client
        .subscribe(["down/#", "x/+"].into_iter(), &mut talk.out);
    assert_eq!(talk.said(), "SUB down.> 2\r\nSUB down 3\r\nSUB x.* 4\r\n");
    let head = "NATS/1.0\r\nfg-via: a,b\r\nNats-Msg-Id: a:1:1\r\n\r\n";
    let text = format!(
        "HMSG down.pump.set 2 {} {}\r\n{head}on\r\n",
        head.len(),
        head.len() + 2
    );
    assert_eq!(talk.hear(&text), Ok(vec![Event::Message(text.len())]));
    let incoming = incoming(text.as_bytes()).unwrap();
    let publish = incoming.publish();
    assert_eq!(
        (publish.topic, publish.payload, publish.retain),
        ("down/pump/set", &b"on"[..], false)
    );
    let user: Vec<_> = publish.properties.user_properties.iter().collect();
    assert_eq!(user, [("fg-via", "a,b"), ("fg-id", "a:1:1")]);
    assert!(super::incoming(b"MSG a..b 2 0\r\n\r\n").is_none());
}
