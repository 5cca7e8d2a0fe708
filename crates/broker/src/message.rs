//! An application message that outlives the packet that brought it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;

use fieldgate_mqtt::{Publish, PublishProperties, QoS, UserPropertiesBuf};

/// A message held by the broker: queued, unacknowledged, retained, or a will.
///
/// The payload format indicator, content type, response topic, correlation data and user
/// properties travel with it unchanged (MQTT 5.0 section 3.3.2.3).
#[derive(Debug)]
pub struct Message {
    qos: QoS,
    retain: bool,
    expires: Option<Instant>,
    topic_len: usize,
    /// The topic name, then the payload.
    data: Box<[u8]>,
    properties: Option<Box<Properties>>,
}

/// What few messages have, kept out of the many that have none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Properties {
    payload_format_utf8: Option<bool>,
    response_topic: Option<Box<str>>,
    correlation_data: Option<Box<[u8]>>,
    content_type: Option<Box<str>>,
    user: UserPropertiesBuf,
}

impl Message {
    /// Copies `publish`, which expires at `expires` if ever.
    pub(crate) fn copy_of(publish: &Publish<'_>, expires: Option<Instant>) -> Self {
        let mut data = Vec::with_capacity(publish.topic.len() + publish.payload.len());
        data.extend_from_slice(publish.topic.as_bytes());
        data.extend_from_slice(publish.payload);
        let from = &publish.properties;
        let properties = Properties {
            payload_format_utf8: from.payload_format_utf8,
            response_topic: from.response_topic.map(Into::into),
            correlation_data: from.correlation_data.map(Into::into),
            content_type: from.content_type.map(Into::into),
            user: from.user_properties.into(),
        };
        Self {
            qos: publish.qos,
            retain: publish.retain,
            expires,
            topic_len: publish.topic.len(),
            data: data.into(),
            properties: (properties != Properties::default()).then(|| Box::new(properties)),
        }
    }

    /// The topic name.
    pub fn topic(&self) -> &str {
        // Always UTF-8: `data` begins with the bytes of a `str`.
        std::str::from_utf8(&self.data[..self.topic_len]).unwrap_or_default()
    }

    /// The application's bytes.
    pub fn payload(&self) -> &[u8] {
        &self.data[self.topic_len..]
    }

    /// The quality of service that the publisher asked for.
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// Whether the publisher asked the broker to keep it.
    pub fn retain(&self) -> bool {
        self.retain
    }

    /// Where the publisher wants the answer, if it wants one.
    pub fn response_topic(&self) -> Option<&str> {
        self.properties.as_ref()?.response_topic.as_deref()
    }

    /// What the publisher wants to see again in the answer.
    pub fn correlation_data(&self) -> Option<&[u8]> {
        self.properties.as_ref()?.correlation_data.as_deref()
    }

    pub(crate) fn expires(&self) -> Option<Instant> {
        self.expires
    }

    pub(crate) fn expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// What it takes in a queue, in bytes, give or take the allocator.
    pub(crate) fn weight(&self) -> usize {
        self.data.len() + size_of::<Self>()
    }

    /// The message as a PUBLISH packet to encode; the sender fills in identifiers and expiry.
    pub(crate) fn publish(&self) -> Publish<'_> {
        let mut publish = Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic(),
            packet_id: None,
            properties: PublishProperties::default(),
            payload: self.payload(),
        };
        if let Some(from) = &self.properties {
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
    owned: OnceCell<Arc<Message>>,
}

impl<'a> Routed<'a> {
    pub(crate) fn borrowed(publish: Publish<'a>, expires: Option<Instant>) -> Self {
        Self {
            publish,
            expires,
            owned: OnceCell::new(),
        }
    }

    pub(crate) fn kept(message: &'a Arc<Message>) -> Self {
        Self {
            publish: message.publish(),
            expires: message.expires,
            owned: OnceCell::from(Arc::clone(message)),
        }
    }

    /// The message to keep. The first caller pays for the copy, the others share it.
    pub(crate) fn message(&self) -> Arc<Message> {
        Arc::clone(
            self.owned
                .get_or_init(|| Arc::new(Message::copy_of(&self.publish, self.expires))),
        )
    }

    pub(crate) fn expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A plain QoS 1 message.
    pub(crate) fn message(topic: &str, payload: &[u8]) -> Arc<Message> {
        message_with(topic, payload, QoS::AtLeastOnce, false, None)
    }

    pub(crate) fn message_with(
        topic: &str,
        payload: &[u8],
        qos: QoS,
        retain: bool,
        expires: Option<Instant>,
    ) -> Arc<Message> {
        let publish = Publish {
            dup: false,
            qos,
            retain,
            topic,
            packet_id: None,
            properties: PublishProperties::default(),
            payload,
        };
        Arc::new(Message::copy_of(&publish, expires))
    }
}
