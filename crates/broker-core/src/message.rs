//! An application message that outlives the packet that brought it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use fieldgate_mqtt::{Publish, PublishProperties, QoS, UserPropertiesBuf};
use triomphe::ThinArc;

use crate::budget::{Pot, Share};

/// A message held by the broker: queued, unacknowledged, retained, or a will. A clone is the same
/// message, not a copy.
///
/// The payload format indicator, content type, response topic, correlation data and user
/// properties travel with it unchanged (MQTT 5.0 section 3.3.2.3).
#[derive(Clone, Debug)]
pub struct Message {
    /// In one allocation, as a gateway keeps a hundred thousand of them: the head, the topic name, the payload.
    whole: ThinArc<Head, u8>,
}

/// What few messages have is kept out of the many that have none.
#[derive(Debug)]
enum Head {
    Plain(Fixed),
    Rich(Box<(Fixed, Rare)>),
}

/// What every message has.
#[derive(Debug)]
struct Fixed {
    /// Where it is counted for as long as it exists.
    pot: Arc<Pot>,
    payload_len: u32,
    topic_len: u16,
    qos: QoS,
    /// [`RETAIN`] and [`LATE`].
    flags: AtomicU8,
}

/// The publisher asked the broker to keep it.
const RETAIN: u8 = 1;
/// It is kept, and what is on the disk is older.
const LATE: u8 = 2;

#[derive(Debug)]
struct Rare {
    /// What it takes of the budget beside the message.
    share: Share,
    expires: Option<Instant>,
    payload_format_utf8: Option<bool>,
    response_topic: Option<Box<str>>,
    correlation_data: Option<Box<[u8]>>,
    content_type: Option<Box<str>>,
    user: UserPropertiesBuf,
}

/// What an allocation takes beside what it holds, in bytes, about.
const ALLOCATION: usize = 16;
/// Messages are made in steps of so many bytes, so that the next reading of a point, a digit longer, has room.
const STEP: usize = 16;
/// A message without its topic name and payload, in bytes, about. Two counters come to its head.
const OVERHEAD: usize = size_of::<Head>() + 2 * size_of::<usize>() + ALLOCATION;
const _: () = assert!(size_of::<Head>() <= 16);

/// What an allocator takes for so many bytes: its sizes come in steps of an eighth, and its pages are seldom full.
fn with_waste(len: usize) -> usize {
    len + len / 4
}

/// The room for so many bytes.
fn rounded(len: usize) -> usize {
    len.next_multiple_of(STEP)
}

impl Fixed {
    /// Of topic name and payload.
    fn len(&self) -> usize {
        usize::from(self.topic_len) + self.payload_len as usize
    }

    /// What it takes in memory, in bytes, about. It stays the same when the message is overwritten.
    fn weight(&self) -> usize {
        OVERHEAD + with_waste(rounded(self.len()))
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        self.pot.sub(self.weight());
    }
}

impl Rare {
    /// `None` if there is nothing of that kind.
    fn of(from: &PublishProperties<'_>, expires: Option<Instant>, pot: &Arc<Pot>) -> Option<Self> {
        Self::is_needed(from, expires).then(|| Self {
            share: Share::new(pot, Self::weight(from)),
            expires,
            payload_format_utf8: from.payload_format_utf8,
            response_topic: from.response_topic.map(Into::into),
            correlation_data: from.correlation_data.map(Into::into),
            content_type: from.content_type.map(Into::into),
            user: from.user_properties.into(),
        })
    }

    fn is_needed(from: &PublishProperties<'_>, expires: Option<Instant>) -> bool {
        expires.is_some()
            || from.payload_format_utf8.is_some()
            || from.response_topic.is_some()
            || from.correlation_data.is_some()
            || from.content_type.is_some()
            || !from.user_properties.is_empty()
    }

    /// What it takes in memory, in bytes, about.
    fn weight(from: &PublishProperties<'_>) -> usize {
        size_of::<Self>()
            + ALLOCATION
            + from.response_topic.map_or(0, str::len)
            + from.correlation_data.map_or(0, <[u8]>::len)
            + from.content_type.map_or(0, str::len)
            + from.user_properties.encoded_len()
    }
}

