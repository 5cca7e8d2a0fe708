//! What the units of one line still owe, and by what they can be told from it. Pure.
//!
//! RTU answers do not say which request they answer. [`fieldgate_bridge::late`] has the rule; here
//! is what Modbus offers as a barrier, a request whose answer is like none that is owed:
//!
//! - Return Query Data, function 8: the answer repeats a token. Not every unit knows it.
//! - The same read with another count: its answer has another length.
//! - A read that this unit has answered before, if its answer has another length.
//!
//! The one that failed least goes first. On a unit that owes nothing there is none.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use fieldgate_bridge::late::{Asked, Owed, Verdict};
use tokio::time::Instant;

use crate::wire::pdu::{Request, Wrong};

/// The units of one line.
#[derive(Debug)]
pub(crate) struct Units {
    /// The name of the bus.
    bus: String,
    /// How long a unit that answers no barrier has to rest before what it owes is written off.
    late: Duration,
    units: BTreeMap<u8, Box<Unit>>,
    /// That of the last barrier. The first one is random, as a unit may still owe the answer to
    /// one of an earlier process.
    token: u16,
}

#[derive(Debug, Default)]
struct Unit {
    owed: Owed<Request>,
    /// What is known of each barrier, in the order of [`Way`].
    ways: [Known; 3],
    /// Whether it refused function 8 when it was last asked: refusals bear no token.
    refuses_echo: bool,
    /// Whether it is in the log that it answers late.
    is_told: bool,
    /// Reads that it answered, with answers of different lengths.
    read: VecDeque<Request>,
}

/// What is to be done before a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Nothing: its answer is like none that is owed.
    Ask,
    /// This one goes first.
    Barrier(Barrier),
    /// The unit has to be left alone until then.
    Rest(Instant),
}

/// A request that goes before another one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Barrier {
    way: Way,
    pub(crate) request: Request,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Echo,
    OtherCount,
    Known,
}

/// What a unit has shown of one barrier.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Since it was last answered.
    failures: u32,
    /// Failures since the unit last owed nothing.
    tries: u32,
    /// Whether it was ever answered.
    worked: bool,
}

/// A barrier that a unit may not know is tried so often before the unit is left alone.
const TRIES_MAX: u32 = 3;
/// Reads that are remembered of each unit.
const READ_MAX: usize = 4;
/// Other counts that are tried for a barrier, on either side.
const COUNTS_MAX: u16 = 32;

impl Asked for Request {
    fn accepts(&self, frame: &[u8]) -> bool {
        matches!(self.decode(frame), Ok(_) | Err(Wrong::Exception(_)))
    }

    fn is_like(&self, earlier: &Self) -> bool {
        if self.function() != earlier.function() {
            return false;
        }
        match (self, earlier) {
            (
                Self::Read { .. } | Self::ReadWrite { .. },
                Self::Read { .. } | Self::ReadWrite { .. },
            ) => self.answer_length() == earlier.answer_length(),
            (
                Self::WriteRegisters { address, words },
                Self::WriteRegisters {
                    address: other,
                    words: others,
                },
            ) => (address, words.len()) == (other, others.len()),
            (
                Self::WriteCoils { address, bits },
                Self::WriteCoils {
                    address: other,
                    bits: others,
                },
            ) => (address, bits.len()) == (other, others.len()),
            _ if self.is_repeated_by_answer() && earlier.is_repeated_by_answer() => self == earlier,
            _ => true,
        }
    }
}

/// Whether a frame could be the answer to what is under way.
pub(super) fn accepts(current: Option<&Request>, pdu: &[u8]) -> bool {
    current.is_some_and(|current| current.accepts(pdu))
}

impl Request {
    fn is_echo(&self) -> bool {
        matches!(self, Self::Echo { .. })
    }
}

impl Units {
    pub(crate) fn new(bus: &str, late: Duration) -> Self {
        Self {
            bus: bus.to_owned(),
            late,
            units: BTreeMap::new(),
            token: RandomState::new().hash_one(0) as u16,
        }
    }

    /// What has to be done before `request` may be sent.
    pub(crate) fn next(&mut self, unit: u8, request: &Request, now: Instant) -> Next {
        let late = self.late;
        self.token = self.token.wrapping_add(1);
        let token = self.token;
        let unit = self.units.entry(unit).or_default();
        unit.owed.write_off(now, late);
        let rest = Next::Rest(unit.owed.rested_at(late).unwrap_or(now));
        if unit.owed.is_full() {
            return rest;
        }
        if unit.owed.is_clear() {
            for known in &mut unit.ways {
                known.tries = 0;
            }
        }
        if unit.is_free(request) {
            return Next::Ask;
        }
        if !unit.owed.is_confusable(request) {
            // Listening for a second answer takes longer, if this one can be trusted to be answered.
            let echo = unit.known(Way::Echo);
            let is_short = echo.worked && echo.failures == 0;
            let echo = unit.barrier(Way::Echo, request, token);
            return echo.filter(|_| is_short).map_or(Next::Ask, Next::Barrier);
        }
        let mut ways = [Way::Echo, Way::OtherCount, Way::Known];
        let is_blurred = unit.refuses_echo && unit.owed.requests().any(Request::is_echo);
        ways.sort_by_key(|way| (is_blurred && *way == Way::Echo, unit.known(*way).failures));
        let may = |way: &Way| {
            let known = unit.known(*way);
            match way {
                Way::Echo => known.worked || known.tries < TRIES_MAX,
                Way::OtherCount => known.tries < TRIES_MAX,
                Way::Known => true,
            }
        };
        let mut barriers = ways.into_iter().filter(may);
        let barrier = barriers.find_map(|way| unit.barrier(way, request, token));
        barrier.map_or(rest, Next::Barrier)
    }

