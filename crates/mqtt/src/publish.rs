//! PUBLISH (section 3.3), the packet that must be fast.

use core::num::NonZeroU16;

use crate::frame::kind;
use crate::property::{NOT_HERE, Property, PropertyReader, id};
use crate::read::Reader;
use crate::types::{MAX_FIELD, MAX_REMAINING_LENGTH};
use crate::write::{field_len, put_id, put_u16, put_u32, put_varint, varint_len};
use crate::{DecodeError, EncodeError, PacketId, QoS, SubscriptionIds, UserProperties, Version};

/// A message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Sent before, and not acknowledged. Never with QoS 0.
    pub dup: bool,
    /// The quality of service.
    pub qos: QoS,
    /// From a client: keep the message for later subscribers. To a client: the message was kept,
    /// or the subscription asked to see the flag as published.
    pub retain: bool,
    /// The topic name. Empty only in MQTT 5.0 and with a topic alias.
    pub topic: &'a str,
    /// Present exactly when the QoS is 1 or 2. Not encoded with QoS 0.
    pub packet_id: Option<PacketId>,
    /// MQTT 5.0 only; not encoded in other versions.
    pub properties: PublishProperties<'a>,
    /// The message.
    pub payload: &'a [u8],
}

/// The properties of PUBLISH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties<'a> {
    /// Whether the payload is said to be UTF-8. It is not checked.
    pub payload_format_utf8: Option<bool>,
    /// Seconds after which the message is worthless.
    pub message_expiry: Option<u32>,
    /// Stands for the topic name on this connection.
    pub topic_alias: Option<NonZeroU16>,
    /// Where an answer goes: at least one character, no wildcard.
    pub response_topic: Option<&'a str>,
    /// Tells the requester which request an answer belongs to.
    pub correlation_data: Option<&'a [u8]>,
    /// What the payload is, for example a MIME type.
    pub content_type: Option<&'a str>,
    /// To clients only. In a PUBLISH from a client any is a Protocol Error, which the broker
    /// finds (statement MQTT-3.3.4-6).
    pub subscription_ids: SubscriptionIds<'a>,
    /// Pairs that the broker hands on unaltered and in order.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Publish<'a> {
    #[inline]
    pub(crate) fn decode(flags: u8, body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let qos = QoS::from_u8(flags >> 1 & 0b11)
            .ok_or(DecodeError::malformed("the QoS of a PUBLISH is 3"))?;
        let dup = flags & 0b1000 != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::malformed("DUP is set in a PUBLISH of QoS 0"));
        }
        let mut rest = Reader::new(body);
        let (topic, wildcard) = rest.topic()?;
        if wildcard {
            // Not Topic Name Invalid, which is for a name that is well formed and unwelcome (table 2-6).
            return Err(DecodeError::malformed("the topic name has a wildcard"));
        }
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            _ => Some(rest.packet_id()?),
        };
        let properties = match version {
            Version::V5 => {
                let properties = rest.properties()?;
                if properties.is_empty() {
                    PublishProperties::default()
                } else {
                    PublishProperties::decode(properties)?
                }
            }
            _ => PublishProperties::default(),
        };
        if topic.is_empty() && properties.topic_alias.is_none() {
            return Err(DecodeError::protocol(
                "the topic name is empty and there is no topic alias",
            ));
        }
        Ok(Self {
            dup,
            qos,
            retain: flags & 1 != 0,
            topic,
            packet_id,
            properties,
            payload: rest.rest(),
        })
    }

    /// Appends the packet, or nothing on an error.
    #[inline]
    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let layout = self.layout(version)?;
        out.reserve(layout.total());
        self.encode_head(version, &layout, out);
        out.extend_from_slice(self.payload);
        Ok(())
    }

    /// Appends everything before the payload.
    #[inline]
    fn encode_head(&self, version: Version, layout: &Layout, out: &mut Vec<u8>) {
        out.push(first_byte(self.dup, self.qos, self.retain));
        put_varint(out, layout.remaining);
        put_u16(out, layout.topic);
        out.extend_from_slice(self.topic.as_bytes());
        if let (Some(id), QoS::AtLeastOnce | QoS::ExactlyOnce) = (self.packet_id, self.qos) {
            put_id(out, id);
        }
        if version == Version::V5 {
            put_varint(out, layout.properties);
            if layout.properties != 0 {
                self.properties.encode(out);
            }
        }
    }

    #[inline]
    fn layout(&self, version: Version) -> Result<Layout, EncodeError> {
        let topic = u16::try_from(self.topic.len()).map_err(|_| EncodeError::TooLarge)?;
        let mut remaining = 2 + self.topic.len() + self.payload.len();
        if self.qos != QoS::AtMostOnce {
            if self.packet_id.is_none() {
                return Err(EncodeError::NoPacketId);
            }
            remaining += 2;
        }
        let mut properties = 0;
        if version == Version::V5 {
            properties = self.properties.encoded_len().ok_or(EncodeError::TooLarge)?;
            remaining += varint_len(properties) + properties;
        }
        if remaining > MAX_REMAINING_LENGTH {
            return Err(EncodeError::TooLarge);
        }
        Ok(Layout {
            topic,
            properties,
            remaining,
        })
    }
}

fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    kind::PUBLISH << 4 | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain)
}

/// A PUBLISH without properties, as nearly all are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainPublish<'a> {
    /// As in [`Publish`].
    pub dup: bool,
    /// As in [`Publish`].
    pub qos: QoS,
    /// As in [`Publish`].
    pub retain: bool,
    /// As in [`Publish`].
    pub topic: &'a str,
    /// As in [`Publish`].
    pub packet_id: Option<PacketId>,
    /// As in [`Publish`].
    pub payload: &'a [u8],
}

