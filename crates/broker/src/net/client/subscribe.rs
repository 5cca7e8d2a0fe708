//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0 sections 3.8 to 3.11).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec;

use fieldgate_mqtt::{
    AckProperties, Packet, ReasonCode, RetainHandling, SubAck, Subscribe, SubscriptionOptions,
    UnsubAck, Unsubscribe, Version, topic,
};

use super::Client;
use crate::hub::deliver::DeliveryScratch;
use crate::hub::session_slot::{Inner, Wire, filter_weight};
use crate::net::Worker;
use crate::net::effort::{Begun, TURN};
use crate::net::end::End;
use fieldgate_broker_core::journal::{Change, Journal};
use fieldgate_broker_core::router::{Grant, Kept, KeptRef, Terms};
use fieldgate_broker_core::session::{Session, Turn};

/// What MQTT 3.1.1 answers for a filter that it refuses.
const FAILURE_V4: u8 = 0x80;

/// How many filters are taken in between two looks at the clock.
const AT_ONCE: usize = 16;

/// How far a packet of filters has been taken in, whose client's turn has ended meanwhile.
#[derive(Debug, Default)]
pub(in crate::net) struct Listed {
    /// The answer so far: a code for each filter that was taken in.
    codes: Vec<u8>,
    /// Retained messages go with these, by their place in the packet.
    wanted: VecDeque<(usize, Grant)>,
    /// Those that are left of one of them.
    found: Option<Found>,
    is_answered: bool,
}

/// The retained messages of a subscription that are to be sent.
#[derive(Debug)]
struct Found {
    grant: Grant,
    left: Left,
}

#[derive(Debug)]
enum Left {
    /// As they were when it was made.
    Messages(vec::IntoIter<Kept>),
    /// The session was unlocked since, and may have been sent what has come meanwhile: an older message must not come
    /// after that. Nor does a client that takes its time keep messages in memory that have been replaced.
    Topics(Topics),
}

/// Names of topics, one behind the other.
#[derive(Debug)]
struct Topics {
    /// Each ends with a character that no topic has (MQTT 5.0 section 1.5.4).
    text: String,
    at: usize,
}

const END: char = '\0';

impl Left {
    /// The next one; `Some(None)` for a topic that has none any more.
    fn next(&mut self, worker: &Worker) -> Option<Option<Kept>> {
        match self {
            Self::Messages(messages) => messages.next().map(Some),
            Self::Topics(topics) => {
                let topic = topics.next()?;
                Some(worker.hub.retained().get(topic).map(KeptRef::cloned))
            }
        }
    }

    /// The same, from now on as it will be then.
    fn grow_old(&mut self) {
        if let Self::Messages(messages) = self {
            let left = messages.as_slice();
            let len = left.iter().map(|kept| kept.message.topic().len() + 1).sum();
            let mut text = String::with_capacity(len);
            for kept in left {
                text.push_str(kept.message.topic());
                text.push(END);
            }
            *self = Self::Topics(Topics { text, at: 0 });
        }
    }

    /// What it takes in memory, in bytes. Messages count themselves.
    fn bytes(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.len() * size_of::<Kept>(),
            Self::Topics(topics) => topics.text.len(),
        }
    }
}

impl Topics {
    fn next(&mut self) -> Option<&str> {
        let (topic, _) = self.text.get(self.at..)?.split_once(END)?;
        self.at += topic.len() + 1;
        Some(topic)
    }
}

impl Listed {
    /// What it takes in memory, in bytes. A filter may be there any number of times, so that the limit of
    /// subscriptions is none for this.
    pub(in crate::net) fn bytes(&self) -> usize {
        let found = self.found.as_ref().map_or(0, |found| found.left.bytes());
        self.codes.capacity() + self.wanted.capacity() * size_of::<(usize, Grant)>() + found
    }
}

/// Ends a turn among the filters of a packet when its time is over.
struct Slice {
    since: Instant,
    limit: Duration,
    taken: usize,
}

impl Slice {
    /// A packet is decoded anew in each turn. What is done with it may take as long as that, so that a big one does not
    /// cost a multiple of what it would at once.
    fn new(begun: &Begun) -> Self {
        let since = Instant::now();
        Self {
            since,
            limit: TURN.max(since - begun.at),
            taken: 0,
        }
    }

    fn is_late(&self) -> bool {
        self.since.elapsed() > self.limit
    }

    /// One more filter was taken in, or one more message sent. Returns whether the rest has to wait.
    fn is_over(&mut self) -> bool {
        self.taken += 1;
        self.taken.is_multiple_of(AT_ONCE) && self.is_late()
    }
}

