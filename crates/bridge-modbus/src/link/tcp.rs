//! Modbus TCP: several transactions at a time on one connection, told apart by their number.
//!
//! A number is not used again for 65,535 requests, so an answer that comes after its time is
//! known to be late, and the connection can stay. It is given up when its stream makes no sense,
//! when an answer does not fit its request, and when nothing at all comes any more.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::Fault;
use crate::config::Accept;
use crate::counters::Ledger;
use crate::wire::mbap::{self, FRAME_MAX, HEADER};
use crate::wire::pdu::{Answer, Request, Wrong};

/// Times a request went unanswered in a row while nothing else came either: the other end has
/// forgotten the connection.
const MUTE_MAX: u32 = 2;
/// Numbers of requests that are remembered after their time.
const EXPIRED_MAX: usize = 64;
/// Bytes that may have come in while nothing was under way: all answers that can be late.
const UNASKED_MAX: usize = EXPIRED_MAX * FRAME_MAX;

/// An open connection.
pub(crate) struct TcpLink {
    stream: TcpStream,
    inbox: Vec<u8>,
    next: u16,
    waiting: Few<Waiting>,
    expired: VecDeque<u16>,
    mute: u32,
    accept: Accept,
    /// How many bytes may follow that the header of the last answer names and the answer has not.
    surplus: usize,
}

struct Waiting {
    unit: u8,
    request: Request,
    until: Instant,
}

/// What is under way, by its number: nearly always one thing, for which a map would have much room.
struct Few<T>(Vec<(u16, T)>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Few<T> {
    /// Another one. Its number is new.
    fn insert(&mut self, number: u16, item: T) {
        self.0.reserve_exact(1);
        self.0.push((number, item));
    }

    fn get(&self, number: u16) -> Option<&T> {
        let mut all = self.0.iter();
        all.find(|(other, _)| *other == number)
            .map(|(_, item)| item)
    }

    fn remove(&mut self, number: u16) -> Option<T> {
        let place = self.numbers().position(|other| other == number)?;
        Some(self.0.remove(place).1)
    }

    /// In the order in which they came.
    fn numbers(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|(number, _)| *number)
    }
}

/// Something that happened on the connection.
#[derive(Debug, PartialEq)]
pub(crate) enum Happened {
    /// A request is over.
    Over(u16, Result<Answer, Fault>),
    /// The connection is of no use any more; nothing that waits will be answered.
    Broken(Fault),
}

impl TcpLink {
    pub(crate) fn new(stream: TcpStream, accept: Accept) -> Self {
        Self {
            stream,
            inbox: Vec::new(),
            next: 0,
            waiting: Few::default(),
            expired: VecDeque::new(),
            mute: 0,
            accept,
            surplus: 0,
        }
    }

