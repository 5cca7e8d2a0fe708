//! Clients inside this process: publish and subscribe without a socket.

mod forwarder;

pub use crate::hub::inbox::{Author, Delivery, Vouched};
pub use forwarder::{Forwarder, NotTaken};

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fieldgate_mqtt::{Publish, PublishProperties, QoS, topic};
use tokio::time::Instant;

use crate::hub::MatchCache;
use crate::hub::deliver::DeliveryScratch;
use crate::hub::inbox::Inbox;
use crate::hub::owner::Owner;
use crate::hub::session_slot::{SessionSlot, Sink};
use crate::hub::{Hub, Source};
use fieldgate_broker_core::message::{Message, Routed};
use fieldgate_broker_core::record::Will;
use fieldgate_broker_core::router::{Grant, Kept, KeptRef, LINK};
use fieldgate_broker_core::session::Tally;

/// What taking one message counts for, in bytes.
const TAKEN: u64 = 1024;
/// Messages that are published under one lock: few enough that others hardly wait for it.
const AT_ONCE: usize = 128;
/// Bytes that are published before subscribers are woken in any case.
const GATHERED_MAX: usize = 32 * 1024;

/// A message to publish, lent by its publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The topic name.
    pub topic: &'a str,
    /// The application's bytes.
    pub payload: &'a [u8],
    /// The quality of service that subscribers may get at most.
    pub qos: QoS,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// What the answer to a request repeats (MQTT 5.0 section 4.10).
    pub correlation_data: Option<&'a [u8]>,
}

impl<'a> Outgoing<'a> {
    fn publish(&self) -> Publish<'a> {
        Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic,
            packet_id: None,
            properties: PublishProperties {
                correlation_data: self.correlation_data,
                ..PublishProperties::default()
            },
            payload: self.payload,
        }
    }
}

/// Why a link's request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Wildcards, U+0000, nothing at all, or more than 65,535 bytes.
    #[error("not a valid topic name")]
    TopicName,
    /// A wildcard out of place, U+0000, or nothing at all.
    #[error("not a valid topic filter")]
    TopicFilter,
}

fn check<'m>(messages: impl Iterator<Item = Outgoing<'m>>) -> Result<(), LinkError> {
    let mut topics = messages.map(|message| message.topic);
    match topics.all(topic::name_is_valid) {
        true => Ok(()),
        false => Err(LinkError::TopicName),
    }
}

/// One in-process client. Clones share its inbox and its will.
#[derive(Clone, Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

/// Ends the link when its last clone goes.
#[derive(Debug)]
struct Shared {
    hub: Arc<Hub>,
    slot: Arc<SessionSlot>,
    scratch: Mutex<Scratch>,
}

/// What all that publish over a link use.
#[derive(Debug, Default)]
struct Scratch {
    /// Who gets which topic.
    cache: MatchCache,
    /// With the subscribers that are to be woken later.
    post: DeliveryScratch,
    /// Room for those that are being published.
    messages: Vec<Routed<'static>>,
    /// A gathering waits to wake them.
    is_awaited: bool,
    /// What has been published since they were woken, in bytes.
    gathered: usize,
}

/// Publishes messages of which subscribers hear together: to wake a thread costs as much as a dozen messages. They are
/// woken when it is [done](Self::done) or dropped, or when it is much.
#[derive(Debug)]
pub struct Gathering<'l> {
    link: &'l Shared,
    /// It is the one that wakes them.
    is_waiting: bool,
}

impl Gathering<'_> {
    /// Publishes messages in their order, at once. Those of other gatherings of the same link go out with them.
    ///
    /// # Errors
    /// [`LinkError::TopicName`], if it is true of any: then none was published.
    pub fn publish<'m>(
        &self,
        messages: impl Iterator<Item = Outgoing<'m>> + Clone,
    ) -> Result<(), LinkError> {
        check(messages.clone())?;
        self.link.publish(messages);
        Ok(())
    }

    /// Wakes the subscribers when others on this thread have had their turn, as they may be about to publish, too. Of
    /// several gatherings one waits for that.
    pub async fn done(mut self) {
        let is_awaited = std::mem::replace(&mut self.link.scratch().is_awaited, true);
        if !is_awaited {
            self.is_waiting = true;
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        if self.is_waiting || !self.link.scratch().is_awaited {
            self.link.wake();
        }
    }
}

impl Link {
    pub(crate) fn new(hub: &Arc<Hub>, name: &str) -> Self {
        let slot = hub.new_slot(&format!("{LINK}{name}"), false, Owner::Unknown);
        slot.lock().sink = Sink::Link(Inbox::default());
        Self {
            shared: Arc::new(Shared {
                hub: Arc::clone(hub),
                slot,
                scratch: Mutex::new(Scratch {
                    post: DeliveryScratch::lasting(&hub.buffers),
                    ..Scratch::default()
                }),
            }),
        }
    }

    /// Publishes one message. Waits for no client: for one that cannot keep up it is queued as far as there is room.
    ///
    /// # Errors
    /// [`LinkError::TopicName`]: then it was not published.
    pub async fn publish(&self, message: Outgoing<'_>) -> Result<(), LinkError> {
        self.publish_all(&[message]).await
    }

