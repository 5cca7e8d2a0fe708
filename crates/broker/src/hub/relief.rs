//! Makes room where a limit is reached: in memory, and among the sessions.
//!
//! The owner who holds most loses first: a user, or the address of clients without a user name. Of its sessions, those
//! without a connection come before the others, then the bigger ones, then those that have been away for longer. A
//! session loses its waiting messages if they are most of it, else it ends. Clients that are connected and hold little
//! keep what they have.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use fieldgate_mqtt::ReasonCode;
use foldhash::fast::RandomState;

use super::owner::Owner;
use super::session_slot::{Inner, SessionSlot, Sink};
use crate::access::Denial;
use crate::counters::add;
use crate::hub::Hub;
use fieldgate_broker_core::budget::SMALL;
use fieldgate_broker_core::journal::Journal;
use fieldgate_broker_core::session::Tally;

pub(crate) const NO_ROOM: Denial = Denial {
    reason: ReasonCode::QUOTA_EXCEEDED,
    what: "there are as many sessions as broker.limits allows, and all of them are connected",
};
pub(crate) const NO_MEMORY: Denial = Denial {
    reason: ReasonCode::QUOTA_EXCEEDED,
    what: "clients hold as much memory as broker.limits.memory allows",
};

/// Of the sessions that an owner may have, this part ends at once when another has to have room: to look for them
/// takes longer than to end them.
const AT_ONCE: usize = 64;

/// One session, when room has to be made.
struct Candidate {
    slot: Arc<SessionSlot>,
    is_connected: bool,
    weight: usize,
    since: Option<Instant>,
}

/// What one pass took away.
#[derive(Debug, Default)]
struct Taken {
    /// What connections hold that were told to end, in bytes: it is given back as they end.
    underway: usize,
    messages: u64,
    sessions: u64,
    clients: u64,
}

impl Candidate {
    fn of(slot: Arc<SessionSlot>) -> Option<Self> {
        let inner = slot.lock();
        let is_connected = match inner.sink {
            Sink::Wire(_) => true,
            Sink::Away => false,
            Sink::Link(_) => return None,
        };
        let weight = inner.weight();
        let since = inner.away_since;
        drop(inner);
        (!is_connected || weight > SMALL).then_some(Self {
            slot,
            is_connected,
            weight,
            since,
        })
    }

    /// The first to lose comes first. Sizes that differ by less than half count as equal.
    fn rank(&self) -> impl Ord + use<> {
        let size = self.weight.checked_ilog2();
        (self.is_connected, Reverse(size), self.since)
    }
}

impl Hub {
    /// Makes room in memory, if there is little. Takes time with many sessions: to be called where it may block.
    pub(crate) fn relieve(&self, now: Instant) {
        if !self.budget.is_short() {
            return;
        }
        let mut owners: HashMap<Owner, (usize, Vec<Candidate>), RandomState> = HashMap::default();
        for candidate in self.slots().into_iter().filter_map(Candidate::of) {
            let owner = candidate.slot.owner().clone();
            let (weight, candidates) = owners.entry(owner).or_default();
            *weight += candidate.weight;
            candidates.push(candidate);
        }
        let by_rank = |one: &Candidate| Reverse(one.rank());
        let candidates = owners.values_mut().map(|(_, candidates)| candidates);
        candidates.for_each(|candidates| candidates.sort_by_cached_key(by_rank));
        let mut taken = Taken::default();
        let mut loser = None;
        while self.budget.excess() > taken.underway {
            let most = owners.iter_mut().max_by_key(|(_, (weight, _))| *weight);
            let Some((owner, (weight, candidates))) = most else {
                break;
            };
            let Some(candidate) = candidates.pop() else {
                let owner = owner.clone();
                owners.remove(&owner);
                continue;
            };
            *weight = weight.saturating_sub(candidate.weight);
            loser.get_or_insert_with(|| owner.clone());
            self.take_from(&candidate, now, &mut taken);
        }
        if let Some(loser) = loser {
            self.tell(&taken, &loser);
        }
    }

    /// Takes from one session what most of it is.
    fn take_from(&self, candidate: &Candidate, now: Instant, taken: &mut Taken) {
        let slot = &candidate.slot;
        let mut inner = slot.lock();
        if inner.dead {
            return;
        }
        let messages = inner.session.waiting_bytes();
        if messages > candidate.weight / 2 {
            let mut tally = Tally::default();
            let mut journal = Journal::default();
            inner.session.shed(0, &mut tally, &mut journal);
            inner.recount();
            taken.messages += tally.dropped;
            self.own_counters().add(&tally);
            // In the order in which it happened: the session is still locked.
            self.keep(&mut journal);
            return;
        }
        if candidate.is_connected {
            // It ends with its connection, which is told why.
            inner.expiry = Some(std::time::Duration::ZERO);
            drop(inner);
            slot.kick(ReasonCode::QUOTA_EXCEEDED);
            taken.clients += 1;
            taken.underway += candidate.weight;
            return;
        }
        drop(inner);
        if self.end_if(slot, now, |inner| matches!(inner.sink, Sink::Away)) {
            add(&self.own_counters().sessions_ended, 1);
            taken.sessions += 1;
        }
    }

    fn tell(&self, taken: &Taken, loser: &Owner) {
        let Taken {
            messages,
            sessions,
            clients,
            ..
        } = taken;
        let max = self.budget.max() / (1 << 20);
        log::warn!(
            "clients hold too much memory (broker.limits.memory is {max} MiB): {messages} waiting messages dropped, \
             {sessions} sessions of clients that are away ended, {clients} clients disconnected; {loser} held most"
        );
    }

    /// Sees to it that a new session of `owner` finds a place, if there are others that may go.
    pub(crate) fn make_place(&self, client_id: &str, owner: &Owner, now: Instant) {
        let limits = &self.config.limits;
        let sessions = self.sessions();
        if sessions.get(client_id).is_some() {
            return;
        }
        let (loser, limit) = if sessions.count_of(owner) >= limits.sessions_per_user {
            (owner.clone(), limits.sessions_per_user)
        } else if sessions.len() >= limits.sessions {
            let Some(biggest) = sessions.biggest_owner() else {
                return;
            };
            (biggest, limits.sessions)
        } else {
            return;
        };
        let slots = sessions.all().filter(|slot| *slot.owner() == loser);
        let slots: Vec<_> = slots.cloned().collect();
        drop(sessions);
        let away = slots.into_iter().filter_map(|slot| {
            let inner = slot.lock();
            let since = inner.away_since.filter(|_| is_away(&inner));
            drop(inner);
            since.map(|since| (since, slot))
        });
        let mut away: Vec<_> = away.collect();
        away.sort_by_key(|(since, _)| *since);
        let mut ended = 0;
        for (_, slot) in away.into_iter().take(1 + limit / AT_ONCE) {
            ended += u64::from(self.end_if(&slot, now, is_away));
        }
        add(&self.own_counters().sessions_ended, ended);
        if ended > 0 {
            log::warn!(
                "there are {limit} sessions, as many as broker.limits allows: the {ended} that were away for longest \
                 of {loser} have been ended"
            );
        }
    }
}

fn is_away(inner: &Inner) -> bool {
    matches!(inner.sink, Sink::Away)
}
