//! Takes a batch of messages to their subscribers, each subscriber locked once for as many
//! messages as it gets in a row.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use fieldgate_mqtt::{PlainPublish, QoS, Version, encode_plain_publish, encode_publish};

use super::congestion::Pressure;
use super::inbox::{Origin, Vouched};
use super::session_slot::{Inner, SessionSlot, Sink, wake};
use fieldgate_broker_core::budget::{Budget, SMALL};
use fieldgate_broker_core::journal::Journal;
use fieldgate_broker_core::message::Routed;
use fieldgate_broker_core::outbox::{CommonPool, Pool, SHARE_FROM};
use fieldgate_broker_core::router::{self, Recipient, Terms};
use fieldgate_broker_core::session::{Tally, Turn};
use fieldgate_broker_core::ticket::Part;
use fieldgate_broker_store::Store;

type Group = router::Group<SessionSlot>;
type Matches = router::Matches<SessionSlot>;
type Subscriber = router::Subscriber<SessionSlot>;

/// Messages in the order in which they came, in runs that go to the same subscribers.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    messages: Vec<Routed<'a>>,
    /// Where each run begins.
    runs: Vec<(usize, Arc<Matches>)>,
}

impl<'a> Batch<'a> {
    pub(crate) fn push(&mut self, message: Routed<'a>, matches: &Arc<Matches>) {
        self.begin_run(self.messages.len(), matches);
        self.messages.push(message);
    }

    /// The messages from `start` on go to these.
    fn begin_run(&mut self, start: usize, matches: &Arc<Matches>) {
        let same = |(_, last): &(usize, Arc<Matches>)| Arc::ptr_eq(last, matches);
        if !self.runs.last().is_some_and(same) {
            self.runs.push((start, Arc::clone(matches)));
        }
    }

    /// All messages at once. `find` tells who gets the first of them, and how many more get to the same.
    pub(crate) fn of(
        messages: Vec<Routed<'a>>,
        mut find: impl FnMut(&[Routed<'a>]) -> (Arc<Matches>, usize),
    ) -> Self {
        let mut batch = Self::default();
        let mut start = 0;
        while let Some(left @ [_, ..]) = messages.get(start..) {
            let (matches, alike) = find(left);
            batch.begin_run(start, &matches);
            start += 1 + alike;
        }
        batch.messages = messages;
        batch
    }

    /// The messages, for the room that they take.
    pub(crate) fn into_messages(self) -> Vec<Routed<'a>> {
        self.messages
    }

    /// Whether the last message has this topic, so that the next may go where it goes.
    pub(crate) fn ends_with(&self, topic: &str) -> bool {
        let last = self.messages.last();
        last.is_some_and(|last| last.publish.topic == topic)
    }

    /// Whether the last message goes to sessions that outlive the process, or to those that say when it is safe.
    pub(crate) fn ends_promised(&self) -> bool {
        let last = self.runs.last();
        last.is_some_and(|(_, matches)| matches.stored || matches.vouched)
    }

    /// Adds a message to the last run.
    pub(crate) fn push_alike(&mut self, message: Routed<'a>) {
        self.messages.push(message);
    }

    /// Makes room for the messages that `bytes` bytes of packets usually hold, `most` at most.
    pub(crate) fn expect(&mut self, bytes: usize, most: usize) {
        const USUAL: usize = 64;
        self.messages.reserve((bytes / USUAL + 1).min(most));
    }

    fn runs(&self) -> impl Iterator<Item = (&[Routed<'a>], &Matches)> {
        let ends = self.runs.iter().skip(1).map(|(start, _)| *start);
        let ends = ends.chain([self.messages.len()]);
        self.runs
            .iter()
            .zip(ends)
            .map(|((start, matches), end)| (&self.messages[*start..end], &**matches))
    }
}

/// What a worker lends to deliveries, and what they leave there.
#[derive(Debug, Default)]
pub(crate) struct DeliveryScratch {
    pub(crate) pool: Pool,
    pub(crate) tally: Tally,
    /// Changes to sessions that outlive the process.
    pub(crate) journal: Journal,
    /// Messages of a client for subscribers that say when they are safe.
    pub(crate) vouched: Option<Arc<Part>>,
    /// Subscribers that cannot keep up: the publisher has to wait for them.
    pub(crate) congested: Vec<Arc<SessionSlot>>,
    /// There was no time for all that a client had sent.
    pub(crate) is_late: bool,
    /// Subscribers that are to be woken later, if they are not woken at once.
    pub(crate) sleepers: Option<Vec<Waker>>,
    ready_made: [ReadyMade; 2],
}

impl DeliveryScratch {
    /// One for long, whose buffers are `common` with others.
    pub(crate) fn lasting(common: &Arc<CommonPool>) -> Self {
        Self {
            pool: Pool::sharing(common),
            ..Self::default()
        }
    }
}

/// One run encoded as QoS 0 packets, the same bytes for every subscriber of one version.
#[derive(Debug, Default)]
struct ReadyMade {
    bytes: Vec<u8>,
    biggest: usize,
    payloads: u64,
}

/// Who sends, and what deliveries need besides.
pub(crate) struct Sender<'a> {
    /// The number of the session.
    pub(crate) session: u64,
    /// The session, to tell who that is.
    pub(crate) publisher: Option<&'a SessionSlot>,
    pub(crate) now: Instant,
    pub(crate) store: Option<&'a Store>,
    pub(crate) budget: &'a Budget,
    /// It is a client, whose acknowledgements can wait.
    pub(crate) waits: bool,
}

/// Delivers all of `batch`.
pub(crate) fn deliver(batch: &Batch<'_>, sender: &Sender<'_>, post: &mut DeliveryScratch) {
    for (run, matches) in batch.runs().filter(|(_, matches)| !matches.is_empty()) {
        post.ready_made.iter_mut().for_each(ReadyMade::clear);
        let alike = Alike::of(run, matches.plain.len());
        for subscriber in &matches.plain {
            if let Some(terms) = subscriber.terms_for(sender.session) {
                deliver_run(run, &alike, (&subscriber.recipient, terms), sender, post);
            }
        }
        for group in &matches.groups {
            for message in run {
                deliver_shared(message, group, sender, post);
            }
        }
    }
}

/// What decides whether a run's packets are the same bytes for every plain subscriber.
struct Alike {
    /// Enough subscribers, small payloads, no expiry.
    possible: bool,
    all_qos0: bool,
    any_retain: bool,
}

impl Alike {
    fn of(run: &[Routed<'_>], subscribers: usize) -> Self {
        let plain = |message: &Routed<'_>| {
            message.expires.is_none() && message.publish.payload.len() < SHARE_FROM
        };
        let all_qos0 = run.iter().all(|m| m.publish.qos == QoS::AtMostOnce);
        Self {
            possible: subscribers > 1 && run.iter().all(plain),
            all_qos0,
            any_retain: run.iter().any(|m| m.publish.retain),
        }
    }