    /// Finds out whether it is still open; what has come in unasked is sorted out. To be called
    /// while nothing is under way.
    ///
    /// # Errors
    ///
    /// Why the connection is of no use.
    pub(crate) fn sort_out(&mut self, ledger: &Ledger) -> Result<(), Fault> {
        let mut chunk = [0; FRAME_MAX];
        loop {
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return Err(closed()),
                Ok(read) => self.inbox.extend(chunk.iter().take(read)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Fault::Lost(error.to_string())),
            }
            // The other end may send faster than this reads: all devices would wait.
            if self.inbox.len() > UNASKED_MAX {
                return Err(Fault::Flood);
            }
        }
        // What a header named and did not come with it.
        if self.inbox.len() <= self.surplus {
            self.inbox.clear();
        }
        self.surplus = 0;
        self.take_frame(ledger)?;
        if self.inbox.is_empty() {
            return Ok(());
        }
        // Half a frame that was not asked for would put every later one out of step.
        Err(Fault::Wrong("half a frame that was not asked for".into()))
    }

    /// Sends a request and returns its number.
    pub(crate) async fn send(
        &mut self,
        unit: u8,
        request: Request,
        limit: Duration,
        ledger: &Ledger,
    ) -> Result<u16, Fault> {
        self.next = self.next.wrapping_add(1);
        let transaction = self.next;
        let mut pdu = Vec::new();
        request.encode(&mut pdu);
        let mut frame = Vec::with_capacity(FRAME_MAX);
        mbap::encode(transaction, unit, &pdu, &mut frame);
        ledger.unit(unit, |counts| counts.requests += 1);
        // It nearly always takes the few bytes at once.
        let written = match self.stream.try_write(&frame) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written.map_err(|error| Fault::Lost(error.to_string()))?,
        };
        if let Some(left @ [_, ..]) = frame.get(written..) {
            // Boxed, as that is rare, and a thousand buses have room for it otherwise.
            let all = Box::pin(timeout(limit, self.stream.write_all(left)));
            match all.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Fault::Lost(error.to_string())),
                Err(_) => return Err(Fault::Lost("it takes no bytes".into())),
            }
        }
        let until = Instant::now() + limit;
        let waiting = Waiting {
            unit,
            request,
            until,
        };
        self.waiting.insert(transaction, waiting);
        Ok(transaction)
    }

    /// Waits for the next thing to happen. Cancel-safe. To be called only while something is
    /// under way.
    pub(crate) async fn happened(&mut self, ledger: &Ledger) -> Happened {
        loop {
            match self.take_frame(ledger) {
                Ok(Some(over)) => return over,
                Ok(None) => {}
                Err(fault) => return Happened::Broken(fault),
            }
            let Some((transaction, until)) = self.first_due() else {
                return Happened::Broken(Fault::Lost("nothing is under way".into()));
            };
            match timeout_at(until, poll_fn(|cx| self.poll_read(cx))).await {
                Ok(Ok(0)) => {
                    return Happened::Broken(closed());
                }
                Ok(Ok(_)) => self.mute = 0,
                Ok(Err(error)) => return Happened::Broken(Fault::Lost(error.to_string())),
                Err(_) => return self.expire(transaction, ledger),
            }
        }
    }

    /// Reads what has come, and tells how much. The room for it is not held while nothing has.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [0; FRAME_MAX];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
        self.inbox.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    }

    fn first_due(&self) -> Option<(u16, Instant)> {
        let due = |(transaction, waiting): &(u16, Waiting)| (*transaction, waiting.until);
        self.waiting
            .0
            .iter()
            .map(due)
            .min_by_key(|(_, until)| *until)
    }

    fn expire(&mut self, transaction: u16, ledger: &Ledger) -> Happened {
        let fault = self.half_a_frame().unwrap_or(Fault::Timeout);
        if let Some(waiting) = self.waiting.remove(transaction) {
            ledger.unit(waiting.unit, |counts| match fault {
                Fault::Timeout => counts.timeouts += 1,
                _ => counts.wrong_lengths += 1,
            });
        }
        if self.accept.transaction {
            // A late answer could be taken for the next one's: it must not reach this connection.
            self.mute = MUTE_MAX;
        }
        self.mute = self.mute.saturating_add(1);
        self.expired.push_back(transaction);
        if self.expired.len() > EXPIRED_MAX {
            self.expired.pop_front();
        }
        Happened::Over(transaction, Err(fault))
    }

    /// Whether the connection should be opened anew before it is used again: nothing has come
    /// for several requests, or half a frame is stuck in it.
    pub(crate) fn is_stale(&self) -> bool {
        self.mute >= MUTE_MAX || (self.waiting.0.is_empty() && !self.inbox.is_empty())
    }

    /// Why an answer that has begun does not end: its header names more bytes than come.
    fn half_a_frame(&self) -> Option<Fault> {
        let announced = mbap::announced(&self.inbox)?;
        let came = self.inbox.len().checked_sub(HEADER - 1)?;
        (came > 1 && came < announced).then(|| {
            Fault::Wrong(format!(
                "wrong length: its header names {announced} bytes, and {came} came"
            ))
        })
    }

    /// The request that an answer with this header belongs to.
    fn addressed(&self, transaction: u16) -> Option<u16> {
        let mut all = self.waiting.numbers();
        match (all.next(), all.next()) {
            (Some(only), None) if self.accept.transaction => Some(only),
            _ => self
                .waiting
                .get(transaction)
                .is_some()
                .then_some(transaction),
        }
    }

    /// How long the answer at the beginning of the stream is by its own function and count, if
    /// its header names another length. Only while a single request is under way, of which it
    /// has header, function and length.
    fn misled(&self) -> Option<usize> {
        let announced = mbap::announced(&self.inbox)?;
        let (header, pdu) = self.inbox.split_at_checked(HEADER)?;
        let [t0, t1, .., unit] = header else {
            return None;
        };
        let transaction = self.addressed(u16::from_be_bytes([*t0, *t1]))?;
        let waiting = self.waiting.get(transaction)?;
        let is_own = waiting.unit == *unit || self.accept.unit;
        let function = waiting.request.function();
        let length = match pdu {
            [refused, ..] if *refused == function | 0x80 => 2,
            [own, rest @ ..] if *own == function => {
                let length = waiting.request.answer_length()?;
                let counts = matches!(function, 1..=4 | 23);
                let counted = rest.first().map(|count| usize::from(*count) + 2);
                if counts && counted.is_some_and(|counted| counted != length) {
                    return None;
                }
                length
            }
            _ => return None,
        };
        (self.waiting.0.len() == 1 && is_own && announced != length + 1).then_some(length)
    }

    /// The answer whose header names another length than it has, once it is there.
    fn take_misled(&mut self, ledger: &Ledger) -> Option<Happened> {
        let length = self.misled()?;
        let announced = mbap::announced(&self.inbox)?;
        let pdu = self.inbox.get(HEADER..HEADER + length)?.to_vec();
        let transaction = self.waiting.numbers().next()?;
        let waiting = self.waiting.remove(transaction)?;
        let whole = (HEADER + length).max(HEADER - 1 + announced);
        self.surplus = whole.saturating_sub(self.inbox.len());
        self.inbox.drain(..whole.min(self.inbox.len()));
        ledger.unit(waiting.unit, |counts| counts.wrong_lengths += 1);
        let result = answered(&waiting, waiting.request.decode(&pdu), ledger);
        Some(Happened::Over(transaction, result))
    }

    /// The next frame that belongs to a request. Others are counted.
    fn take_frame(&mut self, ledger: &Ledger) -> Result<Option<Happened>, Fault> {
        loop {
            if self.misled().is_some() {
                return Ok(self.take_misled(ledger));
            }
            let frame = match mbap::decode(&self.inbox) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(garbage) => {
                    ledger.bus(|counts| counts.crc_errors += 1);
                    return Err(Fault::Wrong(garbage.to_string()));
                }
            };
            let (transaction, unit, length) = (frame.transaction, frame.unit, frame.length);
            let own = self.addressed(transaction);
            let judged = own.and_then(|own| {
                let waiting = self.waiting.get(own)?;
                let is_own = waiting.unit == unit || self.accept.unit;
                Some((own, is_own, waiting.request.decode(frame.pdu)))
            });
            self.inbox.drain(..length);
            let Some((own, is_own, decoded)) = judged else {
                if self.expired.contains(&transaction) {
                    self.expired.retain(|other| *other != transaction);
                    ledger.unit(unit, |counts| counts.late_answers += 1);
                    continue;
                }
                ledger.bus(|counts| counts.foreign_frames += 1);
                return Err(Fault::Wrong("of another transaction or unit".into()));
            };
            if !is_own {
                ledger.bus(|counts| counts.foreign_frames += 1);
                return Err(Fault::Wrong(format!("of unit {unit}")));
            }
            let Some(waiting) = self.waiting.remove(own) else {
                continue;
            };
            let result = answered(&waiting, decoded, ledger);
            return Ok(Some(Happened::Over(own, result)));
        }
    }
}

fn closed() -> Fault {
    Fault::Lost("closed by the other end".into())
}

/// What an answer is worth.
fn answered(
    waiting: &Waiting,
    decoded: Result<Answer, Wrong>,
    ledger: &Ledger,
) -> Result<Answer, Fault> {
    let unit = waiting.unit;
    decoded
        .map_err(|wrong| match wrong {
            Wrong::Exception(exception) => {
                ledger.unit(unit, |counts| counts.refused(exception));
                Fault::Exception(exception)
            }
            Wrong::Function(function) => {
                ledger.unit(unit, |counts| counts.wrong_answers += 1);
                Fault::Wrong(format!("of another function, {function}"))
            }
            Wrong::Content(detail) => {
                ledger.unit(unit, |counts| counts.wrong_answers += 1);
                Fault::Wrong(detail.to_owned())
            }
        })
        .inspect(|_| ledger.unit(unit, |counts| counts.answers += 1))
}
