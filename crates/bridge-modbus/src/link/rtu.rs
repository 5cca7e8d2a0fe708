//! RTU: one transaction at a time, on a serial line or over TCP.

use std::time::Duration;

use fieldgate_bridge::late::Verdict;
use tokio::time::{Instant, sleep, timeout_at};

use super::Fault;
pub(crate) use super::line::Timing;
use super::line::{HUSH_MAX, Line};
use super::owing::{self, Next, Units};
use crate::counters::Ledger;
use crate::data::Exception;
use crate::wire::pdu::{Answer, Request, Wrong};
use crate::wire::rtu::{self, FRAME_MAX};
use fieldgate_field_line::Io;

/// A line on which no answer is awaited.
pub(crate) struct RtuLink {
    line: Line,
    /// Requests in a row after which not a single byte came.
    pub(crate) mute: u32,
}

/// One transaction, and those that it is told of.
struct Ask<'a> {
    unit: u8,
    /// How long the answer may take to begin.
    limit: Duration,
    units: &'a mut Units,
    ledger: &'a Ledger,
}

/// What ends the wait for a request's answer.
enum Heard {
    Answer(Answer),
    Refusal(Exception),
    /// Of a barrier: what is owed has come, so that the request behind it can go.
    Free,
}

/// So many barriers may go before one request: a late answer can come between the first one and
/// the request.
const BARRIERS_MAX: u32 = 2;

impl RtuLink {
    pub(crate) fn new(io: Box<dyn Io>, timing: Timing, echo: bool) -> Self {
        Self {
            line: Line::new(io, timing, echo),
            mute: 0,
        }
    }

    /// One request and its answer; to unit 0, which none answers, only the time that units need.
    /// While the unit owes an answer that could be taken for this one, a barrier goes first.
    ///
    /// After a fault that ends the link it is of no use. After any other fault it is.
    pub(crate) async fn transact(
        &mut self,
        unit: u8,
        request: &Request,
        limit: Duration,
        units: &mut Units,
        ledger: &Ledger,
    ) -> Result<Answer, Fault> {
        let mut ask = Ask {
            unit,
            limit,
            units,
            ledger,
        };
        self.line.begin();
        self.hush(&mut ask, self.line.timing.silence).await?;
        if unit == 0 {
            let sent = self.send(&mut ask, request).await?;
            let turnaround = self.line.timing.turnaround;
            sleep(turnaround + sent.saturating_duration_since(Instant::now())).await;
            return Ok(Answer::Done);
        }
        self.clear(&mut ask, request).await?;
        let is_wary = ask.units.is_wary(unit, request);
        let heard = self.exchange(&mut ask, request, None).await?;
        if is_wary {
            self.listen(&mut ask, request).await?;
        }
        match heard {
            Heard::Answer(answer) => Ok(answer),
            Heard::Refusal(exception) => Err(Fault::Exception(exception)),
            Heard::Free => Err(Fault::Timeout),
        }
    }

