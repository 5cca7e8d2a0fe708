//! Requests and their answers.
//!
//! Answers carry no tag. The instrument answers in order, may lose any answer, and may be late by
//! any time: a frame is used only if it cannot be the answer to something that was asked before
//! ([`fieldgate_bridge::late`]).

use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::late::{Asked, Verdict};
use fieldgate_bridge::{Cause, DriverError};
use fieldgate_model::Sample;
use tokio::time::{Instant, timeout_at};

use super::{SerialSession, WRITE_LIMIT, cut, pause};
use crate::config::RequestConfig;
use crate::line::Line;
use crate::question::Question;

/// How long the line must be silent before a request, if something came that was not asked for.
pub(super) const QUIET: Duration = Duration::from_millis(100);
/// The silence is longer by the time of so many bytes.
pub(super) const QUIET_BYTES: usize = 20;
/// How long at most that is waited for.
pub(super) const QUIET_MAX: Duration = Duration::from_secs(1);
/// How long at most a frame that has begun is waited for before a request.
const FRAME_MAX: Duration = Duration::from_secs(5);
/// For how long what has come in time is looked at after the end of a wait. One who never stops
/// talking must not be listened to for ever.
const GRACE: Duration = Duration::from_millis(100);

impl<L: Line> SerialSession<L> {
    /// Whether a request can be made now: its answer can be told from those that are owed.
    pub(super) fn can_ask(&self, index: usize) -> bool {
        let question = Question::request(&self.config, index);
        self.debts.with(|owed| !owed.is_confusable(&question))
    }

    /// When the device will have rested, if it owes anything.
    pub(super) fn rested_at(&self) -> Option<Instant> {
        self.debts.with(|owed| owed.rested_at(self.config.late))
    }

    /// Looks at what a polled device said while it was asked nothing.
    pub(super) fn take_unasked(&mut self) {
        while let Some(frame) = self.frames.pop_front() {
            let is_late = self.is_late(&frame);
            let bytes = std::mem::take(&mut self.idle_bytes).max(frame.len() as u64);
            if is_late {
                self.note_late(&frame);
                continue;
            }
            self.counts.change(|counts| counts.unasked += bytes);
            self.is_unsettled = true;
            self.report_surplus(&frame);
        }
    }

    /// Whether a frame that comes while nothing is asked answers something from before.
    fn is_late(&self, frame: &[u8]) -> bool {
        let config = &self.config;
        let requests = (0..config.requests.len()).map(|at| Question::request(config, at));
        let commands = (0..config.points.len()).map(|at| Question::command(config, at));
        let mut questions = requests.chain(commands);
        let is_answer = self.debts.with(|owed| {
            let is_owed = owed.requests().any(|question| question.accepts(frame));
            let mut is_wary = || questions.any(|own| own.accepts(frame) && owed.is_wary(&own));
            is_owed || (owed.is_clear() && is_wary())
        });
        is_answer && self.debts.judge(None, frame) == Verdict::Late
    }

    /// Counts an answer that came late, and tells of the first.
    pub(super) fn note_late(&mut self, frame: &[u8]) {
        self.counts.change(|counts| counts.late += 1);
        if !std::mem::replace(&mut self.has_reported_late, true) {
            let (device, frame) = (self.config.name.as_str(), cut(frame));
            log::info!(DEVICE = device; "\"{frame}\" may answer something that was asked before, and is not used; further ones are only counted");
        }
    }

    /// Tells that an answer has more frames than are taken.
    fn report_surplus(&mut self, frame: &[u8]) {
        let Some(index) = self.asked else { return };
        let config = Arc::clone(&self.config);
        let Some(request) = config.requests.get(index) else {
            return;
        };
        if self.has_reported_surplus || !Question::request(&config, index).is_answered(frame) {
            return;
        }
        self.has_reported_surplus = true;
        let (sent, frame, frames) = (cut(&request.send), cut(frame), request.frames);
        let device = config.name.as_str();
        log::warn!(DEVICE = device; "after the answer to \"{sent}\" came \"{frame}\", which is dropped; `frames` of the request says how many frames are taken: {frames}");
    }

