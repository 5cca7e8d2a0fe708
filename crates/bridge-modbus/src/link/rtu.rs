//! RTU: one transaction at a time, on a serial line or over TCP.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::debt::Debts;
use super::{Fault, Io};
use crate::counters::Ledger;
use crate::wire::pdu::{Answer, Request, Wrong};
use crate::wire::rtu::{self, FRAME_MAX, Scan, Side};

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

/// A line on which no answer is awaited.
pub(crate) struct RtuLink {
    io: Box<dyn Io>,
    timing: Timing,
    /// Whether the line sends back what is sent.
    echo: bool,
    /// When the last byte went by.
    last_byte: Instant,
    /// What has arrived and not been looked at.
    buffer: Vec<u8>,
    /// Requests in a row after which not a single byte came.
    pub(crate) mute: u32,
}

/// A line that is never silent for so long is in other hands.
const HUSH_MAX: Duration = Duration::from_secs(2);

impl RtuLink {
    pub(crate) fn new(io: Box<dyn Io>, timing: Timing, echo: bool) -> Self {
        Self {
            io,
            timing,
            echo,
            // Whatever was on the line before may be half a frame.
            last_byte: Instant::now(),
            buffer: Vec::new(),
            mute: 0,
        }
    }

    /// One request and its answer; to unit 0, which none answers, only the time that units need.
    ///
    /// After [`Fault::Lost`] the link is of no use. After any other fault it is.
    pub(crate) async fn transact(
        &mut self,
        unit: u8,
        request: &Request,
        limit: Duration,
        debts: &mut Debts,
        ledger: &Ledger,
    ) -> Result<Answer, Fault> {
        self.hush(debts, ledger).await?;
        let mut pdu = Vec::new();
        request.encode(&mut pdu);
        let frame = rtu::frame(unit, &pdu);
        ledger.unit(unit, |counts| counts.requests += 1);
        let sent = self.send(&frame, limit).await?;
        if unit == 0 {
            sleep(self.timing.turnaround + sent.saturating_duration_since(Instant::now())).await;
            return Ok(Answer::Done);
        }
        let is_doubtful = debts.is_doubtful(unit, request);
        let answer = self
            .receive(unit, request, sent + limit, debts, ledger)
            .await;
        match answer {
            Ok(_) | Err(Fault::Exception(_)) if is_doubtful => {
                // It may be the one that is owed; then this request's own is still to come.
                if self.hears_another(unit, limit).await? {
                    ledger.unit(unit, |counts| counts.late_answers += 1);
                    debts.add(unit, request, limit, Instant::now());
                    return Err(Fault::Wrong(
                        "two answers, of which one is late: `timeout` is too short".into(),
                    ));
                }
                debts.clear(unit);
            }
            Ok(_) | Err(Fault::Exception(_)) => debts.clear(unit),
            Err(Fault::Timeout) => debts.add(unit, request, limit, Instant::now()),
            Err(_) => {}
        }
        answer
    }

