//! Limits on what clients make the broker hold.

use fieldgate_broker::{Broker, Limits};

use crate::support::*;

#[test]
fn connections_above_the_limit_are_closed_and_those_within_it_go_on() {
    let broker = broker_with(Limits {
        connections: 2,
        ..Limits::default()
    });
    let mut first = Client::v5(&broker, "first");
    let second = Client::v5(&broker, "second");
    let mut third = Client::raw(&broker, Version::V5);
    assert_eq!(third.next(), Event::Closed);
    first.nothing_more();
    eventually(1, || broker.totals().connections_refused);
    second.leave();
    wait_until("there is room again", || {
        let mut client = Client::raw(&broker, Version::V5);
        let connect = connect(Version::V5, "third");
        let mut bytes = Vec::new();
        let packet = fieldgate_mqtt::Packet::Connect(Box::new(connect));
        packet.encode(Version::V5, &mut bytes).unwrap();
        let sent = std::io::Write::write_all(&mut client.stream(), &bytes);
        sent.is_ok() && matches!(client.next(), Event::ConnAck(_))
    });
    first.nothing_more();
}

#[test]
fn while_all_sessions_are_connected_another_is_refused_and_a_known_one_is_not() {
    let broker = broker_with(Limits {
        sessions: 2,
        ..Limits::default()
    });
    let first = Client::open(&broker, &connect_v5("a", 60));
    let mut b = Client::open(&broker, &connect_v5("b", 60));
    for (version, want) in [
        (Version::V5, ReasonCode::QUOTA_EXCEEDED.0),
        (Version::V4, ReasonCode::SERVER_UNAVAILABLE.0),
    ] {
        let mut refused = Client::greet(&broker, &connect(version, "c"));
        assert_eq!(refused.greeting.reason, want);
        assert_eq!(refused.next(), Event::Closed);
    }
    first.vanish();
    let a = Client::open(&broker, &connect_v5("a", 0));
    assert!(a.greeting.session_present);
    b.nothing_more();
    a.leave();
    Client::v5(&broker, "c").nothing_more();
}

#[test]
fn the_queue_of_an_absent_client_keeps_the_newest_and_counts_what_it_drops() {
    let broker = broker_with(Limits {
        queued: 10,
        ..Limits::default()
    });
    let mut publisher = Client::v5(&broker, "publisher");
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    client.subscribe("t", QoS::AtLeastOnce);
    client.vanish();
    for number in 0..25 {
        publisher.publish("t", &number.to_string(), QoS::AtLeastOnce);
    }
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    let newest: Vec<_> = (15..25).map(|n| n.to_string()).collect();
    assert_eq!(client.texts(10), newest);
    client.nothing_more();
    eventually(15, || broker.totals().publish_dropped);
}

#[test]
fn the_queue_of_an_absent_client_is_bounded_in_bytes_too() {
    let broker = broker_with(Limits {
        queued_bytes: 10_000,
        ..Limits::default()
    });
    let mut publisher = Client::v5(&broker, "publisher");
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    client.subscribe("t", QoS::AtLeastOnce);
    client.vanish();
    for number in 0..20 {
        let text = format!("{number}{}", "x".repeat(1_000));
        publisher.publish("t", &text, QoS::AtLeastOnce);
    }
    // Seven fit, with what the broker needs besides.
    eventually(13, || broker.totals().publish_dropped);
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    let numbers: Vec<_> = (13..20).map(|n| n.to_string()).collect();
    let texts = client.texts(7);
    let found: Vec<_> = texts.iter().map(|t| t.trim_end_matches('x')).collect();
    assert_eq!(found, numbers);
    client.nothing_more();
    client.vanish();
    // What is more than the queue may hold goes alone.
    for size in [1, 20_000, 2] {
        publisher.publish("t", &"x".repeat(size), QoS::AtLeastOnce);
    }
    let mut client = Client::open(&broker, &connect_v5("c", 60));
    assert_eq!(client.texts(2), ["x", "xx"]);
    client.nothing_more();
    eventually(14, || broker.totals().publish_dropped);
}

#[test]
fn a_client_that_reads_nothing_makes_the_broker_hold_little_however_often_it_subscribes() {
    const COUNT: usize = 2_000;
    const TIMES: usize = 20;
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut retain_all = |letter: &str| {
        let pad = letter.repeat(500);
        for number in 0..COUNT {
            let topic = format!("r/{number}");
            let publish = fieldgate_mqtt::Publish {
                retain: true,
                ..publisher.publication(&topic, pad.as_bytes(), QoS::AtMostOnce)
            };
            publisher.send(&fieldgate_mqtt::Packet::Publish(publish));
        }
        publisher.nothing_more();
    };
    retain_all("x");
    let mut greedy = Client::v5(&broker, "greedy");
    // SUBSCRIBE to `#` many times in one write, and nothing is read.
    let subscribe = [0x82, 7, 0, 1, 0, 0, 1, b'#', 0];
    greedy.send_bytes(&subscribe.repeat(TIMES));
    wait_until("the socket is full", || held(&broker, "greedy") > 64 * 1024);
    assert!(held(&broker, "greedy") < 1024 * 1024);
    retain_all("y");
    assert!(held(&broker, "greedy") < 4 * 1024 * 1024);
    // It reads on in the end, and what was replaced meanwhile comes as it is now.
    let mut kept = Vec::new();
    while kept.len() < COUNT * TIMES {
        if let Event::Publish(message) = greedy.next() {
            kept.extend(message.retain.then(|| message.text().starts_with('y')));
        }
    }
    assert!(kept[COUNT * (TIMES - 1)..].iter().all(|is_new| *is_new));
}

/// What the session of a client takes in memory.
fn held(broker: &Broker, client: &str) -> usize {
    let (found, _) = broker.door().clients(client, "", 1);
    found.first().map_or(0, |client| client.bytes)
}
