//! Decodes what others say on an RTU line. Pure: bytes go in with the time at which they came.
//!
//! Nothing marks a frame as a request or an answer, and a USB adapter delivers frames torn or
//! glued. So each beginning is tried as the answer that is awaited, as a request, and as an answer
//! to something unheard; the CRC decides. Where nothing fits, silence ends the frame, or the next
//! place at which a frame with a right CRC begins.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Table;
use crate::data::{Data, Exception};
use crate::wire::pdu::{Answer, Request, Wrong};
use crate::wire::rtu::{self, FRAME_MAX, FRAME_MIN, Scan, Side};

/// What was heard, and when its first bytes arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When the first bytes arrived.
    pub at: Instant,
    /// The silence before them; `None` for the first.
    pub gap: Option<Duration>,
    /// What it is.
    pub what: What,
}

/// What a part of the traffic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A master asks.
    Request {
        /// Whom; 0 for all units.
        unit: u8,
        /// What.
        request: Request,
    },
    /// A unit answers the request before it.
    Answer {
        /// Who answers.
        unit: u8,
        /// What was asked.
        request: Request,
        /// What it says; the text says what is wrong with it.
        answer: Result<Result<Answer, Exception>, String>,
        /// From the end of the request to the beginning of the answer, as far as the adapter
        /// lets that be seen.
        after: Duration,
    },
    /// An answer whose request was not heard.
    Stray {
        /// Who answers.
        unit: u8,
        /// Function code and data.
        pdu: Vec<u8>,
    },
    /// A request went by without an answer before the next one.
    Unanswered {
        /// Who was asked.
        unit: u8,
        /// What was asked.
        request: Request,
    },
    /// As long as a frame must be that begins like this, but its CRC is wrong.
    WrongCrc(Vec<u8>),
    /// No frame, or a part of one.
    Noise(Vec<u8>),
}

/// How many of each were heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests of masters.
    pub requests: u64,
    /// Answers, exceptions included.
    pub answers: u64,
    /// Answers that are exceptions.
    pub exceptions: u64,
    /// Requests to one unit without an answer.
    pub unanswered: u64,
    /// Answers without a request.
    pub strays: u64,
    /// Frames with a wrong CRC.
    pub wrong_crcs: u64,
    /// Runs of bytes that are no frame.
    pub noises: u64,
}

/// A request whose answer is awaited.
#[derive(Clone, Debug)]
struct Asked {
    unit: u8,
    request: Request,
    ended: Instant,
}

/// Takes traffic apart. Holds two frames' worth of bytes at most.
#[derive(Debug)]
pub struct Monitor {
    silence: Duration,
    buffer: Vec<u8>,
    /// When the first bytes of the buffer arrived.
    began: Instant,
    last_byte: Option<Instant>,
    /// When what was told last ended.
    ended: Option<Instant>,
    asked: Option<Asked>,
    tally: Tally,
}

const BUFFER_MAX: usize = 2 * FRAME_MAX;

impl Monitor {
    /// `silence` ends a frame that nothing else ends: on a port without delays 3.5 characters,
    /// through a USB adapter its latency of 16 ms more.
    pub fn new(silence: Duration, now: Instant) -> Self {
        Self {
            silence,
            buffer: Vec::new(),
            began: now,
            last_byte: None,
            ended: None,
            asked: None,
            tally: Tally::default(),
        }
    }

    /// What was heard so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// When [`Self::silence`] must be called if nothing comes before; `None` if nothing waits.
    pub fn deadline(&self) -> Option<Instant> {
        let last = self.last_byte.filter(|_| !self.buffer.is_empty())?;
        Some(last + self.silence)
    }