impl Message {
    /// Copies `publish`, which expires at `expires` if ever. It is counted in `pot`.
    pub fn copy_of(publish: &Publish<'_>, expires: Option<Instant>, pot: &Arc<Pot>) -> Self {
        // No topic name is longer (MQTT 5.0 section 1.5.4).
        let topic_len = u16::try_from(publish.topic.len()).unwrap_or_default();
        let topic = &publish.topic.as_bytes()[..topic_len.into()];
        // No payload is longer than a packet (section 1.5.5).
        let payload_len = u32::try_from(publish.payload.len()).unwrap_or(u32::MAX);
        let len = topic.len() + publish.payload.len();
        let mut bytes = Vec::with_capacity(rounded(len));
        bytes.extend_from_slice(topic);
        bytes.extend_from_slice(publish.payload);
        bytes.resize(rounded(len), 0);
        let fixed = Fixed {
            pot: Arc::clone(pot),
            payload_len,
            topic_len,
            qos: publish.qos,
            flags: AtomicU8::new(if publish.retain { RETAIN } else { 0 }),
        };
        pot.add(fixed.weight());
        let head = match Rare::of(&publish.properties, expires, pot) {
            None => Head::Plain(fixed),
            Some(rare) => Head::Rich(Box::new((fixed, rare))),
        };
        Self {
            whole: ThinArc::from_header_and_slice(head, &bytes),
        }
    }

    fn head(&self) -> &Head {
        &self.whole.header.header
    }

    fn fixed(&self) -> &Fixed {
        match self.head() {
            Head::Plain(fixed) => fixed,
            Head::Rich(rich) => &rich.0,
        }
    }

    fn rare(&self) -> Option<&Rare> {
        match self.head() {
            Head::Plain(_) => None,
            Head::Rich(rich) => Some(&rich.1),
        }
    }

    /// The same message with another payload, in its place in memory, if nothing else holds it and it has room. Tells
    /// whether it was done.
    pub fn overwrite(&mut self, publish: &Publish<'_>) -> bool {
        let like = self.qos() == publish.qos && self.retain() == publish.retain;
        if !like || Rare::is_needed(&publish.properties, None) {
            return false;
        }
        self.whole.with_arc_mut(|whole| {
            let Some(whole) = triomphe::Arc::get_mut(whole) else {
                return false;
            };
            let Head::Plain(fixed) = whole.header_mut() else {
                return false;
            };
            let (start, len) = (usize::from(fixed.topic_len), publish.payload.len());
            // Much less would leave room empty that is not counted.
            if rounded(start + len) != rounded(fixed.len()) {
                return false;
            }
            fixed.payload_len = u32::try_from(len).unwrap_or(u32::MAX);
            let room = whole.slice_mut().get_mut(start..);
            if let Some(room) = room.and_then(|room| room.get_mut(..len)) {
                room.copy_from_slice(publish.payload);
            }
            true
        })
    }

    fn topic_and_payload(&self) -> (&[u8], &[u8]) {
        let fixed = self.fixed();
        let (topic, payload) = self.whole.slice.split_at(fixed.topic_len.into());
        let payload = payload.get(..fixed.payload_len as usize);
        (topic, payload.unwrap_or_default())
    }

    /// The bytes of the topic name.
    pub fn topic_bytes(&self) -> &[u8] {
        self.topic_and_payload().0
    }

    /// The topic name.
    pub fn topic(&self) -> &str {
        // Always UTF-8: these are the bytes of a `str`.
        std::str::from_utf8(self.topic_and_payload().0).unwrap_or_default()
    }

    /// The application's bytes.
    pub fn payload(&self) -> &[u8] {
        self.topic_and_payload().1
    }

    /// The quality of service that the publisher asked for.
    pub fn qos(&self) -> QoS {
        self.fixed().qos
    }

    /// Whether the publisher asked the broker to keep it.
    pub fn retain(&self) -> bool {
        self.fixed().flags.load(Ordering::Relaxed) & RETAIN != 0
    }

    /// Notes whether what the disk has of a kept message is older. For those who keep messages, one at a time.
    pub(crate) fn set_late(&self, is_late: bool) {
        let flags = &self.fixed().flags;
        let others = flags.load(Ordering::Relaxed) & !LATE;
        flags.store(others | if is_late { LATE } else { 0 }, Ordering::Relaxed);
    }

    /// Whether what the disk has of a kept message is older.
    pub(crate) fn is_late(&self) -> bool {
        self.fixed().flags.load(Ordering::Relaxed) & LATE != 0
    }

    /// Where the publisher wants the answer, if it wants one. Whether it may publish there itself is not said here: see
    /// [`Routed::may_answer`].
    pub fn response_topic(&self) -> Option<&str> {
        self.rare()?.response_topic.as_deref()
    }

