//! One session as a pure state machine: packets and `now` in, packets out.
//!
//! All rules of quality of service, flow control, expiry and queueing live here. Nothing here
//! knows sockets, other sessions, or who subscribed to what.

mod acks;
mod alias;
mod inflight;
#[cfg(test)]
mod model_tests;
mod patience;
mod persist;
mod queue;
mod received;
mod room;
mod send;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::VecDeque;
use std::time::Instant;

use fieldgate_mqtt::{PacketId, QoS, ReasonCode, Version};

use crate::journal::{Change, Journal};
use crate::message::{Message, Routed};
use crate::outbox::Outbox;
use crate::router::Terms;

pub use acks::WrongAck;
use alias::AliasesOut;
pub use alias::{AliasError, AliasesIn};
use inflight::{Inflight, Kept, Phase, id_of};
use patience::Patience;
use queue::{Queue, Queued};
pub use received::Receipt;
use received::Received;
use send::Form;
pub use turn::{Limits, Peer, Tally, Turn};

/// Bytes in the outbox from which on queued messages wait until the transport has taken some.
const OUTBOX_SOFT: usize = 128 * 1024;

/// What the queue may grow to while its publishers are held back, as a multiple of its limits:
/// what they had sent before they were is still to be taken.
const HELD_BACK: usize = 4;

/// The state that MQTT calls the session (MQTT 5.0 section 4.1), without its subscriptions.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    /// Its number in the journal, if it outlives the process.
    stored: Option<u64>,
    /// The number of the next message of QoS 1 or 2, from which its packet identifier follows.
    next: u64,
    peer: Option<Peer>,
    inflight: Inflight,
    /// Packet identifiers to send again after a resume, oldest first.
    resend: VecDeque<PacketId>,
    queue: Queue,
    /// Publishers no longer wait for this client: what is too much is dropped.
    pub given_up: bool,
    aliases: Option<Box<AliasesOut>>,
    patience: Patience,
    /// The client's QoS 2 messages that wait for their PUBREL.
    received: Received,
}

