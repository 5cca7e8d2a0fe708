//! Messages that no connection sends: those of links, wills, the broker's own figures.

use std::sync::Arc;
use std::time::Instant;

use super::deliver::{Batch, DeliveryScratch, Sender, deliver};
use super::own::NO_SESSION;
use super::session_slot::SessionSlot;
use crate::counters::add;
use crate::hub::MatchCache;
use crate::hub::{Hub, Source};
use fieldgate_broker_core::journal::Journal;
use fieldgate_broker_core::message::{Message, Routed};
use fieldgate_broker_core::router::{Stored, beside, split};

impl Hub {
    /// What `deliver` needs to know of the session that sends, if one does, and for which nothing waits.
    pub(crate) fn sender<'a>(
        &'a self,
        publisher: Option<&'a SessionSlot>,
        now: Instant,
    ) -> Sender<'a> {
        Sender {
            session: publisher.map_or(NO_SESSION, SessionSlot::id),
            publisher,
            now,
            store: self.store.as_ref(),
            budget: &self.budget,
            waits: false,
        }
    }

    /// Publishes messages that no connection is sending now. Nothing waits for subscribers that cannot keep up.
    pub(crate) fn publish(
        &self,
        messages: Vec<Routed<'_>>,
        from: (&SessionSlot, Source),
        cache: &mut MatchCache,
        now: Instant,
    ) {
        self.publish_with(messages, from, cache, now, &mut DeliveryScratch::default());
    }

    /// The same; who is to be woken is left in `post`, if it has a list for them. Gives the messages back.
    pub(crate) fn publish_with<'m>(
        &self,
        messages: Vec<Routed<'m>>,
        (publisher, source): (&SessionSlot, Source),
        cache: &mut MatchCache,
        now: Instant,
        post: &mut DeliveryScratch,
    ) -> Vec<Routed<'m>> {
        let counters = self.own_counters();
        add(&counters.publish_received, messages.len() as u64);
        let bytes: usize = messages.iter().map(|m| m.publish.payload.len()).sum();
        add(&counters.publish_bytes_received, bytes as u64);
        post.journal.is_late = source == Source::Gateway;
        self.retain(&messages, publisher, &mut post.journal);
        let batch = self.matched(messages, cache);
        deliver(&batch, &self.sender(Some(publisher), now), post);
        self.keep(&mut post.journal);
        counters.add(&std::mem::take(&mut post.tally));
        batch.into_messages()
    }

    /// Messages with those who get them.
    pub(crate) fn matched<'m>(
        &self,
        messages: Vec<Routed<'m>>,
        cache: &mut MatchCache,
    ) -> Batch<'m> {
        Batch::of(messages, |left| {
            let (above, _) = split(left[0].publish.topic);
            let found = cache.look_up(&self.router, left[0].publish.topic);
            let is_alike = |next: &&Routed<'_>| {
                let level = beside(next.publish.topic, above);
                level.is_some_and(|level| found.suits(level))
            };
            let alike = left[1..].iter().take_while(is_alike).count();
            (Arc::clone(found.matches), alike)
        })
    }

    /// Keeps those messages that ask for it.
    fn retain(&self, messages: &[Routed<'_>], publisher: &SessionSlot, journal: &mut Journal) {
        let asking = || messages.iter().filter(|message| message.publish.retain);
        if asking().next().is_none() {
            return;
        }
        let stored = self.retained().store_all(asking(), publisher.name(), true);
        if self.store.is_none() && !stored.iter().any(|stored| stored.is_refused()) {
            return;
        }
        for (message, stored) in asking().zip(stored) {
            self.note_retained(message, stored, false, journal);
        }
    }

    /// A message was to be kept as its topic's last, and `stored` became of it: tells the store, and the log if there was
    /// no room. Returns whether its acknowledgement has to wait for the store; only if it is `promised`.
    pub(crate) fn note_retained(
        &self,
        routed: &Routed<'_>,
        stored: Stored,
        promised: bool,
        journal: &mut Journal,
    ) -> bool {
        let topic = routed.publish.topic;
        let hold = self
            .store
            .as_ref()
            .is_some_and(|store| store.retained_changed(topic, stored, promised, journal));
        journal.bytes += if hold { routed.weight() } else { 0 };
        if stored.is_refused() {
            self.note_retained_full(topic);
        }
        hold
    }

    /// Publishes a will or a `$SYS` value, for which no acknowledgement waits.
    pub(crate) fn publish_kept(&self, message: &Message, publisher: &SessionSlot, now: Instant) {
        let mut cache = MatchCache::default();
        let message = vec![Routed::kept(message)];
        self.publish(message, (publisher, Source::Client), &mut cache, now);
    }
}
