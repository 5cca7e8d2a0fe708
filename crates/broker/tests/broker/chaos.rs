//! Both sides lose their connections again and again, and QoS 2 still delivers exactly once.

use std::collections::{BTreeMap, BTreeSet};

use fieldgate_broker::Broker;
use fieldgate_mqtt::{AckKind, Packet, PacketId, Publish, PublishProperties};

use crate::support::*;

const MESSAGES: usize = 300;

/// Messages that a publisher has underway at a time.
const WINDOW: usize = 8;

/// The same numbers in every run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn one_in(&mut self, count: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20).is_multiple_of(count)
    }
}

/// How far the exchange of a message is, as its publisher knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Underway {
    Published(usize),
    Released,
}

fn publish(client: &mut Client, number: usize, id: u16, dup: bool) {
    let text = number.to_string();
    client.send(&Packet::Publish(Publish {
        dup,
        qos: QoS::ExactlyOnce,
        retain: false,
        topic: "chaos",
        packet_id: PacketId::new(id),
        properties: PublishProperties::default(),
        payload: text.as_bytes(),
    }));
}

/// Publishes all messages in order; returns when the last exchange is complete.
fn publisher(broker: &Broker, mut numbers: Numbers) {
    let connect = connect_v5("publisher", 60);
    let mut client = Client::open(broker, &connect);
    // By number, so that what is sent again keeps its order.
    let mut underway: BTreeMap<usize, Underway> = BTreeMap::new();
    let id = |number: usize| (number % (2 * WINDOW)) as u16 + 1;
    let mut next = 0;
    while next < MESSAGES || !underway.is_empty() {
        if numbers.one_in(12) {
            match numbers.one_in(2) {
                true => client.vanish(),
                false => drop(client),
            }
            client = Client::open(broker, &connect);
            assert!(client.greeting.session_present);
            for (&number, state) in &underway {
                match *state {
                    Underway::Published(number) => publish(&mut client, number, id(number), true),
                    Underway::Released => client.ack(AckKind::PubRel, id(number)),
                }
            }
        }
        let oldest = underway.keys().next().copied().unwrap_or(next);
        if next < MESSAGES && next < oldest + WINDOW {
            publish(&mut client, next, id(next), false);
            underway.insert(next, Underway::Published(next));
            next += 1;
            continue;
        }
        let number_of = |id_seen: u16| underway.keys().copied().find(|&n| id(n) == id_seen);
        match client.next() {
            Event::Ack(AckKind::PubRec, id, _) => {
                let number = number_of(id).unwrap();
                underway.insert(number, Underway::Released);
                client.ack(AckKind::PubRel, id);
            }
            Event::Ack(AckKind::PubComp, id, _) => {
                let number = number_of(id);
                underway.remove(&number.unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Receives all messages; returns their texts in the order in which they were new.
fn subscriber(broker: &Broker, mut client: Client, mut numbers: Numbers) -> Vec<String> {
    let mut texts = Vec::new();
    // Survives connections, as MQTT asks of a client's session.
    let mut received = BTreeSet::new();
    while texts.len() < MESSAGES || !received.is_empty() {
        if numbers.one_in(15) {
            drop(client);
            client = Client::open(broker, &connect_v5("subscriber", 60));
            assert!(client.greeting.session_present);
        }
        match client.next() {
            Event::Publish(message) => {
                if received.insert(message.id) {
                    texts.push(message.text().to_owned());
                }
                client.ack(AckKind::PubRec, message.id);
            }
            Event::Ack(AckKind::PubRel, id, _) => {
                received.remove(&id);
                client.ack(AckKind::PubComp, id);
            }
            other => panic!("{other:?}"),
        }
    }
    texts
}

#[test]
fn qos_2_delivers_exactly_once_and_in_order_though_both_sides_keep_losing_their_connections() {
    let broker = broker();
    let crowd = crowd(&broker);
    for seed in 1..=3 {
        let mut client = Client::open(&broker, &connect_v5("subscriber", 60));
        client.subscribe("chaos", QoS::ExactlyOnce);
        let texts = std::thread::scope(|scope| {
            let broker = &broker;
            scope.spawn(move || publisher(broker, Numbers(seed)));
            let subscriber = scope.spawn(move || subscriber(broker, client, Numbers(seed * 77)));
            subscriber.join().unwrap()
        });
        let want: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
        assert_eq!(texts, want, "seed {seed}");
        Client::open(&broker, &connect(Version::V5, "subscriber")).leave();
        Client::open(&broker, &connect(Version::V5, "publisher")).leave();
    }
    drop(crowd);
}
