//! Messages go up through faults of all kinds, in turn: what a client was told is taken here is counted there.
//!
//! A round has 500 messages, of which 200 come while a fault lasts. A message counts as sent when the publisher has its
//! PUBACK; what was not acknowledged when its connection ended it sends again, with DUP. Who starts and kills the two
//! processes is the caller's affair.
//!
//! What a killed remote has acknowledged must be counted: else its losses would look like ours. mosquitto writes a message
//! to the sockets of its subscribers before it acknowledges it, and what is in a socket arrives also when its process is
//! killed. So the counter always reads, has QoS 0 (its own acknowledgements, unread at a kill, would reset the
//! connection), and subscribes to a remote that was started again before the proxy lets anybody else to it. The remote
//! needs no memory.

mod counter;
mod publisher;

use std::net::SocketAddr;
use std::time::Duration;

use crate::faults::{Mode, Proxy};
use crate::random::Random;
use counter::{Counter, Seen};
use publisher::Publisher;

/// Messages of a round,
pub const ROUND: u64 = 500;
/// of which so many come before the fault, or up to `JITTER` more, so that it comes at any moment,
const BEFORE: u64 = 100;
const JITTER: u64 = 100;
/// and so many while it lasts.
const DURING: u64 = 200;
/// Nothing comes for so long after a remote was started again: all of its messages are lost.
const SILENCE: Duration = Duration::from_secs(20);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset.
    Reset,
    /// The remote gets messages, and its acknowledgements are lost.
    LostAnswers,
    /// Nothing gets through.
    BlackHole,
    /// The connection is still there for the gateway only.
    HalfOpen,
    /// The connection is reset, and new ones are.
    Refused,
    /// 4 KiB a second, and late.
    Slow,
    /// `kill -9` of the remote.
    RemoteKilled,
    /// `kill -9` of the gateway, twice.
    GatewayKilled,
    /// Both at once; and the gateway again when its backlog begins to arrive.
    BothKilled,
}

impl Fault {
    pub const ALL: [Self; 9] = [
        Self::Reset,
        Self::LostAnswers,
        Self::BlackHole,
        Self::HalfOpen,
        Self::Refused,
        Self::Slow,
        Self::RemoteKilled,
        Self::GatewayKilled,
        Self::BothKilled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::LostAnswers => "lost acknowledgements",
            Self::BlackHole => "black hole",
            Self::HalfOpen => "half-open",
            Self::Refused => "refused",
            Self::Slow => "slow",
            Self::RemoteKilled => "remote killed",
            Self::GatewayKilled => "gateway killed",
            Self::BothKilled => "both killed",
        }
    }

    /// How often the gateway is killed in a round.
    pub fn kills(self) -> u64 {
        match self {
            Self::GatewayKilled | Self::BothKilled => 2,
            _ => 0,
        }
    }
}

/// A process that can be killed.
pub trait Daemon {
    /// Starts it on the same port, with what it has kept, and waits until it serves.
    fn start(&mut self);
    /// Kills it, as `kill -9` does, and waits until it is gone.
    fn kill(&mut self);
}

/// What has become of the messages of one kind of fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub rounds: u64,
    /// Those that were acknowledged.
    pub messages: u64,
    pub lost: u64,
    /// Came again under the same `fg-id`; without one, came more often than they were published.
    pub twice: u64,
    /// Came again as the publisher sent them again: it did not have their PUBACK when its connection ended.
    pub repeated: u64,
    /// Came again under another `fg-id`, though they were published once.
    pub unknown: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.messages += other.messages;
        self.lost += other.lost;
        self.twice += other.twice;
        self.repeated += other.repeated;
        self.unknown += other.unknown;
    }
}

/// A gateway that sends what is below `data/` to the remote, through the proxy.
pub struct Cuts<G, R> {
    gateway: G,
    remote: R,
    proxy: Proxy,
    publisher: Publisher,
    counter: Counter,
    random: Random,
    faults: Vec<Fault>,
    next: u64,
}

impl<G: Daemon, R: Daemon> Cuts<G, R> {
    /// With the addresses of both. They run, and the proxy leads to the remote.
    pub fn new(
        (gateway, here): (G, SocketAddr),
        (remote, there): (R, SocketAddr),
        proxy: Proxy,
        rate: u32,
    ) -> Self {
        Self {
            gateway,
            remote,
            proxy,
            publisher: Publisher::connect(here, rate),
            counter: Counter::connect(there),
            random: Random::new(1),
            faults: Vec::new(),
            next: 0,
        }
    }

