//! The client against packets of a server.

use fieldgate_mqtt::{Ack, ConnAck, ConnAckProperties, PublishProperties, SubAck, decode_connect};
use proptest::prelude::*;

use super::*;

fn identity() -> Identity<'static> {
    Identity {
        client_id: "plant7",
        username: Some("u"),
        password: Some(b"p"),
        keep_alive: 40,
        packet: 100_000,
        bridge: true,
    }
}

fn begin(version: Version, now: Instant) -> (Client, Vec<u8>) {
    let mut out = Vec::new();
    let client = Client::new(version, &identity(), now, &mut out).unwrap();
    (client, out)
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out).unwrap();
    out
}

fn connack(version: Version, reason: ReasonCode, properties: ConnAckProperties<'_>) -> Vec<u8> {
    let ack = ConnAck {
        session_present: false,
        reason,
        properties,
    };
    encoded(&Packet::ConnAck(Box::new(ack)), version)
}

fn up(version: Version, now: Instant) -> Client {
    let (mut client, _) = begin(version, now);
    let bytes = connack(version, ReasonCode::SUCCESS, ConnAckProperties::default());
    let (event, len) = client.take(&bytes, now, &mut Vec::new()).unwrap().unwrap();
    assert!(matches!(event, Some(Event::Connected(_))));
    assert_eq!(len, bytes.len());
    client
}

#[test]
fn every_connection_begins_clean_and_leaves_nothing() {
    for version in [Version::V5, Version::V4] {
        let (_, out) = begin(version, Instant::now());
        let (connect, len) = decode_connect(&out, 1_000).unwrap().unwrap();
        assert_eq!(len, out.len());
        assert!(connect.clean_start && connect.will.is_none());
        assert_eq!(connect.bridge, version == Version::V4);
        assert_eq!((connect.client_id, connect.username), ("plant7", Some("u")));
        if version == Version::V5 {
            assert_eq!(connect.properties.session_expiry, Some(0));
        }
    }
}

#[test]
fn what_a_connack_allows_is_told_and_what_it_refuses_is_a_fault() {
    let limits = ConnAckProperties {
        receive_maximum: NonZeroU16::new(7),
        maximum_packet_size: NonZeroU32::new(900),
        retain_available: false,
        server_keep_alive: Some(20),
        ..ConnAckProperties::default()
    };
    let allowed = Allowed {
        in_flight: 7,
        packet: 900,
        retain: false,
        aliases: 0,
        keep_alive: 20,
    };
    let qos0 = ConnAckProperties {
        maximum_qos: QoS::AtMostOnce,
        ..limits.clone()
    };
    let text = ConnAckProperties {
        reason_string: Some("no\nno"),
        ..ConnAckProperties::default()
    };
    let refused = ReasonCode::NOT_AUTHORIZED;
    for (version, bytes, want) in [
        (
            Version::V5,
            connack(Version::V5, ReasonCode::SUCCESS, limits),
            Ok(Some(Event::Connected(allowed))),
        ),
        (
            Version::V5,
            connack(Version::V5, ReasonCode::SUCCESS, qos0),
            Err(Fault::Qos0),
        ),
        (
            Version::V5,
            connack(Version::V5, refused, text),
            Err(Fault::Refused(refused, " (no\\nno)".into())),
        ),
        (
            Version::V4,
            vec![0x20, 2, 0, 5],
            Err(Fault::Refused(refused, String::new())),
        ),
        (
            Version::V5,
            vec![0x20, 2, 0, 1],
            Err(Fault::Version(Version::V5)),
        ),
        (
            Version::V5,
            vec![0x20, 3, 0, 0x84, 0],
            Err(Fault::Version(Version::V5)),
        ),
        (
            Version::V4,
            vec![0x20, 2, 0, 1],
            Err(Fault::Version(Version::V4)),
        ),
        (
            Version::V4,
            vec![0xD0, 0],
            Err(Fault::Nonsense("a PingResp is out of place".into())),
        ),
    ] {
        let now = Instant::now();
        let (mut client, _) = begin(version, now);
        let found = client.take(&bytes, now, &mut Vec::new());
        assert_eq!(found.map(|found| found.unwrap().0), want, "{bytes:?}");
    }
}

