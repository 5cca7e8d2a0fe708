//! Messages for tests.

use std::sync::Arc;
use std::time::Instant;

use fieldgate_broker_core::message::Message;
use fieldgate_mqtt::{Publish, PublishProperties, QoS};

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
    Message::copy_of(&publish, expires, &Arc::default())
}
