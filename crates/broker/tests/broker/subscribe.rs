//! SUBSCRIBE, UNSUBSCRIBE, and what a subscription's options change.

use std::collections::HashSet;

use fieldgate_broker::Limits;
use fieldgate_mqtt::{Packet, PacketId, Publish, Subscribe, SubscriptionOptions, Unsubscribe};

use crate::support::*;

fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions::new(qos)
}

#[test]
fn each_filter_of_a_subscribe_gets_its_own_answer() {
    let broker = broker();
    let filters = [
        ("a", 0x00, 0),
        ("a/#", 0x01, 1),
        ("$share/g/a", 0x02, 2),
        ("/", 0x00, 0),
        ("+/+", 0x01, 1),
        ("$SYS/#", 0x02, 2),
    ];
    for version in VERSIONS {
        let mut client = Client::open(&broker, &connect(version, "c"));
        let asked = filters.map(|(filter, _, v3)| {
            let qos = QoS::from_u8(v3).unwrap_or(QoS::ExactlyOnce);
            (filter, options(qos))
        });
        let v5 = version == Version::V5;
        let want = filters.map(|(_, in_v5, in_v3)| if v5 { in_v5 } else { in_v3 });
        assert_eq!(client.subscribe_to(None, &asked), want, "{version:?}");
    }
    // Before MQTT 5.0 these are well formed, and still make no subscription here.
    for version in [Version::V3, Version::V4] {
        let mut client = Client::open(&broker, &connect(version, "c"));
        for filter in ["$share/g", "$share/g/", "$share//a", "$share/+/a"] {
            let codes = client.subscribe_to(None, &[(filter, options(QoS::AtMostOnce))]);
            assert_eq!(codes, [0x80], "{filter} in {version:?}");
        }
    }
}

#[test]
fn unsubscribe_says_which_subscriptions_there_were_and_they_end() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    for version in VERSIONS {
        let mut client = Client::open(&broker, &connect(version, "c"));
        client.subscribe("a", QoS::AtMostOnce);
        client.subscribe("a/#", QoS::AtMostOnce);
        client.subscribe("$share/g/s", QoS::AtMostOnce);
        let codes = client.unsubscribe(&["a", "b", "a/#", "a", "$share/g/s"]);
        if version == Version::V5 {
            assert_eq!(codes, [0, 0x11, 0, 0x11, 0]);
        } else {
            assert_eq!(codes, [0; 0]);
        }
        for topic in ["a", "a/b", "s"] {
            assert_eq!(publisher.publish(topic, "x", QoS::AtLeastOnce), 0x10);
        }
        client.nothing_more();
    }
}

#[test]
fn an_acknowledgement_says_when_there_is_no_subscriber() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut subscriber = Client::v5(&broker, "subscriber");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(publisher.publish("t", "x", qos), 0x10, "{qos:?}");
    }
    subscriber.subscribe("t", QoS::AtMostOnce);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(publisher.publish("t", "x", qos), 0, "{qos:?}");
    }
    let mut old = Client::open(&broker, &connect(Version::V4, "old"));
    assert_eq!(old.publish("unread", "x", QoS::AtLeastOnce), 0);
}

#[test]
fn overlapping_subscriptions_deliver_once_with_the_highest_qos_and_all_identifiers() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut client = Client::v5(&broker, "c");
    for (id, filter, qos) in [
        (Some(7), "a/#", QoS::AtMostOnce),
        (Some(268_435_455), "a/+", QoS::AtLeastOnce),
        (None, "+/b", QoS::AtMostOnce),
        (Some(9), "x", QoS::AtMostOnce),
    ] {
        let codes = client.subscribe_to(id, &[(filter, options(qos))]);
        assert_eq!(codes, [qos as u8]);
    }
    let ids = |client: &mut Client| {
        let mut message = client.message();
        client.acknowledge(&message);
        message.subscription_ids.sort_unstable();
        (message.qos, message.subscription_ids)
    };
    publisher.publish("a/b", "x", QoS::ExactlyOnce);
    assert_eq!(ids(&mut client), (1, vec![7, 268_435_455]));
    publisher.publish("c/b", "x", QoS::ExactlyOnce);
    assert_eq!(ids(&mut client), (0, vec![]));
    // A subscription made again changes its identifier and its QoS.
    client.subscribe_to(Some(8), &[("a/#", options(QoS::ExactlyOnce))]);
    publisher.publish("a/b/c", "x", QoS::AtLeastOnce);
    assert_eq!(ids(&mut client), (1, vec![8]));
    client.subscribe_to(None, &[("a/#", options(QoS::AtMostOnce))]);
    publisher.publish("a/b/c", "x", QoS::AtLeastOnce);
    assert_eq!(ids(&mut client), (0, vec![]));
    client.nothing_more();
}

