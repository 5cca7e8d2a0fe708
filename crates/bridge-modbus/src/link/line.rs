//! The bytes of an RTU line: what is sent, what has arrived, and when the line is silent.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Fault;
use crate::counters::Ledger;
use crate::wire::rtu::{self, FRAME_MAX, Scan, Side};
use fieldgate_field_line::Io;

/// The times of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How long one character takes; zero over TCP.
    pub(crate) character: Duration,
    /// The silence before each request.
    pub(crate) silence: Duration,
    /// How long a frame that has begun may pause: adapters and networks deliver in pieces.
    pub(crate) gap: Duration,
    /// How long units take for a write to all of them.
    pub(crate) turnaround: Duration,
}

/// A line that is never silent for so long is in other hands.
pub(super) const HUSH_MAX: Duration = Duration::from_secs(2);

/// Bytes that may come during one transaction, besides what a serial line carries in its time: far
/// more than late answers, echoes and other units' frames are.
const TAKEN_MAX: usize = 64 * 1024;
/// For so long a serial line may carry bytes in one transaction.
const TAKEN_TIME: Duration = Duration::from_secs(10);

/// Echoes that are waited for after their time.
const UNHEARD_MAX: usize = 8;

/// An open line.
pub(super) struct Line {
    io: Box<dyn Io>,
    pub(super) timing: Timing,
    /// Whether the line sends back what is sent.
    pub(super) echo: bool,
    /// When the last byte went by.
    pub(super) last_byte: Instant,
    /// What has arrived and not been looked at.
    pub(super) buffer: Vec<u8>,
    /// Bytes that have come since the transaction began.
    taken: usize,
    /// What was sent last, and whether such came back although `echo` does not have it.
    sent: Vec<u8>,
    pub(super) hears_itself: bool,
    /// Requests whose echo was not heard. It may be late, and is no answer.
    unheard: VecDeque<Vec<u8>>,
}

impl Line {
    pub(super) fn new(io: Box<dyn Io>, timing: Timing, echo: bool) -> Self {
        Self {
            io,
            timing,
            echo,
            // Whatever was on the line before may be half a frame.
            last_byte: Instant::now(),
            buffer: Vec::new(),
            taken: 0,
            sent: Vec::new(),
            hears_itself: false,
            unheard: VecDeque::new(),
        }
    }

    /// A transaction begins.
    pub(super) fn begin(&mut self) {
        self.taken = 0;
    }

    /// How many bytes a transaction may bring.
    fn taken_max(&self) -> usize {
        let character = self.timing.character.as_micros();
        let carried = TAKEN_TIME.as_micros().checked_div(character).unwrap_or(0);
        TAKEN_MAX + usize::try_from(carried).unwrap_or(0)
    }

    /// Waits until nothing has come for `silence`. A frame that has begun may take longer.
    pub(super) async fn hush(&mut self, silence: Duration, ledger: &Ledger) -> Result<(), Fault> {
        // Lets bytes that the system has already come in.
        tokio::task::yield_now().await;
        let end = Instant::now() + HUSH_MAX + silence;
        loop {
            let is_whole = !matches!(rtu::scan(&self.buffer, Side::Answer), Scan::More(Some(_)));
            let silence = if is_whole {
                silence
            } else {
                silence.max(self.timing.gap)
            };
            match timeout_at(self.last_byte + silence, self.read()).await {
                Ok(read) => read?,
                Err(_) => return Ok(()),
            }
            if self.buffer.len() > 2 * FRAME_MAX {
                self.buffer.clear();
                ledger.bus(|counts| counts.foreign_frames += 1);
            }
            if Instant::now() >= end {
                self.buffer.clear();
                return Err(Fault::Wrong(
                    "the line is never silent: is there another master on it?".into(),
                ));
            }
        }
    }

    /// Returns when the last bit will have left.
    pub(super) async fn send(&mut self, frame: &[u8], limit: Duration) -> Result<Instant, Fault> {
        let begin = Instant::now();
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let takes = self.timing.character * length;
        let written = timeout(limit + takes, async {
            self.io.write_all(frame).await?;
            // A port's own flush would block the thread until the last bit has left.
            Ok::<_, std::io::Error>(())
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Fault::Lost(error.to_string())),
            Err(_) => return Err(Fault::Lost("it takes no bytes".into())),
        }
        let sent = begin + takes;
        self.last_byte = sent;
        self.sent = frame.to_vec();
        Ok(sent)
    }