    /// For how long nothing must come before a request.
    fn quiet(&self) -> Duration {
        if self.framer.is_underway() || self.is_new_line {
            pause(&self.config, !self.debts.is_clear())
        } else if self.is_unsettled {
            QUIET
        } else {
            Duration::ZERO
        }
    }

    /// Takes in what came while nothing was asked, and lets a frame that has begun end.
    pub(super) async fn settle(&mut self) -> Result<(), DriverError> {
        let start = Instant::now();
        loop {
            self.flow.give_way().await;
            let until = Instant::now() + self.quiet();
            let came = timeout_at(until, self.read()).await.is_ok();
            if let Some(error) = self.lost.take() {
                return Err(error);
            }
            self.tick();
            self.take_unasked();
            let waited = start.elapsed();
            if !came || (waited >= QUIET_MAX && !self.framer.is_underway()) {
                break;
            }
            if waited >= FRAME_MAX {
                let text = "the line does not fall silent, so nothing can be asked";
                return Err(DriverError::new(Cause::Protocol, text));
            }
        }
        (self.is_unsettled, self.is_new_line) = (false, false);
        self.framer.clear();
        let bytes = std::mem::take(&mut self.idle_bytes);
        self.counts.change(|counts| counts.unasked += bytes);
        Ok(())
    }

    /// Asks once, and again if there is no answer and the next one could be told from it.
    pub(super) async fn ask(
        &mut self,
        index: usize,
        out: &mut Vec<Sample>,
    ) -> Result<(), DriverError> {
        let retries = self.config.requests.get(index).map_or(0, |own| own.retries);
        let mut result = self.ask_once(index, out).await;
        for _ in 0..retries {
            let is_unanswered = matches!(
                &result,
                Err(error) if matches!(error.cause, Cause::Timeout | Cause::Protocol)
            );
            if !is_unanswered || !self.clear_for(index, out).await? {
                break;
            }
            result = self.ask_once(index, out).await;
        }
        result
    }

    /// Whether a request can be made. If not, another one is made first whose answer is unlike all
    /// that are owed: with it, they have come or never will.
    async fn clear_for(
        &mut self,
        index: usize,
        out: &mut Vec<Sample>,
    ) -> Result<bool, DriverError> {
        if self.can_ask(index) {
            return Ok(true);
        }
        self.ask_other(out).await?;
        Ok(self.can_ask(index))
    }

