//! Headers of NATS and user properties of MQTT. Pure.

use fieldgate_mqtt::{Publish, PublishProperties, QoS, UserPropertiesBuf};

use super::readback::ID;
use super::wire::{self, Op};
use crate::{marks, subject};

/// What is the beginning of all headers that JetStream acts on: those of a publisher do not reach it.
const RESERVED: &str = "nats-";
/// What other programs say of the payload.
pub(super) const CONTENT_TYPE: &str = "Content-Type";

/// The header that a property becomes; `None` if JetStream would act on it.
pub(super) fn header_of(property: &str) -> Option<&str> {
    let start = property.get(..RESERVED.len());
    match property {
        marks::ID => Some(ID),
        marks::LATE => Some("Fg-Late"),
        marks::VIA => Some("Fg-Via"),
        _ if start.is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) => None,
        other => Some(other),
    }
}

/// A message that came down.
pub struct Incoming<'a> {
    topic: String,
    user: UserPropertiesBuf,
    content_type: Option<&'a str>,
    payload: &'a [u8],
}

/// Makes of the bytes of a message what MQTT would have of it. `None` if its subject can be no topic.
pub fn incoming(bytes: &[u8]) -> Option<Incoming<'_>> {
    let Ok(Some((Op::Message(message), _))) = wire::decode(bytes, bytes.len()) else {
        return None;
    };
    let mut user = UserPropertiesBuf::new();
    for (name, value) in message.headers.iter() {
        let name = match name {
            name if name.eq_ignore_ascii_case("fg-via") => marks::VIA,
            name if name.eq_ignore_ascii_case(ID) => marks::ID,
            name => name,
        };
        // A header is as long as a message at most, and a longer one than a property holds is left out.
        let _ = user.push(name, value);
    }
    Some(Incoming {
        topic: subject::to_topic(message.subject)?,
        user,
        content_type: message.headers.get(CONTENT_TYPE),
        payload: message.payload,
    })
}

impl Incoming<'_> {
    /// As a packet of MQTT.
    pub fn publish(&self) -> Publish<'_> {
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: &self.topic,
            packet_id: None,
            properties: PublishProperties {
                content_type: self.content_type,
                user_properties: self.user.as_properties(),
                ..PublishProperties::default()
            },
            payload: self.payload,
        }
    }
}
