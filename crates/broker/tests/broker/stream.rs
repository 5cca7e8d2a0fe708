//! TCP gives bytes, not packets: cut anywhere, or many at once.

use fieldgate_mqtt::{AckKind, Packet, PacketId, Publish, Subscribe, SubscriptionOptions};

use crate::support::*;

fn encode(packet: &Packet<'_>, version: Version, bytes: &mut Vec<u8>) {
    packet.encode(version, bytes).unwrap();
}

/// CONNECT, SUBSCRIBE, a message that is kept, one of each other QoS, PINGREQ.
fn conversation(version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    let connect = connect(version, "talks");
    encode(&Packet::Connect(Box::new(connect)), version, &mut bytes);
    let publish = |qos: QoS, id, payload: &'static str| Publish {
        dup: false,
        qos,
        retain: id == 2,
        topic: "own",
        packet_id: PacketId::new(id),
        properties: fieldgate_mqtt::PublishProperties::default(),
        payload: payload.as_bytes(),
    };
    let kept = publish(QoS::AtLeastOnce, 2, "kept");
    encode(&Packet::Publish(kept), version, &mut bytes);
    let filters = [("own", SubscriptionOptions::new(QoS::AtMostOnce))];
    let subscribe = Subscribe::new(PacketId::MIN, &filters);
    encode(&Packet::Subscribe(subscribe), version, &mut bytes);
    for (qos, id, payload) in [(QoS::AtMostOnce, 0, "zero"), (QoS::ExactlyOnce, 3, "two")] {
        encode(
            &Packet::Publish(publish(qos, id, payload)),
            version,
            &mut bytes,
        );
    }
    encode(&Packet::PingReq, version, &mut bytes);
    bytes
}

/// What comes back. MQTT lets acknowledgements and messages mix, so they are told apart.
fn follow(client: &mut Client) {
    let version = client.version();
    let Event::ConnAck(greeting) = client.next() else {
        panic!("no CONNACK")
    };
    assert_eq!(greeting.reason, 0);
    let mut texts = Vec::new();
    let mut others = Vec::new();
    while texts.len() < 3 || others.len() < 4 {
        match client.next() {
            Event::Publish(message) => texts.push((message.text().to_owned(), message.retain)),
            other => others.push(other),
        }
    }
    let text = |text: &str, retain| (text.to_owned(), retain);
    let want = [text("kept", true), text("zero", false), text("two", false)];
    assert_eq!(texts, want, "{version:?}");
    let no_subscriber = if version == Version::V5 { 0x10 } else { 0 };
    let want = [
        Event::Ack(AckKind::PubAck, 2, no_subscriber),
        Event::SubAck(1, vec![0]),
        Event::Ack(AckKind::PubRec, 3, 0),
        Event::PingResp,
    ];
    assert_eq!(others, want, "{version:?}");
}

#[test]
fn packets_may_come_byte_by_byte_or_all_at_once() {
    for version in VERSIONS {
        let broker = broker();
        let bytes = conversation(version);
        let mut client = Client::raw(&broker, version);
        for byte in &bytes {
            client.send_bytes(std::slice::from_ref(byte));
        }
        follow(&mut client);
        for size in [2, 3, 7, 64, bytes.len()] {
            let broker = super::support::broker();
            let mut client = Client::raw(&broker, version);
            for some in bytes.chunks(size) {
                client.send_bytes(some);
            }
            follow(&mut client);
        }
    }
}

#[test]
fn thousands_of_packets_in_one_write_are_all_handled_in_order() {
    let broker = broker();
    let mut subscriber = Client::v5(&broker, "subscriber");
    subscriber.subscribe("t/#", QoS::AtMostOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    let mut bytes = Vec::new();
    let texts: Vec<_> = (0..5_000).map(|n| n.to_string()).collect();
    let topics: Vec<_> = (0..5_000).map(|n| format!("t/{}", n / 7 % 5)).collect();
    for (text, topic) in texts.iter().zip(&topics) {
        let publish = publisher.publication(topic, text.as_bytes(), QoS::AtMostOnce);
        encode(&Packet::Publish(publish), Version::V5, &mut bytes);
    }
    publisher.send_bytes(&bytes);
    assert_eq!(subscriber.texts(5_000), texts);
    publisher.nothing_more();
    subscriber.nothing_more();
}

#[test]
fn a_message_of_a_megabyte_reaches_several_subscribers_whole() {
    let broker = broker();
    let mut clients: Vec<_> = [Version::V4, Version::V5, Version::V5]
        .into_iter()
        .enumerate()
        .map(|(number, version)| {
            let id = number.to_string();
            let mut client = Client::open(&broker, &connect(version, &id));
            client.subscribe("big", QOS[number]);
            client
        })
        .collect();
    let mut publisher = Client::v5(&broker, "publisher");
    let payload: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 31 % 251) as u8).collect();
    for _ in 0..3 {
        let publish = Publish {
            retain: true,
            ..publisher.publication("big", &payload, QoS::ExactlyOnce)
        };
        assert_eq!(publisher.publish_packet(&publish), 0);
        publisher.publish("big", "small", QoS::ExactlyOnce);
        for client in &mut clients {
            let messages = [client.message(), client.message()];
            for (message, want) in messages.iter().zip([&payload[..], b"small"]) {
                assert!(message.payload == want);
                client.acknowledge(message);
                if message.qos == 2 {
                    let released = Event::Ack(AckKind::PubRel, message.id, 0);
                    assert_eq!(client.next(), released);
                    client.ack(AckKind::PubComp, message.id);
                }
            }
        }
    }
    assert_eq!(broker.totals().publish_dropped, 0);
}

#[test]
fn sizes_around_those_of_the_buffers_pass_unharmed() {
    let broker = broker();
    let mut clients = ["one", "two"].map(|id| {
        let mut client = Client::v5(&broker, id);
        client.subscribe("t", QoS::AtMostOnce);
        client
    });
    let mut publisher = Client::v5(&broker, "publisher");
    for around in [127, 8 * 1024, 16_383, 32 * 1024, 65_535, 128 * 1024] {
        for size in around - 12..around + 3 {
            let payload = vec![size as u8; size];
            let publish = publisher.publication("t", &payload, QoS::AtMostOnce);
            publisher.send(&Packet::Publish(publish));
            for client in &mut clients {
                assert!(client.message().payload == payload, "{size}");
            }
        }
    }
}