impl Session {
    /// A session that ends with the process.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            stored: None,
            next: 0,
            peer: None,
            inflight: Inflight::default(),
            resend: VecDeque::new(),
            queue: Queue::default(),
            given_up: false,
            aliases: None,
            patience: Patience::default(),
            received: Received::default(),
        }
    }

    /// A session that outlives the process; its changes go to the journal as those of `number`.
    pub fn stored(limits: Limits, number: u64) -> Self {
        Self {
            stored: Some(number),
            ..Self::new(limits)
        }
    }

    /// Whether it outlives the process.
    pub fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// The client is there. What it has not acknowledged is sent again, in order, with the
    /// same identifiers (MQTT-4.4.0-1), then what queued up.
    pub fn attach(&mut self, peer: Peer, turn: &mut Turn<'_>) {
        self.peer = Some(peer);
        let aliases = peer.alias_maximum.min(self.limits.topic_aliases);
        self.aliases = (aliases > 0).then(|| Box::new(AliasesOut::new(aliases)));
        self.inflight
            .set_window(peer.receive_maximum.min(self.limits.inflight));
        self.resend = self.inflight.unsent();
        self.received.begin_connection();
        self.pump(turn);
    }

    /// The client is gone; its session stays.
    pub fn detach(&mut self) {
        self.peer = None;
        self.aliases = None;
        self.patience.reset();
        self.resend.clear();
        // Retained messages that were still to go out belong to the lost connection.
        self.queue.retain(|queued| queued.qos > QoS::AtMostOnce);
    }

    /// Drops the waiting messages whose topics the client may not read any more.
    pub fn revoke(&mut self, may_read: impl Fn(&str) -> bool, journal: &mut Journal) {
        let (stored, changes) = (self.stored, &mut journal.changes);
        self.queue.retain(|queued| {
            let may = may_read(queued.message.topic());
            if let Some(session) = stored.filter(|_| !may && queued.qos > QoS::AtMostOnce) {
                let number = queued.number;
                changes.push(Change::Gone { session, number });
            }
            may
        });
    }

    /// Messages waiting, those unacknowledged included.
    pub fn backlog(&self) -> usize {
        self.queue.len() + self.inflight.len()
    }

    /// Messages that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether the queue has grown to half of what it may hold.
    pub fn is_congested(&self) -> bool {
        self.queue.len() * 2 > self.limits.queued
            || self.queue.bytes() * 2 > self.limits.queued_bytes
    }

    /// Whether the queue is down to an eighth of what it may hold.
    pub fn is_relieved(&self) -> bool {
        self.queue.len() * 8 <= self.limits.queued
            && self.queue.bytes() * 8 <= self.limits.queued_bytes
    }

    /// Whether so much waits for the transport that what is not urgent had better wait elsewhere.
    pub fn is_full(out: &Outbox) -> bool {
        out.len() >= OUTBOX_SOFT
    }

    /// Whether a subscription may bring its retained messages, of `count` that there are. Not if those of others
    /// already fill the queue: a client could subscribe faster than it takes them, without end.
    pub fn takes_retained(&self, count: usize) -> bool {
        self.queue.len() <= self.limits.queued.saturating_add(count)
    }

    /// The version that the client speaks, if it is there.
    pub fn version(&self) -> Option<Version> {
        self.peer.map(|peer| peer.version)
    }

    /// Whether ready-made QoS 0 packets of `len` bytes, the biggest of them `biggest`, may be
    /// appended to `out` as they are.
    pub fn takes_ready_made(&self, biggest: usize, len: usize, out: &Outbox) -> bool {
        let Some(peer) = &self.peer else { return false };
        biggest <= peer.max_packet
            && out.len() + len <= self.limits.outbox_bytes
            && self.aliases.is_none()
            && !self.queue.has_qos0()
    }

    /// Queues one message for a client that is not connected; one of QoS 0 it never gets.
    pub fn deliver_away(
        &mut self,
        routed: &Routed<'_>,
        terms: &Terms,
        now: Instant,
        tally: &mut Tally,
        journal: &mut Journal,
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
            self.enqueue(routed, form, tally, journal);
        }
    }

    /// Sends, queues or drops one message that this session subscribed to.
    ///
    /// The session's queue is bounded. When it is full the oldest message of it is dropped for
    /// the newest, and counted: for readings the newest is worth most.
    pub fn deliver(&mut self, routed: &Routed<'_>, terms: &Terms, turn: &mut Turn<'_>) {
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
    pub fn deliver_retained(&mut self, message: &Message, terms: &Terms, turn: &mut Turn<'_>) {
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
        let must_wait = self.stored.is_some() && form.qos == QoS::ExactlyOnce;
        let fits = self.has_window_for(self.next) && turn.out.len() < OUTBOX_SOFT;
        match (!waiting && !must_wait && fits, bounded) {
            (true, _) => {
                let number = self.next;
                if self.send_tracked(routed, number, form, &peer, turn) {
                    self.next += 1;
                    self.note_queued(routed, number, form, turn.journal);
                }
            }
            (false, true) => self.enqueue(routed, form, turn.tally, turn.journal),
            (false, false) => self.push(routed, form, turn.journal),
        }
    }

    /// Whether message `number` may be sent now. What is kept to be sent again has a bound in bytes, too.
    fn has_window_for(&self, number: u64) -> bool {
        let kept = self.inflight.bytes();
        self.inflight.has_room_for(number) && kept < self.limits.queued_bytes
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
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
            self.limits.outbox_bytes
        } else {
            OUTBOX_SOFT
        };
        let in_order = !self.queue.has_qos0();
        if in_order && turn.out.len() < room {
            self.send(routed, form, peer, turn);
        } else if !bounded || (!in_order && self.has_room(routed)) {
            self.push(routed, form, turn.journal);
        } else {
            turn.tally.dropped += 1;
        }
    }

    /// Sends message `number`, of QoS 1 or 2. Returns false if the client takes no packet so big.
    fn send_tracked(
        &mut self,
        routed: &Routed<'_>,
        number: u64,
        form: Form<'_>,
        peer: &Peer,
        turn: &mut Turn<'_>,
    ) -> bool {
        let numbered = Form {
            id: Some(id_of(number)),
            ..form
        };
        if !self.send(routed, numbered, peer, turn) {
            return false;
        }
        let keep = peer.keep.then(|| Kept {
            message: routed.message(),
            retain: form.retain,
            ids: form.ids.clone(),
        });
        self.inflight.sent(number, form.qos, keep);
        if self.stored.is_some() {
            self.patience.sent(number, turn.now);
        }
        true
    }

    fn has_room(&self, routed: &Routed<'_>) -> bool {
        let weight = routed.weight();
        let times = match self.peer {
            Some(_) if !self.given_up => HELD_BACK,
            _ => 1,
        };
        self.queue.len() < self.limits.queued.saturating_mul(times)
            && self.queue.bytes() + weight <= self.limits.queued_bytes.saturating_mul(times)
    }

    fn enqueue(
        &mut self,
        routed: &Routed<'_>,
        form: Form<'_>,
        tally: &mut Tally,
        journal: &mut Journal,
    ) {
        if routed.weight() > self.limits.queued_bytes {
            tally.dropped += 1; // It alone is more than the queue may hold.
            return;
        }
        while !self.has_room(routed) && self.drop_oldest(journal) {
            tally.dropped += 1;
        }
        self.push(routed, form, journal);
    }

    fn push(&mut self, routed: &Routed<'_>, form: Form<'_>, journal: &mut Journal) {
        let message = routed.message();
        let mut number = 0;
        if form.qos > QoS::AtMostOnce {
            number = self.number();
            self.note_queued(routed, number, form, journal);
        }
        self.queue.push(Queued {
            number,
            ready: self.stored.is_none() || form.qos < QoS::ExactlyOnce,
            message,
            qos: form.qos,
            retain: form.retain,
            ids: form.ids.clone(),
        });
    }

    /// Sends what waits, as far as the client's window and the outbox have room.
    pub fn pump(&mut self, turn: &mut Turn<'_>) {
        let Some(peer) = self.peer else { return };
        while turn.out.len() < OUTBOX_SOFT && self.resend_next(&peer, turn) {}
        while turn.out.len() < OUTBOX_SOFT && self.resend.is_empty() {
            let Some(next) = self.queue.front() else {
                return;
            };
            if next.qos > QoS::AtMostOnce && !(next.ready && self.has_window_for(next.number)) {
                return;
            }
            let Some(queued) = self.queue.pop() else {
                return;
            };
            let routed = Routed::kept(&queued.message);
            let form = Form {
                qos: queued.qos,
                retain: queued.retain,
                dup: false,
                id: None,
                ids: &queued.ids,
            };
            let expired = routed.expired(turn.now);
            turn.tally.expired += u64::from(expired);
            if queued.qos == QoS::AtMostOnce {
                if !expired {
                    self.send(&routed, form, &peer, turn);
                }
            } else if expired || !self.send_tracked(&routed, queued.number, form, &peer, turn) {
                self.note_gone(queued.number, turn.journal);
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
            self.pubrel(id, ReasonCode::SUCCESS, peer.version, turn);
            self.resend.pop_front();
            return true;
        }
        if !self.inflight.has_window() {
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
        } else if let Some(number) = self.inflight.cancel(id) {
            self.note_gone(number, turn.journal);
        }
        true
    }
}
