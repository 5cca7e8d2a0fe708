//! Packets that the test may keep, short enough to compare.

use fieldgate_mqtt::{AckKind, ConnAck, Packet, PacketId, Publish};

/// What the broker sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    ConnAck(Greeting),
    Publish(Got),
    /// Packet identifier and reason.
    Ack(AckKind, u16, u8),
    SubAck(u16, Vec<u8>),
    UnsubAck(u16, Vec<u8>),
    PingResp,
    Disconnect(u8),
    /// The end of the stream.
    Closed,
}

/// A CONNACK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) session_present: bool,
    pub(crate) reason: u8,
    pub(crate) assigned: Option<String>,
    pub(crate) session_expiry: Option<u32>,
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) maximum_packet_size: Option<u32>,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) keep_alive: Option<u16>,
}

/// A PUBLISH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) id: u16,
    pub(crate) expiry: Option<u32>,
    pub(crate) alias: Option<u16>,
    pub(crate) ids: Vec<u32>,
    pub(crate) utf8: Option<bool>,
    pub(crate) content_type: Option<String>,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation: Option<Vec<u8>>,
    pub(crate) user: Vec<(String, String)>,
}

/// A message as most tests expect it.
pub(crate) fn got(topic: &str, payload: &str, qos: u8) -> Got {
    Got {
        topic: topic.into(),
        payload: payload.into(),
        qos,
        ..Got::default()
    }
}

impl Got {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// Without its packet identifier, which is the broker's to choose.
    pub(crate) fn anonymous(self) -> Self {
        Self { id: 0, ..self }
    }
}

impl From<&Packet<'_>> for Event {
    fn from(packet: &Packet<'_>) -> Self {
        let ack = |kind, ack: &fieldgate_mqtt::Ack<'_>| {
            Self::Ack(kind, ack.packet_id.get(), ack.reason.0)
        };
        match packet {
            Packet::ConnAck(connack) => Self::ConnAck(greeting(connack)),
            Packet::Publish(publish) => Self::Publish(message(publish)),
            Packet::PubAck(packet) => ack(AckKind::PubAck, packet),
            Packet::PubRec(packet) => ack(AckKind::PubRec, packet),
            Packet::PubRel(packet) => ack(AckKind::PubRel, packet),
            Packet::PubComp(packet) => ack(AckKind::PubComp, packet),
            Packet::SubAck(suback) => Self::SubAck(suback.packet_id.get(), suback.codes.into()),
            Packet::UnsubAck(unsuback) => {
                Self::UnsubAck(unsuback.packet_id.get(), unsuback.codes.into())
            }
            Packet::PingResp => Self::PingResp,
            Packet::Disconnect(disconnect) => Self::Disconnect(disconnect.reason.0),
            other => panic!("a server does not send {other:?}"),
        }
    }
}

fn greeting(connack: &ConnAck<'_>) -> Greeting {
    let properties = &connack.properties;
    Greeting {
        session_present: connack.session_present,
        reason: connack.reason.0,
        assigned: properties.assigned_client_id.map(Into::into),
        session_expiry: properties.session_expiry,
        receive_maximum: properties.receive_maximum.map(Into::into),
        maximum_packet_size: properties.maximum_packet_size.map(Into::into),
        topic_alias_maximum: properties.topic_alias_maximum,
        keep_alive: properties.server_keep_alive,
    }
}

fn message(publish: &Publish<'_>) -> Got {
    let properties = &publish.properties;
    let user = properties.user_properties.iter();
    Got {
        topic: publish.topic.into(),
        payload: publish.payload.into(),
        qos: publish.qos as u8,
        retain: publish.retain,
        dup: publish.dup,
        id: publish.packet_id.map_or(0, PacketId::get),
        expiry: properties.message_expiry,
        alias: properties.topic_alias.map(Into::into),
        ids: properties.subscription_ids.iter().collect(),
        utf8: properties.payload_format_utf8,
        content_type: properties.content_type.map(Into::into),
        response_topic: properties.response_topic.map(Into::into),
        correlation: properties.correlation_data.map(Into::into),
        user: user
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    }
}
