//! CONNECT, its answer, and how long a silent client is kept.

use std::io::Read;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use fieldgate_broker::{Config, Limits};
use fieldgate_mqtt::{Auth, Connect, ConnectProperties, Packet};

use crate::support::*;

#[test]
fn the_identifiers_of_the_programs_own_clients_are_refused() {
    let broker = broker();
    for version in VERSIONS {
        for (id, is_refused) in [
            ("$link/$SYS", true),
            ("$link/", true),
            ("$link", false),
            ("x$link/", false),
        ] {
            let client = Client::greet(&broker, &connect(version, id));
            let want = match is_refused {
                false => ReasonCode::SUCCESS.0,
                true => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID.0,
            };
            assert_eq!(client.greeting.reason, want, "{id} in {version:?}");
        }
    }
}

#[test]
fn clients_of_all_versions_meet_on_one_port_with_every_qos() {
    let broker = broker();
    for from in VERSIONS {
        for to in VERSIONS {
            let mut subscriber = Client::open(&broker, &connect(to, "subscriber"));
            let mut publisher = Client::open(&broker, &connect(from, "publisher"));
            subscriber.subscribe("a/+", QoS::ExactlyOnce);
            for qos in QOS {
                let text = format!("{from:?} {to:?} {qos:?}");
                assert_eq!(publisher.publish("a/b", &text, qos), 0);
                let message = subscriber.message();
                assert_eq!(message.clone().anonymous(), got("a/b", &text, qos as u8));
                finish(&mut subscriber, &message);
            }
            subscriber.nothing_more();
        }
    }
}

/// Goes through the whole exchange of a message.
fn finish(subscriber: &mut Client, message: &Got) {
    use fieldgate_mqtt::AckKind;
    subscriber.acknowledge(message);
    if message.qos == 2 {
        let released = Event::Ack(AckKind::PubRel, message.id, 0);
        assert_eq!(subscriber.next(), released);
        subscriber.ack(AckKind::PubComp, message.id);
    }
}

#[test]
fn the_qos_of_a_message_is_that_of_publisher_and_subscription_whichever_is_lower() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    for granted in QOS {
        let mut subscriber = Client::v5(&broker, "subscriber");
        subscriber.subscribe("t", granted);
        for published in QOS {
            publisher.publish("t", "x", published);
            let message = subscriber.message();
            assert_eq!(message.qos, published.min(granted) as u8);
            finish(&mut subscriber, &message);
        }
    }
}

#[test]
fn the_answer_to_connect_says_the_limits_and_an_identifier_for_a_client_without() {
    let broker = broker();
    let first = Client::open(&broker, &connect(Version::V5, ""));
    let second = Client::open(&broker, &connect(Version::V5, ""));
    assert_ne!(first.greeting.assigned, second.greeting.assigned);
    let assigned = first.greeting.assigned.clone();
    assert!(assigned.is_some_and(|id| !id.is_empty()));
    let expected = Greeting {
        assigned: first.greeting.assigned.clone(),
        receive_maximum: Some(1_024),
        maximum_packet_size: Some(2 << 20),
        topic_alias_maximum: 64,
        ..Greeting::default()
    };
    assert_eq!(first.greeting, expected);
    assert_eq!(Client::v5(&broker, "named").greeting.assigned, None);
}

#[test]
fn a_keep_alive_above_the_limit_is_overruled_where_the_client_can_be_told() {
    let broker = broker_with(Limits {
        keep_alive: 60,
        ..Limits::default()
    });
    for (version, asked, told) in [
        (Version::V5, 120, Some(60)),
        (Version::V5, 0, Some(60)),
        (Version::V5, 60, None),
        (Version::V5, 5, None),
        (Version::V4, 120, None),
    ] {
        let connect = Connect {
            keep_alive: asked,
            ..connect(version, "c")
        };
        let client = Client::open(&broker, &connect);
        assert_eq!(client.greeting.keep_alive, told, "{version:?} {asked}");
    }
}

#[test]
fn an_empty_client_identifier_is_accepted_where_the_version_allows_it() {
    let broker = broker();
    for (version, clean_start, want) in [
        (Version::V3, true, 0x85),
        (Version::V4, true, 0),
        (Version::V4, false, 0x85),
        (Version::V5, true, 0),
        (Version::V5, false, 0),
    ] {
        let connect = Connect {
            clean_start,
            ..connect(version, "")
        };
        let mut client = Client::greet(&broker, &connect);
        assert_eq!(client.greeting.reason, want, "{connect:?}");
        if want > 0 {
            assert_eq!(client.next(), Event::Closed, "{connect:?}");
        }
    }
}

#[test]
fn an_unknown_protocol_is_refused_in_a_form_that_its_client_understands() {
    let broker = broker();
    for (name, level, want) in [
        (&b"MQTT"[..], 6, Some(&[0x20, 3, 0, 0x84][..])),
        (b"MQTT", 3, Some(&[0x20, 2, 0, 1])),
        (b"MQIsdp", 4, Some(&[0x20, 2, 0, 1])),
        (b"AMQP", 4, None),
    ] {
        let mut packet = vec![0x10, (2 + name.len() + 1 + 1 + 2 + 3) as u8, 0];
        packet.push(name.len() as u8);
        packet.extend_from_slice(name);
        packet.extend_from_slice(&[level, 2, 0, 60, 0, 1, b'c']);
        let mut client = Client::raw(&broker, Version::V5);
        client.send_bytes(&packet);
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut client.stream(), &mut answer).unwrap();
        match want {
            // The length is that of the properties; the first bytes tell enough.
            Some([kind, 3, rest @ ..]) => {
                assert_eq!(answer[0], *kind, "{name:?} {level}");
                assert_eq!(answer[2..4], *rest, "{name:?} {level}");
            }
            Some(want) => assert_eq!(answer, want, "{name:?} {level}"),
            None => assert_eq!(answer, [], "{name:?} {level}"),
        }
    }
}