    /// Takes bytes that arrived at `now`.
    pub fn feed(&mut self, bytes: &[u8], now: Instant) -> Vec<Heard> {
        let mut heard = Vec::new();
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.flush(&mut heard);
        }
        for part in bytes.chunks(FRAME_MAX) {
            if self.buffer.is_empty() {
                self.began = now;
            }
            self.buffer.extend(part);
            self.last_byte = Some(now);
            self.take(&mut heard, false);
            if self.buffer.len() > BUFFER_MAX - FRAME_MAX {
                self.take(&mut heard, true);
            }
        }
        heard
    }

    /// The line has been silent until `now`: what waits will not be continued.
    pub fn silence(&mut self, now: Instant) -> Vec<Heard> {
        let mut heard = Vec::new();
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.flush(&mut heard);
        }
        heard
    }

    fn flush(&mut self, heard: &mut Vec<Heard>) {
        self.take(heard, true);
    }

    /// Takes frames from the beginning of the buffer; with `is_over`, everything.
    fn take(&mut self, heard: &mut Vec<Heard>, is_over: bool) {
        while !self.buffer.is_empty() {
            if let Some((side, length)) = self.frame_at(0) {
                self.tell_frame(side, length, heard);
                continue;
            }
            // A frame that begins further on shows that what is before it is over.
            let last = self.buffer.len().saturating_sub(FRAME_MIN);
            let next = (1..=last).find(|at| self.frame_at(*at).is_some());
            match next {
                Some(at) if is_over || self.is_broken() => self.tell_rubbish(at, heard),
                None if is_over => self.tell_rubbish(self.buffer.len(), heard),
                _ => return,
            }
        }
    }

    /// A whole frame with a right CRC that begins at a place in the buffer.
    fn frame_at(&self, at: usize) -> Option<(Side, usize)> {
        let buffer = self.buffer.get(at..)?;
        let (unit, function) = (buffer.first()?, buffer.get(1)?);
        let is_awaited = self.asked.as_ref().is_some_and(|asked| {
            asked.unit == *unit && asked.request.function() == function & 0x7F
        });
        let sides = if is_awaited {
            [Side::Answer, Side::Request]
        } else {
            [Side::Request, Side::Answer]
        };
        sides
            .into_iter()
            .find_map(|side| match rtu::scan(buffer, side) {
                Scan::Frame(length) => Some((side, length)),
                Scan::More(_) | Scan::Broken(_) | Scan::Unknown => None,
            })
    }

    /// Whether the beginning of the buffer can become no frame whatever follows.
    fn is_broken(&self) -> bool {
        let is_open = |side| matches!(rtu::scan(&self.buffer, side), Scan::More(_));
        !is_open(Side::Request) && !is_open(Side::Answer)
    }

    fn cut(&mut self, length: usize) -> (Vec<u8>, Instant, Option<Duration>) {
        let length = length.min(self.buffer.len());
        let bytes: Vec<u8> = self.buffer.drain(..length).collect();
        let (at, end) = (self.began, self.last_byte.unwrap_or(self.began));
        let gap = self.ended.map(|ended| at.saturating_duration_since(ended));
        self.ended = Some(end);
        self.began = end;
        (bytes, at, gap)
    }

    fn tell_rubbish(&mut self, length: usize, heard: &mut Vec<Heard>) {
        let is_frame = [Side::Answer, Side::Request].into_iter().any(
            |side| matches!(rtu::scan(&self.buffer, side), Scan::Broken(whole) if whole == length),
        );
        let (bytes, at, gap) = self.cut(length);
        let what = if is_frame {
            self.tally.wrong_crcs += 1;
            What::WrongCrc(bytes)
        } else {
            self.tally.noises += 1;
            What::Noise(bytes)
        };
        heard.push(Heard { at, gap, what });
    }

    fn tell_frame(&mut self, side: Side, length: usize, heard: &mut Vec<Heard>) {
        let (bytes, at, gap) = self.cut(length);
        let Some((unit, pdu)) = rtu::open(&bytes) else {
            return;
        };
        let what = match side {
            Side::Request => {
                if let Some(asked) = self.asked.take().filter(|asked| asked.unit != 0) {
                    self.tally.unanswered += 1;
                    let (unit, request) = (asked.unit, asked.request);
                    let what = What::Unanswered { unit, request };
                    heard.push(Heard { at, gap, what });
                }
                self.tally.requests += 1;
                let request = parse(pdu);
                self.asked = Some(Asked {
                    unit,
                    request: request.clone(),
                    ended: self.ended.unwrap_or(at),
                });
                What::Request { unit, request }
            }
            Side::Answer => match self.asked.take() {
                Some(asked) if asked.unit == unit => {
                    self.tally.answers += 1;
                    let answer = match asked.request.decode(pdu) {
                        Ok(answer) => Ok(Ok(answer)),
                        Err(Wrong::Exception(exception)) => {
                            self.tally.exceptions += 1;
                            Ok(Err(exception))
                        }
                        Err(Wrong::Function(function)) => Err(format!("function {function}")),
                        Err(Wrong::Content(text)) => Err(text.to_owned()),
                    };
                    What::Answer {
                        unit,
                        request: asked.request,
                        answer,
                        after: at.saturating_duration_since(asked.ended),
                    }
                }
                other => {
                    self.asked = other;
                    self.tally.strays += 1;
                    let pdu = pdu.to_vec();
                    What::Stray { unit, pdu }
                }
            },
        };
        heard.push(Heard { at, gap, what });
    }
}