    /// One round with `fault`. It ends when all of its messages have come, or nothing comes for `silence`.
    pub fn round(&mut self, fault: Fault, silence: Duration) {
        self.faults.push(fault);
        let numbers = self.next..self.next + ROUND;
        let before = BEFORE + self.random.below(JITTER as usize) as u64;
        self.publish(before);
        self.begin(fault);
        self.publish(DURING);
        self.end(fault);
        self.publish(numbers.end - self.next);
        self.publisher.settle();
        self.counter.wait(silence, |seen| {
            seen.range(numbers.clone()).count() as u64 == ROUND
        });
    }

    fn publish(&mut self, count: u64) {
        self.publisher.pace(self.next..self.next + count);
        self.next += count;
    }

    fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Reset => self.proxy.cut(),
            Fault::LostAnswers => self.proxy.set(Mode::NoAnswers),
            Fault::BlackHole => self.proxy.set(Mode::BlackHole),
            Fault::HalfOpen => self.proxy.half_open(),
            Fault::Refused => {
                self.proxy.set(Mode::Refuse);
                self.proxy.cut();
            }
            Fault::Slow => self.proxy.set(Mode::Slow),
            Fault::RemoteKilled => self.kill_remote(),
            Fault::GatewayKilled => self.restart_gateway(),
            Fault::BothKilled => {
                self.kill_remote();
                self.restart_gateway();
            }
        }
    }

    fn kill_remote(&mut self) {
        self.proxy.set(Mode::Refuse);
        self.remote.kill();
    }

    fn start_remote(&mut self) {
        self.remote.start();
        self.counter.again();
        self.proxy.set(Mode::Pass);
    }

    fn restart_gateway(&mut self) {
        self.gateway.kill();
        self.gateway.start();
    }

    /// All but the gateway are as they were. What is not acknowledged yet when it is killed is the publisher's.
    fn end(&mut self, fault: Fault) {
        match fault {
            Fault::GatewayKilled => return self.restart_gateway(),
            Fault::BothKilled => {
                self.publisher.settle();
                let before = self.counter.seen().len();
                self.start_remote();
                self.counter.wait(SILENCE, |seen| seen.len() > before);
                return self.restart_gateway();
            }
            _ => self.publisher.settle(),
        }
        match fault {
            Fault::RemoteKilled => self.start_remote(),
            // It ends as it began, with the same connection.
            Fault::Slow => self.proxy.set(Mode::Pass),
            _ => {
                self.proxy.cut();
                self.proxy.set(Mode::Pass);
            }
        }
    }

    pub fn gateway(&self) -> &G {
        &self.gateway
    }

    /// Connections of the gateway so far.
    pub fn connections(&self) -> usize {
        self.proxy.connections()
    }

    /// Waits until nothing comes for so long.
    pub fn wait_quiet(&self, silence: Duration) {
        self.counter.wait(silence, |_| false);
    }

    /// What has become of the messages, by the fault of their round.
    pub fn tallies(&self) -> Vec<(Fault, Tally)> {
        let seen = self.counter.seen();
        let of_kind = |kind| {
            let mut tally = Tally::default();
            for (first, _) in (0..)
                .step_by(ROUND as usize)
                .zip(&self.faults)
                .filter(|(_, fault)| **fault == kind)
            {
                tally.rounds += 1;
                (first..first + ROUND).for_each(|number| {
                    tally.add(self.tally(number, &seen));
                });
            }
            (kind, tally)
        };
        let all = Fault::ALL.into_iter().map(of_kind);
        all.filter(|(_, tally)| tally.rounds > 0).collect()
    }

    /// Numbers of messages that have not come, and the faults of their rounds.
    pub fn missing(&self) -> Vec<(u64, Fault)> {
        let seen = self.counter.seen();
        let missing = (0..self.next).filter(|number| !seen.contains_key(number));
        let fault = |number: u64| self.faults[(number / ROUND) as usize];
        missing.map(|number| (number, fault(number))).collect()
    }

    fn tally(&self, number: u64, seen: &Seen) -> Tally {
        let repeats = self.publisher.repeats(number);
        let ids = seen.get(&number).map_or(&[][..], Vec::as_slice);
        let more = (ids.len() as u64).saturating_sub(1);
        let mut different: Vec<&String> = ids.iter().collect();
        different.sort();
        different.dedup();
        let anew = match ids.first().is_some_and(|id| !id.is_empty()) {
            true => different.len() as u64 - 1,
            false => more.min(repeats),
        };
        Tally {
            rounds: 0,
            messages: 1,
            lost: u64::from(ids.is_empty()),
            twice: more - anew,
            repeated: anew.min(repeats),
            unknown: anew.saturating_sub(repeats),
        }
    }
}
