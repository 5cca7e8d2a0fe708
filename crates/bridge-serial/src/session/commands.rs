//! Commands: sent once, whatever happens.

use std::sync::Arc;

use fieldgate_model::{Command, Outcome, Sample, Value};
use tokio::time::Instant;

use super::{SerialSession, cut};
use crate::bytes::text;
use crate::config::{PointConfig, WriteConfig};
use crate::number::NumberFormat;
use crate::point;

/// What a frame says about a command.
enum Said {
    Done(Option<Value>),
    Refused,
    Other,
}

impl SerialSession {
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
        if self.is_polled()
            && let Err(error) = self.settle().await
        {
            let text = error.to_string();
            self.lost = Some(error);
            return Outcome::Failed(text);
        }
        if let Err(error) = self.send(&bytes).await {
            let text = format!("{error}; it may have taken effect");
            self.keep(error);
            return Outcome::Failed(text);
        }
        if let Some(index) = point.request {
            self.schedule.hurry(index, Instant::now());
        }
        if rule.answer.is_none() {
            return Outcome::Done {
                value,
                readback: None,
            };
        }
        self.await_answer(point, rule, value, numbers, out).await
    }

    /// Waits for what answers a command. Data frames that come meanwhile are not lost.
    async fn await_answer(
        &mut self,
        point: &PointConfig,
        rule: &WriteConfig,
        value: Value,
        numbers: NumberFormat,
        out: &mut Vec<Sample>,
    ) -> Outcome {
        let end = Instant::now() + rule.timeout;
        let mut last = None;
        loop {
            let frame = match self.next_frame(end).await {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    let text = format!("{error}; it may have taken effect");
                    self.keep(error);
                    return Outcome::Failed(text);
                }
            };
            match said(point, rule, &frame, numbers) {
                Said::Done(None) => {
                    return Outcome::Done {
                        value,
                        readback: None,
                    };
                }
                Said::Done(Some(held)) if held == value => {
                    return Outcome::Done {
                        value,
                        readback: Some(held),
                    };
                }
                Said::Done(readback) => return Outcome::Mismatch { value, readback },
                Said::Refused => {
                    return Outcome::Failed(format!("the device refused: \"{}\"", cut(&frame)));
                }
                Said::Other => {
                    last = Some(cut(&frame));
                    if !self.is_polled() {
                        self.take_frame(&frame, out);
                    }
                }
            }
        }
        self.is_unsettled = true;
        let millis = rule.timeout.as_millis();
        let seen = last
            .map(|frame| format!(" (the last frame was \"{frame}\")"))
            .unwrap_or_default();
        Outcome::Failed(format!(
            "no answer within {millis} ms{seen}; it may have taken effect"
        ))
    }

    async fn send_raw(&mut self, value: Value) -> Outcome {
        let bytes = match &value {
            Value::Bytes(bytes) => bytes.clone(),
            other => other.to_string().into_bytes(),
        };
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
    fn keep(&mut self, error: fieldgate_bridge::DriverError) {
        if error.ends_session() {
            self.lost = Some(error);
        }
    }
}

fn said(point: &PointConfig, rule: &WriteConfig, frame: &[u8], numbers: NumberFormat) -> Said {
    let line = text(frame);
    if rule
        .refused
        .as_ref()
        .is_some_and(|refused| refused.0.is_match(&line))
    {
        return Said::Refused;
    }
    let Some(captures) = rule
        .answer
        .as_ref()
        .and_then(|answer| answer.0.captures(&line))
    else {
        return Said::Other;
    };
    let held = captures.name("value");
    Said::Done(held.and_then(|held| point.reading.plain(held.as_str(), numbers)))
}
