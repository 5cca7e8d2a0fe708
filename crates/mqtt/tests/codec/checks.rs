//! What must hold for every input. The fuzz targets and the tests of their corpora share it.

use fieldgate_mqtt::{
    DecodeError, MAX_PACKET_SIZE, Packet, QoS, Version, answer_version, decode, decode_connect,
    encode_publish, encode_publish_head, frame_len, publish_len,
};

/// The first byte of an input chooses the version, so that one corpus serves all of them.
fn split(data: &[u8]) -> Option<(Version, &[u8])> {
    let (&first, stream) = data.split_first()?;
    let version = match first % 3 {
        0 => Version::V3,
        1 => Version::V4,
        _ => Version::V5,
    };
    Some((version, stream))
}

/// The reason codes of `decode`, all of which DISCONNECT can have.
const NAMED: [u8; 3] = [0x81, 0x82, 0x95];
/// The reason codes of `decode_connect`, all of which CONNACK can have.
const NAMED_FIRST: [u8; 4] = [0x81, 0x82, 0x84, 0x95];

/// Decodes any bytes as a stream of packets.
pub(crate) fn decode_stream(data: &[u8]) {
    let Some((version, mut stream)) = split(data) else {
        return;
    };
    check_first_packet(stream);
    while let Some((packet, len)) =
        bounded(stream, decode(stream, version, MAX_PACKET_SIZE), &NAMED)
    {
        assert_eq!(frame_len(stream), Ok(Some(len)));
        for shorter in (0..len).filter(|&shorter| shorter < 64 || shorter + 64 > len) {
            let prefix = &stream[..shorter];
            assert_eq!(
                decode(prefix, version, MAX_PACKET_SIZE),
                Ok(None),
                "{packet:?}"
            );
        }
        assert_eq!(
            decode(stream, version, len),
            Ok(Some((packet.clone(), len)))
        );
        assert!(
            decode(stream, version, len - 1).is_err(),
            "{packet:?} above the limit"
        );
        stream = &stream[len..];
    }
}

/// Decodes any bytes, and what `encode` makes of the packets, and compares.
pub(crate) fn decode_encode_decode(data: &[u8]) {
    let Some((version, mut stream)) = split(data) else {
        return;
    };
    while let Some((packet, len)) =
        bounded(stream, decode(stream, version, MAX_PACKET_SIZE), &NAMED)
    {
        let first = encoded(&packet, version);
        let (again, used) = decode(&first, version, MAX_PACKET_SIZE).unwrap().unwrap();
        assert_eq!((&again, used), (&packet, first.len()));
        assert_eq!(encoded(&again, version), first);
        if let Packet::Publish(publish) = packet {
            assert_eq!(publish_len(version, &publish), first.len());
            let mut head = Vec::new();
            encode_publish_head(&mut head, version, &publish);
            assert_eq!([&head, publish.payload].concat(), first);
            check_forwarding(publish);
        }
        stream = &stream[len..];
    }
}

fn bounded<T>(
    input: &[u8],
    decoded: Result<Option<(T, usize)>, DecodeError>,
    named: &[u8],
) -> Option<(T, usize)> {
    match decoded {
        Ok(Some((packet, len))) => {
            assert!((2..=input.len()).contains(&len), "{len} of {}", input.len());
            Some((packet, len))
        }
        Ok(None) => None,
        Err(error) => {
            assert!(named.contains(&error.reason.0), "{error}");
            None
        }
    }
}

fn check_first_packet(stream: &[u8]) {
    if let Some((connect, len)) = bounded(
        stream,
        decode_connect(stream, MAX_PACKET_SIZE),
        &NAMED_FIRST,
    ) {
        assert_eq!(answer_version(stream), Some(connect.version));
        // The flags of the first byte mean nothing in MQTT 3.1 only.
        let version = connect.version;
        let packet = Packet::Connect(Box::new(connect));
        assert_eq!(
            decode(stream, version, MAX_PACKET_SIZE),
            Ok(Some((packet, len)))
        );
    }
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out).unwrap();
    out
}

/// A message goes to subscribers of every version.
fn check_forwarding(mut publish: fieldgate_mqtt::Publish<'_>) {
    if publish.topic.is_empty() {
        return;
    }
    publish.dup = false;
    publish.qos = QoS::AtMostOnce;
    publish.packet_id = None;
    for version in [Version::V3, Version::V4, Version::V5] {
        let mut out = Vec::new();
        encode_publish(&mut out, version, &publish);
        assert_eq!(out.len(), publish_len(version, &publish));
        if version < Version::V5 {
            publish.properties = Default::default();
        }
        let decoded = decode(&out, version, MAX_PACKET_SIZE);
        assert_eq!(decoded, Ok(Some((Packet::Publish(publish), out.len()))));
    }
}
