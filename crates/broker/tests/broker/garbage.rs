//! Thousands of broken packets, while well-behaved clients go on.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fieldgate_mqtt::{
    Ack, AckKind, AckProperties, Disconnect, Packet, PacketId, Publish, PublishProperties,
    Subscribe, SubscriptionOptions, Unsubscribe, encode_ack,
};

use crate::support::*;

/// Packets in all, over all connections.
const PACKETS: usize = 6_000;

/// The same numbers in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }
}

/// A valid packet of any type, as it would be in `version`.
fn valid(numbers: &mut Numbers, version: Version, out: &mut Vec<u8>) {
    let id = PacketId::new(1 + numbers.below(20) as u16).unwrap();
    let qos = QOS[numbers.below(3)];
    let topic = ["a", "garbage/x", "é", "a/b/c/d/e"][numbers.below(4)];
    let payload = vec![b'g'; numbers.below(300)];
    let filters = [
        (topic, SubscriptionOptions::new(qos)),
        ("garbage/#", SubscriptionOptions::new(qos)),
    ];
    let topics = [topic];
    let ack = Ack {
        packet_id: id,
        reason: ReasonCode::SUCCESS,
        properties: AckProperties {
            reason_string: Some("because"),
            ..AckProperties::default()
        },
    };
    let packet = match numbers.below(10) {
        0 => Packet::Connect(Box::new(connect(version, "again"))),
        1 => Packet::Subscribe(Subscribe::new(id, &filters)),
        2 => Packet::Unsubscribe(Unsubscribe::new(id, &topics)),
        3 => Packet::PingReq,
        4 => Packet::Disconnect(Disconnect::default()),
        5 => Packet::PubRel(ack),
        6 => {
            let kinds = [AckKind::PubAck, AckKind::PubRec, AckKind::PubComp];
            return encode_ack(
                out,
                version,
                kinds[numbers.below(3)],
                id,
                ReasonCode::SUCCESS,
            );
        }
        _ => Packet::Publish(Publish {
            dup: false,
            qos,
            retain: numbers.below(4) == 0,
            topic,
            packet_id: Some(id),
            properties: PublishProperties {
                content_type: Some("x/y"),
                message_expiry: Some(10),
                ..PublishProperties::default()
            },
            payload: &payload,
        }),
    };
    packet.encode(version, out).unwrap();
}

/// Changes, cuts, doubles or inserts bytes.
fn mutate(numbers: &mut Numbers, packet: &mut Vec<u8>) {
    for _ in 0..1 + numbers.below(3) {
        if packet.is_empty() {
            return packet.push(numbers.next() as u8);
        }
        let at = numbers.below(packet.len());
        match numbers.below(5) {
            0 => packet[at] = numbers.next() as u8,
            1 => packet[at] ^= 1 << numbers.below(8),
            2 => packet.truncate(at),
            3 => packet.insert(at, numbers.next() as u8),
            _ => packet.extend_from_within(at..),
        }
    }
}

/// Opens connections and sends mutated packets on each until the broker has had enough of it.
fn throw(broker: &fieldgate_broker::Broker, seed: u64, packets: usize) {
    let mut numbers = Numbers(seed);
    let mut left = packets;
    while left > 0 {
        let version = VERSIONS[numbers.below(3)];
        let mut bytes = Vec::new();
        let greeting = Packet::Connect(Box::new(connect(version, "garbage")));
        greeting.encode(version, &mut bytes).unwrap();
        if numbers.below(3) == 0 {
            mutate(&mut numbers, &mut bytes);
        }
        for _ in 0..left.min(1 + numbers.below(20)) {
            let mut packet = Vec::new();
            valid(&mut numbers, version, &mut packet);
            if numbers.below(2) == 0 {
                mutate(&mut numbers, &mut packet);
            }
            bytes.extend_from_slice(&packet);
            left -= 1;
        }
        let client = Client::raw(broker, version);
        // The broker may have closed the connection in the middle of it.
        for some in bytes.chunks(1 + numbers.below(200)) {
            if client.stream().write_all(some).is_err() {
                break;
            }
        }
        let _ = client.stream().shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.stream().read_to_end(&mut answer);
    }
}

#[test]
fn garbage_on_some_connections_costs_the_others_nothing() {
    let broker = broker_with(fieldgate_broker::Limits {
        connect_timeout: Duration::from_secs(2),
        ..fieldgate_broker::Limits::default()
    });
    let crowd = crowd(&broker);
    let done = AtomicBool::new(false);
    let exchanged = std::thread::scope(|scope| {
        let throwers: Vec<_> = (1..=4)
            .map(|seed| {
                let broker = &broker;
                scope.spawn(move || throw(broker, seed * 0x9E37_79B9, PACKETS / 4))
            })
            .collect();
        let good = scope.spawn(|| {
            let mut subscriber = Client::v5(&broker, "good subscriber");
            subscriber.subscribe("good", QoS::AtLeastOnce);
            let mut publisher = Client::v5(&broker, "good publisher");
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let text = format!("good {count}");
                assert_eq!(publisher.publish("good", &text, QoS::AtLeastOnce), 0);
                assert_eq!(subscriber.texts(1), [text]);
                count += 1;
            }
            count
        });
        for thrower in throwers {
            thrower.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        good.join().unwrap()
    });
    assert!(exchanged > 0);
    for version in VERSIONS {
        let mut client = Client::open(&broker, &connect(version, "afterwards"));
        client.subscribe("good", QoS::AtMostOnce);
        client.publish("nothing", "x", QoS::ExactlyOnce);
        client.nothing_more();
    }
    drop(crowd);
    assert!(broker.totals().protocol_errors > 100);
    wait_until("all connections are closed", || broker.connected() == 0);
    assert!(wait_for(broker.is_alive(Duration::from_secs(5))));
}
