//! An application message that outlives the packet that brought it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;

use fieldgate_mqtt::{Publish, PublishProperties, QoS, UserPropertiesBuf};

/// A message held by the broker: queued, unacknowledged, retained, or a will. A clone is the same
/// message, not a copy.
///
/// The payload format indicator, content type, response topic, correlation data and user
/// properties travel with it unchanged (MQTT 5.0 section 3.3.2.3).
#[derive(Clone, Debug)]
pub struct Message {
    /// In one piece, as a gateway keeps a hundred thousand of them: quality of service and retain
    /// flag as in the first byte of a PUBLISH packet, the length of the topic name in two bytes,
    /// the topic name, the payload.
    bytes: Arc<[u8]>,
    /// What few messages have, kept out of the many that have none.
    rare: Option<Arc<Rare>>,
}

#[derive(Debug)]
struct Rare {
    expires: Option<Instant>,
    payload_format_utf8: Option<bool>,
    response_topic: Option<Box<str>>,
    correlation_data: Option<Box<[u8]>>,
    content_type: Option<Box<str>>,
    user: UserPropertiesBuf,
}

/// Flags and length in front of the topic name.
const HEAD: usize = 3;
const RETAIN: u8 = 0b001;
const QOS_SHIFT: u8 = 1;
/// The allocator's and the counters' share of a message, in bytes, about.
const OVERHEAD: usize = 48;

impl Rare {
    /// `None` if there is nothing of that kind.
    fn of(from: &PublishProperties<'_>, expires: Option<Instant>) -> Option<Self> {
        let is_usual = expires.is_none()
            && from.payload_format_utf8.is_none()
            && from.response_topic.is_none()
            && from.correlation_data.is_none()
            && from.content_type.is_none()
            && from.user_properties.iter().next().is_none();
        (!is_usual).then(|| Self {
            expires,
            payload_format_utf8: from.payload_format_utf8,
            response_topic: from.response_topic.map(Into::into),
            correlation_data: from.correlation_data.map(Into::into),
            content_type: from.content_type.map(Into::into),
            user: from.user_properties.into(),
        })
    }
}

impl Message {
    /// Copies `publish`, which expires at `expires` if ever.
    pub(crate) fn copy_of(publish: &Publish<'_>, expires: Option<Instant>) -> Self {
        // No topic name is longer (MQTT 5.0 section 1.5.4).
        let topic_len = u16::try_from(publish.topic.len()).unwrap_or_default();
        let topic = &publish.topic.as_bytes()[..topic_len.into()];
        let mut bytes = Vec::with_capacity(HEAD + topic.len() + publish.payload.len());
        let qos = publish.qos as u8;
        bytes.push(qos << QOS_SHIFT | u8::from(publish.retain));
        bytes.extend_from_slice(&topic_len.to_be_bytes());
        bytes.extend_from_slice(topic);
        bytes.extend_from_slice(publish.payload);
        Self {
            bytes: bytes.into(),
            rare: Rare::of(&publish.properties, expires).map(Arc::new),
        }
    }

    fn topic_and_payload(&self) -> (&[u8], &[u8]) {
        let [_, high, low, rest @ ..] = &*self.bytes else {
            return (&[], &[]); // Never so short.
        };
        rest.split_at(u16::from_be_bytes([*high, *low]).into())
    }

    fn flags(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    /// The topic name.
    pub fn topic(&self) -> &str {
        // Always UTF-8: these are the bytes of a `str`.
        std::str::from_utf8(self.topic_and_payload().0).unwrap_or_default()
    }

    /// The application's bytes.
    pub fn payload(&self) -> &[u8] {
        self.topic_and_payload().1
    }

    /// The quality of service that the publisher asked for.
    pub fn qos(&self) -> QoS {
        QoS::from_u8(self.flags() >> QOS_SHIFT).unwrap_or_default()
    }

    /// Whether the publisher asked the broker to keep it.
    pub fn retain(&self) -> bool {
        self.flags() & RETAIN != 0
    }

    /// Where the publisher wants the answer, if it wants one. Whether it may publish there itself is not said here: see
    /// [`crate::Delivery::answer_to`].
    pub fn response_topic(&self) -> Option<&str> {
        self.rare.as_ref()?.response_topic.as_deref()
    }

    /// What the publisher wants to see again in the answer.
    pub fn correlation_data(&self) -> Option<&[u8]> {
        self.rare.as_ref()?.correlation_data.as_deref()
    }

    pub(crate) fn expires(&self) -> Option<Instant> {
        self.rare.as_ref()?.expires
    }

    pub(crate) fn expired(&self, now: Instant) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }

    /// What it takes in a queue, in bytes, give or take the allocator.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }

    /// Where it is in memory, which tells messages apart as long as they exist.
    pub(crate) fn address(&self) -> usize {
        self.bytes.as_ptr().addr()
    }

    /// The message as a PUBLISH packet to encode; the sender fills in identifiers and expiry.
    pub(crate) fn publish(&self) -> Publish<'_> {
        let mut publish = Publish {
            dup: false,
            qos: self.qos(),
            retain: self.retain(),
            topic: self.topic(),
            packet_id: None,
            properties: PublishProperties::default(),
            payload: self.payload(),
        };
        if let Some(from) = &self.rare {
            let to = &mut publish.properties;
            to.payload_format_utf8 = from.payload_format_utf8;
            to.response_topic = from.response_topic.as_deref();
            to.correlation_data = from.correlation_data.as_deref();
            to.content_type = from.content_type.as_deref();
            to.user_properties = from.user.as_properties();
        }
        publish
    }
}

/// A message on its way to subscribers: borrowed from the read buffer until somebody must keep it.
#[derive(Debug)]
pub(crate) struct Routed<'a> {
    pub(crate) publish: Publish<'a>,
    pub(crate) expires: Option<Instant>,
    /// Its publisher may itself publish to its response topic. Only looked up for what comes from a connection.
    pub(crate) may_answer: bool,
    owned: OnceCell<Message>,
}

impl<'a> Routed<'a> {
    pub(crate) fn borrowed(publish: Publish<'a>, expires: Option<Instant>) -> Self {
        Self {
            publish,
            expires,
            may_answer: false,
            owned: OnceCell::new(),
        }
    }

    pub(crate) fn kept(message: &'a Message) -> Self {
        Self {
            publish: message.publish(),
            expires: message.expires(),
            may_answer: false,
            owned: OnceCell::from(message.clone()),
        }
    }

    /// The message to keep. The first caller pays for the copy, the others share it.
    pub(crate) fn message(&self) -> Message {
        let copy = || Message::copy_of(&self.publish, self.expires);
        self.owned.get_or_init(copy).clone()
    }

    pub(crate) fn expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A plain QoS 1 message.
    pub(crate) fn message(topic: &str, payload: &[u8]) -> Message {
        message_with(topic, payload, QoS::AtLeastOnce, false, None)
    }

    pub(crate) fn message_with(
        topic: &str,
        payload: &[u8],
        qos: QoS,
        retain: bool,
        expires: Option<Instant>,
    ) -> Message {
        let publish = Publish {
            dup: false,
            qos,
            retain,
            topic,
            packet_id: None,
            properties: PublishProperties::default(),
            payload,
        };
        Message::copy_of(&publish, expires)
    }
}