#[test]
fn identifiers_stay_with_a_message_that_is_queued_or_sent_again() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    for (id, filter) in [(3, "a"), (4, "#")] {
        client.subscribe_to(Some(id), &[(filter, options(QoS::AtLeastOnce))]);
    }
    publisher.publish("a", "sent", QoS::AtLeastOnce);
    client.message();
    client.vanish();
    publisher.publish("a", "queued", QoS::AtLeastOnce);
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    for text in ["sent", "queued"] {
        let mut message = client.message();
        message.subscription_ids.sort_unstable();
        assert_eq!(
            (message.text(), &message.subscription_ids[..]),
            (text, &[3, 4][..])
        );
    }
}

#[test]
fn a_no_local_subscription_leaves_out_the_clients_own_messages() {
    let broker = broker();
    let mut own = Client::v5(&broker, "own");
    let mut other = Client::v5(&broker, "other");
    let no_local = SubscriptionOptions {
        no_local: true,
        ..options(QoS::AtMostOnce)
    };
    assert_eq!(own.subscribe_to(None, &[("t/#", no_local)]), [0]);
    own.publish("t/a", "own", QoS::AtLeastOnce);
    own.nothing_more();
    other.publish("t/a", "other", QoS::AtLeastOnce);
    assert_eq!(own.message().text(), "other");
    // Another subscription that matches counts for itself.
    own.subscribe("t/a", QoS::AtMostOnce);
    own.send(&Packet::Publish(own_message()));
    assert_eq!(own.message().text(), "own again");
    own.nothing_more();
}

fn own_message() -> Publish<'static> {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "t/a",
        packet_id: None,
        properties: fieldgate_mqtt::PublishProperties::default(),
        payload: b"own again",
    }
}

