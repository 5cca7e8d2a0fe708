//! The MQTT 3.1.1 packets that the load generator needs, written and split by hand. Pure.
//!
//! Section numbers are those of the OASIS standard of MQTT 3.1.1.

/// The packet types of 2.2.1 that the generator meets, in the high half of the first byte.
pub const CONNACK: u8 = 0x20;
pub const PUBLISH: u8 = 0x30;
pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
/// With the reserved flags 0b0010 that 3.6.1 asks for.
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;
pub const SUBACK: u8 = 0x90;

/// Every message of every load carries this much payload.
pub const PAYLOAD_BYTES: usize = 64;

/// Appends a CONNECT with a clean session and no will (3.1).
pub fn connect(out: &mut Vec<u8>, client_id: &str, keep_alive_s: u16) {
    out.push(0x10);
    length(out, 10 + 2 + client_id.len());
    text(out, "MQTT");
    out.extend([4, 0b10]);
    out.extend(keep_alive_s.to_be_bytes());
    text(out, client_id);
}

/// Appends a SUBSCRIBE of one filter (3.8).
pub fn subscribe(out: &mut Vec<u8>, packet_id: u16, filter: &str, qos: u8) {
    out.push(0x82);
    length(out, 2 + 2 + filter.len() + 1);
    out.extend(packet_id.to_be_bytes());
    text(out, filter);
    out.push(qos);
}

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7).
pub fn ack(out: &mut Vec<u8>, kind: u8, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend([kind, 2, high, low]);
}

/// A PUBLISH of one topic that is written again and again with another stamp.
pub struct Template {
    bytes: Vec<u8>,
    qos: u8,
}

impl Template {
    pub fn new(topic: &str, qos: u8) -> Self {
        let mut bytes = vec![PUBLISH | qos << 1];
        let id = if qos > 0 { 2 } else { 0 };
        length(&mut bytes, 2 + topic.len() + id + PAYLOAD_BYTES);
        text(&mut bytes, topic);
        bytes.resize(bytes.len() + id + PAYLOAD_BYTES, b'.');
        Self { bytes, qos }
    }

    /// The length of one packet in bytes.
    pub fn packet_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the packet. `packet_id` is left out of QoS 0.
    pub fn write(&self, out: &mut Vec<u8>, packet_id: u16, stamp: Stamp) {
        out.extend_from_slice(&self.bytes);
        let payload = out.len() - PAYLOAD_BYTES;
        if self.qos > 0 {
            out[payload - 2..payload].copy_from_slice(&packet_id.to_be_bytes());
        }
        out[payload..payload + 4].copy_from_slice(&stamp.publisher.to_be_bytes());
        out[payload + 4..payload + 12].copy_from_slice(&stamp.sequence.to_be_bytes());
        out[payload + 12..payload + 20].copy_from_slice(&stamp.sent_ns.to_be_bytes());
    }
}

/// What the first 20 bytes of a payload say: who sent it, which message of the sender it is (from 1), and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub publisher: u32,
    pub sequence: u64,
    /// Nanoseconds since the load began.
    pub sent_ns: u64,
}

/// One packet in a read buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub first: u8,
    pub body: &'a [u8],
}

impl Packet<'_> {
    /// The packet type, comparable with the constants above except for PUBREL's flags.
    pub fn kind(&self) -> u8 {
        self.first & 0xF0
    }

    pub fn qos(&self) -> u8 {
        self.first >> 1 & 3
    }

    /// The packet identifier of an ack, or that which follows a PUBLISH's topic. `None` of a malformed packet.
    pub fn id(&self) -> Option<u16> {
        let at = match self.kind() {
            PUBLISH => 2 + usize::from(be16(self.body, 0)?),
            _ => 0,
        };
        be16(self.body, at)
    }

    /// The stamp of a PUBLISH. `None` when the payload is not one of ours.
    pub fn stamp(&self) -> Option<Stamp> {
        let payload = &self.body[self.body.len().checked_sub(PAYLOAD_BYTES)?..];
        Some(Stamp {
            publisher: u32::from_be_bytes(payload[..4].try_into().ok()?),
            sequence: u64::from_be_bytes(payload[4..12].try_into().ok()?),
            sent_ns: u64::from_be_bytes(payload[12..20].try_into().ok()?),
        })
    }
}

/// The first packet of `bytes` and its whole length, or `None` while it is incomplete.
///
/// # Errors
/// A remaining length of more than four bytes (2.2.3): the broker does not speak MQTT.
pub fn split(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, &'static str> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut remaining = 0;
    for (i, &byte) in rest.iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            let start = 2 + i;
            let body = bytes.get(start..start + remaining);
            return Ok(body.map(|body| (Packet { first, body }, start + remaining)));
        }
    }
    if rest.len() >= 4 {
        return Err("remaining length of more than four bytes");
    }
    Ok(None)
}

fn length(out: &mut Vec<u8>, mut bytes: usize) {
    while bytes > 0x7F {
        out.push(bytes as u8 & 0x7F | 0x80);
        bytes >>= 7;
    }
    out.push(bytes as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_out_of_its_packet_at_every_qos_and_never_before_the_packet_is_whole() {
        let stamp = Stamp {
            publisher: 49,
            sequence: 1 << 40,
            sent_ns: 123_456_789,
        };
        // The second topic makes the remaining length two bytes long.
        for topic in ["b/1".to_owned(), "b".repeat(100)] {
            for (qos, id) in [(0, None), (1, Some(513)), (2, Some(513))] {
                let mut bytes = vec![];
                let template = Template::new(&topic, qos);
                template.write(&mut bytes, 513, stamp);
                assert_eq!(bytes.len(), template.packet_bytes());
                for cut in 0..bytes.len() {
                    assert_eq!(split(&bytes[..cut]), Ok(None), "{cut} bytes");
                }
                let (packet, used) = split(&bytes).unwrap().unwrap();
                assert_eq!(used, bytes.len());
                assert_eq!(
                    (packet.kind(), packet.qos(), packet.stamp()),
                    (PUBLISH, qos, Some(stamp))
                );
                if id.is_some() {
                    assert_eq!(packet.id(), id);
                }
            }
        }
    }

    #[test]
    fn connect_subscribe_and_acks_are_the_bytes_of_the_standard() {
        let mut out = vec![];
        connect(&mut out, "ab", 60);
        assert_eq!(out, b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02ab");
        out.clear();
        subscribe(&mut out, 10, "a/+", 1);
        assert_eq!(out, b"\x82\x08\0\x0a\0\x03a/+\x01");
        out.clear();
        ack(&mut out, PUBREL, 258);
        assert_eq!(out, b"\x62\x02\x01\x02");
        assert!(split(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1]).is_err());
    }
}
