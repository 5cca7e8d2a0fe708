//! All packets, and the choice between them.

use crate::frame::{body, check_flags, kind};
use crate::read::Reader;
use crate::{
    Ack, AckKind, Auth, ConnAck, Connect, DecodeError, Disconnect, EncodeError, Publish,
    ReasonCode, SubAck, Subscribe, UnsubAck, Unsubscribe, Version,
};

/// One packet. The rare and large ones are boxed, so that the frequent ones move cheaply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// From a client: the first packet.
    Connect(Box<Connect<'a>>),
    /// From a server: the answer to CONNECT.
    ConnAck(Box<ConnAck<'a>>),
    /// A message.
    Publish(Publish<'a>),
    /// Ends QoS 1.
    PubAck(Ack<'a>),
    /// The receiver of QoS 2 has the message.
    PubRec(Ack<'a>),
    /// The sender of QoS 2 knows that.
    PubRel(Ack<'a>),
    /// Ends QoS 2.
    PubComp(Ack<'a>),
    /// From a client: subscriptions to make.
    Subscribe(Subscribe<'a>),
    /// From a server: the answer to SUBSCRIBE.
    SubAck(SubAck<'a>),
    /// From a client: subscriptions to end.
    Unsubscribe(Unsubscribe<'a>),
    /// From a server: the answer to UNSUBSCRIBE.
    UnsubAck(UnsubAck<'a>),
    /// From a client: are you there?
    PingReq,
    /// From a server: yes.
    PingResp,
    /// The last packet.
    Disconnect(Disconnect<'a>),
    /// A step of an enhanced authentication.
    Auth(Auth<'a>),
}

/// Decodes the packet at the start of `input` and returns its length in bytes too. `None`: more
/// bytes are needed. `max_packet_size` is in bytes and counts the whole packet.
///
/// Which side sent the packet, and whether it may come now, is not known here: a CONNECT is
/// decoded whenever it comes, and in the version that it names.
///
/// # Errors
/// The reason code that the specification names, and that DISCONNECT can have. A wrong first byte, a wrong remaining length and
/// a packet above `max_packet_size` are found before the packet is complete.
#[inline]
pub fn decode(
    input: &[u8],
    version: Version,
    max_packet_size: usize,
) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    let Some(&first) = input.first() else {
        return Ok(None);
    };
    if first >> 4 == kind::PUBLISH {
        let Some((body, len)) = body(input, max_packet_size)? else {
            return Ok(None);
        };
        let publish = Publish::decode(first & 0x0F, body, version)?;
        return Ok(Some((Packet::Publish(publish), len)));
    }
    check_flags(first, version)?;
    if first >> 4 == 0 || (first >> 4 == kind::AUTH && version < Version::V5) {
        return Err(DecodeError::malformed("the packet type does not exist"));
    }
    let Some((body, len)) = body(input, max_packet_size)? else {
        return Ok(None);
    };
    decode_body(first >> 4, body, version, len)
}

/// Takes `len` only to hand it back: what it returns need not be moved then.
fn decode_body(
    packet: u8,
    body: &[u8],
    version: Version,
    len: usize,
) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    let packet = match packet {
        kind::PUBACK => Packet::PubAck(Ack::decode(AckKind::PubAck, body, version)?),
        kind::PUBREC => Packet::PubRec(Ack::decode(AckKind::PubRec, body, version)?),
        kind::PUBREL => Packet::PubRel(Ack::decode(AckKind::PubRel, body, version)?),
        kind::PUBCOMP => Packet::PubComp(Ack::decode(AckKind::PubComp, body, version)?),
        kind::PINGREQ => {
            Reader::new(body).end()?;
            Packet::PingReq
        }
        kind::PINGRESP => {
            Reader::new(body).end()?;
            Packet::PingResp
        }
        kind::CONNECT => Packet::Connect(Box::new(decode_late_connect(body)?)),
        kind::CONNACK => Packet::ConnAck(Box::new(ConnAck::decode(body, version)?)),
        kind::SUBSCRIBE => Packet::Subscribe(Subscribe::decode(body, version)?),
        kind::SUBACK => Packet::SubAck(SubAck::decode(body, version)?),
        kind::UNSUBSCRIBE => Packet::Unsubscribe(Unsubscribe::decode(body, version)?),
        kind::UNSUBACK => Packet::UnsubAck(UnsubAck::decode(body, version)?),
        kind::DISCONNECT => Packet::Disconnect(Disconnect::decode(body, version)?),
        _ => Packet::Auth(Auth::decode(body)?),
    };
    Ok(Some((packet, len)))
}

/// DISCONNECT cannot say Unsupported Protocol Version, and a CONNECT on an open connection is a
/// Protocol Error whatever it asks for (statement MQTT-3.1.0-2).
fn decode_late_connect(body: &[u8]) -> Result<Connect<'_>, DecodeError> {
    Connect::decode(body).map_err(|error| match error.reason {
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => DecodeError::protocol(error.what),
        _ => error,
    })
}

impl Packet<'_> {
    /// Appends the packet. A CONNECT is encoded in its own version. Values are taken as they are:
    /// only what has no encoded form is refused.
    ///
    /// # Errors
    /// `out` is left as it was; the reason is that of [`EncodeError`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        let encoded = self.append(version, out);
        if encoded.is_err() {
            out.truncate(before);
        }
        encoded
    }

    fn append(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Connect(packet) => packet.encode(out),
            Self::ConnAck(packet) => packet.encode(version, out),
            Self::Publish(packet) => packet.encode(version, out),
            Self::PubAck(packet) => packet.encode(AckKind::PubAck, version, out),
            Self::PubRec(packet) => packet.encode(AckKind::PubRec, version, out),
            Self::PubRel(packet) => packet.encode(AckKind::PubRel, version, out),
            Self::PubComp(packet) => packet.encode(AckKind::PubComp, version, out),
            Self::Subscribe(packet) => packet.encode(version, out),
            Self::SubAck(packet) => packet.encode(version, out),
            Self::Unsubscribe(packet) => packet.encode(version, out),
            Self::UnsubAck(packet) => packet.encode(version, out),
            Self::PingReq => {
                out.extend_from_slice(&[kind::PINGREQ << 4, 0]);
                Ok(())
            }
            Self::PingResp => {
                out.extend_from_slice(&[kind::PINGRESP << 4, 0]);
                Ok(())
            }
            Self::Disconnect(packet) => packet.encode(version, out),
            Self::Auth(packet) => packet.encode(version, out),
        }
    }
}