    /// Makes any request whose answer is unlike all that are owed. That it is not answered, or
    /// that there is none, is no error here.
    pub(super) async fn ask_other(&mut self, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        let mut indices = 0..self.config.requests.len();
        let Some(other) = indices.find(|index| self.can_ask(*index)) else {
            return Ok(());
        };
        match self.ask_once(other, out).await {
            Ok(()) => self.schedule.answered(other),
            Err(error) if error.ends_session() => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    async fn ask_once(&mut self, index: usize, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        let config = Arc::clone(&self.config);
        let Some(request) = config.requests.get(index) else {
            return Ok(());
        };
        self.settle().await?;
        if let Some(length) = request.line_break {
            self.port.line_break(length).await?;
        }
        self.asked = Some(index);
        let question = Question::request(&config, index);
        let before = out.len();
        let result = match self.send(&request.send).await {
            Ok(()) => self.answer(&question, index, request, out).await,
            // A part of it may have left.
            Err(error) => Err((error, request.frames)),
        };
        self.idle_bytes = 0;
        let result = result.map_err(|(error, missing)| {
            self.debts.gave_up(&question, missing);
            out.truncate(before);
            error
        });
        self.take_unasked();
        out.append(&mut self.samples);
        result
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), DriverError> {
        self.debts.sent();
        self.port
            .write(bytes, WRITE_LIMIT + self.config.port.time_of(bytes.len()))
            .await
    }

    /// Waits for the frames that answer a request. Others, such as an echo, are passed over. An
    /// error comes with the number of frames that are owed.
    async fn answer(
        &mut self,
        question: &Question,
        index: usize,
        request: &RequestConfig,
        out: &mut Vec<Sample>,
    ) -> Result<(), (DriverError, usize)> {
        let wire = self.config.port.time_of(request.send.len());
        let mut end = Instant::now() + wire + request.timeout;
        let (before, mut missing) = (out.len(), request.frames);
        let mut unfit: Option<(String, String)> = None;
        while missing > 0 {
            let frame = match self.next_frame(end).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err((unanswered(request, missing, unfit), missing)),
                Err(error) => return Err((error, missing)),
            };
            match self.debts.judge(Some(question), &frame) {
                Verdict::Own if !question.is_answered(&frame) => {
                    let text = format!(
                        "the device refused \"{}\": \"{}\"",
                        cut(&request.send),
                        cut(&frame)
                    );
                    return Err((DriverError::new(Cause::Refused, text), 0));
                }
                Verdict::Own => {
                    // With several frames, one may hold none of the points.
                    let _ = self.accept(&frame, Some(index), &request.parse, out);
                    missing -= 1;
                    end = Instant::now() + request.timeout;
                }
                Verdict::Late => self.note_late(&frame),
                Verdict::Repeat | Verdict::Stray => {
                    let mut none = Vec::new();
                    let accepted = self.accept(&frame, Some(index), &request.parse, &mut none);
                    let why = accepted.err().unwrap_or_else(|| "it is an echo".to_owned());
                    unfit = Some((cut(&frame), why));
                }
            }
        }
        if !self
            .is_certain(question, request.timeout)
            .await
            .map_err(|error| (error, 0))?
        {
            let text = format!(
                "two answers to \"{}\" came: one is from before",
                cut(&request.send)
            );
            return Err((DriverError::new(Cause::Protocol, text), request.frames));
        }
        self.add_absent(Some(index), before, out);
        if out.len() == before {
            let text = format!(
                "the answer to \"{}\" holds none of the points",
                cut(&request.send)
            );
            return Err((DriverError::new(Cause::Protocol, text), 0));
        }
        Ok(())
    }

    /// Whether an answer can be trusted. If answers like it were written off, another one is
    /// listened for during `limit`.
    pub(super) async fn is_certain(
        &mut self,
        question: &Question,
        limit: Duration,
    ) -> Result<bool, DriverError> {
        if !self.debts.with(|owed| owed.is_wary(question)) {
            return Ok(true);
        }
        let end = Instant::now() + limit;
        while let Some(frame) = self.next_frame(end).await? {
            if question.accepts(&frame) {
                self.note_late(&frame);
                return Ok(false);
            }
        }
        self.debts.with(|owed| owed.trust());
        Ok(true)
    }

    /// The next frame that is complete before `end`; `None` if there is none.
    pub(super) async fn next_frame(
        &mut self,
        end: Instant,
    ) -> Result<Option<Vec<u8>>, DriverError> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(Some(frame));
            }
            if let Some(error) = self.lost.take() {
                return Err(error);
            }
            if Instant::now() >= end + GRACE {
                return Ok(None);
            }
            self.flow.give_way().await;
            let silence = self.framer.deadline().map(Instant::from_std);
            let until = silence.map_or(end, |silence| silence.min(end));
            if timeout_at(until, self.read()).await.is_err() {
                self.tick();
                if Instant::now() >= end && self.frames.is_empty() {
                    return Ok(None);
                }
            }
        }
    }
}

/// Why a request has no answer.
fn unanswered(
    request: &RequestConfig,
    missing: usize,
    unfit: Option<(String, String)>,
) -> DriverError {
    let sent = cut(&request.send);
    let millis = request.timeout.as_millis();
    match unfit {
        Some((frame, why)) => {
            let text = format!("the answer to \"{sent}\" was \"{frame}\": {why}");
            DriverError::new(Cause::Protocol, text)
        }
        None if missing < request.frames => {
            let (came, frames) = (request.frames - missing, request.frames);
            let text =
                format!("the answer to \"{sent}\" broke off: {came} of {frames} frames came");
            DriverError::new(Cause::Timeout, text)
        }
        None => {
            let text = format!("no answer to \"{sent}\" within {millis} ms");
            DriverError::new(Cause::Timeout, text)
        }
    }
}