#[test]
fn the_first_packet_must_be_connect_and_it_must_come_in_time() {
    let broker = broker_with(Limits {
        connect_timeout: Duration::from_millis(200),
        ..Limits::default()
    });
    for first in [&[0xC0, 0][..], &[0x30, 3, 0, 1, b'a'], &[0xE0, 0], &[0]] {
        let mut client = Client::raw(&broker, Version::V5);
        client.send_bytes(first);
        assert_eq!(client.next(), Event::Closed, "{first:?}");
    }
    for first in [&[][..], &[0x10], &[0x10, 13, 0, 4, b'M', b'Q']] {
        let mut client = Client::raw(&broker, Version::V5);
        client.send_bytes(first);
        assert_eq!(client.next(), Event::Closed, "{first:?}");
    }
    assert_eq!(broker.totals().timeouts, 3);
    wait_until("all connections have ended", || broker.connected() == 0);
}

#[test]
fn a_second_connect_ends_the_connection() {
    let broker = broker();
    for version in VERSIONS {
        let connect = connect(version, "twice");
        let mut client = Client::open(&broker, &connect);
        client.send(&Packet::Connect(Box::new(connect)));
        if version == Version::V5 {
            client.disconnected_with(ReasonCode::PROTOCOL_ERROR);
        } else {
            assert_eq!(client.next(), Event::Closed);
        }
    }
}

#[test]
fn enhanced_authentication_is_refused_and_auth_alone_is_a_protocol_error() {
    let broker = broker();
    let connect = Connect {
        properties: ConnectProperties {
            authentication_method: Some("SCRAM-SHA-256"),
            authentication_data: Some(b"client-first"),
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, "scram")
    };
    let mut client = Client::greet(&broker, &connect);
    let refused = ReasonCode::BAD_AUTHENTICATION_METHOD;
    assert_eq!(client.greeting.reason, refused.0);
    assert_eq!(client.next(), Event::Closed);

    let mut client = Client::v5(&broker, "auth");
    client.send(&Packet::Auth(Auth {
        reason: ReasonCode::RE_AUTHENTICATE,
        method: Some("SCRAM-SHA-256"),
        ..Auth::default()
    }));
    client.disconnected_with(ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn a_client_identifier_may_be_of_any_characters() {
    let broker = broker();
    let long = "x".repeat(65_535);
    for id in ["$SYS/x", "a/b/#", "ключ 🗝", " ", &long] {
        for version in VERSIONS {
            let mut client = Client::open(&broker, &connect(version, id));
            client.nothing_more();
        }
    }
}

#[test]
fn a_user_name_and_a_password_do_not_keep_an_anonymous_client_out() {
    let broker = start(Config {
        allow_anonymous: true,
        ..config()
    });
    for version in VERSIONS {
        let connect = Connect {
            username: Some("user"),
            password: Some(b"secret"),
            ..connect(version, "c")
        };
        Client::open(&broker, &connect).nothing_more();
    }
}

#[test]
fn a_client_silent_for_one_and_a_half_keep_alives_is_disconnected_and_others_are_not() {
    let broker = broker();
    let with = |version, id, keep_alive| Connect {
        keep_alive,
        ..connect(version, id)
    };
    let mut for_ever = Client::open(&broker, &with(Version::V5, "for-ever", 0));
    let mut silent_v4 = Client::open(&broker, &with(Version::V4, "v4", 1));
    let started = Instant::now();
    let mut silent = Client::open(&broker, &with(Version::V5, "v5", 1));
    let mut alive = Client::open(&broker, &with(Version::V5, "alive", 1));
    let pings = std::thread::spawn(move || {
        // Longer than 1.5 keep-alives in all, never that long at a time.
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(400));
            alive.nothing_more();
        }
    });
    silent.disconnected_with(ReasonCode::KEEP_ALIVE_TIMEOUT);
    let silence = started.elapsed().as_millis();
    assert!((1_450..5_000).contains(&silence), "{silence} ms");
    assert_eq!(silent_v4.next(), Event::Closed);
    pings.join().unwrap();
    for_ever.nothing_more();
    assert_eq!(broker.totals().timeouts, 2);
}

#[test]
fn a_connack_is_never_bigger_than_the_client_takes() {
    let broker = broker();
    // Fixed header, flags, code and length of properties are 5 bytes, which is all that a refusal
    // needs; success has more to say.
    for (maximum, least) in [(4, 0), (5, 5), (20, 5), (100, 40)] {
        let mut client = Client::raw(&broker, Version::V5);
        let connect = Connect {
            client_id: "",
            properties: ConnectProperties {
                maximum_packet_size: NonZeroU32::new(maximum),
                authentication_method: Some("none"),
                ..ConnectProperties::default()
            },
            ..connect(Version::V5, "")
        };
        client.send(&Packet::Connect(Box::new(connect)));
        let mut said = Vec::new();
        client.stream().read_to_end(&mut said).unwrap();
        assert!(said.len() <= maximum as usize, "{maximum}: {said:02x?}");
        assert!(said.len() >= least, "{maximum}: {said:02x?}");
    }
    let small = Connect {
        properties: ConnectProperties {
            maximum_packet_size: NonZeroU32::new(10),
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, "small")
    };
    let mut client = Client::raw(&broker, Version::V5);
    client.send(&Packet::Connect(Box::new(small)));
    let mut said = Vec::new();
    client.stream().read_to_end(&mut said).unwrap();
    assert_eq!(said, [0x20, 3, 0, ReasonCode::PACKET_TOO_LARGE.0, 0]);
}