    /// Publishes messages in their order, for much less than one by one. Waits for no client.
    ///
    /// # Errors
    /// [`LinkError::TopicName`], if it is true of any: then none was published.
    pub async fn publish_all(&self, messages: &[Outgoing<'_>]) -> Result<(), LinkError> {
        check(messages.iter().copied())?;
        for messages in messages.chunks(AT_ONCE) {
            self.shared.publish(messages.iter().copied());
            self.shared.wake();
            // Others on this thread get their turn, and the subscribers some time.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// To publish several times before subscribers are woken.
    pub fn gather(&self) -> Gathering<'_> {
        Gathering {
            link: &self.shared,
            is_waiting: false,
        }
    }

    /// Subscribes to `filter`; retained messages that match come first.
    ///
    /// # Errors
    /// [`LinkError::TopicFilter`].
    pub fn subscribe(&self, filter: &str, qos: QoS) -> Result<(), LinkError> {
        if !topic::filter_is_valid(filter) {
            return Err(LinkError::TopicFilter);
        }
        let grant = Grant {
            qos,
            no_local: false,
            retain_as_published: false,
            id: 0,
        };
        let Shared { hub, slot, .. } = &*self.shared;
        let mut inner = slot.lock();
        hub.router.subscribe(slot, filter, grant);
        inner.add_subscription(filter.into(), grant);
        let now = Instant::now().into_std();
        let mut tally = Tally::default();
        if let Sink::Link(inbox) = &mut inner.sink {
            for Kept { message, .. } in hub.retained().matching(filter, now) {
                inbox.push(&Routed::kept(&message), None, None, now, &mut tally);
            }
        }
        hub.own_counters().add(&tally);
        Ok(())
    }

    /// From now on its messages say who has published them: [`Delivery::author`].
    pub fn ask_for_authors(&self) {
        self.shared.slot.ask_for_authors();
    }

    /// The topics whose retained messages are those of a link of this name, this one or one of
    /// before a restart.
    pub fn retained_topics(&self) -> Vec<String> {
        let Shared { hub, slot, .. } = &*self.shared;
        hub.retained().topics_of(slot.client_id())
    }

    /// The retained message of a topic, and whether a link of this name published it. Expired
    /// ones are left out.
    pub fn retained(&self, topic: &str) -> Option<(Message, bool)> {
        let Shared { hub, slot, .. } = &*self.shared;
        let retained = hub.retained();
        let KeptRef { message, publisher } = retained.get(topic)?;
        let is_own = ***publisher == *slot.client_id();
        (!message.expired(Instant::now().into_std())).then(|| (message.clone(), is_own))
    }

    /// Waits for the next message. Of the clones of a link only one may wait at a time; another
    /// could be left asleep.
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&self) -> Delivery {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&self, cx: &Context<'_>) -> Poll<Delivery> {
        let mut inner = self.shared.slot.lock();
        let Sink::Link(inbox) = &mut inner.sink else {
            return Poll::Pending; // Links stay attached as long as they exist.
        };
        let Some(delivery) = inbox.pop() else {
            inbox.wake(cx.waker(), false);
            return Poll::Pending;
        };
        let waiting = inner.relieve();
        drop(inner);
        self.shared.slot.note_taken(TAKEN);
        waiting.into_iter().for_each(Waker::wake);
        Poll::Ready(delivery)
    }

    /// Sets what is published when the last clone of this link is dropped without `close`.
    ///
    /// # Errors
    /// [`LinkError::TopicName`].
    pub fn set_will(&self, will: Outgoing<'_>) -> Result<(), LinkError> {
        if !topic::name_is_valid(will.topic) {
            return Err(LinkError::TopicName);
        }
        let Shared { hub, slot, .. } = &*self.shared;
        slot.lock().will = Some(Will {
            message: Message::copy_of(&will.publish(), None, hub.pot()),
            lifetime: None,
            delay: Duration::ZERO,
        });
        Ok(())
    }

    /// Takes the will back: the link is about to end in good order.
    pub fn close(&self) {
        self.shared.slot.lock().will = None;
    }
}

impl Shared {
    fn publish<'m>(&self, messages: impl Iterator<Item = Outgoing<'m>>) {
        let mut scratch = self.scratch();
        let Scratch {
            cache,
            post,
            messages: room,
            gathered,
            ..
        } = &mut *scratch;
        post.sleepers.get_or_insert_default();
        let mut routed = emptied(std::mem::take(room));
        for message in messages {
            *gathered += message.topic.len() + message.payload.len();
            routed.push(Routed::borrowed(message.publish(), None, self.hub.pot()));
        }
        let is_much = *gathered > GATHERED_MAX;
        let now = Instant::now().into_std();
        let source = (&*self.slot, Source::Gateway);
        *room = emptied(self.hub.publish_with(routed, source, cache, now, post));
        // A link does not wait for them.
        post.congested.clear();
        drop(scratch);
        if is_much {
            self.wake();
        }
    }

    /// Wakes the subscribers that have got something.
    fn wake(&self) {
        let mut scratch = self.scratch();
        (scratch.gathered, scratch.is_awaited) = (0, false);
        let mut sleepers = scratch.post.sleepers.take().unwrap_or_default();
        drop(scratch);
        sleepers.drain(..).for_each(Waker::wake);
    }

    fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same room for other messages.
fn emptied<'m>(mut messages: Vec<Routed<'_>>) -> Vec<Routed<'m>> {
    messages.clear();
    // Without elements this takes the memory over.
    messages.into_iter().map_while(|_| None).collect()
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.hub.end(&self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptied_room_is_the_same_room() {
        let pot = Arc::default();
        let mut messages = Vec::with_capacity(100);
        let message = Outgoing {
            topic: "t",
            payload: b"1",
            qos: QoS::AtMostOnce,
            retain: false,
            correlation_data: None,
        };
        messages.push(Routed::borrowed(message.publish(), None, &pot));
        let at = messages.as_ptr().addr();
        let emptied = emptied(messages);
        assert_eq!((emptied.capacity(), emptied.as_ptr().addr()), (100, at));
        assert!(emptied.is_empty());
    }
}
