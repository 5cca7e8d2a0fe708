//! What a client's packets do, a whole read of them at a time.
//!
//! While packets are taken in, the client's own session is locked and acknowledgements go to its
//! outbox; the messages among them go to their subscribers after it is unlocked. So no thread holds
//! two sessions, and an acknowledgement leaves only after its message was routed.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{AckKind, Disconnect, Packet, Publish, QoS, ReasonCode, Version, decode};

use super::Client;
use crate::counters::add;
use crate::hub::Departure;
use crate::hub::MatchCache;
use crate::hub::deliver::{Batch, DeliveryScratch, deliver};
use crate::hub::session_slot::Wire;
use crate::net::Worker;
use crate::net::effort::Begun;
use crate::net::end::End;
use fieldgate_broker_access::{OwnTopics, Rights};
use fieldgate_broker_core::journal::{Journal, Sent};
use fieldgate_broker_core::message::Routed;
use fieldgate_broker_core::pending_acks::Seal;
use fieldgate_broker_core::router::{Name, Stored};
use fieldgate_broker_core::session::{AliasError, AliasesIn, Receipt, Session, Tally, Turn};
use fieldgate_broker_store::Store;

/// Packets taken in before their messages go to the subscribers. When these cannot keep up, the
/// rest of what the client sent waits with it.
const AT_ONCE: usize = 256;

/// The same for what they come to at all subscribers together.
const DELIVERIES: usize = 4 * 1024;

/// Why taking in stopped.
enum Stop<'a> {
    /// The rest is not a whole packet.
    Incomplete,
    /// There may be more.
    Enough,
    /// A packet of this length that must see the effects of all before it.
    Packet(Packet<'a>, usize),
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
    own: Arc<OwnTopics>,
    /// What `own` says of the newest topic.
    owned: Option<usize>,
    /// Topics of the program whose subscribers got a client's message.
    disputed: Vec<String>,
    publisher: &'w Name,
    /// Of PUBLISH packets received and acknowledged.
    tally: Tally,
    begun: &'w Begun,
    /// Of the messages taken in, to all their subscribers.
    deliveries: usize,
    /// What is taken in already takes all the time that there is.
    is_over: bool,
}

impl Client {
    /// Handles `data` as far as it is whole packets and the subscribers keep up; returns how much
    /// that was.
    pub(in crate::net) fn intake(
        &mut self,
        data: &[u8],
        worker: &Worker,
        cache: &mut MatchCache,
        post: &mut DeliveryScratch,
        (now, begun): (Instant, &Begun),
    ) -> Result<usize, End> {
        let publisher = Arc::clone(self.attached.slot.name());
        let mut used = 0;
        while used < data.len() {
            let mut batch = Batch::default();
            let mut intake = Intake {
                worker,
                cache,
                version: self.version,
                now,
                rights: self.attached.slot.rights(),
                own: worker.hub.access.own(),
                owned: None,
                disputed: Vec::new(),
                publisher: &publisher,
                tally: Tally::default(),
                begun,
                deliveries: 0,
                is_over: false,
            };
            let (taken, stop) = self.collect(&data[used..], &mut intake, &mut batch, post);
            used += taken;
            post.tally.received += intake.tally.received;
            post.tally.received_bytes += intake.tally.received_bytes;
            let disputed = intake.disputed;
            let mut sender = worker.hub.sender(Some(&self.attached.slot), now);
            sender.waits = true;
            deliver(&batch, &sender, post);
            drop(batch);
            worker.hub.repeat(&disputed, now);
            self.keep(worker, post);
            match stop {
                Stop::Incomplete => break,
                Stop::Enough => {}
                Stop::End(end) => return Err(end),
                Stop::Alias(alias, topic) => {
                    self.aliases.set(alias, topic).map_err(alias_fault)?;
                }
                Stop::Packet(packet, len) => {
                    let done = self.handle(&packet, worker, post, (now, begun));
                    if done != Ok(false) {
                        add(&worker.counters.packets_received, 1);
                    }
                    if !done? {
                        post.is_late = true;
                        break;
                    }
                    used += len;
                }
            }
            if !post.congested.is_empty() {
                break;
            }
            if used < data.len() && begun.is_over() {
                post.is_late = true;
                break;
            }
        }
        Ok(used)
    }