    /// Takes the echo of a request away. What came before it stays.
    pub(super) async fn swallow(&mut self, frame: &[u8], sent: Instant) -> Result<(), Fault> {
        let place = |buffer: &[u8]| buffer.windows(frame.len()).position(|part| part == frame);
        loop {
            if let Some(place) = place(&self.buffer) {
                self.buffer.drain(place..place + frame.len());
                return Ok(());
            }
            if self.buffer.len() > 2 * FRAME_MAX {
                break;
            }
            match timeout_at(sent + self.timing.gap, self.read()).await {
                Ok(read) => read?,
                Err(_) => break,
            }
        }
        self.buffer.clear();
        self.unheard.truncate(UNHEARD_MAX - 1);
        self.unheard.push_front(frame.to_vec());
        Err(Fault::Wrong(
            "the line does not echo the request as `echo` has it".into(),
        ))
    }

    /// Takes the next whole frame out: the unit and its answer.
    pub(super) fn take(&mut self, unit: u8) -> Option<(u8, Vec<u8>)> {
        loop {
            let glitch = rtu::glitch(&self.buffer, unit);
            self.buffer.drain(..glitch);
            let Scan::Frame(length) = rtu::scan(&self.buffer, Side::Answer) else {
                return None;
            };
            let frame: Vec<u8> = self.buffer.drain(..length).collect();
            match self.unheard.iter().position(|echo| *echo == frame) {
                Some(place) => self.unheard.remove(place),
                None => return rtu::open(&frame).map(|(from, pdu)| (from, pdu.to_vec())),
            };
        }
    }

    /// Takes the request away if it has come back on a line that is not said to echo. The answer to
    /// some requests is the request itself: of them this is known once another one came back.
    pub(super) fn take_echo(&mut self, is_repeated_by_answer: bool) -> bool {
        let is_echo = !self.echo
            && (self.hears_itself || !is_repeated_by_answer)
            && !self.sent.is_empty()
            && self.buffer.starts_with(&self.sent);
        if is_echo {
            self.buffer.drain(..self.sent.len());
            self.hears_itself = true;
        }
        is_echo
    }

    /// How the user can end that.
    pub(super) fn echo_advice(&self) -> &'static str {
        if self.timing.character.is_zero() {
            "the serial server sends back what it is sent: switch its echo off"
        } else {
            "the adapter hears what it sends itself: set `echo: true` in `serial` of this bus"
        }
    }

    /// Takes the frame of a unit out that ends what has come, and throws away what is before it.
    pub(super) fn take_behind(&mut self, unit: u8) -> Option<(u8, Vec<u8>)> {
        let ends = |at: &usize| {
            let rest = self.buffer.get(*at..).unwrap_or_default();
            rest.first() == Some(&unit) && rtu::scan(rest, Side::Answer) == Scan::Frame(rest.len())
        };
        let place = (1..self.buffer.len()).find(ends)?;
        self.buffer.drain(..place);
        self.take(unit)
    }

    /// Takes a frame out that silence has ended: one of a function whose length only that tells.
    pub(super) fn take_ended(&mut self) -> Option<(u8, Vec<u8>)> {
        // One that is shorter than it says itself was cut, even if the check of the rest is right.
        if matches!(rtu::scan(&self.buffer, Side::Answer), Scan::More(_)) {
            return None;
        }
        let (from, pdu) = rtu::open(&self.buffer)?;
        let frame = (from, pdu.to_vec());
        self.buffer.clear();
        Some(frame)
    }

    /// The line fell silent within a frame.
    pub(super) fn torn(&mut self, unit: u8, ledger: &Ledger) -> Fault {
        let scan = rtu::scan(&self.buffer, Side::Answer);
        let seen = self.buffer.len();
        self.buffer.clear();
        match scan {
            Scan::More(Some(length)) => {
                ledger.unit(unit, |counts| counts.short_frames += 1);
                Fault::Wrong(format!("cut off after {seen} of {length} bytes"))
            }
            Scan::More(None) => {
                ledger.unit(unit, |counts| counts.short_frames += 1);
                Fault::Wrong(format!("cut off after {seen} bytes"))
            }
            Scan::Frame(_) | Scan::Broken(_) | Scan::Unknown => {
                ledger.unit(unit, |counts| counts.crc_errors += 1);
                Fault::Wrong(format!("{seen} bytes with a wrong CRC"))
            }
        }
    }

    /// Appends what has arrived, at least one byte. All loops that read a line end with this:
    /// after too many bytes it is [`Fault::Flood`].
    pub(super) async fn read(&mut self) -> Result<(), Fault> {
        let mut chunk = [0; FRAME_MAX];
        match self.io.read(&mut chunk).await {
            Ok(0) => Err(Fault::Lost("closed by the other end".into())),
            Ok(read) => {
                self.taken += read;
                if self.taken > self.taken_max() {
                    return Err(Fault::Flood);
                }
                self.buffer.extend(chunk.iter().take(read));
                self.last_byte = Instant::now();
                Ok(())
            }
            Err(error) => Err(Fault::Lost(error.to_string())),
        }
    }
}
