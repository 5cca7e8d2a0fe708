//! Properties of the codec over arbitrary packets and arbitrary bytes.

use super::{checks, packets};
use fieldgate_mqtt::{
    MAX_PACKET_SIZE, Packet, PlainPublish, Publish, PublishProperties, decode,
    encode_plain_publish, encode_publish, publish_len,
};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plain_publish_is_the_same_bytes_by_the_short_way((version, packet) in packets::packet()) {
        if let Packet::Publish(publish) = packet {
            let plain = PlainPublish {
                dup: publish.dup,
                qos: publish.qos,
                retain: publish.retain,
                topic: publish.topic,
                packet_id: publish.packet_id,
                payload: publish.payload,
            };
            let publish = Publish { properties: PublishProperties::default(), ..publish };
            let (mut want, mut got) = (b"kept".to_vec(), b"kept".to_vec());
            encode_publish(&mut want, version, &publish);
            let len = encode_plain_publish(&mut got, version, &plain);
            prop_assert_eq!(len, publish_len(version, &publish));
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn an_encoded_packet_decodes_to_itself((version, packet) in packets::packet()) {
        let mut out = b"kept".to_vec();
        packet.encode(version, &mut out).unwrap();
        prop_assert_eq!(&out[..4], b"kept");
        let bytes = &out[4..];
        prop_assert_eq!(
            decode(bytes, version, MAX_PACKET_SIZE),
            Ok(Some((packet, bytes.len())))
        );
    }

    #[test]
    fn packets_that_follow_each_other_keep_the_invariants(
        (version, packet) in packets::packet(),
        tail in vec(any::<u8>(), 0..20),
    ) {
        let mut input = vec![version as u8 - 3];
        packet.encode(version, &mut input).unwrap();
        packet.encode(version, &mut input).unwrap();
        input.extend(tail);
        checks::decode_stream(&input);
        checks::decode_encode_decode(&input);
    }

    #[test]
    fn a_damaged_packet_never_panics_and_what_it_still_means_is_stable(
        (version, packet) in packets::packet(),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut input = vec![version as u8 - 3];
        packet.encode(version, &mut input).unwrap();
        for (index, byte) in damage {
            let position = index.index(input.len());
            input[position] = byte;
        }
        checks::decode_stream(&input);
        checks::decode_encode_decode(&input);
    }

    #[test]
    fn arbitrary_bytes_never_panic(input in vec(any::<u8>(), 0..300)) {
        checks::decode_stream(&input);
        checks::decode_encode_decode(&input);
    }
}