/// Appends the same bytes as [`encode_publish`] of the same packet, for less. Returns their number; 0, and appends
/// nothing, if no packet can hold it.
#[inline]
pub fn encode_plain_publish(
    out: &mut Vec<u8>,
    version: Version,
    publish: &PlainPublish<'_>,
) -> usize {
    let PlainPublish { topic, payload, .. } = *publish;
    let id = match (publish.qos, publish.packet_id) {
        (QoS::AtMostOnce, _) => None,
        (_, None) => return 0,
        (_, id) => id,
    };
    let has_properties = version == Version::V5;
    let ends = usize::from(has_properties) + if id.is_some() { 2 } else { 0 };
    let remaining = 2 + topic.len() + ends + payload.len();
    let Ok(topic_len) = u16::try_from(topic.len()) else {
        return 0;
    };
    if remaining > MAX_REMAINING_LENGTH {
        return 0;
    }
    let before = out.len();
    out.reserve(1 + varint_len(remaining) + remaining);
    out.push(first_byte(publish.dup, publish.qos, publish.retain));
    put_varint(out, remaining);
    put_u16(out, topic_len);
    out.extend_from_slice(topic.as_bytes());
    if let Some(id) = id {
        put_id(out, id);
    }
    if has_properties {
        out.push(0);
    }
    out.extend_from_slice(payload);
    out.len() - before
}

/// The lengths in a PUBLISH, in bytes.
struct Layout {
    topic: u16,
    properties: usize,
    remaining: usize,
}

impl Layout {
    #[inline]
    fn total(&self) -> usize {
        1 + varint_len(self.remaining) + self.remaining
    }
}

impl<'a> PublishProperties<'a> {
    fn decode(mut properties: PropertyReader<'a>) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        while let Some(property) = properties.next()? {
            match property {
                Property::PayloadFormatUtf8(utf8) => found.payload_format_utf8 = Some(utf8),
                Property::MessageExpiry(seconds) => found.message_expiry = Some(seconds),
                Property::TopicAlias(alias) => found.topic_alias = Some(alias),
                Property::ResponseTopic(topic) => found.response_topic = Some(topic),
                Property::CorrelationData(data) => found.correlation_data = Some(data),
                Property::ContentType(text) => found.content_type = Some(text),
                Property::SubscriptionId(_) => {
                    found.subscription_ids = properties.subscription_ids();
                }
                Property::User => found.user_properties = properties.user_properties(),
                _ => return Err(NOT_HERE),
            }
        }
        Ok(found)
    }

    /// `None` when a field is too long or an identifier out of range.
    #[inline]
    fn encoded_len(&self) -> Option<usize> {
        let mut len = self.user_properties.encoded_len() + self.subscription_ids.encoded_len()?;
        if self.payload_format_utf8.is_some() {
            len += 2;
        }
        if self.message_expiry.is_some() {
            len += 5;
        }
        if self.topic_alias.is_some() {
            len += 3;
        }
        for field in [
            self.response_topic.map(str::as_bytes),
            self.correlation_data,
            self.content_type.map(str::as_bytes),
        ]
        .into_iter()
        .flatten()
        {
            len += 1 + field_len(field)?;
        }
        Some(len)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(utf8) = self.payload_format_utf8 {
            out.extend_from_slice(&[id::PAYLOAD_FORMAT, u8::from(utf8)]);
        }
        if let Some(seconds) = self.message_expiry {
            out.push(id::MESSAGE_EXPIRY);
            put_u32(out, seconds);
        }
        if let Some(alias) = self.topic_alias {
            out.push(id::TOPIC_ALIAS);
            put_u16(out, alias.get());
        }
        for (id, field) in [
            (id::RESPONSE_TOPIC, self.response_topic.map(str::as_bytes)),
            (id::CORRELATION_DATA, self.correlation_data),
            (id::CONTENT_TYPE, self.content_type.map(str::as_bytes)),
        ] {
            if let Some(field) = field {
                out.push(id);
                // `encoded_len` has refused longer fields.
                put_u16(out, field.len().min(MAX_FIELD) as u16);
                out.extend_from_slice(field);
            }
        }
        self.subscription_ids.encode_into(out);
        self.user_properties.encode_into(out);
    }
}

/// Appends a PUBLISH.
///
/// Appends nothing when [`publish_len`] says that no packet can hold it, so compare that with the
/// receiver's limit first.
#[inline]
pub fn encode_publish(out: &mut Vec<u8>, version: Version, publish: &Publish<'_>) {
    // The error has told in `publish_len`.
    let _ = publish.encode(version, out);
}

/// Appends all of a PUBLISH but its payload, which the caller sends behind it: a big one can then
/// be shared among subscribers. Appends nothing in the same cases as [`encode_publish`].
#[inline]
pub fn encode_publish_head(out: &mut Vec<u8>, version: Version, publish: &Publish<'_>) {
    if let Ok(layout) = publish.layout(version) {
        publish.encode_head(version, &layout, out);
    }
}

/// The size of the whole packet, in bytes. `usize::MAX`, which is above every limit, when no
/// packet can hold it: a field exceeds 65,535 bytes, the packet
/// [`MAX_PACKET_SIZE`](crate::MAX_PACKET_SIZE), or QoS 1 or 2 has no packet identifier.
#[inline]
pub fn publish_len(version: Version, publish: &Publish<'_>) -> usize {
    publish
        .layout(version)
        .map_or(usize::MAX, |layout| layout.total())
}
