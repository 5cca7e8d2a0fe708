//! What all connections share: the sessions by client identifier, the router, retained messages.

mod access_reload;
pub(crate) mod backpressure;
mod congestion;
pub(crate) mod deliver;
mod due;
mod ending;
pub(crate) mod inbox;
mod notices;
#[cfg(test)]
mod order_tests;
mod own;
pub(crate) mod owner;
mod persist;
mod publish;
mod relief;
pub(crate) mod session_slot;
mod sessions;
mod timers;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use self::due::{Due, Task};
use self::owner::Owner;
use self::relief::{NO_MEMORY, NO_ROOM};
use self::session_slot::{Inner, SessionSlot, Sink, Standing, Wire, wake};
use self::sessions::Sessions;
use self::timers::Timers;
use crate::addresses::Addresses;
use crate::config::Config;
use crate::counters::{Counters, Totals, add};
use crate::origin::Remote;
use fieldgate_broker_access::{Access, Denial, Logins, Policy};
use fieldgate_broker_core::budget::{Budget, Pot};
use fieldgate_broker_core::journal::Journal;
use fieldgate_broker_core::outbox::{CommonPool, Outbox};
use fieldgate_broker_core::record::Will;
use fieldgate_broker_core::router::{self, Retained};
use fieldgate_broker_core::session::{Peer, Tally, Turn};
use fieldgate_broker_store::{Store, StoreError};

/// The subscriptions of all sessions.
pub(crate) type Router = router::Router<SessionSlot>;

/// One worker's memory of who gets which topic.
pub(crate) type MatchCache = router::MatchCache<SessionSlot>;

/// The broker's shared state. Locks are taken in the order sessions, one session, router or
/// retained; none is held across a system call.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) config: Config,
    pub(crate) budget: Budget,
    /// What those have sent whose CONNECT is not whole.
    pub(crate) lobby: Budget,
    pub(crate) access: Access,
    pub(crate) router: Router,
    pub(crate) timers: Timers<Due>,
    /// `None` if everything ends with the process.
    pub(crate) store: Option<Store>,
    retained: Arc<Mutex<Retained>>,
    sessions: Mutex<Sessions>,
    next_id: AtomicU64,
    /// Connections by where they come from.
    pub(crate) addresses: Addresses,
    /// The thread for what takes long, and the hub itself.
    slow: OnceLock<(Handle, Weak<Self>)>,
    /// Connections of all kinds, those that have not sent CONNECT included.
    pub(crate) open: Arc<AtomicUsize>,
    /// Connections from their CONNECT to the end of their goodbye.
    pub(crate) serving: Arc<AtomicUsize>,
    /// Clients connected.
    pub(crate) online: AtomicUsize,
    pub(crate) stopping: AtomicBool,
    /// Empty buffers of all workers and links.
    pub(crate) buffers: Arc<CommonPool>,
    /// The workers' counters; the first are the hub's own.
    counters: Vec<Arc<Counters>>,
}

/// What a client brings to its session.
pub(crate) struct Arrival<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) clean_start: bool,
    /// How long the session outlives the connection; `None` for ever.
    pub(crate) expiry: Option<Duration>,
    pub(crate) peer: Peer,
    pub(crate) will: Option<Will>,
    /// Who the client is, and what it may do.
    pub(crate) standing: Standing,
    /// Where it is.
    pub(crate) remote: Remote,
    /// Whose share a new session takes.
    pub(crate) owner: Owner,
}

/// Whose messages are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The program's that the broker is part of: they always have room, and come again after a
    /// crash.
    Gateway,
    /// A client's, or the broker's own.
    Client,
}

/// A client that has its session.
pub(crate) struct Attached {
    pub(crate) slot: Arc<SessionSlot>,
    pub(crate) epoch: u64,
}

/// Why a connection ended, as far as its session is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    /// The client said goodbye, so that its will is void.
    pub(crate) orderly: bool,
    /// The session expiry interval that it named in its DISCONNECT.
    pub(crate) expiry: Option<Option<Duration>>,
}

impl Hub {
    /// Also reads back what a store holds from before.
    pub(crate) fn new(config: Config, workers: usize) -> Result<Self, StoreError> {
        let limits = &config.limits;
        let budget = Budget::new(limits.counted(), workers + 2);
        let lobby = Budget::new(limits.lobby(), 1);
        let retained = Retained::new(limits.retained(), budget.pot(0), budget.own());
        let retained = Arc::new(Mutex::new(retained));
        let opened = config
            .store
            .clone()
            .map(|config| Store::open(config, Arc::clone(&retained)));
        let (store, recovered) = opened.transpose()?.unzip();
        let mut hub = Self {
            access: access(&config),
            router: Router::new(budget.pot(0)),
            budget,
            lobby,
            timers: Timers::default(),
            store,
            retained,
            sessions: Mutex::default(),
            next_id: AtomicU64::new(1),
            addresses: Addresses::default(),
            slow: OnceLock::new(),
            open: Arc::default(),
            serving: Arc::default(),
            online: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            buffers: Arc::default(),
            counters: (0..=workers + 1).map(|_| Arc::default()).collect(),
            config,
        };
        if let Some(recovered) = recovered {
            hub.restore(recovered);
            hub.drop_wills();
        }
        Ok(hub)
    }

