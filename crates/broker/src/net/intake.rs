//! What a client's packets do, a whole read of them at a time.
//!
//! While packets are taken in, the client's own session is locked and acknowledgements go to its
//! outbox; the messages among them go to their subscribers after it is unlocked. So nobody holds
//! two sessions, and an acknowledgement leaves only after its message was routed.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{
    AckKind, Disconnect, Packet, Publish, QoS, ReasonCode, Version, decode, encode_ack,
};

use super::Worker;
use super::client::Client;
use super::end::End;
use super::greeting::session_expiry;
use crate::access::Rights;
use crate::counters::add;
use crate::deliver::{Batch, Post, deliver};
use crate::hub::Departure;
use crate::message::Routed;
use crate::outbox::Outbox;
use crate::router::{MatchCache, Stored};
use crate::session::{AliasError, AliasesIn, Receipt, Received, Tally, Turn};

/// Packets taken in before their messages go to the subscribers. When these cannot keep up, the
/// rest of what the client sent waits with it.
const AT_ONCE: usize = 256;

/// Why taking in stopped.
enum Stop<'a> {
    /// The rest is not a whole packet.
    Incomplete,
    /// There may be more.
    Enough,
    /// A packet that must see the effects of all before it.
    Packet(Packet<'a>),
    /// The next packet, not taken in yet, sets a topic alias.
    Alias(NonZeroU16, &'a str),
    End(End),
}

/// What taking in a PUBLISH needs besides its session.
struct Intake<'w> {
    worker: &'w Worker,
    cache: &'w mut MatchCache,
    version: Version,
    now: Instant,
    rights: Rights,
    /// Of PUBLISH packets received and acknowledged.
    tally: Tally,
}

impl Client {
    /// Handles `data` as far as it is whole packets and the subscribers keep up; returns how much
    /// that was.
    pub(super) fn intake(
        &mut self,
        data: &[u8],
        worker: &Worker,
        cache: &mut MatchCache,
        post: &mut Post,
        now: Instant,
    ) -> Result<usize, End> {
        let mut used = 0;
        while used < data.len() {
            let mut batch = Batch::default();
            let mut intake = Intake {
                worker,
                cache,
                version: self.version,
                now,
                rights: self.attached.cell.rights(),
                tally: Tally::default(),
            };
            let (taken, stop) = self.collect(&data[used..], &mut intake, &mut batch, post);
            used += taken;
            post.tally.received += intake.tally.received;
            post.tally.received_bytes += intake.tally.received_bytes;
            post.tally.replies += intake.tally.replies;
            deliver(&batch, self.attached.cell.id(), now, post);
            drop(batch);
            match stop {
                Stop::Incomplete => break,
                Stop::Enough => {}
                Stop::End(end) => return Err(end),
                Stop::Alias(alias, topic) => {
                    self.aliases.set(alias, topic).map_err(alias_fault)?;
                }
                Stop::Packet(packet) => self.handle(&packet, worker, post, now)?,
            }
            if !post.congested.is_empty() {
                break;
            }
        }
        Ok(used)
    }

    /// Takes in packets up to one that must wait for the messages before it.
    fn collect<'s, 'd: 's>(
        &'s self,
        data: &'d [u8],
        intake: &mut Intake<'_>,
        batch: &mut Batch<'s>,
        post: &mut Post,
    ) -> (usize, Stop<'d>) {
        let max = intake.worker.hub.config.limits.packet_size as usize;
        let mut used = 0;
        let mut packets = 0;
        let mut inner = self.attached.cell.lock();
        let Some((session, wire)) = inner.wire(self.attached.epoch) else {
            return (0, Stop::End(End::TakenOver));
        };
        let out = &mut wire.out;
        let stop = loop {
            if packets == AT_ONCE {
                break Stop::Enough;
            }
            let (packet, len) = match decode(&data[used..], self.version, max) {
                Ok(Some(found)) => found,
                Ok(None) => break Stop::Incomplete,
                Err(error) => break Stop::End(error.into()),
            };
            let mut turn = Turn {
                now: intake.now,
                out: &mut *out,
                tally: &mut post.tally,
            };
            match packet {
                Packet::Publish(publish) => {
                    if let Some(alias) = self.aliases.set_by(&publish) {
                        break Stop::Alias(alias, publish.topic);
                    }
                    if packets == 0 {
                        batch.expect(data.len(), AT_ONCE);
                    }
                    let received = &mut session.received;
                    let taken = intake.publish(publish, &self.aliases, received, turn.out, batch);
                    if let Err(end) = taken {
                        break Stop::End(end);
                    }
                }
                Packet::PubAck(ack) => session.puback(ack.packet_id, &mut turn),
                Packet::PubRec(ack) => session.pubrec(ack.packet_id, ack.reason, &mut turn),
                Packet::PubComp(ack) => session.pubcomp(ack.packet_id, &mut turn),
                Packet::PubRel(ack) => {
                    let reason = if session.received.remove(ack.packet_id) {
                        ReasonCode::SUCCESS
                    } else {
                        ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
                    };
                    let bytes = &mut turn.out.bytes;
                    encode_ack(bytes, self.version, AckKind::PubComp, ack.packet_id, reason);
                    turn.tally.replies += 1;
                }
                Packet::PingReq => {
                    turn.out.bytes.extend_from_slice(&PINGRESP);
                    turn.tally.replies += 1;
                }
                packet => {
                    used += len;
                    packets += 1;
                    break Stop::Packet(packet);
                }
            }
            used += len;
            packets += 1;
        };
        add(&intake.worker.counters.packets_received, packets as u64);
        (used, stop)
    }
}

