//! The units of the model, and what was asked of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::link::Fault;
use crate::wire::pdu::{Answer, Request, Wrong};
use crate::wire::rtu::{self, Scan, Side};

/// What a unit does with function 8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Echo {
    Answers,
    Refuses,
    Ignores,
}

/// What a unit does with reads that no plan has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Others {
    Answers,
    Refuses,
    Ignores,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kind {
    pub(super) echo: Echo,
    pub(super) others: Others,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) delay: Duration,
    pub(super) harm: Harm,
    /// Whether the value is that of the answer's time, not of the request's.
    pub(super) is_fresh: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Harm {
    None,
    RequestLost,
    AnswerLost,
    Twice,
    TwiceInPieces,
    /// Only so many bytes come.
    Torn(usize),
    /// A bit of this byte is turned.
    Flipped(usize),
    /// Behind the frame of another unit, or one of this unit that was not asked for.
    AfterForeign(u8),
    /// What comes before its answer is not heard.
    Deaf,
    /// The unit forgets what it has not answered.
    Restart,
}

const HEALTHY: Fate = Fate {
    delay: Duration::from_millis(5),
    harm: Harm::None,
    is_fresh: true,
};

/// What a register holds at a time; 84 never changes.
fn word_at(unit: u8, address: u16, at: Duration) -> u16 {
    let slot = if address == 84 {
        0
    } else {
        at.as_millis() as u64 / 50
    };
    let mixed = (slot << 24 | u64::from(unit) << 16 | u64::from(address))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 40) as u16
}

/// One request that a unit has carried out.
struct Entry {
    unit: u8,
    pdu: Vec<u8>,
    received: Instant,
    answer: Vec<u8>,
    due: Instant,
    is_whole: bool,
}

struct State {
    kind: Kind,
    /// The pause in an answer that comes twice: shorter than the silence before a request.
    pieces: Duration,
    begun: Instant,
    fates: VecDeque<Fate>,
    log: Vec<Entry>,
    /// What each unit is about to say.
    outbox: BTreeMap<u8, VecDeque<(Instant, Vec<u8>)>>,
    deaf: BTreeMap<u8, Instant>,
}

/// A handle to the line.
pub(super) struct World {
    state: Arc<Mutex<State>>,
    ends: mpsc::UnboundedSender<DuplexStream>,
}