    /// Sends barriers until the answer to `request` can be told from what the unit owes.
    async fn clear(&mut self, ask: &mut Ask<'_>, request: &Request) -> Result<(), Fault> {
        for _ in 0..BARRIERS_MAX {
            let now = Instant::now();
            let barrier = match ask.units.next(ask.unit, request, now) {
                Next::Ask => return Ok(()),
                Next::Barrier(barrier) => barrier,
                Next::Rest(until) => {
                    let left = until.saturating_duration_since(now).as_millis();
                    return Err(Fault::Unsent(format!(
                        "it owes answers that could be taken for this one, and is left alone for \
                         {left} ms"
                    )));
                }
            };
            ask.ledger.unit(ask.unit, |counts| counts.barriers += 1);
            let heard = self.exchange(ask, &barrier.request, Some(request)).await;
            let silence = match heard {
                // The late answer that has shown it may come twice, in pieces.
                Ok(Heard::Free) => self.line.timing.gap,
                _ => self.line.timing.silence,
            };
            match heard {
                Ok(Heard::Free) => {}
                _ => ask.units.went(ask.unit, &barrier, heard.is_ok()),
            }
            match heard {
                Ok(_) => {}
                Err(fault) if fault.ends_link() => return Err(fault),
                // Of a write it must be said that it was not sent.
                Err(fault) if request.is_write() => {
                    return Err(Fault::Unsent(format!(
                        "it owes an answer that could be taken for this one: {}",
                        fault.detail(ask.limit)
                    )));
                }
                Err(fault) => return Err(fault),
            }
            self.hush(ask, silence).await?;
        }
        match ask.units.next(ask.unit, request, Instant::now()) {
            Next::Ask => Ok(()),
            _ => Err(Fault::Unsent("it says more than it was asked".into())),
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// `behind` is the request that this one is the barrier for.
    async fn exchange(
        &mut self,
        ask: &mut Ask<'_>,
        request: &Request,
        behind: Option<&Request>,
    ) -> Result<Heard, Fault> {
        let heard = match self.send(ask, request).await {
            Ok(sent) => self.receive(ask, request, behind, sent + ask.limit).await,
            Err(fault) => Err(fault),
        };
        if !matches!(heard, Ok(Heard::Answer(_) | Heard::Refusal(_))) {
            ask.units.gave_up(ask.unit, request.clone());
        }
        heard
    }

    /// Waits until the line is silent, and says what is left on it.
    async fn hush(&mut self, ask: &mut Ask<'_>, silence: Duration) -> Result<(), Fault> {
        self.line.hush(silence, ask.ledger).await?;
        while let Some((from, pdu)) = self.line.take(ask.unit).or_else(|| self.line.take_ended()) {
            hear(ask, None, from, &pdu);
        }
        if !self.line.buffer.is_empty() {
            ask.ledger.bus(|counts| counts.foreign_frames += 1);
            self.line.buffer.clear();
        }
        Ok(())
    }

    /// Returns when the last bit will have left.
    async fn send(&mut self, ask: &mut Ask<'_>, request: &Request) -> Result<Instant, Fault> {
        let mut pdu = Vec::new();
        request.encode(&mut pdu);
        let frame = rtu::frame(ask.unit, &pdu);
        ask.ledger.unit(ask.unit, |counts| counts.requests += 1);
        ask.units.sent(ask.unit, Instant::now());
        let sent = self.line.send(&frame, ask.limit).await?;
        if self.line.echo {
            self.line.swallow(&frame, sent).await?;
        }
        Ok(sent)
    }

    async fn receive(
        &mut self,
        ask: &mut Ask<'_>,
        request: &Request,
        behind: Option<&Request>,
        begins: Instant,
    ) -> Result<Heard, Fault> {
        let unit = ask.unit;
        let timing = self.line.timing;
        let longest = timing.character * FRAME_MAX as u32;
        let end = begins + longest + timing.gap + HUSH_MAX;
        let mut is_mute = true;
        loop {
            if self.line.take_echo(request.is_repeated_by_answer()) {
                self.mute = 0;
                ask.ledger.unit(unit, |counts| counts.echoes += 1);
                return Err(Fault::Wrong(self.line.echo_advice().into()));
            }
            while let Some((from, pdu)) = self.line.take(unit) {
                self.mute = 0;
                if let Some(heard) = judged(ask, request, behind, from, &pdu) {
                    self.line.hears_itself &= request.is_repeated_by_answer();
                    return heard;
                }
            }
            let now = Instant::now();
            let deadline = if self.line.buffer.is_empty() {
                begins
            } else {
                (self.line.last_byte + timing.gap).min(end)
            };
            match timeout_at(deadline, self.line.read()).await {
                Ok(read) => read?,
                Err(_) if self.line.buffer.is_empty() => {
                    self.mute = if is_mute {
                        self.mute.saturating_add(1)
                    } else {
                        0
                    };
                    ask.ledger.unit(unit, |counts| counts.timeouts += 1);
                    return Err(Fault::Timeout);
                }
                Err(_) => {
                    self.mute = 0;
                    if let Some(heard) = self.ended(ask, request, behind) {
                        return heard;
                    }
                    if !self.line.buffer.is_empty() {
                        return Err(self.line.torn(unit, ask.ledger));
                    }
                }
            }
            is_mute = false;
            if now > end || self.line.buffer.len() > 2 * FRAME_MAX {
                self.line.buffer.clear();
                ask.ledger.unit(unit, |counts| counts.crc_errors += 1);
                return Err(Fault::Wrong("it has no end".into()));
            }
        }
    }

    /// What silence has ended: a frame whose length only that tells, or one behind other bytes.
    fn ended(
        &mut self,
        ask: &mut Ask<'_>,
        request: &Request,
        behind: Option<&Request>,
    ) -> Option<Result<Heard, Fault>> {
        let unit = ask.unit;
        let (from, pdu) = self.line.take_ended().or_else(|| {
            let frame = self.line.take_behind(unit)?;
            ask.ledger.unit(unit, |counts| counts.leading_bytes += 1);
            Some(frame)
        })?;
        judged(ask, request, behind, from, &pdu)
    }

    /// Listens for a second answer of the unit: then the first one may be one that was written
    /// off.
    async fn listen(&mut self, ask: &mut Ask<'_>, request: &Request) -> Result<(), Fault> {
        let end = Instant::now() + ask.limit;
        let mut is_doubtful = false;
        loop {
            while let Some((from, pdu)) = self.line.take(ask.unit) {
                let verdict = hear(ask, None, from, &pdu);
                is_doubtful |= from == ask.unit && verdict != Some(Verdict::Repeat);
            }
            match timeout_at(end, self.line.read()).await {
                Ok(read) => read?,
                Err(_) => break,
            }
            if self.line.buffer.len() > 2 * FRAME_MAX {
                is_doubtful = true;
                break;
            }
        }
        // What has begun may be one, too.
        if is_doubtful || !self.line.buffer.is_empty() {
            ask.units.gave_up(ask.unit, request.clone());
            return Err(Fault::Wrong(
                "two answers, of which one is late: `timeout` is too short".into(),
            ));
        }
        ask.units.trust(ask.unit);
        Ok(())
    }
}

/// What a frame means for the request that is under way; `None` if the wait goes on.
fn judged(
    ask: &mut Ask<'_>,
    request: &Request,
    behind: Option<&Request>,
    from: u8,
    pdu: &[u8],
) -> Option<Result<Heard, Fault>> {
    let (unit, ledger) = (ask.unit, ask.ledger);
    let current = (from == unit).then_some(request);
    let verdict = hear(ask, current, from, pdu);
    if from != unit {
        return None;
    }
    match verdict {
        Some(Verdict::Own) => Some(match request.decode(pdu) {
            Ok(answer) => {
                ledger.unit(unit, |counts| counts.answers += 1);
                Ok(Heard::Answer(answer))
            }
            Err(Wrong::Exception(exception)) => {
                ledger.unit(unit, |counts| counts.refused(exception));
                Ok(Heard::Refusal(exception))
            }
            Err(wrong) => Err(fault(wrong)),
        }),
        Some(Verdict::Late) => {
            let is_free = behind.is_some_and(|behind| ask.units.is_free(unit, behind, request));
            is_free.then_some(Ok(Heard::Free))
        }
        Some(Verdict::Stray) => {
            ledger.unit(unit, |counts| counts.wrong_answers += 1);
            let wrong = request.decode(pdu).err();
            Some(Err(wrong.map_or(Fault::Timeout, fault)))
        }
        Some(Verdict::Repeat) | None => None,
    }
}

/// Says whose frame it is, and counts it if it is no answer to what is under way.
fn hear(ask: &mut Ask<'_>, current: Option<&Request>, from: u8, pdu: &[u8]) -> Option<Verdict> {
    let verdict = ask.units.judge(from, current, pdu, Instant::now());
    match verdict {
        // A refusal that can be either's may be in time.
        Some(Verdict::Late) if owing::accepts(current, pdu) => {}
        Some(Verdict::Late) => ask.ledger.unit(from, |counts| counts.late_answers += 1),
        Some(Verdict::Repeat) => ask.ledger.unit(from, |counts| counts.repeats += 1),
        Some(Verdict::Stray) if current.is_some() => {}
        Some(Verdict::Stray) | None => ask.ledger.bus(|counts| counts.foreign_frames += 1),
        Some(Verdict::Own) => {}
    }
    verdict
}

fn fault(wrong: Wrong) -> Fault {
    match wrong {
        Wrong::Exception(exception) => Fault::Exception(exception),
        Wrong::Function(function) => Fault::Wrong(format!("of another function, {function}")),
        Wrong::Content(detail) => Fault::Wrong(detail.into()),
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
