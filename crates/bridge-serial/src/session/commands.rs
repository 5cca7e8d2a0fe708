//! Commands: sent once, whatever happens.

use std::sync::Arc;

use fieldgate_bridge::DriverError;
use fieldgate_bridge::late::{Asked, Verdict};
use fieldgate_model::{Command, Outcome, Sample, Value};
use tokio::time::{Instant, timeout_at};

use super::ask::QUIET_MAX;
use super::{SerialSession, cut};
use crate::bytes::text;
use crate::config::{Pattern, PointConfig, WriteConfig};
use crate::line::Line;
use crate::number::NumberFormat;
use crate::point;
use crate::question::Question;

const UNKNOWN: &str = "; it may have taken effect";

impl<L: Line> SerialSession<L> {
    pub(super) async fn command(&mut self, command: Command, out: &mut Vec<Sample>) -> Outcome {
        let config = Arc::clone(&self.config);
        if config.raw && command.point == config.raw_index() {
            return self.send_raw(command.value).await;
        }
        let Some((_, point)) = config.points.get(command.point) else {
            return Outcome::Failed("no such point".into());
        };
        let Some(rule) = &point.write else {
            return Outcome::Failed("the point has no `write`".into());
        };
        let request = point.request.and_then(|at| config.requests.get(at));
        let numbers = request
            .map_or(&config.parse, |request| &request.parse)
            .numbers;
        let (bytes, value) = match point::write(point, rule, &command.value, numbers) {
            Ok(written) => written,
            Err(error) => return Outcome::Failed(error),
        };
        if let Err(error) = self.prepare(command.point, out).await {
            let text = error.to_string();
            self.keep(error);
            return Outcome::Failed(text);
        }
        if self.debts.with(|owed| owed.is_full()) {
            return Outcome::Failed(
                "not sent: the device has not answered the last ones; it is given a rest".into(),
            );
        }
        let question = Question::command(&config, command.point);
        let owed = usize::from(rule.answer.is_some());
        if let Err(error) = self.send(&bytes).await {
            self.debts.gave_up(&question, owed);
            let text = format!("{error}; it may have taken effect");
            self.keep(error);
            return Outcome::Failed(text);
        }
        if let Some(index) = point.request {
            self.schedule.hurry(index, Instant::now());
        }
        if rule.answer.is_none() {
            // What the device says to it is no answer to the next request.
            self.is_unsettled = true;
            return Outcome::Done {
                value,
                readback: None,
            };
        }
        let outcome = self
            .await_answer(&question, point, rule, value, numbers, out)
            .await;
        if self.is_polled() {
            self.idle_bytes = 0;
            self.take_unasked();
        }
        outcome
    }

    /// Takes in what came before a command, and lets an answer that is owed come first, if there
    /// is a request whose answer would follow it.
    async fn prepare(&mut self, point: usize, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        let (now, late) = (Instant::now(), self.config.late);
        self.debts.with(|owed| owed.write_off(now, late));
        if !self.is_polled() {
            let end = Instant::now() + QUIET_MAX;
            while timeout_at(Instant::now(), self.read()).await.is_ok() && Instant::now() < end {
                if let Some(error) = self.lost.take() {
                    return Err(error);
                }
                self.take_if_streaming();
            }
            return Ok(());
        }
        self.settle().await?;
        let question = Question::command(&self.config, point);
        if self.debts.with(|owed| owed.is_confusable(&question)) {
            self.ask_other(out).await?;
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits for what answers a command. Data frames that come meanwhile are not lost.
    async fn await_answer(
        &mut self,
        question: &Question,
        point: &PointConfig,
        rule: &WriteConfig,
        value: Value,
        numbers: NumberFormat,
        out: &mut Vec<Sample>,
    ) -> Outcome {
        let end = Instant::now() + rule.timeout;
        let (mut last, mut has_late) = (None, false);
        let lost = loop {
            let frame = match self.next_frame(end).await {
                Ok(Some(frame)) => frame,
                Ok(None) => break None,
                Err(error) => break Some(error),
            };
            match self.verdict(question, &frame) {
                Verdict::Own => {
                    return match self.is_certain(question, rule.timeout).await {
                        Ok(true) => said(point, rule, &frame, value, numbers),
                        Ok(false) => {
                            self.debts.gave_up(question, 1);
                            Outcome::Failed(format!(
                                "two answers came, one to an earlier command{UNKNOWN}"
                            ))
                        }
                        Err(error) => {
                            self.debts.gave_up(question, 1);
                            let text = format!("{error}{UNKNOWN}");
                            self.keep(error);
                            Outcome::Failed(text)
                        }
                    };
                }
                Verdict::Late => {
                    self.note_late(&frame);
                    has_late = true;
                }
                Verdict::Repeat | Verdict::Stray => {
                    last = Some(cut(&frame));
                    if !self.is_polled() {
                        self.take_frame(&frame, out);
                    }
                }
            }
        };
        self.debts.gave_up(question, 1);
        if let Some(error) = lost {
            let text = format!("{error}{UNKNOWN}");
            self.keep(error);
            return Outcome::Failed(text);
        }
        let millis = rule.timeout.as_millis();
        let seen = match last {
            _ if has_late => " but what may be that to an earlier one".to_owned(),
            Some(frame) => format!(" (the last frame was \"{frame}\")"),
            None => String::new(),
        };
        Outcome::Failed(format!("no answer within {millis} ms{seen}{UNKNOWN}"))
    }

    /// What a frame is for a command. The data of a stream settle nothing.
    fn verdict(&self, question: &Question, frame: &[u8]) -> Verdict {
        let is_answer = self.is_polled()
            || question.accepts(frame)
            || self
                .debts
                .with(|owed| owed.requests().any(|own| own.accepts(frame)));
        if is_answer {
            self.debts.judge(Some(question), frame)
        } else {
            Verdict::Stray
        }
    }

    async fn send_raw(&mut self, value: Value) -> Outcome {
        let bytes = match &value {
            Value::Bytes(bytes) => bytes.clone(),
            other => other.to_string().into_bytes(),
        };
        // What the device says to it is no answer to the next request.
        self.is_unsettled = true;
        match self.send(&bytes).await {
            Ok(()) => Outcome::Done {
                value,
                readback: None,
            },
            Err(error) => {
                let text = error.to_string();
                self.keep(error);
                Outcome::Failed(text)
            }
        }
    }

    /// A lost port is the next poll's error.
    fn keep(&mut self, error: DriverError) {
        if error.ends_session() {
            self.lost = Some(error);
        }
    }
}

/// What a frame that answers a command says.
fn said(
    point: &PointConfig,
    rule: &WriteConfig,
    frame: &[u8],
    value: Value,
    numbers: NumberFormat,
) -> Outcome {
    let line = text(frame);
    let is_refused = |refused: &Pattern| refused.0.is_match(&line);
    let answer = rule.answer.as_ref();
    let captures = answer.and_then(|answer| answer.0.captures(&line));
    let Some(captures) = captures.filter(|_| !rule.refused.as_ref().is_some_and(is_refused)) else {
        return Outcome::Failed(format!("the device refused: \"{}\"", cut(frame)));
    };
    let Some(held) = captures.name("value") else {
        return Outcome::Done {
            value,
            readback: None,
        };
    };
    match point.reading.plain(held.as_str(), numbers) {
        Some(held) if held == value || held.to_string() == value.to_string() => Outcome::Done {
            value,
            readback: Some(held),
        },
        readback => Outcome::Mismatch { value, readback },
    }
}