    /// Hands the changes of this turn to the store. Answers that promise them wait for it, and for those that vouch for
    /// messages among them.
    fn keep(&self, worker: &Worker, post: &mut DeliveryScratch) {
        let vouched = post.vouched.take();
        let answers = std::mem::take(&mut post.journal.is_awaited);
        let store = worker.hub.store.as_ref();
        let ticket = match store.filter(|_| answers || !post.journal.is_empty()) {
            Some(store) => {
                post.journal.is_awaited = answers;
                Some(store.submit(&mut post.journal))
            }
            None => {
                post.journal.sent = Sent::default();
                None
            }
        };
        if answers && let Some((_, wire)) = self.attached.slot.lock().wire(self.attached.epoch) {
            wire.pending.seal(Seal { ticket, vouched });
        }
    }

    /// Takes in packets up to one that must wait for the messages before it.
    fn collect<'s, 'd: 's, 'w: 's>(
        &'s self,
        data: &'d [u8],
        intake: &mut Intake<'w>,
        batch: &mut Batch<'s>,
        post: &mut DeliveryScratch,
    ) -> (usize, Stop<'d>) {
        let max = intake.worker.hub.config.limits.packet_size as usize;
        let mut used = 0;
        let mut packets = 0;
        let mut inner = self.attached.slot.lock();
        let Some((session, wire)) = inner.wire(self.attached.epoch) else {
            return (0, Stop::End(End::TakenOver));
        };
        let Wire { out, pending, .. } = wire;
        let stop = loop {
            if packets == AT_ONCE || intake.is_over {
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
                pending: &mut *pending,
                journal: &mut post.journal,
                tally: &mut post.tally,
            };
            let taken = match packet {
                Packet::Publish(publish) => {
                    if let Some(alias) = self.aliases.set_by(&publish) {
                        break Stop::Alias(alias, publish.topic);
                    }
                    if packets == 0 {
                        batch.expect(data.len(), AT_ONCE);
                    }
                    intake.publish(publish, &self.aliases, session, turn, batch)
                }
                packet => match session.take(&packet, &mut turn) {
                    Some(taken) => taken.map_err(End::from),
                    None => break Stop::Packet(packet, len),
                },
            };
            if let Err(end) = taken {
                break Stop::End(end);
            }
            used += len;
            packets += 1;
        };
        post.journal.is_awaited |= pending.is_open();
        add(&intake.worker.counters.packets_received, packets as u64);
        (used, stop)
    }
}

