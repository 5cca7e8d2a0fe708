//! Topic aliases in both directions.

use std::num::NonZeroU16;

use fieldgate_broker::Limits;
use fieldgate_mqtt::{Connect, ConnectProperties, Packet, Publish, PublishProperties};

use crate::support::*;

fn with_alias(topic: &'static str, alias: u16, payload: &'static str) -> Publish<'static> {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic,
        packet_id: None,
        properties: PublishProperties {
            topic_alias: NonZeroU16::new(alias),
            ..PublishProperties::default()
        },
        payload: payload.as_bytes(),
    }
}

#[test]
fn a_client_may_set_use_and_change_aliases_even_within_one_write() {
    let broker = broker();
    let mut subscriber = Client::v5(&broker, "subscriber");
    subscriber.subscribe("#", QoS::AtMostOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    let sent = [
        ("a", 1, "1", "a"),
        ("", 1, "2", "a"),
        ("b", 1, "3", "b"),
        ("", 1, "4", "b"),
        ("b", 1, "5", "b"),
        ("c", 64, "6", "c"),
        ("", 1, "7", "b"),
        ("", 64, "8", "c"),
        ("a", 64, "9", "a"),
        ("", 64, "10", "a"),
    ];
    let mut bytes = Vec::new();
    for (topic, alias, payload, _) in sent {
        let packet = Packet::Publish(with_alias(topic, alias, payload));
        packet.encode(Version::V5, &mut bytes).unwrap();
    }
    publisher.send_bytes(&bytes);
    for (_, _, payload, topic) in sent {
        // Aliases of the publisher are not the subscriber's.
        assert_eq!(subscriber.message(), got(topic, payload, 0));
    }
    // They end with the connection.
    let mut publisher = Client::v5(&broker, "publisher");
    publisher.send(&Packet::Publish(with_alias("", 1, "x")));
    publisher.disconnected_with(ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn an_alias_out_of_range_or_never_set_ends_the_connection() {
    let broker = broker();
    let without = broker_with(Limits {
        topic_aliases: 0,
        ..Limits::default()
    });
    for (broker, topic, alias, want) in [
        (&broker, "a", 65, ReasonCode::TOPIC_ALIAS_INVALID),
        (&broker, "", 65, ReasonCode::TOPIC_ALIAS_INVALID),
        (&broker, "", 2, ReasonCode::PROTOCOL_ERROR),
        (&without, "a", 1, ReasonCode::TOPIC_ALIAS_INVALID),
    ] {
        let mut client = Client::v5(broker, "c");
        client.send(&Packet::Publish(with_alias("a", 1, "x")));
        if alias == 1 {
            client.disconnected_with(want);
            continue;
        }
        client.send(&Packet::Publish(with_alias(topic, alias, "x")));
        client.disconnected_with(want);
    }
    // An alias of 0, and a topic that is neither there nor aliased.
    for bytes in [
        &[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 0][..],
        &[0x30, 3, 0, 0, 0],
    ] {
        let mut client = Client::v5(&broker, "c");
        client.send_bytes(bytes);
        client.disconnected_with(ReasonCode::PROTOCOL_ERROR);
    }
}

#[test]
fn the_broker_uses_no_more_aliases_than_the_client_takes() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let connect = Connect {
        properties: ConnectProperties {
            topic_alias_maximum: 2,
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, "c")
    };
    let mut client = Client::open(&broker, &connect);
    client.subscribe("#", QoS::AtLeastOnce);
    for (topic, seen, alias) in [
        ("a", "a", Some(1)),
        ("a", "", Some(1)),
        ("b", "b", Some(2)),
        ("c", "c", None),
        ("b", "", Some(2)),
        ("c", "c", None),
        ("a", "", Some(1)),
    ] {
        publisher.publish(topic, topic, QoS::AtLeastOnce);
        let message = client.message();
        client.acknowledge(&message);
        let found = (message.topic.as_str(), message.alias, message.text());
        assert_eq!(found, (seen, alias, topic));
    }
}

#[test]
fn an_alias_does_not_make_a_packet_bigger_than_the_client_takes() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    // The biggest packet without an alias: 2 + 2 + 1 + 1 + 58.
    let connect = Connect {
        properties: ConnectProperties {
            topic_alias_maximum: 2,
            maximum_packet_size: std::num::NonZeroU32::new(64),
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, "c")
    };
    let mut client = Client::open(&broker, &connect);
    client.subscribe("#", QoS::AtMostOnce);
    for size in [58, 10, 58, 56, 55] {
        publisher.publish("a", &"x".repeat(size), QoS::AtLeastOnce);
        let message = client.message();
        let alias = if message.alias.is_some() { 3 } else { 0 };
        let len = 2 + 2 + message.topic.len() + 1 + alias + message.payload.len();
        assert_eq!(message.payload.len(), size);
        assert!(len <= 64, "{len} bytes");
    }
}