    pub(crate) fn own_counters(&self) -> &Counters {
        &self.counters[0]
    }

    pub(crate) fn worker_counters(&self, worker: usize) -> Arc<Counters> {
        Arc::clone(&self.counters[worker + 1])
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            store_commits: self.store.as_ref().map_or(0, Store::commits),
            ..Totals::of(&self.counters)
        }
    }

    pub(crate) fn retained(&self) -> MutexGuard<'_, Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions().len()
    }

    /// All sessions, as they are now.
    pub(crate) fn slots(&self) -> Vec<Arc<SessionSlot>> {
        self.sessions().all().cloned().collect()
    }

    /// Where what the hub itself makes is counted.
    pub(crate) fn pot(&self) -> &Arc<Pot> {
        self.budget.pot(0)
    }

    /// A new session, which a store keeps from now on if `lasting`.
    pub(crate) fn new_slot(
        &self,
        client_id: &str,
        lasting: bool,
        owner: Owner,
    ) -> Arc<SessionSlot> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let stored = lasting && self.store.is_some();
        let limits = self.config.limits.session();
        SessionSlot::new(id, client_id, limits, stored, (owner, self.pot()))
    }

    /// The session of number `id`, from the store.
    pub(crate) fn restored_slot(&self, id: u64, client_id: &str, owner: Owner) -> Arc<SessionSlot> {
        let limits = self.config.limits.session();
        SessionSlot::new(id, client_id, limits, true, (owner, self.pot()))
    }

    /// New sessions are numbered from `next` on at least.
    pub(crate) fn skip_to(&self, next: u64) {
        self.next_id.fetch_max(next, Ordering::Relaxed);
    }

    /// Puts a session from the store in its place. Returns the number of the one that it replaces.
    pub(crate) fn adopt(&self, slot: Arc<SessionSlot>) -> Option<u64> {
        let replaced = self.sessions().insert(slot)?;
        let mut inner = replaced.lock();
        inner.dead = true;
        self.timers.cancel(&mut inner.timers);
        for filter in inner.subscriptions.keys() {
            self.router.unsubscribe(&replaced, filter);
        }
        Some(replaced.id())
    }

    /// The session that a client goes on with, if any, of the one that has its identifier now.
    fn resumable(
        &self,
        arrival: &Arrival<'_>,
        old: Option<&Arc<SessionSlot>>,
    ) -> Result<Option<Arc<SessionSlot>>, Denial> {
        let comer = &arrival.standing.principal;
        if let Some(old) = old {
            self.access.may_take_over(&old.principal(), comer)?;
        }
        // A session without an expiry interval ends with its connection, which ends now.
        let outlives = |slot: &&Arc<SessionSlot>| slot.lock().expiry != Some(Duration::ZERO);
        // A user does not inherit the messages of another.
        let owned = |slot: &&Arc<SessionSlot>| slot.principal().user() == comer.user();
        let wanted = old.filter(|_| !arrival.clean_start).filter(owned);
        Ok(wanted.filter(outlives).cloned())
    }

    /// Ends the other connection of a session, if there is one. Returns what wakes it up.
    fn displace(&self, slot: &SessionSlot, inner: &mut Inner, remote: Remote) -> Option<Waker> {
        match std::mem::replace(&mut inner.sink, Sink::Away) {
            Sink::Wire(wire) => {
                inner.session.detach();
                self.note_takeover(slot, wire.remote, remote);
                wire.waker
            }
            Sink::Link(_) | Sink::Away => {
                self.online.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Gives a client its session, a new one or the one that it had, and ends any other
    /// connection of it (MQTT-3.1.4-3). `greet` writes the CONNACK, told whether a session was
    /// present, before anything else is sent.
    pub(crate) fn attach(
        &self,
        arrival: Arrival<'_>,
        now: Instant,
        greet: impl FnOnce(bool, &mut Outbox),
    ) -> Result<Attached, Denial> {
        self.make_place(arrival.client_id, &arrival.owner, now);
        let mut sessions = self.sessions();
        let old = sessions.get(arrival.client_id).cloned();
        let resumed = self.resumable(&arrival, old.as_ref())?;
        let slot = match &resumed {
            Some(slot) => Arc::clone(slot),
            None => {
                self.find_room(&arrival, &sessions, old.is_none())?;
                let lasting = arrival.expiry != Some(Duration::ZERO);
                self.new_slot(arrival.client_id, lasting, arrival.owner)
            }
        };
        if resumed.is_none() {
            sessions.insert(Arc::clone(&slot));
        }
        let mut inner = slot.lock();
        // A session is taken out of the map before it ends, so this one is alive.
        drop(sessions);
        let displaced = self.displace(&slot, &mut inner, arrival.remote);
        let waiting = inner.relieve();
        self.timers.cancel(&mut inner.timers);
        // A will whose delay has not passed is void, now that the client is back (3.1.3.2.2).
        let due_will = inner.will.take().filter(|will| will.delay.is_zero());
        inner.epoch += 1;
        if slot.stand(arrival.standing) && resumed.is_some() {
            self.router.rights_changed();
        }
        inner.will = arrival.will;
        inner.has_noted_will = self.store.is_some() && inner.will.is_some();
        inner.expiry = arrival.expiry;
        inner.away_since = None;
        let mut wire = Wire::new(arrival.remote);
        greet(resumed.is_some(), &mut wire.out);
        let mut tally = Tally::default();
        let mut journal = Journal::default();
        inner.session.attach(
            arrival.peer,
            &mut Turn {
                now,
                out: &mut wire.out,
                pending: &mut wire.pending,
                journal: &mut journal,
                tally: &mut tally,
            },
        );
        inner.sink = Sink::Wire(wire);
        inner.recount();
        self.enter(&slot, &mut inner, resumed.is_none(), journal);
        let epoch = inner.epoch;
        drop(inner);
        self.own_counters().add(&tally);
        wake(displaced);
        waiting.into_iter().for_each(Waker::wake);
        if let Some(will) = due_will {
            self.publish_kept(&will.at(now), &slot, now);
        }
        if let Some(old) = old.filter(|_| resumed.is_none()) {
            self.end_if(&old, now, |_| true);
        }
        Ok(Attached { slot, epoch })
    }

    /// A connection has ended. Does nothing if another has taken its session over.
    pub(crate) fn detach(&self, attached: &Attached, departure: Departure, now: Instant) {
        let slot = &attached.slot;
        let mut inner = slot.lock();
        if inner.epoch != attached.epoch || inner.dead {
            return;
        }
        inner.sink = Sink::Away;
        inner.away_since = Some(now);
        inner.session.detach();
        inner.recount();
        self.online.fetch_sub(1, Ordering::Relaxed);
        if departure.orderly {
            inner.will = None;
        }
        if let Some(expiry) = departure.expiry {
            inner.expiry = expiry;
        }
        let waiting = inner.relieve();
        let expiry = inner.expiry;
        let delay = inner.will.as_ref().map(|will| will.delay);
        let due_will = match delay {
            Some(delay) if delay.is_zero() => inner.will.take(),
            _ => None,
        };
        // A delayed will goes out when the session ends, if that is sooner.
        let will_at = delay
            .filter(|delay| !delay.is_zero())
            .map(|delay| now + delay);
        let end_at = expiry
            .filter(|expiry| !expiry.is_zero())
            .map(|expiry| now + expiry);
        let due = [(will_at, Task::Will), (end_at, Task::End)];
        for (at, task) in due {
            let Some(at) = at else { continue };
            let key = self.timers.add(at, Due::new(slot, attached.epoch, task));
            inner.timers.push(key);
        }
        if expiry != Some(Duration::ZERO) {
            self.note(slot, &inner);
        }
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
        if let Some(will) = due_will {
            self.publish_kept(&will.at(now), slot, now);
        }
        if expiry == Some(Duration::ZERO) {
            self.end_if(slot, now, |inner| inner.is_away_since(attached.epoch));
        }
    }

    /// Does what a timer was set for, unless the client has come back since.
    pub(crate) fn on_due(&self, due: &Due, now: Instant) {
        let Some(slot) = due.slot.upgrade() else {
            return;
        };
        match due.task {
            Task::Will => {
                let mut inner = slot.lock();
                let will = match inner.is_away_since(due.epoch) {
                    true => inner.will.take(),
                    false => None,
                };
                if will.is_some() {
                    self.note(&slot, &inner);
                }
                drop(inner);
                if let Some(will) = will {
                    self.publish_kept(&will.at(now), &slot, now);
                }
            }
            Task::End => {
                if self.end_if(&slot, now, |inner| inner.is_away_since(due.epoch)) {
                    add(&self.own_counters().sessions_expired, 1);
                }
            }
        }
    }

    /// Whether a new session has room. `is_more` if it replaces none.
    fn find_room(
        &self,
        arrival: &Arrival<'_>,
        sessions: &Sessions,
        is_more: bool,
    ) -> Result<(), Denial> {
        let limits = &self.config.limits;
        let is_full = sessions.len() >= limits.sessions
            || sessions.count_of(&arrival.owner) >= limits.sessions_per_user;
        if is_more && is_full {
            return Err(NO_ROOM);
        }
        let will = arrival
            .will
            .as_ref()
            .map_or(0, |will| will.message.weight());
        match self.budget.admits(will, 0) {
            true => Ok(()),
            false => Err(NO_MEMORY),
        }
    }

    /// From now on what takes long is done on the thread of `handle`.
    pub(crate) fn set_slow(self: &Arc<Self>, handle: &Handle) {
        // It is set once, when the broker starts.
        let _ = self.slow.set((handle.clone(), Arc::downgrade(self)));
    }
}

fn access(config: &Config) -> Access {
    let policy = Policy::new(config.allow_anonymous, config.users.clone());
    let limits = &config.limits;
    let logins = Logins::new(limits.logins, limits.failed_logins);
    Access::new(policy, config.takeover, config.own.clone(), logins)
}
