//! A session and the way to its client, behind one lock.
//!
//! The lock is never held across a system call or an await, and no thread holds two of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use fieldgate_mqtt::ReasonCode;
use foldhash::fast::RandomState;

use super::congestion::{Congestion, Pressure};
use super::inbox::{Author, Inbox};
use super::owner::Owner;
use super::timers;
use crate::origin::Remote;
use fieldgate_broker_access::{Principal, Rights};
use fieldgate_broker_core::budget::{Pot, SMALL, Share};
use fieldgate_broker_core::journal::{Awaiting, Journal};
use fieldgate_broker_core::outbox::Outbox;
use fieldgate_broker_core::pending_acks::PendingAcks;
use fieldgate_broker_core::record::Will;
use fieldgate_broker_core::router::{Grant, Name, Recipient};
use fieldgate_broker_core::session::{Limits, Session, Tally};
use fieldgate_broker_core::ticket::Ticket;

/// Bytes in an outbox from which on publishers are asked to wait.
const PRESSURE: usize = 256 * 1024;

/// Bytes in an outbox at which they may go on.
const RELIEF: usize = 32 * 1024;

/// One session, for as long as there is a reference to it.
#[derive(Debug)]
pub(crate) struct SessionSlot {
    id: u64,
    client_id: Name,
    owner: Owner,
    /// Bytes that its client has taken: only grows.
    taken: AtomicU64,
    /// Whether its session outlives the process.
    stored: bool,
    inner: Mutex<Inner>,
    /// Whether there are rules to look up, so that no lock is taken for nothing.
    limited: AtomicBool,
    /// It says when a message is safe, and publishers wait for that.
    vouches: AtomicBool,
    /// It wants to know who publishes.
    asks_for_authors: AtomicBool,
    /// Locked by itself or behind any other lock.
    standing: Mutex<Standing>,
}

/// Whose a session is, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) principal: Principal,
    pub(crate) rights: Rights,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) session: Session,
    pub(crate) sink: Sink,
    pub(crate) subscriptions: HashMap<Box<str>, Grant, RandomState>,
    pub(crate) will: Option<Will>,
    /// The store was told of the will, though the session ends with its connection.
    pub(crate) has_noted_will: bool,
    /// How long the session outlives its connection; `None` for ever.
    pub(crate) expiry: Option<Duration>,
    /// Counts the connections of this session, so that an old one knows that it is.
    pub(crate) epoch: u64,
    /// The session has ended: nothing is kept for it any more.
    pub(crate) dead: bool,
    pub(crate) congestion: Congestion,
    /// What is on the agenda for the time without a connection.
    pub(crate) timers: Vec<timers::Key>,
    /// When the last connection ended; `None` while there is one.
    pub(crate) away_since: Option<Instant>,
    /// What the subscriptions' filters take, in bytes, about.
    filters: usize,
    /// What it takes of the budget, beside what counts itself.
    share: Share,
}

/// A session without anything in it, in bytes, about.
const BARE: usize = size_of::<SessionSlot>() + 256;

/// A level of a topic filter among all subscriptions, in bytes, about.
const LEVEL: usize = 80;

/// Where messages for the session go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Nowhere now: the client is not connected.
    Away,
    Wire(Wire),
    Link(Inbox),
}

/// The connection's side that other tasks may touch.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Where the client is.
    pub(crate) remote: Remote,
    pub(crate) out: Outbox,
    /// Answers that wait for the store.
    pub(crate) pending: PendingAcks,
    /// Nothing leaves before this is done: the client must not hear of a session that a crash
    /// could undo.
    pub(crate) gate: Option<Ticket>,
    /// Set while the connection sleeps; the one that gives it work takes it and wakes it.
    pub(crate) waker: Option<Waker>,
    /// The broker ends the connection for this reason.
    pub(crate) kick: Option<ReasonCode>,
    /// Bytes that the connection is writing.
    pub(crate) underway: usize,
    /// What the connection itself holds, which it counts itself, in bytes.
    pub(crate) intake: usize,
}

impl Wire {
    pub(crate) fn new(remote: Remote) -> Self {
        Self {
            remote,
            out: Outbox::default(),
            pending: PendingAcks::default(),
            gate: None,
            waker: None,
            kick: None,
            underway: 0,
            intake: 0,
        }
    }
}