impl Client {
    /// Takes in a SUBSCRIBE, or as much of it as the turn has time for. Returns whether that was all; if not, it
    /// has to be given again.
    pub(in crate::net) fn subscribe(
        &mut self,
        subscribe: &Subscribe<'_>,
        worker: &Worker,
        post: &mut DeliveryScratch,
        (now, begun): (Instant, &Begun),
    ) -> Result<bool, End> {
        let mut listed = self
            .listed
            .take()
            .map_or_else(Listed::default, |listed| *listed);
        let mut slice = Slice::new(begun);
        let slot = Arc::clone(&self.attached.slot);
        let mut guard = slot.lock();
        if guard.wire(self.attached.epoch).is_none() {
            return Err(End::TakenOver);
        }
        let is_whole = self.add_all(
            subscribe,
            &mut listed,
            (&mut guard, post),
            worker,
            &mut slice,
        );
        let Some((session, wire)) = guard.wire(self.attached.epoch) else {
            return Err(End::TakenOver);
        };
        if is_whole && !listed.is_answered {
            let suback = Packet::SubAck(SubAck {
                packet_id: subscribe.packet_id,
                codes: &listed.codes,
                properties: AckProperties::default(),
            });
            let promised = subscribe.filters().map(|(filter, _)| filter.len()).sum();
            let held = session.is_stored().then_some(promised);
            self.answer(&suback, wire, held, post)?;
            listed.is_answered = true;
        }
        let turn = Turn {
            now,
            out: &mut wire.out,
            pending: &mut wire.pending,
            journal: &mut post.journal,
            tally: &mut post.tally,
        };
        let is_done = is_whole
            && self.send_retained(subscribe, &mut listed, (session, turn), worker, &mut slice);
        post.journal.await_those_after(0, &self.attached.slot);
        worker.hub.keep_all(&mut post.journal, &mut wire.pending);
        guard.recount();
        drop(guard);
        if !is_done {
            self.listed = Some(Box::new(listed));
        }
        Ok(is_done)
    }

    /// Adds the subscriptions of a packet. Returns whether none is left.
    fn add_all(
        &self,
        subscribe: &Subscribe<'_>,
        listed: &mut Listed,
        (inner, post): (&mut Inner, &mut DeliveryScratch),
        worker: &Worker,
        slice: &mut Slice,
    ) -> bool {
        let id = subscribe.subscription_id.unwrap_or(0);
        let before = listed.codes.len();
        for (place, (filter, options)) in subscribe.filters().enumerate().skip(before) {
            let options = self.options(filter, options);
            match self.add(filter, options, id, (inner, &mut post.journal), worker) {
                Ok((grant, retained)) => {
                    listed.codes.push(grant.qos as u8);
                    listed.wanted.extend(retained.then_some((place, grant)));
                }
                Err(_) if self.version < Version::V5 => listed.codes.push(FAILURE_V4),
                Err(reason) => listed.codes.push(reason.0),
            }
            if slice.is_over() {
                return false;
            }
        }
        true
    }