impl<'w> Intake<'w> {
    /// Acknowledges `publish`, and adds it to `batch` if there are subscribers.
    fn publish<'a>(
        &mut self,
        mut publish: Publish<'a>,
        aliases: &'a AliasesIn,
        session: &mut Session,
        mut turn: Turn<'_>,
        batch: &mut Batch<'a>,
    ) -> Result<(), End>
    where
        'w: 'a,
    {
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
            match session.receive(id, maximum, turn.journal) {
                Receipt::New => {}
                Receipt::Again => {
                    let again = (AckKind::PubRec, id, ReasonCode::SUCCESS);
                    session.answer(again, session.is_stored(), &mut turn);
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
        let routed = self.route(publish, session, turn.journal, batch);
        let (reason, mut hold) = routed.inspect_err(|_| {
            // It was not taken over: it will come again, and then it is new.
            if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
                session.complete(id, turn.journal);
            }
        })?;
        let Some(id) = publish.packet_id else {
            return Ok(());
        };
        let kind = match publish.qos {
            QoS::AtMostOnce => return Ok(()),
            QoS::AtLeastOnce => AckKind::PubAck,
            QoS::ExactlyOnce => AckKind::PubRec,
        };
        if kind == AckKind::PubRec {
            if reason.is_error() && self.version == Version::V5 {
                // The exchange ends with a PUBREC that is an error.
                session.complete(id, turn.journal);
            }
            hold |= session.is_stored();
        }
        session.answer((kind, id, reason), hold, &mut turn);
        Ok(())
    }

    /// Keeps a message as its topic's last. Returns whether there was room, and whether its acknowledgement has to wait
    /// for the store.
    fn retain(&self, routed: &Routed<'_>, promised: bool, journal: &mut Journal) -> (Stored, bool) {
        let hub = &self.worker.hub;
        let stored = hub.retained().store(routed, self.publisher, !promised);
        (stored, hub.note_retained(routed, stored, promised, journal))
    }

    /// Whether the client may publish to a topic; notes whether that is the program's.
    fn may_publish(&mut self, topic: &str) -> bool {
        self.owned = self.own.levels_of(topic);
        let is_permitted = self.rights.may_write(topic, self.owned);
        if !is_permitted && self.owned.is_some() {
            self.worker.hub.note_own(self.publisher, topic);
        }
        is_permitted
    }

    /// Whether something of it would have to be in the store before it is acknowledged.
    fn would_be_kept(&mut self, publish: &Publish<'_>, session: &Session) -> bool {
        let matches = self.cache.matches(&self.worker.hub.router, publish.topic);
        publish.retain || matches.stored || (session.is_stored() && publish.qos == QoS::ExactlyOnce)
    }

    /// Finds who gets `publish`. Returns what to acknowledge it with, and whether that has to wait
    /// for the store.
    fn route<'a>(
        &mut self,
        publish: Publish<'a>,
        session: &Session,
        journal: &mut Journal,
        batch: &mut Batch<'a>,
    ) -> Result<(ReasonCode, bool), End>
    where
        'w: 'a,
    {
        let worker = self.worker;
        let hub = &worker.hub;
        let refuse = |reason| {
            add(&self.worker.counters.publish_refused, 1);
            Ok((reason, false))
        };
        // Many messages in a row have one topic, and what is true of the first is true of all.
        let is_known = batch.ends_with(publish.topic);
        if !is_known && !self.may_publish(publish.topic) {
            return refuse(ReasonCode::NOT_AUTHORIZED);
        }
        let expiry = publish.properties.message_expiry;
        let expires = expiry.map(|s| self.now + Duration::from_secs(s.into()));
        let may_answer = |topic| self.rights.may_write(topic, self.own.levels_of(topic));
        let mut routed = Routed::borrowed(publish, expires, &worker.pot);
        routed.may_answer = publish.properties.response_topic.is_some_and(may_answer);
        let promised = publish.qos > QoS::AtMostOnce;
        let store = hub.store.as_ref();
        let failing = promised && store.is_some_and(Store::is_failing);
        if failing && self.would_be_kept(&publish, session) {
            if self.version == Version::V5 {
                return refuse(ReasonCode::QUOTA_EXCEEDED);
            }
            add(&self.worker.counters.publish_refused, 1);
            return Err(End::NOT_KEPT);
        }
        let mut hold = false;
        // Kept before it is matched: a client that subscribes in between gets it one way or the other.
        let is_disputed = self.owned.is_some() && hub.is_kept_by_link(publish.topic);
        if is_disputed {
            self.disputed.push(publish.topic.to_owned());
        }
        if publish.retain && !is_disputed {
            let stored;
            (stored, hold) = self.retain(&routed, promised, journal);
            // A client that can be told may try again; for the others, subscribers get it at least.
            if stored.is_refused() && promised && self.version == Version::V5 {
                return refuse(ReasonCode::QUOTA_EXCEEDED);
            }
        }
        if is_known {
            batch.push_alike(routed);
            return Ok((
                ReasonCode::SUCCESS,
                hold || (promised && batch.ends_promised()),
            ));
        }
        let found = self.cache.look_up(&hub.router, routed.publish.topic);
        let (matches, is_new) = (found.matches, found.is_new);
        self.deliveries += matches.len();
        self.is_over = self.deliveries > DELIVERIES || (is_new && self.begun.is_over());
        if matches.is_empty() {
            return Ok((ReasonCode::NO_MATCHING_SUBSCRIBERS, hold));
        }
        hold |= promised && (matches.stored || matches.vouched);
        batch.push(routed, matches);
        Ok((ReasonCode::SUCCESS, hold))
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
        post: &mut DeliveryScratch,
        (now, begun): (Instant, &Begun),
    ) -> Result<bool, End> {
        match packet {
            Packet::Subscribe(subscribe) => self.subscribe(subscribe, worker, post, (now, begun)),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe, worker, post, begun),
            Packet::Disconnect(disconnect) => Err(self.disconnect(disconnect, worker)),
            Packet::Connect(_) => Err(End::protocol("a second CONNECT")),
            Packet::Auth(_) => Err(End::protocol("AUTH without an authentication method")),
            _ => Err(End::protocol("a packet that only a server sends")),
        }
    }

    fn disconnect(&self, disconnect: &Disconnect<'_>, worker: &Worker) -> End {
        let expiry = disconnect.properties.session_expiry;
        if expiry.is_some_and(|expiry| expiry > 0)
            && self.attached.slot.lock().expiry == Some(Duration::ZERO)
        {
            return End::protocol("a session expiry interval for a session without one");
        }
        End::Orderly(Departure {
            // Any other reason leaves the will to be published (MQTT-3.1.2-10, section 3.1.2.5).
            orderly: disconnect.reason == ReasonCode::NORMAL_DISCONNECTION,
            expiry: expiry.map(|seconds| worker.hub.config.limits.expiry_of(seconds)),
        })
    }
}