impl World {
    pub(super) fn start(kind: Kind, fates: Vec<Fate>, silence: Duration) -> Self {
        let state = State {
            kind,
            pieces: silence / 8,
            begun: Instant::now(),
            fates: fates.into(),
            log: Vec::new(),
            outbox: BTreeMap::new(),
            deaf: BTreeMap::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let (ends, connections) = mpsc::unbounded_channel();
        tokio::spawn(run(Arc::clone(&state), connections));
        Self { state, ends }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A new connection in the place of the last one.
    pub(super) fn connect(&self, forgets: bool) -> DuplexStream {
        let (ours, theirs) = duplex(4096);
        if forgets {
            self.lock().outbox.clear();
        }
        self.ends.send(theirs).unwrap();
        ours
    }

    /// From now on every answer comes at once.
    pub(super) fn heal(&self) {
        self.lock().fates.clear();
    }

    /// How long the units still have to do with what they were asked.
    pub(super) fn busy_for(&self) -> Duration {
        let state = self.lock();
        let waits = state.outbox.values().flatten().map(|(due, _)| *due);
        let last = waits.chain(state.deaf.values().copied()).max();
        last.map_or(Duration::ZERO, |last| {
            last.saturating_duration_since(Instant::now())
        })
    }

    /// An answer must be that of the request which was sent since `begun`, and what is said not
    /// to have been sent must not have been.
    pub(super) fn check(
        &self,
        unit: u8,
        request: &Request,
        answer: &Result<Answer, Fault>,
        begun: Instant,
    ) {
        let state = self.lock();
        let mut pdu = Vec::new();
        request.encode(&mut pdu);
        let mut own = state
            .log
            .iter()
            .filter(|entry| entry.unit == unit && entry.pdu == pdu && entry.received >= begun);
        let got = match answer {
            Ok(answer) => Ok(answer.clone()),
            Err(Fault::Exception(exception)) => Err(Wrong::Exception(*exception)),
            Err(Fault::Unsent(_)) => {
                assert!(own.next().is_none(), "{request:?} was sent after all");
                return;
            }
            Err(_) => return,
        };
        let now = Instant::now();
        assert!(
            own.any(|entry| {
                entry.is_whole && entry.due <= now && request.decode(&entry.answer) == got
            }),
            "{request:?} of unit {unit}: {got:?} is not its answer"
        );
    }
}

/// Plays the units until the last connection is gone.
async fn run(state: Arc<Mutex<State>>, mut ends: mpsc::UnboundedReceiver<DuplexStream>) {
    let Some(mut end) = ends.recv().await else {
        return;
    };
    let mut buffer = Vec::new();
    loop {
        let due = state.lock().unwrap().next_due();
        let mut chunk = [0; 256];
        tokio::select! {
            biased;
            new = ends.recv() => match new {
                Some(new) => (end, buffer) = (new, Vec::new()),
                None => return,
            },
            read = end.read(&mut chunk) => match read {
                Ok(0) | Err(_) => match ends.recv().await {
                    Some(new) => (end, buffer) = (new, Vec::new()),
                    None => return,
                },
                Ok(read) => buffer.extend(&chunk[..read]),
            },
            () = async { sleep_until(due.unwrap()).await }, if due.is_some() => {
                let bytes = state.lock().unwrap().take_due();
                let _ = end.write_all(&bytes).await;
            }
        }
        while let Scan::Frame(length) = rtu::scan(&buffer, Side::Request) {
            let frame: Vec<u8> = buffer.drain(..length).collect();
            let (unit, pdu) = rtu::open(&frame).unwrap();
            state.lock().unwrap().receive(unit, pdu);
        }
    }
}

impl State {
    fn next_due(&self) -> Option<Instant> {
        let first = self.outbox.values().filter_map(|queue| queue.front());
        first.map(|(due, _)| *due).min()
    }

    fn take_due(&mut self) -> Vec<u8> {
        let Some(due) = self.next_due() else {
            return Vec::new();
        };
        for queue in self.outbox.values_mut() {
            if queue.front().is_some_and(|(first, _)| *first == due) {
                return queue.pop_front().unwrap().1;
            }
        }
        Vec::new()
    }

    fn receive(&mut self, unit: u8, pdu: &[u8]) {
        let now = Instant::now();
        if self.deaf.get(&unit).is_some_and(|until| now < *until) {
            return;
        }
        let fate = self.fates.pop_front().unwrap_or(HEALTHY);
        if fate.harm == Harm::RequestLost {
            return;
        }
        if fate.harm == Harm::Restart {
            self.outbox.remove(&unit);
        }
        let queue = self.outbox.entry(unit).or_default();
        let after = queue.back().map_or(now, |(due, _)| *due);
        let due = after.max(now + fate.delay);
        let at = if fate.is_fresh { due } else { now };
        let Some(answer) = self.kind.answer(unit, pdu, at - self.begun) else {
            return;
        };
        if fate.harm == Harm::Deaf {
            self.deaf.insert(unit, due);
        }
        let mut bytes = rtu::frame(unit, &answer);
        let whole = bytes.len();
        let mut rest = None;
        match fate.harm {
            Harm::AnswerLost => bytes.clear(),
            Harm::Twice => bytes.extend(bytes.clone()),
            Harm::TwiceInPieces if self.pieces.is_zero() => bytes.extend(bytes.clone()),
            Harm::TwiceInPieces => rest = Some(bytes.clone()),
            Harm::Torn(length) => bytes.truncate(length.min(bytes.len() - 1)),
            Harm::Flipped(place) => {
                let place = place % bytes.len();
                bytes[place] ^= 0x10;
            }
            Harm::AfterForeign(which) => {
                let foreign = match which {
                    0 => rtu::frame(9, &[3, 2, 0, 1]),
                    1 => rtu::frame(unit, &[7, 1]),
                    2 => rtu::frame(unit, &[4, 10, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5]),
                    _ => rtu::frame(3 - unit, &[0x87, 1]),
                };
                bytes.splice(0..0, foreign);
            }
            Harm::None | Harm::RequestLost | Harm::Deaf | Harm::Restart => {}
        }
        self.log.push(Entry {
            unit,
            pdu: pdu.to_vec(),
            received: now,
            answer,
            due,
            is_whole: match fate.harm {
                Harm::AnswerLost | Harm::Flipped(_) => false,
                // The first byte of the next frame can be the last one of the check that was cut off.
                Harm::Torn(_) => bytes.len() + 2 >= whole,
                _ => true,
            },
        });
        let queue = self.outbox.entry(unit).or_default();
        queue.push_back((due, bytes));
        if let Some(rest) = rest {
            queue.push_back((due + self.pieces, rest));
        }
    }
}

impl Kind {
    /// What a unit answers.
    fn answer(self, unit: u8, pdu: &[u8], at: Duration) -> Option<Vec<u8>> {
        let (function, body) = pdu.split_first()?;
        let field = |place: usize| {
            let bytes = [body.get(place).copied(), body.get(place + 1).copied()];
            bytes.map(Option::unwrap_or_default)
        };
        let (address, count) = (u16::from_be_bytes(field(0)), u16::from_be_bytes(field(2)));
        if address == 666 {
            return Some(vec![function | 0x80, 2]);
        }
        match function {
            1 | 2 => {
                let length = count.div_ceil(8) as u8;
                let bytes =
                    (0..length).map(|byte| word_at(unit, address + u16::from(byte), at) as u8);
                self.known(pdu, [*function, length].into_iter().chain(bytes).collect())
            }
            3 | 4 => {
                let words = (address..address + count).map(|place| word_at(unit, place, at));
                let bytes = words.flat_map(u16::to_be_bytes);
                let head = [*function, (count * 2) as u8];
                self.known(pdu, head.into_iter().chain(bytes).collect())
            }
            8 => match self.echo {
                Echo::Answers => Some(pdu.to_vec()),
                Echo::Refuses => Some(vec![0x88, 1]),
                Echo::Ignores => None,
            },
            5 | 6 => Some(pdu.to_vec()),
            15 | 16 => Some(pdu.get(..5)?.to_vec()),
            _ => Some(vec![function | 0x80, 1]),
        }
    }

    /// The answer to a read, if it is one of the plan's.
    fn known(self, pdu: &[u8], answer: Vec<u8>) -> Option<Vec<u8>> {
        let is_known = (0..super::ASKS).any(|ask| {
            let mut known = Vec::new();
            super::request(ask, 0).encode(&mut known);
            known == pdu
        });
        match self.others {
            _ if is_known => Some(answer),
            Others::Answers => Some(answer),
            Others::Refuses => Some(vec![pdu.first()? | 0x80, 3]),
            Others::Ignores => None,
        }
    }
}
