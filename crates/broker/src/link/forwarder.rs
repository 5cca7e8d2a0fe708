//! A link that hands messages on to another broker, and brings in what comes from there.
//!
//! Its inbox is bounded in bytes, and what does not fit is counted for it alone. What it publishes
//! it never gets itself, so that nothing goes back to where it came from.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fieldgate_mqtt::{Publish, QoS, topic};
use tokio::time::Instant;

use super::{Delivery, Inbox, Link, LinkError, Outgoing, TAKEN};
use crate::hub::Hub;
use crate::hub::MatchCache;
use crate::hub::deliver::{Batch, DeliveryScratch, deliver};
use crate::hub::session_slot::{SessionSlot, Sink};
use fieldgate_broker_core::message::{Message, Routed};
use fieldgate_broker_core::router::{Grant, Kept};

/// Why a message from outside is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Not a topic name.
    #[error("not a valid topic name")]
    TopicName,
    /// A topic of the gateway's own, or one that begins with `$`.
    #[error("only the gateway itself publishes there")]
    Own,
    /// Clients hold as much memory as they may.
    #[error("there is no memory for it")]
    Memory,
}

/// One in-process client that forwards. Dropping it ends it.
#[derive(Debug)]
pub struct Forwarder {
    link: Link,
}

impl Forwarder {
    pub(crate) fn new(hub: &Arc<Hub>, name: &str, room: usize) -> Self {
        let link = Link::new(hub, name);
        link.shared.slot.lock().sink = Sink::Link(Inbox::with_room(room));
        Self { link }
    }

    /// Has clients wait for the acknowledgement of a message of QoS 1 or 2 that comes here until its delivery, or what
    /// was taken out of it, is dropped.
    pub fn vouch(&self) {
        let shared = &self.link.shared;
        shared.slot.vouch(true);
        shared.hub.router.rights_changed();
    }

    /// Subscribes to `filter`, but for what it publishes itself. Retained messages do not come.
    ///
    /// # Errors
    /// [`LinkError::TopicFilter`].
    pub fn subscribe(&self, filter: &str, qos: QoS) -> Result<(), LinkError> {
        if !topic::filter_is_valid(filter) {
            return Err(LinkError::TopicFilter);
        }
        let grant = Grant {
            qos,
            no_local: true,
            retain_as_published: false,
            id: 0,
        };
        let shared = &self.link.shared;
        let mut inner = shared.slot.lock();
        shared.hub.router.subscribe(&shared.slot, filter, grant);
        inner.add_subscription(filter.into(), grant);
        Ok(())
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, filter: &str) {
        let shared = &self.link.shared;
        let mut inner = shared.slot.lock();
        shared.hub.router.unsubscribe(&shared.slot, filter);
        inner.remove_subscription(filter);
    }

    /// The retained messages that `filter` matches, now.
    pub fn retained(&self, filter: &str) -> Vec<Message> {
        let now = Instant::now().into_std();
        let kept = self.link.shared.hub.retained().matching(filter, now);
        kept.into_iter()
            .map(|Kept { message, .. }| message)
            .collect()
    }

    /// The retained message of a topic, now.
    pub fn retained_now(&self, topic: &str) -> Option<Message> {
        self.link.retained(topic).map(|(message, _)| message)
    }

    /// Publishes what the program itself says of this link.
    ///
    /// # Errors
    /// [`LinkError::TopicName`].
    pub async fn publish(&self, message: Outgoing<'_>) -> Result<(), LinkError> {
        self.link.publish(message).await
    }

    /// Publishes a message from outside, as a client without a name could: not to topics of the gateway's own. It is not
    /// retained, has no response topic, and no identifier of here.
    ///
    /// # Errors
    /// [`NotTaken`]
    pub fn bring_in(&self, publish: &Publish<'_>) -> Result<(), NotTaken> {
        let shared = &self.link.shared;
        if !topic::name_is_valid(publish.topic) {
            return Err(NotTaken::TopicName);
        }
        let own = shared.hub.access.own().levels_of(publish.topic);
        if own.is_some() || publish.topic.starts_with('$') {
            return Err(NotTaken::Own);
        }
        if shared.hub.budget.is_used_up() {
            return Err(NotTaken::Memory);
        }
        let mut publish = *publish;
        publish.retain = false;
        publish.dup = false;
        publish.properties.response_topic = None;
        publish.properties.topic_alias = None;
        publish.properties.subscription_ids = Default::default();
        let now = Instant::now().into_std();
        let expires = publish.properties.message_expiry.take();
        let expires = expires.map(|seconds| now + std::time::Duration::from_secs(seconds.into()));
        let message = Message::copy_of(&publish, expires, shared.hub.pot());
        shared.hub.publish_from_outside(&message, &shared.slot, now);
        Ok(())
    }

    /// Waits until there are messages, and takes up to `most` of them.
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&self, most: usize, into: &mut Vec<Delivery>) {
        poll_fn(|cx| self.poll_recv(most, into, cx)).await;
    }

    /// Waits until so much waits that it has to be taken soon. Messages that come before wake nothing.
    ///
    /// Dropping the future loses nothing.
    pub async fn filling(&self) {
        poll_fn(|cx| match &mut self.link.shared.slot.lock().sink {
            Sink::Link(inbox) if inbox.is_filling() => Poll::Ready(()),
            Sink::Link(inbox) => {
                inbox.wake(cx.waker(), true);
                Poll::Pending
            }
            Sink::Wire(_) | Sink::Away => Poll::Pending, // Links stay attached as long as they exist.
        })
        .await;
    }

    fn poll_recv(&self, most: usize, into: &mut Vec<Delivery>, cx: &Context<'_>) -> Poll<()> {
        let shared = &self.link.shared;
        let mut inner = shared.slot.lock();
        let Sink::Link(inbox) = &mut inner.sink else {
            return Poll::Pending; // Links stay attached as long as they exist.
        };
        if inbox.is_empty() {
            inbox.wake(cx.waker(), false);
            return Poll::Pending;
        }
        let before = into.len();
        while into.len() - before < most
            && let Some(delivery) = inbox.pop()
        {
            into.push(delivery);
        }
        let waiting = inner.relieve();
        drop(inner);
        shared.slot.note_taken(TAKEN * (into.len() - before) as u64);
        waiting.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }

    /// Messages that were dropped since the start as the inbox was full.
    pub fn dropped(&self) -> u64 {
        match &self.link.shared.slot.lock().sink {
            Sink::Link(inbox) => inbox.dropped(),
            Sink::Wire(_) | Sink::Away => 0,
        }
    }

    /// What is in the inbox, without waiting.
    pub fn drain(&self) -> Vec<Delivery> {
        let mut inner = self.link.shared.slot.lock();
        let mut all = Vec::new();
        if let Sink::Link(inbox) = &mut inner.sink {
            while let Some(delivery) = inbox.pop() {
                all.push(delivery);
            }
        }
        let waiting = inner.relieve();
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
        all
    }
}

impl Hub {
    /// Delivers a message of the link `publisher`. Its client is elsewhere: it may not have an answer here.
    fn publish_from_outside(
        &self,
        message: &Message,
        publisher: &SessionSlot,
        now: std::time::Instant,
    ) {
        let mut cache = MatchCache::default();
        let mut post = DeliveryScratch::default();
        let matches = cache.matches(&self.router, message.topic());
        let mut batch = Batch::default();
        if !matches.is_empty() {
            batch.push(Routed::kept(message), matches);
        }
        deliver(&batch, &self.sender(Some(publisher), now), &mut post);
        self.keep(&mut post.journal);
        self.own_counters().add(&post.tally);
    }
}