#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let broker = broker();
    let mut client = Client::v5(&broker, "c");
    let no_local = SubscriptionOptions {
        no_local: true,
        ..options(QoS::AtMostOnce)
    };
    let id = PacketId::new(1).unwrap();
    let filters = [("$share/g/t", no_local)];
    client.send(&Packet::Subscribe(fieldgate_mqtt::Subscribe::new(
        id, &filters,
    )));
    client.disconnected_with(ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn topics_may_begin_with_any_letter_and_levels_may_be_empty() {
    let broker = broker();
    let mut client = Client::v5(&broker, "c");
    let mut publisher = Client::v5(&broker, "publisher");
    client.subscribe("#", QoS::AtMostOnce);
    let topics = [
        "/",
        "//",
        "/a",
        "a/",
        " ",
        "é/ü",
        "温度/室内",
        "🌡",
        "%",
        "-",
        "0",
        "\u{FEFF}a",
        "\u{1}",
        "share/g/a",
        "a$",
    ];
    for topic in topics {
        publisher.publish(topic, topic, QoS::AtLeastOnce);
        assert_eq!(client.message(), got(topic, topic, 0));
    }
    let long = "x".repeat(65_535);
    publisher.publish(&long, "", QoS::AtLeastOnce);
    assert_eq!(client.message(), got(&long, "", 0));
}

#[test]
fn what_a_session_may_subscribe_to_is_bounded() {
    let broker = broker_with(Limits {
        subscriptions: 2,
        ..Limits::default()
    });
    let mut client = Client::v5(&broker, "c");
    for (filter, want) in [("a/b/c", 0), ("b", 0), ("c", 0x97), ("b", 0)] {
        let codes = client.subscribe_to(None, &[(filter, options(QoS::AtMostOnce))]);
        assert_eq!(codes, [want], "{filter}");
    }
    assert_eq!(client.unsubscribe(&["b"]), [0]);
    client.subscribe("c", QoS::AtMostOnce);
    client.nothing_more();
}

#[test]
fn a_name_may_have_as_many_levels_as_fit() {
    let broker = broker();
    let mut client = Client::v5(&broker, "c");
    let name = "/".repeat(65_535);
    for filter in [&*name, "#", &"+/".repeat(30_000)] {
        let codes = client.subscribe_to(None, &[(filter, options(QoS::AtMostOnce))]);
        assert_eq!(codes, [0], "{} bytes", filter.len());
    }
    client.retain(&name, "kept");
    // Three of its filters match.
    assert!(client.message().topic == name);
    let mut late = Client::v5(&broker, "late");
    late.subscribe("#", QoS::AtMostOnce);
    assert!(late.message().topic == name);
    client.retain(&name, "");
    client.message();
    assert_eq!(client.unsubscribe(&[&*name]), [0]);
    late.message();
    late.nothing_more();
}

#[test]
fn a_retain_handling_of_3_and_a_qos_of_3_are_protocol_errors() {
    let broker = broker();
    for options in [0x30, 0x03] {
        let mut client = Client::v5(&broker, "c");
        client.send_bytes(&[0x82, 7, 0, 1, 0, 0, 1, b'a', options]);
        client.disconnected_with(ReasonCode::PROTOCOL_ERROR);
    }
    let mut client = Client::v5(&broker, "c");
    let id = PacketId::new(1).unwrap();
    client.send(&Packet::Unsubscribe(Unsubscribe::new(id, &[])));
    client.disconnected_with(ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn a_packet_of_thousands_of_filters_takes_many_turns_and_has_one_answer() {
    const FILTERS: usize = 4_000;
    let broker = broker_with(Limits {
        subscriptions: FILTERS,
        ..Limits::default()
    });
    let mut publisher = Client::v5(&broker, "publisher");
    let deep = "x/".repeat(40);
    let filters: Vec<String> = (0..FILTERS).map(|at| format!("{at}/{deep}")).collect();
    // Each tenth has a retained message.
    for filter in filters.iter().step_by(10) {
        publisher.retain(filter, filter);
    }
    let mut client = Client::v5(&broker, "c");
    let wanted: Vec<_> = filters
        .iter()
        .map(|filter| (filter.as_str(), options(QoS::AtMostOnce)))
        .collect();
    let codes = client.subscribe_to(None, &wanted);
    assert_eq!(codes, vec![0; FILTERS]);
    for filter in filters.iter().step_by(10) {
        assert_eq!(client.message().topic, *filter);
    }
    // The second time each of this half is no more.
    let (half, _) = filters.split_at(FILTERS / 2);
    let mut list: Vec<&str> = half.iter().map(String::as_str).collect();
    list.extend(half.iter().map(String::as_str));
    let codes = client.unsubscribe(&list);
    let want: Vec<u8> = [vec![0; FILTERS / 2], vec![0x11; FILTERS / 2]].concat();
    assert_eq!(codes, want);
    for (at, want) in [
        (0, 0x10),
        (FILTERS / 2 - 1, 0x10),
        (FILTERS / 2, 0),
        (FILTERS - 1, 0),
    ] {
        let answer = publisher.publish(&filters[at], "x", QoS::AtLeastOnce);
        assert_eq!(answer, want, "{at}");
    }
}

#[test]
fn no_retained_message_comes_after_a_newer_one_of_its_topic() {
    const TOPICS: usize = 20_000;
    let broker = broker();
    let topics: Vec<String> = (0..TOPICS).map(|at| format!("t/{at}")).collect();
    let write = |client: &mut Client, payload: &'static [u8]| {
        for topic in &topics {
            let publish = client.publication(topic, payload, QoS::AtMostOnce);
            client.send(&Packet::Publish(Publish {
                retain: true,
                ..publish
            }));
        }
        client.nothing_more();
    };
    let mut publisher = Client::v5(&broker, "publisher");
    write(&mut publisher, b"old");
    let mut client = Client::v5(&broker, "c");
    let packet_id = PacketId::new(1).unwrap();
    let filters = [("t/+", options(QoS::AtMostOnce))];
    client.send(&Packet::Subscribe(Subscribe::new(packet_id, &filters)));
    let mut renewed = HashSet::new();
    std::thread::scope(|scope| {
        scope.spawn(|| write(&mut publisher, b"new"));
        assert!(matches!(client.next(), Event::SubAck(..)));
        while renewed.len() < TOPICS {
            let got = client.message();
            match got.text() {
                "new" => drop(renewed.insert(got.topic)),
                _ => assert!(!renewed.contains(&got.topic), "{}", got.topic),
            }
        }
    });
    client.send(&Packet::PingReq);
    while let Event::Publish(got) = client.next() {
        assert_eq!(got.text(), "new", "{}", got.topic);
    }
}

#[test]
fn one_filter_named_again_and_again_in_a_packet_counts_as_memory() {
    let broker = broker_with(Limits {
        memory: 4 << 20,
        ..Limits::default()
    });
    let mut client = Client::v5(&broker, "c");
    let many = vec![("a", options(QoS::AtMostOnce)); 240_000];
    let packet_id = PacketId::new(1).unwrap();
    client.send(&Packet::Subscribe(Subscribe::new(packet_id, &many)));
    assert_eq!(client.next(), Event::Disconnect(0x97));
    let mut other = Client::v5(&broker, "other");
    assert_eq!(
        other.subscribe_to(None, &[("a", options(QoS::AtMostOnce))]),
        [0]
    );
}