    /// What the publisher wants to see again in the answer.
    pub fn correlation_data(&self) -> Option<&[u8]> {
        self.rare()?.correlation_data.as_deref()
    }

    /// When it becomes worthless, if ever.
    pub fn expires(&self) -> Option<Instant> {
        self.rare()?.expires
    }

    /// Whether it is worthless by now.
    pub fn expired(&self, now: Instant) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }

    /// What it takes in a queue, in bytes, give or take the allocator.
    pub fn weight(&self) -> usize {
        self.fixed().weight() + self.rare().map_or(0, |rare| rare.share.bytes())
    }

    /// Where it is counted.
    pub fn pot(&self) -> &Arc<Pot> {
        &self.fixed().pot
    }

    /// Where it is in memory, which tells messages apart as long as they exist.
    pub fn address(&self) -> usize {
        self.whole.slice.as_ptr().addr()
    }

    /// The message as a PUBLISH packet to encode; the sender fills in identifiers and expiry.
    pub fn publish(&self) -> Publish<'_> {
        let mut publish = Publish {
            dup: false,
            qos: self.qos(),
            retain: self.retain(),
            topic: self.topic(),
            packet_id: None,
            properties: PublishProperties::default(),
            payload: self.payload(),
        };
        if let Some(from) = self.rare() {
            let to = &mut publish.properties;
            to.payload_format_utf8 = from.payload_format_utf8;
            to.response_topic = from.response_topic.as_deref();
            to.correlation_data = from.correlation_data.as_deref();
            to.content_type = from.content_type.as_deref();
            to.user_properties = from.user.as_properties();
        }
        publish
    }
}

/// A message on its way to subscribers: borrowed from the read buffer until it must be kept.
#[derive(Debug)]
pub struct Routed<'a> {
    /// The packet that it came in, or would be.
    pub publish: Publish<'a>,
    /// When it becomes worthless, if ever.
    pub expires: Option<Instant>,
    /// Its publisher may itself publish to its response topic. Only looked up for what comes from a connection.
    pub may_answer: bool,
    /// It has no properties that go to subscribers.
    pub is_plain: bool,
    owned: OnceCell<Message>,
    /// Where it is counted if it is kept.
    pot: &'a Arc<Pot>,
}

impl<'a> Routed<'a> {
    /// A message in somebody's buffer, which is counted in `pot` if it is kept.
    pub fn borrowed(publish: Publish<'a>, expires: Option<Instant>, pot: &'a Arc<Pot>) -> Self {
        Self {
            is_plain: !Rare::is_needed(&publish.properties, expires),
            publish,
            expires,
            may_answer: false,
            owned: OnceCell::new(),
            pot,
        }
    }

    /// A message that is held already.
    pub fn kept(message: &'a Message) -> Self {
        Self {
            publish: message.publish(),
            expires: message.expires(),
            may_answer: false,
            is_plain: message.rare().is_none(),
            owned: OnceCell::from(message.clone()),
            pot: message.pot(),
        }
    }

    /// The message to keep. The first caller pays for the copy, the others share it.
    pub fn message(&self) -> Message {
        let copy = || Message::copy_of(&self.publish, self.expires, self.pot);
        self.owned.get_or_init(copy).clone()
    }

    /// Makes `message`, which a topic keeps already, this one, in its place in memory. Tells whether that could be done.
    pub fn replaces(&self, message: &mut Message) -> bool {
        self.expires.is_none()
            && self.owned.get().is_none()
            && message.overwrite(&self.publish)
            && self.owned.set(message.clone()).is_ok()
    }

    /// Whether it is worthless by now.
    pub fn expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// What it would take in a queue, in bytes, about.
    pub fn weight(&self) -> usize {
        let rare = match self.is_plain {
            true => 0,
            false => Rare::weight(&self.publish.properties),
        };
        let len = self.publish.topic.len() + self.publish.payload.len();
        OVERHEAD + with_waste(rounded(len)) + rare
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A plain QoS 1 message.
    pub(crate) fn message(topic: &str, payload: &[u8]) -> Message {
        message_with(topic, payload, QoS::AtLeastOnce, false, None)
    }

    pub(crate) fn message_with(
        topic: &str,
        payload: &[u8],
        qos: QoS,
        retain: bool,
        expires: Option<Instant>,
    ) -> Message {
        let publish = Publish {
            dup: false,
            qos,
            retain,
            topic,
            packet_id: None,
            properties: PublishProperties::default(),
            payload,
        };
        Message::copy_of(&publish, expires, &Arc::default())
    }
}