const PINGRESP: [u8; 2] = [0xD0, 0];

impl Intake<'_> {
    /// Acknowledges `publish`, and adds it to `batch` if somebody gets it.
    fn publish<'a>(
        &mut self,
        mut publish: Publish<'a>,
        aliases: &'a AliasesIn,
        received: &mut Received,
        out: &mut Outbox,
        batch: &mut Batch<'a>,
    ) -> Result<(), End> {
        if !publish.properties.subscription_ids.is_empty() {
            return Err(End::protocol("a client sent a subscription identifier"));
        }
        if let Some(alias) = publish.properties.topic_alias {
            publish.topic = aliases.get(alias).map_err(alias_fault)?;
            publish.properties.topic_alias = None;
        }
        self.tally.received += 1;
        self.tally.received_bytes += publish.payload.len() as u64;
        if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
            // Only MQTT 5 clients are told, so only they are held to it.
            let maximum = match self.version {
                Version::V5 => self.worker.hub.config.limits.receive_maximum,
                Version::V3 | Version::V4 => u16::MAX,
            };
            match received.insert(id, maximum) {
                Receipt::New => {}
                Receipt::Again => {
                    encode_ack(
                        &mut out.bytes,
                        self.version,
                        AckKind::PubRec,
                        id,
                        ReasonCode::SUCCESS,
                    );
                    self.tally.replies += 1;
                    return Ok(());
                }
                Receipt::TooMany => {
                    return Err(End::Fault {
                        reason: ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
                        what: "more unacknowledged QoS 2 messages than the receive maximum",
                    });
                }
            }
        }
        let reason = self.route(publish, batch);
        let Some(id) = publish.packet_id else {
            return Ok(());
        };
        let kind = match publish.qos {
            QoS::AtMostOnce => return Ok(()),
            QoS::AtLeastOnce => AckKind::PubAck,
            QoS::ExactlyOnce => AckKind::PubRec,
        };
        if kind == AckKind::PubRec && reason.is_error() && self.version == Version::V5 {
            received.remove(id); // The exchange ends with a PUBREC that is an error.
        }
        encode_ack(&mut out.bytes, self.version, kind, id, reason);
        self.tally.replies += 1;
        Ok(())
    }

    /// Finds who gets `publish`. Returns what to acknowledge it with.
    fn route<'a>(&mut self, publish: Publish<'a>, batch: &mut Batch<'a>) -> ReasonCode {
        let hub = &self.worker.hub;
        let refuse = |reason| {
            add(&self.worker.counters.publish_refused, 1);
            reason
        };
        if !self.rights.may_write(publish.topic) {
            return refuse(ReasonCode::NOT_AUTHORIZED);
        }
        if !hub.config.limits.levels_fit(publish.topic) {
            return refuse(ReasonCode::TOPIC_NAME_INVALID);
        }
        let expiry = publish.properties.message_expiry;
        let expires = expiry.map(|s| self.now + Duration::from_secs(s.into()));
        let routed = Routed::borrowed(publish, expires);
        // Kept before it is matched: whoever subscribes in between gets it one way or the other.
        if publish.retain && hub.retained().store(routed.message()) == Stored::Full {
            return refuse(ReasonCode::QUOTA_EXCEEDED);
        }
        if batch.ends_with(routed.publish.topic) {
            batch.push_alike(routed);
            return ReasonCode::SUCCESS;
        }
        let matches = self.cache.matches(&hub.router, routed.publish.topic);
        if matches.is_empty() {
            return ReasonCode::NO_MATCHING_SUBSCRIBERS;
        }
        batch.push(routed, matches);
        ReasonCode::SUCCESS
    }
}

fn alias_fault(error: AliasError) -> End {
    match error {
        AliasError::TooHigh => End::Fault {
            reason: ReasonCode::TOPIC_ALIAS_INVALID,
            what: "the topic alias is above the maximum",
        },
        AliasError::Unknown => End::protocol("the topic alias was never set"),
    }
}

impl Client {
    /// Handles a packet that nothing may overtake.
    fn handle(
        &mut self,
        packet: &Packet<'_>,
        worker: &Worker,
        post: &mut Post,
        now: Instant,
    ) -> Result<(), End> {
        match packet {
            Packet::Subscribe(subscribe) => self.subscribe(subscribe, worker, post, now),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe, worker, post),
            Packet::Disconnect(disconnect) => Err(self.disconnect(disconnect, worker)),
            Packet::Connect(_) => Err(End::protocol("a second CONNECT")),
            Packet::Auth(_) => Err(End::protocol("AUTH without an authentication method")),
            _ => Err(End::protocol("a packet that only a server sends")),
        }
    }

    fn disconnect(&self, disconnect: &Disconnect<'_>, worker: &Worker) -> End {
        let expiry = disconnect.properties.session_expiry;
        if expiry.is_some_and(|expiry| expiry > 0)
            && self.attached.cell.lock().expiry == Some(Duration::ZERO)
        {
            return End::protocol("a session expiry interval for a session without one");
        }
        End::Orderly(Departure {
            // Any other reason leaves the will to be published (MQTT-3.1.2-10, section 3.1.2.5).
            orderly: disconnect.reason == ReasonCode::NORMAL_DISCONNECTION,
            expiry: expiry.map(|seconds| session_expiry(seconds, &worker.hub.config.limits)),
        })
    }
}
