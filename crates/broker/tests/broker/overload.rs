//! Subscribers slower than their publishers.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use fieldgate_broker::{Broker, Limits};
use fieldgate_mqtt::{AckKind, Packet};

use crate::support::*;

/// A client whose kernel buffers hold little.
fn stalled(broker: &Broker, id: &str, filter: &str) -> Client {
    let mut client = Client::v5(broker, id);
    let socket = socket2::SockRef::from(client.stream());
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    client.subscribe(filter, QoS::AtMostOnce);
    client
}

#[test]
fn a_subscriber_that_does_not_read_pauses_only_its_publisher_for_a_bounded_time() {
    const COUNT: usize = 4_000;
    let limit = Duration::from_secs(1);
    let broker = broker_with(Limits {
        backpressure: limit,
        outbox_bytes: 1 << 20,
        ..Limits::default()
    });
    let mut slow = stalled(&broker, "slow", "flood");
    let mut flood = Client::v5(&broker, "flood");
    let started = Instant::now();
    let flooding = std::thread::spawn(move || {
        let payload = [b'x'; 4_000];
        for _ in 0..COUNT {
            let publish = flood.publication("flood", &payload, QoS::AtMostOnce);
            flood.send(&Packet::Publish(publish));
        }
        flood.nothing_more();
        flood
    });
    wait_until("the publisher is paused", || broker.totals().pauses > 0);
    let mut pair = Client::v5(&broker, "pair");
    pair.subscribe("calm", QoS::AtLeastOnce);
    let mut calm = Client::v5(&broker, "calm");
    for number in 0..100 {
        let text = number.to_string();
        calm.publish("calm", &text, QoS::AtLeastOnce);
        assert_eq!(pair.texts(1), [text]);
    }
    // No publisher has given up yet: the pair did not wait for the slow one.
    assert_eq!(broker.totals().slow_subscribers, 0);
    let mut flood = flooding.join().unwrap();
    // It stood still, so a fifth of the limit is enough.
    assert!(started.elapsed() >= limit / 5);
    assert_eq!(broker.totals().slow_subscribers, 1);
    // The rest is all there, and whole.
    slow.send(&Packet::PingReq);
    let mut received = 0;
    while let Event::Publish(message) = slow.next() {
        assert!(message.payload == [b'x'; 4_000]);
        received += 1;
    }
    assert!(received < COUNT);
    eventually((COUNT - received) as u64, || {
        broker.totals().publish_dropped
    });
    flood.publish("flood", "again", QoS::AtMostOnce);
    assert_eq!(slow.message().text(), "again");
}

#[test]
fn a_burst_of_qos_1_to_a_subscriber_with_a_small_window_loses_nothing() {
    const COUNT: usize = 5_000;
    let broker = broker();
    let mut connect = connect(Version::V5, "subscriber");
    connect.properties.receive_maximum = NonZeroU16::new(10);
    let mut subscriber = Client::open(&broker, &connect);
    subscriber.subscribe("burst", QoS::AtLeastOnce);
    let texts: Vec<_> = (0..COUNT).map(|n| n.to_string()).collect();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut bytes = Vec::new();
    for text in &texts {
        let publish = publisher.publication("burst", text.as_bytes(), QoS::AtLeastOnce);
        let packet = Packet::Publish(publish);
        packet.encode(Version::V5, &mut bytes).unwrap();
    }
    publisher.send_bytes(&bytes);
    assert_eq!(subscriber.texts(COUNT), texts);
    for _ in 0..COUNT {
        assert!(matches!(
            publisher.next(),
            Event::Ack(AckKind::PubAck, _, 0)
        ));
    }
    assert_eq!(broker.totals().publish_dropped, 0);
}

#[test]
fn more_than_the_queue_holds_waits_in_the_publishers_and_none_is_lost() {
    const PUBLISHERS: usize = 40;
    const EACH: usize = 3_000;
    let broker = broker();
    let _crowd = crowd(&broker);
    let mut connect = connect(Version::V5, "subscriber");
    connect.properties.receive_maximum = NonZeroU16::new(50);
    let mut subscriber = Client::open(&broker, &connect);
    subscriber.subscribe("burst/+", QoS::AtLeastOnce);
    let mut publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let topic = format!("burst/{number}");
            let mut client = Client::v5(&broker, &topic);
            let mut bytes = Vec::new();
            for text in 0..EACH {
                let text = text.to_string();
                let publish = client.publication(&topic, text.as_bytes(), QoS::AtLeastOnce);
                let packet = Packet::Publish(publish);
                packet.encode(Version::V5, &mut bytes).unwrap();
            }
            (client, bytes)
        })
        .collect();
    let mut next = [0; PUBLISHERS];
    std::thread::scope(|scope| {
        for (client, bytes) in &mut publishers {
            scope.spawn(|| {
                client.send_bytes(bytes);
                for _ in 0..EACH {
                    let event = client.next();
                    assert!(matches!(event, Event::Ack(AckKind::PubAck, _, 0)));
                }
            });
        }
        for _ in 0..PUBLISHERS * EACH {
            let message = subscriber.message();
            subscriber.acknowledge(&message);
            let publisher: usize = message.topic[6..].parse().unwrap();
            let dropped = broker.totals().publish_dropped;
            assert_eq!(
                message.text(),
                next[publisher].to_string(),
                "{dropped} dropped"
            );
            next[publisher] += 1;
        }
    });
    assert_eq!(broker.totals().publish_dropped, 0);
}

#[test]
fn a_slow_reader_that_still_pings_is_not_taken_for_dead() {
    let broker = broker_with(Limits {
        backpressure: Duration::from_millis(100),
        ..Limits::default()
    });
    let mut connect = connect(Version::V5, "slow");
    connect.keep_alive = 1;
    let mut slow = Client::open(&broker, &connect);
    let socket = socket2::SockRef::from(slow.stream());
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    slow.subscribe("flood", QoS::AtMostOnce);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut flood = Client::v5(&broker, "flood");
            let payload = [b'x'; 4_000];
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for _ in 0..50 {
                    let publish = flood.publication("flood", &payload, QoS::AtMostOnce);
                    flood.send(&Packet::Publish(publish));
                }
                flood.nothing_more();
            }
        });
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(2_500) {
            slow.send(&Packet::PingReq);
            // A few messages, then a rest: far slower than they come.
            for _ in 0..3 {
                assert!(matches!(slow.next(), Event::Publish(_) | Event::PingResp));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(broker.totals().publish_dropped > 0);
    assert_eq!(broker.totals().timeouts, 0);
}