/// A request from its bytes; [`Request::Raw`] if it is none of those that have a name.
fn parse(pdu: &[u8]) -> Request {
    named(pdu).unwrap_or_else(|| Request::Raw(pdu.to_vec()))
}

fn named(pdu: &[u8]) -> Option<Request> {
    let (function, body) = pdu.split_first()?;
    let word = |at: usize| {
        let (pair, _) = body.get(at..)?.split_first_chunk::<2>()?;
        Some(u16::from_be_bytes(*pair))
    };
    let words = |from: usize| {
        let (pairs, _) = body.get(from..)?.as_chunks::<2>();
        Some(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
    };
    let read = |table| {
        Some(Request::Read {
            table,
            address: word(0)?,
            count: word(2)?,
        })
    };
    match *function {
        1 => read(Table::Coil),
        2 => read(Table::Discrete),
        3 => read(Table::Holding),
        4 => read(Table::Input),
        5 => Some(Request::WriteCoil {
            address: word(0)?,
            on: match word(2)? {
                0xFF00 => true,
                0 => false,
                _ => return None,
            },
        }),
        6 => Some(Request::WriteRegister {
            address: word(0)?,
            word: word(2)?,
        }),
        8 => (word(0)? == 0).then_some(Request::Echo { data: word(2)? }),
        15 => {
            let bytes = body.get(5..)?.iter();
            let all = bytes.flat_map(|byte| (0..8).map(move |place| byte >> place & 1 == 1));
            let bits: Vec<bool> = all.take(usize::from(word(2)?)).collect();
            let address = word(0)?;
            Some(Request::WriteCoils { address, bits })
        }
        16 => Some(Request::WriteRegisters {
            address: word(0)?,
            words: words(5)?,
        }),
        22 => Some(Request::MaskRegister {
            address: word(0)?,
            and: word(2)?,
            or: word(4)?,
        }),
        23 => Some(Request::ReadWrite {
            from: word(0)?,
            count: word(2)?,
            to: word(4)?,
            words: words(9)?,
        }),
        43 => match body {
            [14, level, object] => Some(Request::Identify {
                level: *level,
                object: *object,
            }),
            _ => None,
        },
        _ => None,
    }
}

/// What an answer says, for people.
pub fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Data(Data::Words(words)) => {
            let words: Vec<String> = words.iter().map(|word| format!("{word:04X}")).collect();
            words.join(" ")
        }
        Answer::Data(Data::Bits(bits)) => bits
            .iter()
            .map(|bit| if *bit { '1' } else { '0' })
            .collect(),
        Answer::Done => "done".into(),
        Answer::Identification(found) => found.to_string(),
        Answer::Raw(pdu) => {
            let bytes: Vec<String> = pdu.iter().map(|byte| format!("{byte:02X}")).collect();
            bytes.join(" ")
        }
    }
}

#[cfg(test)]
mod tests;
