//! The program's own topics, where clients meet them.

use std::sync::Arc;
use std::time::Instant;

use super::deliver::{DeliveryScratch, deliver};
use super::session_slot::SessionSlot;
use crate::counters::add;
use crate::hub::Hub;
use crate::hub::MatchCache;
use crate::shown::shown;
use fieldgate_broker_access::OwnTopics;
use fieldgate_broker_core::message::{Message, Routed};

/// How links begin their client identifiers.
pub(crate) const LINK: &str = "$link/";

/// No session has this number.
pub(super) const NO_SESSION: u64 = 0;

impl Hub {
    /// From now on these topics are the program's. Wills that wait for their client's end and may not be published any
    /// more are dropped.
    pub(crate) fn set_own(&self, own: OwnTopics) {
        self.access.set_own(own);
        self.drop_wills();
    }

    /// Drops wills to topics that their clients may not write.
    pub(crate) fn drop_wills(&self) {
        let own = self.access.own();
        for slot in self.slots() {
            let rights = slot.rights();
            let mut inner = slot.lock();
            let Some(will) = &inner.will else { continue };
            let topic = will.message.topic();
            if rights.may_write(topic, own.levels_of(topic)) {
                continue;
            }
            self.note_refused(&slot, topic);
            inner.will = None;
            let mut journal = fieldgate_broker_core::journal::Journal::default();
            journal.changes.extend(self.record(&slot, &inner));
            self.keep(&mut journal);
        }
    }

    /// A client wanted to publish to one of the program's topics.
    pub(crate) fn note_own(&self, client: &str, topic: &str) {
        if self.access.is_first(client) {
            let (client, topic) = (shown(client), shown(topic));
            log::warn!(TOPIC = topic.as_str(); "client {client}: refused on {topic}, which is the gateway's own; \
                 only a rule that names such topics permits it");
        }
    }

    /// A client was refused for the topic of its will.
    pub(crate) fn note_will(&self, client: &str, topic: &str, is_own: bool) {
        if is_own {
            self.note_own(client, topic);
        } else if self.access.is_first((client, topic)) {
            let (client, topic) = (shown(client), shown(topic));
            log::warn!(CLIENT = client.as_str(), TOPIC = topic.as_str(); "client {client}: refused, because it may not \
                 publish to {topic}, the topic of its will");
        }
    }

    fn note_refused(&self, slot: &Arc<SessionSlot>, topic: &str) {
        add(&self.own_counters().publish_refused, 1);
        self.note_own(slot.client_id(), topic);
    }

    /// Whether a topic's retained message is a link's, which no other client replaces or removes.
    pub(crate) fn is_kept_by_link(&self, topic: &str) -> bool {
        let retained = self.retained();
        let kept = retained.get(topic);
        kept.is_some_and(|kept| kept.publisher.starts_with(LINK))
    }

    /// Publishes retained messages again, for subscribers that have just had another message of their topics.
    pub(crate) fn repeat(&self, topics: &[String], now: Instant) {
        if topics.is_empty() {
            return;
        }
        let retained = self.retained();
        let kept = topics.iter().filter_map(|topic| retained.get(topic));
        let messages: Vec<Message> = kept.map(|kept| kept.message.clone()).collect();
        drop(retained);
        let mut cache = MatchCache::default();
        let mut post = DeliveryScratch::default();
        let batch = self.matched(messages.iter().map(Routed::kept).collect(), &mut cache);
        deliver(&batch, &self.sender(None, now), &mut post);
        self.keep(&mut post.journal);
        self.own_counters().add(&post.tally);
    }
}