#[test]
fn acknowledgements_and_messages_come_as_events() {
    for version in [Version::V5, Version::V4] {
        let now = Instant::now();
        let mut client = up(version, now);
        let id = PacketId::new(9).unwrap();
        let reason = match version {
            Version::V5 => ReasonCode::QUOTA_EXCEEDED,
            _ => ReasonCode::SUCCESS,
        };
        let ack = Ack {
            packet_id: id,
            reason,
            properties: Default::default(),
        };
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: "a/set",
            packet_id: Some(id),
            properties: PublishProperties::default(),
            payload: b"1",
        };
        let suback = SubAck {
            packet_id: id,
            codes: &[1],
            properties: Default::default(),
        };
        let mut input = encoded(&Packet::PubAck(ack), version);
        let message = encoded(&Packet::Publish(publish), version);
        input.extend(&message);
        input.extend(encoded(&Packet::SubAck(suback), version));
        let mut out = Vec::new();
        let mut events = Vec::new();
        while let Some((event, len)) = client.take(&input, now, &mut out).unwrap() {
            events.extend(event);
            input.drain(..len);
        }
        let want = [
            Event::Acknowledged(id, reason, String::new()),
            Event::Message(message.len()),
            Event::Subscribed(vec![1]),
        ];
        assert_eq!(events, want);
        assert!(input.is_empty() && out.is_empty());
        client.acknowledge(&publish, now, &mut out);
        assert_eq!(out, [0x40, 2, 0, 9]);
    }
}

#[test]
fn silence_is_noticed_and_a_ping_is_sent_in_time() {
    let now = Instant::now();
    let seconds = |seconds| now + Duration::from_secs(seconds);
    let (mut client, mut out) = begin(Version::V5, now);
    out.clear();
    assert_eq!(client.tick(seconds(14), &mut out), Ok(()));
    assert_eq!(
        client.tick(seconds(15), &mut out),
        Err(Fault::Silent("CONNACK", ANSWER))
    );
    let mut client = up(Version::V5, now);
    assert_eq!(client.tick(seconds(29), &mut out), Ok(()));
    assert!(out.is_empty());
    assert_eq!(client.tick(seconds(30), &mut out), Ok(()));
    assert_eq!(out, [0xC0, 0]);
    assert_eq!(client.tick(seconds(44), &mut out), Ok(()));
    assert_eq!(
        client.tick(seconds(45), &mut out),
        Err(Fault::Silent("PINGRESP", ANSWER))
    );
    client.take(&[0xD0, 0], seconds(45), &mut out).unwrap();
    assert_eq!(client.tick(seconds(46), &mut out), Ok(()));
}

#[test]
fn a_message_that_is_bigger_than_the_remote_takes_is_not_sent() {
    let now = Instant::now();
    let mut client = up(Version::V5, now);
    let publish = Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "t",
        packet_id: PacketId::new(1),
        properties: PublishProperties::default(),
        payload: &[0; 100],
    };
    let mut out = Vec::new();
    let len = publish_len(Version::V5, &publish);
    assert!(!client.publish(&publish, len - 1, now, &mut out));
    assert!(out.is_empty());
    assert!(client.publish(&publish, len, now, &mut out));
    assert_eq!(out.len(), len);
}

proptest! {
    #[test]
    fn no_bytes_make_the_client_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), greeted in any::<bool>(), v5 in any::<bool>()) {
        let now = Instant::now();
        let version = if v5 { Version::V5 } else { Version::V4 };
        let mut client = if greeted { up(version, now) } else { begin(version, now).0 };
        let mut input = &bytes[..];
        while let Ok(Some((_, len))) = client.take(input, now, &mut Vec::new()) {
            input = &input[len..];
        }
    }
}
