//! Modbus TCP: several transactions at a time on one connection, told apart by their number.
//!
//! A number is not used again for 65,535 requests, so an answer that comes after its time is
//! known to be late, and the connection can stay. It is given up when its stream makes no sense,
//! when an answer does not fit its request, and when nothing at all comes any more.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::Fault;
use crate::counters::Ledger;
use crate::wire::mbap::{self, FRAME_MAX};
use crate::wire::pdu::{Answer, Request, Wrong};

/// Times a request went unanswered in a row while nothing else came either: the other end has
/// forgotten the connection.
const MUTE_MAX: u32 = 2;
/// Numbers of requests that are remembered after their time.
const EXPIRED_MAX: usize = 64;

/// An open connection.
pub(crate) struct TcpLink {
    stream: TcpStream,
    inbox: Vec<u8>,
    next: u16,
    waiting: BTreeMap<u16, Waiting>,
    expired: VecDeque<u16>,
    mute: u32,
}

struct Waiting {
    unit: u8,
    request: Request,
    until: Instant,
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
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            inbox: Vec::new(),
            next: 0,
            waiting: BTreeMap::new(),
            expired: VecDeque::new(),
            mute: 0,
        }
    }

    /// Whether it is still open; what has come in unasked is sorted out. To be called while
    /// nothing is under way.
    pub(crate) fn is_usable(&mut self, ledger: &Ledger) -> bool {
        let mut chunk = [0; FRAME_MAX];
        loop {
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return false,
                Ok(read) => self.inbox.extend(chunk.iter().take(read)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        // Half a frame that nobody asked for would put every later one out of step.
        matches!(self.take_frame(ledger), Ok(None)) && self.inbox.is_empty()
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
        match timeout(limit, self.stream.write_all(&frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Fault::Lost(error.to_string())),
            Err(_) => return Err(Fault::Lost("it takes no bytes".into())),
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
            let mut chunk = [0; FRAME_MAX];
            match timeout_at(until, self.stream.read(&mut chunk)).await {
                Ok(Ok(0)) => {
                    return Happened::Broken(Fault::Lost("closed by the other end".into()));
                }
                Ok(Ok(read)) => {
                    self.mute = 0;
                    self.inbox.extend(chunk.iter().take(read));
                }
                Ok(Err(error)) => return Happened::Broken(Fault::Lost(error.to_string())),
                Err(_) => return self.expire(transaction, ledger),
            }
        }
    }

    fn first_due(&self) -> Option<(u16, Instant)> {
        let due = |(transaction, waiting): (&u16, &Waiting)| (*transaction, waiting.until);
        self.waiting.iter().map(due).min_by_key(|(_, until)| *until)
    }

    fn expire(&mut self, transaction: u16, ledger: &Ledger) -> Happened {
        if let Some(waiting) = self.waiting.remove(&transaction) {
            ledger.unit(waiting.unit, |counts| counts.timeouts += 1);
        }
        self.mute = self.mute.saturating_add(1);
        self.expired.push_back(transaction);
        if self.expired.len() > EXPIRED_MAX {
            self.expired.pop_front();
        }
        Happened::Over(transaction, Err(Fault::Timeout))
    }

    /// Whether the connection should be opened anew before it is used again: nothing has come
    /// for several requests, or half a frame is stuck in it.
    pub(crate) fn is_stale(&self) -> bool {
        self.mute >= MUTE_MAX || (self.waiting.is_empty() && !self.inbox.is_empty())
    }

    /// The next frame that belongs to a request. Others are counted.
    fn take_frame(&mut self, ledger: &Ledger) -> Result<Option<Happened>, Fault> {
        loop {
            let frame = match mbap::decode(&self.inbox) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(garbage) => {
                    ledger.bus(|counts| counts.crc_errors += 1);
                    return Err(Fault::Wrong(garbage.to_string()));
                }
            };
            let (transaction, unit, length) = (frame.transaction, frame.unit, frame.length);
            let judged = self.waiting.get(&transaction).map(|waiting| {
                let is_own = waiting.unit == unit;
                (waiting.unit, is_own, waiting.request.decode(frame.pdu))
            });
            self.inbox.drain(..length);
            let Some((asked, is_own, decoded)) = judged else {
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
            self.waiting.remove(&transaction);
            let result = match decoded {
                Ok(answer) => {
                    ledger.unit(asked, |counts| counts.answers += 1);
                    Ok(answer)
                }
                Err(Wrong::Exception(exception)) => {
                    ledger.unit(asked, |counts| counts.refused(exception));
                    Err(Fault::Exception(exception))
                }
                Err(wrong) => {
                    ledger.unit(asked, |counts| counts.wrong_answers += 1);
                    Err(Fault::Wrong(match wrong {
                        Wrong::Content(detail) => detail.to_owned(),
                        _ => "of another function".to_owned(),
                    }))
                }
            };
            return Ok(Some(Happened::Over(transaction, result)));
        }
    }
}