    /// Sends the retained messages of the subscriptions that were added. Returns whether none is left.
    fn send_retained(
        &self,
        subscribe: &Subscribe<'_>,
        listed: &mut Listed,
        (session, mut turn): (&mut Session, Turn<'_>),
        worker: &Worker,
        slice: &mut Slice,
    ) -> bool {
        let mut filters = subscribe.filters().enumerate();
        loop {
            if let Some(found) = &mut listed.found {
                if !self.send_found(found, (session, &mut turn), worker, slice) {
                    found.left.grow_old();
                    return false;
                }
                listed.found = None;
            }
            let Some((place, grant)) = listed.wanted.pop_front() else {
                return true;
            };
            let Some((_, (filter, _))) = filters.find(|(at, _)| *at == place) else {
                return true;
            };
            let retained = worker.hub.retained();
            if !session.takes_retained(retained.count()) {
                turn.tally.dropped += 1;
                continue;
            }
            listed.found = Some(Found {
                grant,
                left: Left::Messages(retained.matching(filter, turn.now).into_iter()),
            });
        }
    }

    /// Sends what was found for a subscription. Returns whether none is left.
    fn send_found(
        &self,
        found: &mut Found,
        (session, turn): (&mut Session, &mut Turn<'_>),
        worker: &Worker,
        slice: &mut Slice,
    ) -> bool {
        let rights = self.attached.slot.rights();
        let terms = Terms::of(found.grant);
        while let Some(now) = found.left.next(worker) {
            if let Some(Kept { message, publisher }) = now {
                let own = found.grant.no_local && **publisher == *self.attached.slot.client_id();
                if !own && rights.may_read(message.topic()) {
                    session.deliver_retained(&message, &terms, turn);
                }
            }
            // The others can wait where they are until the client has taken these.
            if slice.is_over() || Session::is_full(turn.out) {
                return false;
            }
        }
        !slice.is_over()
    }

    /// A bridge gets what MQTT 5 bridges ask for by options: nothing back of what it brought, and retain flags as they
    /// were published.
    fn options(&self, filter: &str, asked: SubscriptionOptions) -> SubscriptionOptions {
        SubscriptionOptions {
            // A shared subscription cannot be no-local (MQTT-3.8.3-4).
            no_local: asked.no_local || (self.is_bridge && topic::parse_share(filter).is_none()),
            retain_as_published: asked.retain_as_published || self.is_bridge,
            ..asked
        }
    }

    /// Adds one subscription. Returns it, and whether retained messages go with it.
    fn add(
        &self,
        filter: &str,
        options: SubscriptionOptions,
        id: u32,
        (inner, journal): (&mut Inner, &mut Journal),
        worker: &Worker,
    ) -> Result<(Grant, bool), ReasonCode> {
        let hub = &worker.hub;
        let limits = &hub.config.limits;
        let slot = &self.attached.slot;
        // Only of clients older than shared subscriptions, which may write so.
        if !topic::filter_is_valid(filter) {
            return Err(ReasonCode::TOPIC_FILTER_INVALID);
        }
        if !self.attached.slot.rights().may_subscribe(filter) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let known = inner.subscriptions.contains_key(filter);
        if !known && inner.subscriptions.len() >= limits.subscriptions {
            hub.note_limit(slot, filter, "subscriptions");
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        if !known && !hub.budget.admits(inner.weight(), filter_weight(filter)) {
            hub.note_limit(slot, filter, "memory");
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        let grant = Grant {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            id,
        };
        hub.router.subscribe(&self.attached.slot, filter, grant);
        inner.add_subscription(filter.into(), grant);
        if slot.is_stored() {
            journal.changes.push(Change::Subscribed {
                session: slot.id(),
                filter: filter.into(),
                grant,
            });
        }
        let retained = match options.retain_handling {
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendIfNew => !known,
            RetainHandling::DoNotSend => false,
        };
        // A shared subscription never gets retained messages (section 4.8.2).
        Ok((grant, retained && topic::parse_share(filter).is_none()))
    }

    /// Appends the answer to a list of filters, unless it is bigger than the client takes
    /// (MQTT-3.1.2-24). With `held` it waits for the store, and for so many bytes there.
    fn answer(
        &self,
        packet: &Packet<'_>,
        wire: &mut Wire,
        held: Option<usize>,
        post: &mut DeliveryScratch,
    ) -> Result<(), End> {
        let mut bytes = Vec::new();
        let encoded = packet.encode(self.version, &mut bytes);
        if encoded.is_err() || bytes.len() > self.max_packet {
            return Err(End::Fault {
                reason: ReasonCode::PACKET_TOO_LARGE,
                what: "the answer is bigger than the client takes",
            });
        }
        if let Some(weight) = held {
            wire.pending.push_packet(&bytes, weight);
        } else {
            wire.out.bytes.extend_from_slice(&bytes);
        }
        post.tally.replies += 1;
        Ok(())
    }

    /// Takes in an UNSUBSCRIBE, or as much of it as the turn has time for, as `subscribe` does.
    pub(in crate::net) fn unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe<'_>,
        worker: &Worker,
        post: &mut DeliveryScratch,
        begun: &Begun,
    ) -> Result<bool, End> {
        let mut listed = self
            .listed
            .take()
            .map_or_else(Listed::default, |listed| *listed);
        let mut slice = Slice::new(begun);
        let mut inner = self.attached.slot.lock();
        let before = listed.codes.len();
        let mut is_done = true;
        for filter in unsubscribe.filters().skip(before) {
            let code = if inner.remove_subscription(filter) {
                let slot = &self.attached.slot;
                worker.hub.router.unsubscribe(slot, filter);
                if slot.is_stored() {
                    post.journal.changes.push(Change::Unsubscribed {
                        session: slot.id(),
                        filter: filter.into(),
                    });
                }
                ReasonCode::SUCCESS
            } else {
                ReasonCode::NO_SUBSCRIPTION_EXISTED
            };
            listed.codes.push(code.0);
            if slice.is_over() {
                is_done = false;
                break;
            }
        }
        let Some((session, wire)) = inner.wire(self.attached.epoch) else {
            return Err(End::TakenOver);
        };
        if is_done {
            let unsuback = Packet::UnsubAck(UnsubAck {
                packet_id: unsubscribe.packet_id,
                codes: &listed.codes,
                properties: AckProperties::default(),
            });
            let promised = unsubscribe.filters().map(str::len).sum();
            let held = session.is_stored().then_some(promised);
            self.answer(&unsuback, wire, held, post)?;
        }
        worker.hub.keep_all(&mut post.journal, &mut wire.pending);
        inner.recount();
        drop(inner);
        if !is_done {
            self.listed = Some(Box::new(listed));
        }
        Ok(is_done)
    }
}