impl SessionSlot {
    /// A session that is counted in `pot`.
    pub(crate) fn new(
        id: u64,
        client_id: &str,
        limits: Limits,
        stored: bool,
        (owner, pot): (Owner, &Arc<Pot>),
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            client_id: Arc::new(client_id.into()),
            owner,
            taken: AtomicU64::new(0),
            stored,
            inner: Mutex::new(Inner {
                session: match stored {
                    true => Session::stored(limits, id),
                    false => Session::new(limits),
                },
                sink: Sink::Away,
                subscriptions: HashMap::default(),
                will: None,
                has_noted_will: false,
                expiry: Some(Duration::ZERO),
                epoch: 0,
                dead: false,
                congestion: Congestion::default(),
                timers: Vec::new(),
                away_since: None,
                filters: 0,
                share: Share::new(pot, BARE + 2 * client_id.len()),
            }),
            limited: AtomicBool::new(false),
            vouches: AtomicBool::new(false),
            asks_for_authors: AtomicBool::new(false),
            standing: Mutex::new(Standing {
                principal: Principal::Anonymous {
                    local: true,
                    allowed: None,
                },
                rights: Rights::all(),
            }),
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The client identifier, to be kept.
    pub(crate) fn name(&self) -> &Name {
        &self.client_id
    }

    /// The client has taken so much more.
    pub(crate) fn note_taken(&self, count: u64) {
        self.taken.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whose share it takes.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.stored
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn principal(&self) -> Principal {
        self.standing().principal.clone()
    }

    /// What the session may do now.
    pub(crate) fn rights(&self) -> Rights {
        if self.is_limited() {
            self.standing().rights.clone()
        } else {
            Rights::all()
        }
    }

    /// Whether publishers wait for it from now on. Who gets what has to be matched anew.
    pub(crate) fn ask_for_authors(&self) {
        self.asks_for_authors.store(true, Ordering::Relaxed);
    }

    pub(crate) fn asks_for_authors(&self) -> bool {
        self.asks_for_authors.load(Ordering::Relaxed)
    }

    /// Who its client is.
    pub(crate) fn author(&self) -> Author {
        Author::new(self.client_id(), self.principal().user())
    }

    pub(crate) fn vouch(&self, vouches: bool) {
        self.vouches.store(vouches, Ordering::Relaxed);
    }

    fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Acquire)
    }

    /// Returns whether the rights are others than before.
    pub(crate) fn stand(&self, standing: Standing) -> bool {
        let mut old = self.standing();
        let limited = standing.rights.are_limited();
        let changed = old.rights != standing.rights;
        *old = standing;
        self.limited.store(limited, Ordering::Release);
        changed
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the connection to end, if there is one.
    pub(crate) fn kick(&self, reason: ReasonCode) {
        let mut inner = self.lock();
        let Sink::Wire(wire) = &mut inner.sink else {
            return;
        };
        wire.kick = Some(reason);
        let waker = wire.waker.take();
        drop(inner);
        wake(waker);
    }
}

impl Recipient for SessionSlot {
    fn number(&self) -> u64 {
        self.id
    }

    fn is_stored(&self) -> bool {
        self.stored
    }

    fn vouches(&self) -> bool {
        self.vouches.load(Ordering::Relaxed)
    }

    fn may_read(&self, topic: &str) -> bool {
        !self.is_limited() || self.standing().rights.may_read(topic)
    }

    fn reads_alike(&self, topic: &str) -> bool {
        !self.is_limited() || self.standing().rights.reads_alike(topic)
    }
}

impl Awaiting for SessionSlot {
    fn number(&self) -> u64 {
        self.id
    }

    fn is_kept(&self, number: u64) {
        let mut inner = self.lock();
        let waker = match (inner.session.kept(number), &mut inner.sink) {
            (true, Sink::Wire(wire)) => wire.waker.take(),
            _ => None,
        };
        drop(inner);
        wake(waker);
    }

    fn is_lost(&self, number: u64) {
        self.lock().session.not_kept(number);
    }
}

impl Inner {
    /// Adds or replaces a subscription. Returns whether it is new.
    pub(crate) fn add_subscription(&mut self, filter: Box<str>, grant: Grant) -> bool {
        let weight = filter_weight(&filter);
        let is_new = self.subscriptions.insert(filter, grant).is_none();
        self.filters += if is_new { weight } else { 0 };
        is_new
    }