    /// A request leaves.
    pub(crate) fn sent(&mut self, unit: u8, now: Instant) {
        self.units.entry(unit).or_default().owed.sent(now);
    }

    /// What a frame of a unit is; `None` if the unit was never asked. `current` is the request
    /// to it that is under way.
    pub(crate) fn judge(
        &mut self,
        unit: u8,
        current: Option<&Request>,
        pdu: &[u8],
        now: Instant,
    ) -> Option<Verdict> {
        let number = unit;
        let unit = self.units.get_mut(&unit)?;
        let verdict = unit.owed.judge(current, pdu, now);
        // A refusal that can be either's may be in time.
        let is_late = verdict == Verdict::Late && !accepts(current, pdu);
        if is_late && !std::mem::replace(&mut unit.is_told, true) {
            log::warn!(
                BUS = self.bus.as_str();
                "unit {number} answers later than `timeout`; late answers are counted, and never used"
            );
        }
        match pdu.first() {
            Some(8) => unit.refuses_echo = false,
            Some(0x88) => unit.refuses_echo = true,
            _ => {}
        }
        if let (Verdict::Own, Some(current)) = (verdict, current) {
            unit.learn(current, pdu);
        }
        Some(verdict)
    }

    /// No usable answer to a request came.
    pub(crate) fn gave_up(&mut self, unit: u8, request: Request) {
        self.units.entry(unit).or_default().owed.gave_up(request);
    }

    /// How a barrier ended.
    pub(crate) fn went(&mut self, unit: u8, barrier: &Barrier, is_answered: bool) {
        let unit = self.units.entry(unit).or_default();
        if let Some(known) = unit.ways.get_mut(barrier.way as usize) {
            if is_answered {
                (known.failures, known.worked) = (0, true);
            } else {
                known.failures = known.failures.saturating_add(1);
                known.tries = known.tries.saturating_add(1);
            }
        }
    }

    /// Whether a request could be sent if `barrier`, which is under way, was given up.
    pub(crate) fn is_free(&self, unit: u8, request: &Request, barrier: &Request) -> bool {
        let unit = self.units.get(&unit);
        !request.is_like(barrier) && unit.is_none_or(|unit| unit.is_free(request))
    }

    /// Whether an answer to this request counts only if no second one comes.
    pub(crate) fn is_wary(&self, unit: u8, request: &Request) -> bool {
        let unit = self.units.get(&unit);
        unit.is_some_and(|unit| unit.owed.is_wary(request))
    }

    /// No second answer came.
    pub(crate) fn trust(&mut self, unit: u8) {
        self.units.entry(unit).or_default().owed.trust();
    }
}

impl Unit {
    fn known(&self, way: Way) -> Known {
        self.ways.get(way as usize).copied().unwrap_or_default()
    }

    fn is_free(&self, request: &Request) -> bool {
        !self.owed.is_confusable(request) && !self.owed.is_wary(request)
    }

    /// A barrier of this kind before `request`, if there is one.
    fn barrier(&self, way: Way, request: &Request, token: u16) -> Option<Barrier> {
        let suits = |other: &Request| !self.owed.is_like_owed(other) && !request.is_like(other);
        let barrier = match way {
            Way::Echo => Some(Request::Echo { data: token }).filter(suits),
            Way::OtherCount => {
                let reads = std::iter::once(request).chain(self.owed.requests());
                let mut reads = reads.chain(&self.read);
                let read = reads.find(|request| matches!(request, Request::Read { .. }))?;
                other_counts(read).find(suits)
            }
            Way::Known => self.read.iter().find(|read| suits(read)).cloned(),
        };
        barrier.map(|request| Barrier { way, request })
    }

    /// Remembers a read that was answered.
    fn learn(&mut self, current: &Request, pdu: &[u8]) {
        if matches!(current, Request::Read { .. })
            && current.decode(pdu).is_ok()
            && !self.read.iter().any(|read| read.is_like(current))
        {
            self.read.truncate(READ_MAX - 1);
            self.read.push_front(current.clone());
        }
    }
}

/// The same read with other counts, the nearest first: fewer before more.
fn other_counts(read: &Request) -> impl Iterator<Item = Request> {
    let (table, address, count) = match read {
        Request::Read {
            table,
            address,
            count,
        } => (*table, *address, *count),
        _ => (crate::config::Table::Holding, 0, 0),
    };
    // Bits come in bytes.
    let step = if table.is_bits() { 8 } else { 1 };
    (1..=COUNTS_MAX)
        .flat_map(move |times| {
            let by = times * step;
            [count.checked_sub(by), count.checked_add(by)]
        })
        .flatten()
        .map(move |count| Request::Read {
            table,
            address,
            count,
        })
        .filter(|request| request.check().is_ok())
}

#[cfg(test)]
mod tests;