    fn suits(&self, terms: &Terms) -> bool {
        self.possible
            && (self.all_qos0 || terms.qos == QoS::AtMostOnce)
            && !(self.any_retain && terms.retain_as_published)
            && terms.ids.as_slice().is_empty()
    }
}

impl ReadyMade {
    fn clear(&mut self) {
        self.bytes.clear();
        self.biggest = 0;
        self.payloads = 0;
    }

    fn fill(&mut self, run: &[Routed<'_>], version: Version) {
        for message in run {
            if message.is_plain {
                let plain = PlainPublish {
                    dup: false,
                    qos: QoS::AtMostOnce,
                    retain: false,
                    topic: message.publish.topic,
                    packet_id: None,
                    payload: message.publish.payload,
                };
                let len = encode_plain_publish(&mut self.bytes, version, &plain);
                self.biggest = self.biggest.max(len);
                self.payloads += message.publish.payload.len() as u64;
                continue;
            }
            let mut publish = message.publish;
            publish.qos = QoS::AtMostOnce;
            publish.dup = false;
            publish.retain = false;
            publish.packet_id = None;
            publish.properties.topic_alias = None;
            let start = self.bytes.len();
            encode_publish(&mut self.bytes, version, &publish);
            self.biggest = self.biggest.max(self.bytes.len() - start);
            self.payloads += publish.payload.len() as u64;
        }
    }
}

fn deliver_run(
    run: &[Routed<'_>],
    alike: &Alike,
    (slot, terms): (&Arc<SessionSlot>, &Terms),
    sender: &Sender<'_>,
    post: &mut DeliveryScratch,
) {
    let before = post.journal.changes.len();
    let mut guard = slot.lock();
    let inner = &mut *guard;
    let held = inner.session.message_bytes();
    // What nothing waits for is the first to go.
    if sender.budget.is_used_up() && inner.weight() > SMALL && alike.all_qos0 {
        post.tally.dropped += run.len() as u64;
        return;
    }
    if !(alike.suits(terms) && append_ready_made(run, inner, post)) {
        for message in run {
            hand_over(message, terms, (slot, inner), sender, post);
        }
    }
    keep_within(sender.budget, inner, held, post);
    keep_sent(sender.store, before, post);
    finish(guard, slot, sender.now, post);
}

/// Returns false, having done nothing, if this subscriber needs packets of its own.
fn append_ready_made(run: &[Routed<'_>], inner: &mut Inner, post: &mut DeliveryScratch) -> bool {
    let Sink::Wire(wire) = &mut inner.sink else {
        return false;
    };
    let Some(version) = inner.session.version() else {
        return false;
    };
    let made = &mut post.ready_made[usize::from(version == Version::V5)];
    if made.bytes.is_empty() {
        made.fill(run, version);
    }
    if !inner
        .session
        .takes_ready_made(made.biggest, made.bytes.len(), &wire.out)
    {
        return false;
    }
    lend(&mut wire.out.bytes, &mut post.pool);
    wire.out.bytes.extend_from_slice(&made.bytes);
    post.tally.sent += run.len() as u64;
    post.tally.sent_bytes += made.payloads;
    true
}

fn hand_over(
    message: &Routed<'_>,
    terms: &Terms,
    (slot, inner): (&Arc<SessionSlot>, &mut Inner),
    sender: &Sender<'_>,
    post: &mut DeliveryScratch,
) {
    let now = sender.now;
    let tally = &mut post.tally;
    let journal = &mut post.journal;
    let before = journal.changes.len();
    match &mut inner.sink {
        Sink::Wire(wire) => {
            lend(&mut wire.out.bytes, &mut post.pool);
            let mut turn = Turn {
                now,
                out: &mut wire.out,
                pending: &mut wire.pending,
                journal: &mut *journal,
                tally,
            };
            inner.session.deliver(message, terms, &mut turn);
        }
        Sink::Link(inbox) => {
            let is_promised = terms.qos.min(message.publish.qos) > QoS::AtMostOnce;
            let vouched = (sender.waits && is_promised && slot.vouches())
                .then(|| Vouched::new(post.vouched.get_or_insert_default()));
            let author = sender.publisher.filter(|_| slot.asks_for_authors());
            let origin = Origin {
                session: sender.session,
                author: author.map(|author| Box::new(author.author())),
            };
            inbox.push(message, vouched, Some(origin), now, tally);
        }
        Sink::Away if inner.dead => {}
        Sink::Away => {
            let session = &mut inner.session;
            session.deliver_away(message, terms, now, tally, journal);
        }
    }
    if slot.is_stored() {
        journal.await_those_after(before, slot);
    }
}

/// Counts what the session holds now. If memory is short it holds no more messages than the `held` bytes of before,
/// or few: the oldest are dropped.
fn keep_within(budget: &Budget, inner: &mut Inner, held: usize, post: &mut DeliveryScratch) {
    inner.recount();
    if !budget.is_short() {
        return;
    }
    let grown = inner.session.message_bytes().saturating_sub(held);
    if grown > 0 {
        let bytes = inner.weight() - grown;
        inner.shed(bytes, &mut post.tally, &mut post.journal);
    }
}

/// Hands over the messages of one client under its lock, before it can acknowledge them: changes must come to the
/// store in the order in which they happened. A client that is away may be back as soon as it is unlocked.
fn keep_sent(store: Option<&Store>, before: usize, post: &mut DeliveryScratch) {
    if let Some(store) = store
        && post.journal.changes.len() > before
    {
        store.submit_sent(before, &mut post.journal);
    }
}

/// A buffer from the pool for a client that owns none.
fn lend(bytes: &mut Vec<u8>, pool: &mut Pool) {
    if bytes.capacity() == 0 {
        *bytes = pool.take();
    }
}

/// Wakes the subscriber's task, now or later, and notes whether it keeps up.
fn finish(
    mut inner: std::sync::MutexGuard<'_, Inner>,
    slot: &Arc<SessionSlot>,
    now: Instant,
    post: &mut DeliveryScratch,
) {
    let waker = match &mut inner.sink {
        Sink::Wire(wire) if wire.out.is_empty() => None,
        Sink::Wire(wire) => wire.waker.take(),
        Sink::Link(inbox) => inbox.woken(),
        Sink::Away => None,
    };
    let pressure = inner.pressure(now);
    drop(inner);
    match &mut post.sleepers {
        Some(sleepers) => sleepers.extend(waker),
        None => wake(waker),
    }
    let known = post.congested.iter().any(|known| Arc::ptr_eq(known, slot));
    if pressure != Pressure::None && !known {
        post.congested.push(Arc::clone(slot));
    }
}

/// Gives `message` to one member: the next that is connected and keeps up, else the next that is
/// connected, else the next that will come back for it.
fn deliver_shared(
    message: &Routed<'_>,
    group: &Group,
    sender: &Sender<'_>,
    post: &mut DeliveryScratch,
) {
    let now = sender.now;
    let fit = |subscriber: &&Subscriber| {
        let mut inner = subscriber.recipient.lock();
        let connected = !matches!(inner.sink, Sink::Away);
        (
            connected,
            connected && inner.pressure(now) == Pressure::None,
        )
    };
    let mut connected = None;
    let mut chosen = None;
    let rotation = group.rotation();
    for member in rotation.clone() {
        match fit(&member) {
            (_, true) => {
                chosen = Some(member);
                break;
            }
            (true, false) => connected = connected.or(Some(member)),
            (false, _) => {}
        }
    }
    let away = || {
        let mut rotation = rotation;
        rotation.find(|member| !member.recipient.lock().dead)
    };
    if let Some(member) = chosen.or(connected).or_else(away) {
        let before = post.journal.changes.len();
        let mut inner = member.recipient.lock();
        let held = inner.session.message_bytes();
        hand_over(
            message,
            &member.terms,
            (&member.recipient, &mut inner),
            sender,
            post,
        );
        keep_within(sender.budget, &mut inner, held, post);
        keep_sent(sender.store, before, post);
        finish(inner, &member.recipient, now, post);
    }
}
