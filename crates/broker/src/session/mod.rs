//! One session as a pure state machine: packets and `now` in, packets out.
//!
//! All rules of quality of service, flow control, expiry and queueing live here. Nothing here
//! knows sockets, other sessions, or who subscribed to what.

mod alias;
mod inflight;
#[cfg(test)]
mod model_tests;
mod received;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use fieldgate_mqtt::{AckKind, PacketId, QoS, ReasonCode, SubscriptionIds, Version, encode_ack};

use crate::message::{Message, Routed};
use crate::outbox::{Outbox, SHARE_FROM};
use crate::router::{Ids, Terms};

use alias::AliasesOut;
pub(crate) use alias::{AliasError, AliasesIn};
use inflight::{Inflight, Kept, Phase};
pub(crate) use received::{Receipt, Received};
pub(crate) use turn::{Limits, Peer, Tally, Turn};

/// Bytes in the outbox from which on queued messages wait until the transport has taken some.
const OUTBOX_SOFT: usize = 128 * 1024;

/// What a topic alias adds to a packet at most, in bytes: the property, and longer lengths.
const ALIAS_LEN: usize = 5;

/// What the queue may grow to while its publishers are held back, as a multiple of its limits:
/// what they had sent before they were is still to be taken.
const HELD_BACK: usize = 4;

/// The state that MQTT calls the session (MQTT 5.0 section 4.1), without its subscriptions.
#[derive(Debug)]
pub(crate) struct Session {
    limits: Limits,
    peer: Option<Peer>,
    inflight: Inflight,
    /// Packet identifiers to send again after a resume, oldest first.
    resend: VecDeque<PacketId>,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// Queued messages of QoS 0: while there are any, later ones must not overtake them.
    queued_qos0: usize,
    /// Publishers no longer wait for this client: what is too much is dropped.
    pub(crate) given_up: bool,
    aliases: Option<Box<AliasesOut>>,
    /// The client's QoS 2 messages that wait for their PUBREL.
    pub(crate) received: Received,
}

#[derive(Debug)]
struct Queued {
    message: Arc<Message>,
    qos: QoS,
    retain: bool,
    ids: Ids,
}

/// The parts of a PUBLISH that differ from subscriber to subscriber.
#[derive(Clone, Copy)]
struct Form<'a> {
    qos: QoS,
    retain: bool,
    dup: bool,
    id: Option<PacketId>,
    ids: &'a Ids,
}

