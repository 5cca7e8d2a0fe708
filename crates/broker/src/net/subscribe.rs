//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0 sections 3.8 to 3.11).

use std::time::Instant;

use fieldgate_mqtt::{
    AckProperties, Packet, ReasonCode, RetainHandling, SubAck, Subscribe, SubscriptionOptions,
    UnsubAck, Unsubscribe, Version, topic,
};

use super::Worker;
use super::client::Client;
use super::end::End;
use crate::cell::{Inner, Wire, filter_weight};
use crate::deliver::Post;
use crate::journal::{Change, Journal};
use crate::router::{Grant, Kept, Terms};
use crate::session::Turn;

/// What MQTT 3.1.1 answers for a filter that it refuses.
const FAILURE_V4: u8 = 0x80;

impl Client {
    pub(super) fn subscribe(
        &mut self,
        subscribe: &Subscribe<'_>,
        worker: &Worker,
        post: &mut Post,
        now: Instant,
    ) -> Result<(), End> {
        let hub = &worker.hub;
        let id = subscribe.subscription_id.unwrap_or(0);
        let mut guard = self.attached.cell.lock();
        if guard.wire(self.attached.epoch).is_none() {
            return Err(End::TakenOver);
        }
        let mut codes = Vec::new();
        let mut wanted = Vec::new();
        for (filter, options) in subscribe.filters() {
            let options = self.options(filter, options);
            match self.add(filter, options, id, (&mut guard, &mut post.journal), worker) {
                Ok((grant, retained)) => {
                    codes.push(grant.qos as u8);
                    wanted.extend(retained.then_some((filter, grant)));
                }
                Err(_) if self.version < Version::V5 => codes.push(FAILURE_V4),
                Err(reason) => codes.push(reason.0),
            }
        }
        let Some((session, wire)) = guard.wire(self.attached.epoch) else {
            return Err(End::TakenOver);
        };
        let suback = Packet::SubAck(SubAck {
            packet_id: subscribe.packet_id,
            codes: &codes,
            properties: AckProperties::default(),
        });
        let promised = subscribe.filters().map(|(filter, _)| filter.len()).sum();
        let held = session.is_stored().then_some(promised);
        self.answer(&suback, wire, held, post)?;
        let mut turn = Turn {
            now,
            out: &mut wire.out,
            held: &mut wire.held,
            journal: &mut post.journal,
            tally: &mut post.tally,
        };
        let rights = self.attached.cell.rights();
        for (filter, grant) in wanted {
            let retained = hub.retained();
            if !session.takes_retained(retained.count()) {
                turn.tally.dropped += 1;
                continue;
            }
            let mut messages = retained.matching(filter, now);
            drop(retained);
            messages.retain(|kept| {
                let own = grant.no_local && *kept.publisher == *self.attached.cell.client_id();
                !own && rights.may_read(kept.message.topic())
            });
            for Kept { message, .. } in messages {
                session.deliver_retained(&message, &Terms::of(grant), &mut turn);
            }
        }
        post.journal.await_those_after(0, &self.attached.cell);
        hub.keep_all(&mut post.journal, &mut wire.held);
        guard.recount();
        Ok(())
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
        let cell = &self.attached.cell;
        // Only of clients older than shared subscriptions, which may write so.
        if !topic::filter_is_valid(filter) {
            return Err(ReasonCode::TOPIC_FILTER_INVALID);
        }
        if !self.attached.cell.rights().may_subscribe(filter) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let known = inner.subscriptions.contains_key(filter);
        if !known && inner.subscriptions.len() >= limits.subscriptions {
            hub.note_limit(cell, filter, "subscriptions");
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        if !known && !hub.budget.admits(inner.weight(), filter_weight(filter)) {
            hub.note_limit(cell, filter, "memory");
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        let grant = Grant {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            id,
        };
        hub.router.subscribe(&self.attached.cell, filter, grant);
        inner.add_subscription(filter.into(), grant);
        if cell.is_stored() {
            journal.changes.push(Change::Subscribed {
                session: cell.id(),
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
        post: &mut Post,
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
            wire.held.push_packet(&bytes, weight);
        } else {
            wire.out.bytes.extend_from_slice(&bytes);
        }
        post.tally.replies += 1;
        Ok(())
    }

    pub(super) fn unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe<'_>,
        worker: &Worker,
        post: &mut Post,
    ) -> Result<(), End> {
        let mut inner = self.attached.cell.lock();
        let mut codes = Vec::new();
        for filter in unsubscribe.filters() {
            let code = if inner.remove_subscription(filter) {
                let cell = &self.attached.cell;
                worker.hub.router.unsubscribe(cell, filter);
                if cell.is_stored() {
                    post.journal.changes.push(Change::Unsubscribed {
                        session: cell.id(),
                        filter: filter.into(),
                    });
                }
                ReasonCode::SUCCESS
            } else {
                ReasonCode::NO_SUBSCRIPTION_EXISTED
            };
            codes.push(code.0);
        }
        let Some((session, wire)) = inner.wire(self.attached.epoch) else {
            return Err(End::TakenOver);
        };
        let unsuback = Packet::UnsubAck(UnsubAck {
            packet_id: unsubscribe.packet_id,
            codes: &codes,
            properties: AckProperties::default(),
        });
        let promised = unsubscribe.filters().map(str::len).sum();
        let held = session.is_stored().then_some(promised);
        self.answer(&unsuback, wire, held, post)?;
        worker.hub.keep_all(&mut post.journal, &mut wire.held);
        inner.recount();
        Ok(())
    }
}
