//! A message on its way to the client: the packet that it becomes.

use std::time::Instant;

use fieldgate_mqtt::{PacketId, PlainPublish, QoS, SubscriptionIds, Version, encode_plain_publish};

use super::{Peer, Session, Turn};
use crate::message::Routed;
use crate::outbox::SHARE_FROM;
use crate::router::Ids;

/// What a topic alias adds to a packet at most, in bytes: the property, and longer lengths.
const ALIAS_LEN: usize = 5;

/// The parts of a PUBLISH that differ from subscriber to subscriber.
#[derive(Clone, Copy)]
pub(super) struct Form<'a> {
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) id: Option<PacketId>,
    pub(super) ids: &'a Ids,
}

impl Session {
    /// Encodes one PUBLISH into the outbox. Returns false if the client takes no packet so big:
    /// then the message counts as delivered (MQTT-3.1.2-25).
    pub(super) fn send(
        &mut self,
        routed: &Routed<'_>,
        form: Form<'_>,
        peer: &Peer,
        turn: &mut Turn<'_>,
    ) -> bool {
        let payload = routed.publish.payload.len();
        if routed.is_plain && self.aliases.is_none() && payload < SHARE_FROM && form.ids.is_none() {
            // By far the most: measured once, as it is written.
            let bytes = &mut turn.out.bytes;
            let before = bytes.len();
            let plain = PlainPublish {
                dup: form.dup,
                qos: form.qos,
                retain: form.retain,
                topic: routed.publish.topic,
                packet_id: form.id,
                payload: routed.publish.payload,
            };
            let len = encode_plain_publish(bytes, peer.version, &plain);
            if len == 0 || len > peer.max_packet {
                bytes.truncate(before);
                turn.tally.oversize += 1;
                return false;
            }
            turn.tally.sent += 1;
            turn.tally.sent_bytes += payload as u64;
            return true;
        }
        self.send_any(routed, form, peer, turn)
    }

    /// The same with properties, aliases, or a payload that subscribers share.
    fn send_any(
        &mut self,
        routed: &Routed<'_>,
        form: Form<'_>,
        peer: &Peer,
        turn: &mut Turn<'_>,
    ) -> bool {
        let mut publish = routed.publish;
        publish.qos = form.qos;
        publish.retain = form.retain;
        publish.dup = form.dup;
        publish.packet_id = form.id;
        let properties = &mut publish.properties;
        // Never the publisher's own: aliases belong to one connection (MQTT-3.3.2-7).
        properties.topic_alias = None;
        if peer.version == Version::V5 {
            properties.message_expiry = routed.expires.map(|at| seconds_left(at, turn.now));
            properties.subscription_ids = SubscriptionIds::from_list(form.ids.as_slice());
        }
        let bytes = &mut turn.out.bytes;
        let small = publish.payload.len() < SHARE_FROM;
        let len = fieldgate_mqtt::publish_len(peer.version, &publish);
        if len > peer.max_packet {
            turn.tally.oversize += 1;
            return false;
        }
        let aliases = self.aliases.as_mut();
        if let Some(aliases) = aliases.filter(|_| len + ALIAS_LEN <= peer.max_packet) {
            let (alias, known) = aliases.of(publish.topic);
            publish.properties.topic_alias = alias;
            if known {
                publish.topic = "";
            }
        }
        if small {
            fieldgate_mqtt::encode_publish(bytes, peer.version, &publish);
        } else {
            fieldgate_mqtt::encode_publish_head(bytes, peer.version, &publish);
            turn.out.share_payload(routed.message());
        }
        turn.tally.sent += 1;
        turn.tally.sent_bytes += publish.payload.len() as u64;
        true
    }
}

/// Rounded up, so that a message which has not expired is not sent as expired.
fn seconds_left(at: Instant, now: Instant) -> u32 {
    let left = at.saturating_duration_since(now);
    u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}