    /// Waits until the line is silent, and throws away what is left on it.
    async fn hush(&mut self, debts: &mut Debts, ledger: &Ledger) -> Result<(), Fault> {
        // Lets bytes that the system has already come in.
        tokio::task::yield_now().await;
        let end = Instant::now() + HUSH_MAX + self.timing.silence;
        loop {
            let silent = self.last_byte + self.timing.silence;
            match timeout_at(silent, self.read()).await {
                Ok(read) => read?,
                Err(_) => break,
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
        self.sort_out(debts, ledger);
        Ok(())
    }

    /// Says what the leftovers are.
    fn sort_out(&mut self, debts: &mut Debts, ledger: &Ledger) {
        while let Scan::Frame(length) = rtu::scan(&self.buffer, Side::Answer) {
            let from = self.buffer.first().copied().unwrap_or_default();
            stray(from, debts, ledger);
            self.buffer.drain(..length);
        }
        if !self.buffer.is_empty() {
            ledger.bus(|counts| counts.foreign_frames += 1);
            self.buffer.clear();
        }
    }

    /// Returns when the last bit will have left.
    async fn send(&mut self, frame: &[u8], limit: Duration) -> Result<Instant, Fault> {
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
        if self.echo {
            self.swallow(frame, sent).await?;
        }
        Ok(sent)
    }

    /// Takes the echo of a request away.
    async fn swallow(&mut self, frame: &[u8], sent: Instant) -> Result<(), Fault> {
        while self.buffer.len() < frame.len() {
            match timeout_at(sent + self.timing.gap, self.read()).await {
                Ok(read) => read?,
                Err(_) => break,
            }
        }
        match self.buffer.get(..frame.len()) {
            Some(echo) if echo == frame => {
                self.buffer.drain(..frame.len());
                Ok(())
            }
            _ => {
                self.buffer.clear();
                Err(Fault::Wrong(
                    "the line does not echo the request as `echo` has it".into(),
                ))
            }
        }
    }

    async fn receive(
        &mut self,
        unit: u8,
        request: &Request,
        begins: Instant,
        debts: &mut Debts,
        ledger: &Ledger,
    ) -> Result<Answer, Fault> {
        let longest = self.timing.character * FRAME_MAX as u32;
        let end = begins + longest + self.timing.gap + HUSH_MAX;
        let mut is_mute = true;
        loop {
            if let Some(answer) = self.look(unit, request, debts, ledger) {
                self.mute = 0;
                return answer;
            }
            let now = Instant::now();
            let deadline = if self.buffer.is_empty() {
                begins
            } else {
                (self.last_byte + self.timing.gap).min(end)
            };
            match timeout_at(deadline, self.read()).await {
                Ok(read) => read?,
                Err(_) if self.buffer.is_empty() => {
                    self.mute = if is_mute {
                        self.mute.saturating_add(1)
                    } else {
                        0
                    };
                    ledger.unit(unit, |counts| counts.timeouts += 1);
                    return Err(Fault::Timeout);
                }
                Err(_) => {
                    self.mute = 0;
                    return match self.ended_by_silence(unit, request, ledger) {
                        Some(answer) => Ok(answer),
                        None => Err(self.torn(unit, ledger)),
                    };
                }
            }
            is_mute = false;
            if now > end || self.buffer.len() > 2 * FRAME_MAX {
                self.buffer.clear();
                ledger.unit(unit, |counts| counts.crc_errors += 1);
                return Err(Fault::Wrong("it has no end".into()));
            }
        }
    }

    /// What the bytes so far are: `None` while more must come.
    fn look(
        &mut self,
        unit: u8,
        request: &Request,
        debts: &mut Debts,
        ledger: &Ledger,
    ) -> Option<Result<Answer, Fault>> {
        loop {
            let glitch = rtu::glitch(&self.buffer, unit);
            self.buffer.drain(..glitch);
            let Scan::Frame(length) = rtu::scan(&self.buffer, Side::Answer) else {
                return None;
            };
            let frame: Vec<u8> = self.buffer.drain(..length).collect();
            let (from, pdu) = rtu::open(&frame)?;
            if from != unit {
                stray(from, debts, ledger);
                continue;
            }
            match judge(request, pdu) {
                Err(Fault::Wrong(_)) if debts.has(unit) => {
                    // What was owed has come: the next one is this request's.
                    debts.clear(unit);
                    ledger.unit(unit, |counts| counts.late_answers += 1);
                }
                Err(Fault::Wrong(detail)) => {
                    ledger.unit(unit, |counts| counts.wrong_answers += 1);
                    return Some(Err(Fault::Wrong(detail)));
                }
                Err(Fault::Exception(exception)) => {
                    ledger.unit(unit, |counts| counts.refused(exception));
                    return Some(Err(Fault::Exception(exception)));
                }
                judged => {
                    ledger.unit(unit, |counts| counts.answers += 1);
                    return Some(judged);
                }
            }
        }
    }

    /// An answer of a function whose length only silence tells.
    fn ended_by_silence(&mut self, unit: u8, request: &Request, ledger: &Ledger) -> Option<Answer> {
        let (from, pdu) = rtu::open(&self.buffer)?;
        let answer = request.decode(pdu).ok().filter(|_| from == unit)?;
        ledger.unit(unit, |counts| counts.answers += 1);
        self.buffer.clear();
        Some(answer)
    }

    /// The line fell silent within a frame.
    fn torn(&mut self, unit: u8, ledger: &Ledger) -> Fault {
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

    /// Whether a second frame of a unit comes within `limit`.
    async fn hears_another(&mut self, unit: u8, limit: Duration) -> Result<bool, Fault> {
        let end = Instant::now() + limit;
        loop {
            match timeout_at(end, self.read()).await {
                Ok(read) => read?,
                Err(_) => return Ok(false),
            }
            let glitch = rtu::glitch(&self.buffer, unit);
            self.buffer.drain(..glitch);
            if self.buffer.first() == Some(&unit) {
                return Ok(true);
            }
            if self.buffer.len() > 2 * FRAME_MAX {
                return Ok(true);
            }
        }
    }

    /// Appends what has arrived, at least one byte.
    async fn read(&mut self) -> Result<(), Fault> {
        let mut chunk = [0; FRAME_MAX];
        match self.io.read(&mut chunk).await {
            Ok(0) => Err(Fault::Lost("closed by the other end".into())),
            Ok(read) => {
                self.buffer.extend(chunk.iter().take(read));
                self.last_byte = Instant::now();
                Ok(())
            }
            Err(error) => Err(Fault::Lost(error.to_string())),
        }
    }
}

/// Counts a frame that nobody waits for.
fn stray(from: u8, debts: &mut Debts, ledger: &Ledger) {
    if debts.has(from) {
        debts.clear(from);
        ledger.unit(from, |counts| counts.late_answers += 1);
    } else {
        ledger.bus(|counts| counts.foreign_frames += 1);
    }
}

fn judge(request: &Request, pdu: &[u8]) -> Result<Answer, Fault> {
    request.decode(pdu).map_err(|wrong| match wrong {
        Wrong::Exception(exception) => Fault::Exception(exception),
        Wrong::Function(_) => Fault::Wrong("of another function".into()),
        Wrong::Content(detail) => Fault::Wrong(detail.into()),
    })
}

#[cfg(test)]
mod tests;