    /// Returns whether there was one.
    pub(crate) fn remove_subscription(&mut self, filter: &str) -> bool {
        let found = self.subscriptions.remove(filter).is_some();
        self.filters -= if found { filter_weight(filter) } else { 0 };
        found
    }

    pub(crate) fn take_subscriptions(&mut self) -> HashMap<Box<str>, Grant, RandomState> {
        self.filters = 0;
        std::mem::take(&mut self.subscriptions)
    }

    /// Counts what it takes of the budget, after any change.
    pub(crate) fn recount(&mut self) {
        let wire = match &self.sink {
            Sink::Wire(wire) => wire.out.held() + wire.underway + wire.pending.bytes(),
            Sink::Link(_) | Sink::Away => 0,
        };
        // The levels are counted where all subscriptions are. The store knows of each, too.
        let copies = if self.session.is_stored() { 2 } else { 1 };
        let filters = copies * self.filters / 2;
        self.share
            .follow(BARE + self.session.holds() + wire + filters);
    }

    /// What the session makes the broker hold altogether, in bytes, about.
    pub(crate) fn weight(&self) -> usize {
        let will = self.will.as_ref().map_or(0, |will| will.message.weight());
        let wire = match &self.sink {
            Sink::Wire(wire) => wire.intake,
            Sink::Link(_) | Sink::Away => 0,
        };
        self.share.bytes() + self.session.message_bytes() + self.filters + will + wire
    }

    /// Drops the oldest messages until the session holds no more than `bytes`, or little.
    pub(crate) fn shed(&mut self, bytes: usize, tally: &mut Tally, journal: &mut Journal) {
        let above = self.weight().saturating_sub(bytes.max(SMALL));
        let messages = self.session.message_bytes().saturating_sub(above);
        self.session.shed(messages, tally, journal);
    }

    /// Notes whether the subscriber keeps up, after something was delivered to it.
    pub(crate) fn pressure(&mut self, now: Instant) -> Pressure {
        let full = match &self.sink {
            Sink::Away => return Pressure::None,
            Sink::Wire(wire) => wire.out.len() > PRESSURE || self.session.is_congested(),
            Sink::Link(inbox) => inbox.is_congested(),
        };
        match full {
            true => self.congestion.begin(now),
            false => Pressure::None,
        }
    }

    /// To be called when the subscriber has taken something. Returns the publishers to wake.
    pub(crate) fn relieve(&mut self) -> Vec<Waker> {
        if !self.congestion.is_known() {
            return Vec::new();
        }
        let (relieved, empty) = match &self.sink {
            Sink::Away => (true, true),
            Sink::Wire(wire) => (
                wire.out.len() <= RELIEF && self.session.is_relieved(),
                wire.out.is_empty() && self.session.waiting() == 0,
            ),
            Sink::Link(inbox) => (inbox.is_relieved(), inbox.is_empty()),
        };
        if !relieved {
            return Vec::new();
        }
        self.session.given_up = false;
        self.congestion.end(empty)
    }

    /// A publisher asks whether it must still wait for this subscriber. If so `waker` is woken
    /// when it need not.
    pub(crate) fn wait(&mut self, waker: &Waker) -> Pressure {
        match self.sink {
            Sink::Away => Pressure::None,
            Sink::Wire(_) | Sink::Link(_) => self.congestion.wait(waker),
        }
    }

    /// Publishers have waited long enough. Returns those to wake, and whether that is news.
    pub(crate) fn give_up_waiting(&mut self) -> (bool, Vec<Waker>) {
        self.session.given_up = true;
        self.congestion.give_up()
    }

    /// Whether connection `epoch` was the last, and has ended.
    pub(crate) fn is_away_since(&self, epoch: u64) -> bool {
        self.epoch == epoch && !self.dead && matches!(self.sink, Sink::Away)
    }

    /// The wire, if the connection of `epoch` is still the session's.
    pub(crate) fn wire(&mut self, epoch: u64) -> Option<(&mut Session, &mut Wire)> {
        match &mut self.sink {
            Sink::Wire(wire) if self.epoch == epoch => Some((&mut self.session, wire)),
            _ => None,
        }
    }
}

/// What a filter takes where it is kept, in bytes, about.
pub(crate) fn filter_weight(filter: &str) -> usize {
    2 * filter.len() + LEVEL * (1 + filter.matches('/').count())
}

/// Wakes a task, outside all locks.
pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