impl Session {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            peer: None,
            inflight: Inflight::default(),
            resend: VecDeque::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            queued_qos0: 0,
            given_up: false,
            aliases: None,
            received: Received::default(),
        }
    }

    /// The client is there. What it has not acknowledged is sent again, in order, with the
    /// same identifiers (MQTT-4.4.0-1), then what queued up.
    pub(crate) fn attach(&mut self, peer: Peer, turn: &mut Turn<'_>) {
        self.peer = Some(peer);
        let aliases = peer.alias_maximum.min(self.limits.max_aliases);
        self.aliases = (aliases > 0).then(|| Box::new(AliasesOut::new(aliases)));
        self.inflight
            .set_window(peer.receive_maximum.min(self.limits.max_inflight));
        self.resend = self.inflight.unsent();
        self.pump(turn);
    }

    /// The client is gone; its session stays.
    pub(crate) fn detach(&mut self) {
        self.peer = None;
        self.aliases = None;
        self.resend.clear();
        // Retained messages that were still to go out belong to the lost connection.
        self.queue.retain(|queued| queued.qos > QoS::AtMostOnce);
        self.queued_qos0 = 0;
        self.queued_bytes = self.queue.iter().map(|q| q.message.weight()).sum();
    }

    /// Drops the waiting messages whose topics the client may not read any more.
    pub(crate) fn revoke(&mut self, may_read: impl Fn(&str) -> bool) {
        self.queue.retain(|queued| may_read(queued.message.topic()));
        let qos0 = |queued: &&Queued| queued.qos == QoS::AtMostOnce;
        self.queued_qos0 = self.queue.iter().filter(qos0).count();
        self.queued_bytes = self.queue.iter().map(|q| q.message.weight()).sum();
    }

    /// Messages waiting, those unacknowledged included.
    pub(crate) fn backlog(&self) -> usize {
        self.queue.len() + self.inflight.len()
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether the queue has grown to half of what it may hold.
    pub(crate) fn is_congested(&self) -> bool {
        self.queue.len() * 2 > self.limits.max_queued
            || self.queued_bytes * 2 > self.limits.max_queued_bytes
    }

    /// Whether the queue is down to an eighth of what it may hold.
    pub(crate) fn is_relieved(&self) -> bool {
        self.queue.len() * 8 <= self.limits.max_queued
            && self.queued_bytes * 8 <= self.limits.max_queued_bytes
    }

    /// Whether a subscription may bring its retained messages. Not if those of others already
    /// fill the queue: a client could subscribe faster than it takes them, without end.
    pub(crate) fn takes_retained(&self) -> bool {
        self.queue.len()
            <= self
                .limits
                .max_queued
                .saturating_add(self.limits.max_retained)
    }

    /// The version that the client speaks, if it is there.
    pub(crate) fn version(&self) -> Option<Version> {
        self.peer.map(|peer| peer.version)
    }

    /// Whether ready-made QoS 0 packets of `len` bytes, the biggest of them `biggest`, may be
    /// appended to `out` as they are.
    pub(crate) fn takes_ready_made(&self, biggest: usize, len: usize, out: &Outbox) -> bool {
        let Some(peer) = &self.peer else { return false };
        biggest <= peer.max_packet
            && out.len() + len <= self.limits.max_outbox
            && self.aliases.is_none()
            && self.queued_qos0 == 0
    }

    /// Queues one message for a client that is not connected; one of QoS 0 it never gets.
    pub(crate) fn deliver_away(
        &mut self,
        routed: &Routed<'_>,
        terms: &Terms,
        now: Instant,
        tally: &mut Tally,
    ) {
        let form = Form {
            qos: routed.publish.qos.min(terms.qos),
            retain: routed.publish.retain && terms.retain_as_published,
            dup: false,
            id: None,
            ids: &terms.ids,
        };
        if routed.expired(now) {
            tally.expired += 1;
        } else if form.qos > QoS::AtMostOnce {
            self.enqueue(routed, form, tally);
        }
    }

    /// Sends, queues or drops one message that this session subscribed to.
    ///
    /// The session's queue is bounded. When it is full the oldest message of it is dropped for
    /// the newest, and counted: for readings the newest is worth most.
    pub(crate) fn deliver(&mut self, routed: &Routed<'_>, terms: &Terms, turn: &mut Turn<'_>) {
        let form = Form {
            qos: routed.publish.qos.min(terms.qos),
            retain: routed.publish.retain && terms.retain_as_published,
            dup: false,
            id: None,
            ids: &terms.ids,
        };
        self.offer(routed, form, true, turn);
    }

    /// Sends or queues a retained message that matches a new subscription. However many there
    /// are they wait in the queue, none is dropped.
    pub(crate) fn deliver_retained(
        &mut self,
        message: &Arc<Message>,
        terms: &Terms,
        turn: &mut Turn<'_>,
    ) {
        let form = Form {
            qos: message.qos().min(terms.qos),
            retain: true,
            dup: false,
            id: None,
            ids: &terms.ids,
        };
        self.offer(&Routed::kept(message), form, false, turn);
    }

    fn offer(&mut self, routed: &Routed<'_>, form: Form<'_>, bounded: bool, turn: &mut Turn<'_>) {
        if routed.expired(turn.now) {
            turn.tally.expired += 1;
            return;
        }
        let Some(peer) = self.peer else { return };
        if form.qos == QoS::AtMostOnce {
            return self.offer_qos0(routed, form, bounded, &peer, turn);
        }
        let waiting = !self.queue.is_empty() || !self.resend.is_empty();
        let fits = self.inflight.has_room() && turn.out.len() < OUTBOX_SOFT;
        match (!waiting && fits, bounded) {
            (true, _) => self.send_tracked(routed, form, &peer, turn),
            (false, true) => self.enqueue(routed, form, turn.tally),
            (false, false) => self.push(routed, form),
        }
    }

    fn offer_qos0(
        &mut self,
        routed: &Routed<'_>,
        form: Form<'_>,
        bounded: bool,
        peer: &Peer,
        turn: &mut Turn<'_>,
    ) {
        let room = if bounded {
            self.limits.max_outbox
        } else {
            OUTBOX_SOFT
        };
        let in_order = self.queued_qos0 == 0;
        if in_order && turn.out.len() < room {
            self.send(routed, form, peer, turn);
        } else if !bounded || (!in_order && self.has_room(routed)) {
            self.push(routed, form);
        } else {
            turn.tally.dropped += 1;
        }
    }

    /// Sends a message of QoS 1 or 2 under a packet identifier of its own.
    fn send_tracked(
        &mut self,
        routed: &Routed<'_>,
        form: Form<'_>,
        peer: &Peer,
        turn: &mut Turn<'_>,
    ) {
        let Some(id) = self.inflight.reserve() else {
            return self.push(routed, form); // The window is full.
        };
        let numbered = Form {
            id: Some(id),
            ..form
        };
        if !self.send(routed, numbered, peer, turn) {
            self.inflight.cancel(id);
            return;
        }
        let keep = peer.keep.then(|| Kept {
            message: routed.message(),
            retain: form.retain,
            ids: form.ids.clone(),
        });
        self.inflight.sent(id, form.qos, keep);
    }

    /// Encodes one PUBLISH into the outbox. Returns false if the client takes no packet so big:
    /// then the message counts as delivered (MQTT-3.1.2-25).
    fn send(
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
        turn.tally.sent += 1;
        turn.tally.sent_bytes += publish.payload.len() as u64;
        let bytes = &mut turn.out.bytes;
        if publish.payload.len() >= SHARE_FROM {
            fieldgate_mqtt::encode_publish_head(bytes, peer.version, &publish);
            turn.out.share_payload(routed.message());
        } else {
            fieldgate_mqtt::encode_publish(bytes, peer.version, &publish);
        }
        true
    }

    fn has_room(&self, routed: &Routed<'_>) -> bool {
        let weight = routed.publish.payload.len() + routed.publish.topic.len();
        let times = match self.peer {
            Some(_) if !self.given_up => HELD_BACK,
            _ => 1,
        };
        self.queue.len() < self.limits.max_queued.saturating_mul(times)
            && self.queued_bytes + weight <= self.limits.max_queued_bytes.saturating_mul(times)
    }

    fn enqueue(&mut self, routed: &Routed<'_>, form: Form<'_>, tally: &mut Tally) {
        while !self.has_room(routed) {
            tally.dropped += 1;
            if self.pop().is_none() {
                return; // It alone is more than the queue may hold.
            }
        }
        self.push(routed, form);
    }

    fn push(&mut self, routed: &Routed<'_>, form: Form<'_>) {
        let message = routed.message();
        self.queued_bytes += message.weight();
        self.queued_qos0 += usize::from(form.qos == QoS::AtMostOnce);
        self.queue.push_back(Queued {
            message,
            qos: form.qos,
            retain: form.retain,
            ids: form.ids.clone(),
        });
    }

    fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes -= queued.message.weight();
        self.queued_qos0 -= usize::from(queued.qos == QoS::AtMostOnce);
        Some(queued)
    }

    /// Sends what waits, as far as the client's window and the outbox have room.
    pub(crate) fn pump(&mut self, turn: &mut Turn<'_>) {
        let Some(peer) = self.peer else { return };
        while turn.out.len() < OUTBOX_SOFT && self.resend_next(&peer, turn) {}
        while turn.out.len() < OUTBOX_SOFT && self.resend.is_empty() {
            let Some(next) = self.queue.front() else {
                return;
            };
            if next.qos > QoS::AtMostOnce && !self.inflight.has_room() {
                return;
            }
            let Some(queued) = self.pop() else { return };
            let routed = Routed::kept(&queued.message);
            let form = Form {
                qos: queued.qos,
                retain: queued.retain,
                dup: false,
                id: None,
                ids: &queued.ids,
            };
            if routed.expired(turn.now) {
                turn.tally.expired += 1;
            } else if queued.qos == QoS::AtMostOnce {
                self.send(&routed, form, &peer, turn);
            } else {
                self.send_tracked(&routed, form, &peer, turn);
            }
        }
    }

    /// Repeats one packet of the connection before. Returns whether there may be another.
    fn resend_next(&mut self, peer: &Peer, turn: &mut Turn<'_>) -> bool {
        let Some(&id) = self.resend.front() else {
            return false;
        };
        let Some((phase, kept)) = self.inflight.get(id) else {
            self.resend.pop_front(); // Acknowledged meanwhile.
            return true;
        };
        if phase == Phase::Released {
            let bytes = &mut turn.out.bytes;
            encode_ack(
                bytes,
                peer.version,
                AckKind::PubRel,
                id,
                ReasonCode::SUCCESS,
            );
            self.resend.pop_front();
            return true;
        }
        if !self.inflight.has_room() {
            return false;
        }
        let kept = kept.cloned();
        self.resend.pop_front();
        let sent = kept.is_some_and(|kept| {
            let form = Form {
                qos: phase.qos(),
                retain: kept.retain,
                dup: true,
                id: Some(id),
                ids: &kept.ids,
            };
            self.send(&Routed::kept(&kept.message), form, peer, turn)
        });
        if sent {
            self.inflight.resent(id);
        } else {
            self.inflight.cancel(id);
        }
        true
    }

    /// PUBACK from the client. An identifier that is not in use is ignored.
    pub(crate) fn puback(&mut self, id: PacketId, turn: &mut Turn<'_>) {
        if self.inflight.finish(id, Phase::AwaitsAck) {
            self.pump(turn);
        }
    }

    /// PUBREC from the client: releases the message, or ends it if `reason` is an error.
    pub(crate) fn pubrec(&mut self, id: PacketId, reason: ReasonCode, turn: &mut Turn<'_>) {
        let Some(peer) = self.peer else { return };
        if reason.is_error() {
            if self.inflight.finish(id, Phase::AwaitsReceived) {
                self.pump(turn);
            }
            return;
        }
        let reason = if self.inflight.release(id) {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
        };
        turn.tally.replies += 1;
        encode_ack(
            &mut turn.out.bytes,
            peer.version,
            AckKind::PubRel,
            id,
            reason,
        );
    }

    /// PUBCOMP from the client.
    pub(crate) fn pubcomp(&mut self, id: PacketId, turn: &mut Turn<'_>) {
        if self.inflight.finish(id, Phase::Released) {
            self.pump(turn);
        }
    }
}

/// Rounded up, so that a message which has not expired is not sent as expired.
fn seconds_left(at: Instant, now: Instant) -> u32 {
    let left = at.saturating_duration_since(now);
    u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}
