//! Requests and their answers.

use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Cause, DriverError};
use fieldgate_model::Sample;
use tokio::time::{Instant, timeout_at};

use super::{SerialSession, WRITE_LIMIT, cut};
use crate::config::RequestConfig;

/// After an answer that did not come: how long the line must be silent before the next request,
/// so that an answer that comes late is not taken for that of another request.
const QUIET: Duration = Duration::from_millis(100);
/// How long at most that is waited for.
const QUIET_MAX: Duration = Duration::from_secs(1);

impl SerialSession {
    /// Drops what a polled device said without being asked.
    pub(super) fn drop_unasked(&mut self, before: u64) {
        let bytes = self.counts.snapshot().bytes.saturating_sub(before);
        self.counts.change(|counts| counts.unasked += bytes);
        self.frames.clear();
        self.framer.clear();
    }

    /// Takes in what came while nobody asked, and waits for silence after a missing answer.
    pub(super) async fn settle(&mut self) -> Result<(), DriverError> {
        let before = self.counts.snapshot().bytes;
        let end = Instant::now() + QUIET_MAX;
        loop {
            let quiet = if self.is_unsettled {
                QUIET
            } else {
                Duration::ZERO
            };
            let until = (Instant::now() + quiet).min(end);
            let came = timeout_at(until, self.read()).await.is_ok();
            if let Some(error) = self.lost.take() {
                return Err(error);
            }
            if !came || Instant::now() >= end {
                break;
            }
        }
        self.is_unsettled = false;
        self.drop_unasked(before);
        Ok(())
    }

    /// Asks once, and again if there is no answer.
    pub(super) async fn ask(
        &mut self,
        index: usize,
        out: &mut Vec<Sample>,
    ) -> Result<(), DriverError> {
        let config = Arc::clone(&self.config);
        let Some(request) = config.requests.get(index) else {
            return Ok(());
        };
        let mut result = Ok(());
        for _ in 0..=request.retries {
            self.settle().await?;
            if let Some(length) = request.line_break {
                self.port.line_break(length).await?;
            }
            self.send(&request.send).await?;
            result = self.answer(index, request, out).await;
            out.append(&mut self.samples);
            match &result {
                Err(error) if !error.ends_session() => self.is_unsettled = true,
                _ => break,
            }
        }
        result
    }

    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), DriverError> {
        self.port
            .write(bytes, WRITE_LIMIT + self.config.port.time_of(bytes.len()))
            .await
    }

    /// Waits for a frame that answers a request. Others, such as an echo, are passed over.
    async fn answer(
        &mut self,
        index: usize,
        request: &RequestConfig,
        out: &mut Vec<Sample>,
    ) -> Result<(), DriverError> {
        let wire = self.config.port.time_of(request.send.len());
        let end = Instant::now() + wire + request.timeout;
        let mut unfit: Option<(String, String)> = None;
        let before = out.len();
        while let Some(frame) = self.next_frame(end).await? {
            match self.accept(&frame, Some(index), &request.parse, out) {
                Ok(()) => {
                    self.add_absent(Some(index), before, out);
                    return Ok(());
                }
                Err(why) => unfit = Some((cut(&frame), why)),
            }
        }
        let sent = cut(&request.send);
        Err(match unfit {
            None => {
                let millis = request.timeout.as_millis();
                DriverError::new(
                    Cause::Timeout,
                    format!("no answer to \"{sent}\" within {millis} ms"),
                )
            }
            Some((frame, why)) => {
                let text = format!("the answer to \"{sent}\" was \"{frame}\": {why}");
                DriverError::new(Cause::Protocol, text)
            }
        })
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
